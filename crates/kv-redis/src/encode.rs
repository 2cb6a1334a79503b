//! How arguments become bytes.

use crate::{
    error::{Answer, Failure},
    scripts::{Lua, SET_IF_VALUE},
};
use kv_core::{Prefix, Score, ScoreBound, SetOptions, Timestamp, Ttl, When};
use redis::{Cmd, RedisWrite};
use std::io::Write;

/// A command with room for all its arguments: their number and their bytes, the name not counted.
pub(crate) fn command(name: &'static str, args: usize, bytes: usize) -> Cmd {
    let mut command = Cmd::with_capacity(args + 1, bytes + name.len());
    command.write_arg(name.as_bytes());
    command
}

/// A command with these arguments.
pub(crate) fn with<const N: usize>(name: &'static str, args: [&[u8]; N]) -> Cmd {
    let bytes = args.iter().map(|arg| arg.len()).sum();
    let mut command = command(name, N, bytes);
    args.iter().for_each(|arg| command.write_arg(arg));
    command
}

/// A command with a list of arguments behind these.
pub(crate) fn with_list<const N: usize>(
    name: &'static str,
    args: [&[u8]; N],
    list: &[impl AsRef<[u8]>],
) -> Cmd {
    let fixed: usize = args.iter().map(|arg| arg.len()).sum();
    let bytes: usize = list.iter().map(|it| it.as_ref().len()).sum();
    let mut command = command(name, N + list.len(), fixed + bytes);
    args.iter().for_each(|arg| command.write_arg(arg));
    list.iter().for_each(|it| command.write_arg(it.as_ref()));
    command
}

/// How a script is named in a call.
#[derive(Clone, Copy)]
pub(crate) enum By {
    /// By its hash, which the server must have seen.
    Hash,
    /// By its text, which the server keeps.
    Text,
}

/// A call of a script on one key.
pub(crate) fn script(lua: &Lua, by: By, key: &[u8], args: &[&[u8]]) -> Cmd {
    let (name, script) = match by {
        By::Hash => ("EVALSHA", lua.hash()),
        By::Text => ("EVAL", lua.code),
    };
    with_list(name, [script.as_bytes(), b"1", key], args)
}

/// The write of a string. A condition on its value takes a script; `by` says how to name it.
pub(crate) fn set(key: &[u8], value: &[u8], options: &SetOptions, by: By) -> Answer<Cmd> {
    let ttl = TtlArgs::new(options.ttl)?;
    let condition: &[&[u8]] = match &options.when {
        When::Always => &[],
        When::IfAbsent => &[b"NX", b"GET"],
        When::IfPresent => &[b"XX", b"GET"],
        When::IfValue(mark) => {
            let args: Vec<&[u8]> = [mark.as_bytes(), value]
                .into_iter()
                .chain(ttl.iter())
                .collect();
            return Ok(script(&SET_IF_VALUE, by, key, &args));
        }
        _ => return Err(Failure::unsupported("this condition")),
    };
    let mut command = command("SET", 6, key.len() + value.len() + 32);
    command.write_arg(key);
    command.write_arg(value);
    ttl.iter().for_each(|arg| command.write_arg(arg));
    condition.iter().for_each(|arg| command.write_arg(arg));
    Ok(command)
}

/// The options of SET that make a time to live.
pub(crate) enum TtlArgs {
    /// None: a plain SET clears the deadline.
    Clear,
    /// Keep it.
    Keep,
    /// A unit and a number.
    Timed(&'static str, Text),
}

impl TtlArgs {
    pub(crate) fn new(ttl: Ttl) -> Answer<Self> {
        Ok(match ttl {
            Ttl::Unset | Ttl::Never => Self::Clear,
            Ttl::Keep => Self::Keep,
            Ttl::In(span) | Ttl::Held(span) => Self::Timed("PX", digits(span.as_millis())),
            Ttl::At(deadline) => Self::Timed("PXAT", digits(deadline_millis(deadline))),
            _ => return Err(Failure::unsupported("this time to live")),
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let (first, second): (Option<&[u8]>, Option<&[u8]>) = match self {
            Self::Clear => (None, None),
            Self::Keep => (Some(b"KEEPTTL"), None),
            Self::Timed(unit, number) => (Some(unit.as_bytes()), Some(number.as_bytes())),
        };
        first.into_iter().chain(second)
    }
}

/// An instant as the server takes it: whole milliseconds, rounded up so that no key ends early. The
/// server refuses 0 and less, so instants before 1970 become its first millisecond, which is past
/// just as well.
pub(crate) fn deadline_millis(deadline: Timestamp) -> u64 {
    let micros = deadline.as_micros();
    u64::try_from(micros).map_or(1, |micros| micros.div_ceil(1000).max(1))
}

/// A short text on the stack.
pub(crate) struct Text {
    bytes: [u8; Self::ROOM],
    length: usize,
}

impl Text {
    /// The longest is a fraction such as `(-2.2250738585072014e-308`.
    const ROOM: usize = 32;

    pub(crate) const EMPTY: Self = Self {
        bytes: [0; Self::ROOM],
        length: 0,
    };

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn format(text: std::fmt::Arguments<'_>) -> Self {
        let mut bytes = [0; Self::ROOM];
        let mut rest = &mut bytes[..];
        // The room is enough for every number that is written here.
        let _ = rest.write_fmt(text);
        let length = Self::ROOM - rest.len();
        Self { bytes, length }
    }
}

/// A whole number.
pub(crate) fn digits(number: impl Into<i128>) -> Text {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(number.into()).as_bytes();
    let mut text = Text::EMPTY;
    // Nothing that is sent is longer than a 64-bit number.
    let length = digits.len().min(Text::ROOM);
    text.bytes[..length].copy_from_slice(&digits[..length]);
    text.length = length;
    text
}

/// A whole number behind a mark that no number begins with.
pub(crate) fn marked(mark: &'static str, number: i64) -> Text {
    Text::format(format_args!("{mark}{number}"))
}

/// A score as the shortest text that reads back as the same number.
pub(crate) fn score(score: Score) -> Text {
    prefixed_score("", score)
}

/// One end of a range of scores.
pub(crate) fn bound(bound: ScoreBound) -> Text {
    match bound {
        ScoreBound::Included(score) => prefixed_score("", score),
        ScoreBound::Excluded(score) => prefixed_score("(", score),
    }
}

fn prefixed_score(prefix: &str, score: Score) -> Text {
    const EXACT: f64 = (1_u64 << 53) as f64;
    let number = score.get();
    // Times and ranks are whole: no search for the shortest fraction.
    if number.fract() == 0.0 && number.abs() <= EXACT {
        return Text::format(format_args!("{prefix}{}", number as i64));
    }
    // `Debug` turns to exponents where `Display` would write hundreds of zeros.
    Text::format(format_args!("{prefix}{number:?}"))
}

/// A pattern for SCAN that matches at least every key of these ranges; `None` where only "all" does.
pub(crate) fn pattern(prefixes: &[Prefix]) -> Option<Vec<u8>> {
    if prefixes.iter().any(Prefix::is_all) {
        return None;
    }
    if let [one] = prefixes {
        let mut pattern = escaped(one.as_bytes());
        pattern.push(b'*');
        return Some(pattern);
    }
    // A namespace is two ranges, `p` and `{p`: both are found by what they share.
    let bare = |it: &'_ Prefix| {
        let bytes = it.as_bytes();
        bytes.strip_prefix(b"{").unwrap_or(bytes).to_vec()
    };
    let shared = bare(prefixes.first()?);
    if shared.is_empty() || prefixes.iter().any(|it| bare(it) != shared) {
        return None;
    }
    Some([b"*", &*escaped(&shared), b"*"].concat())
}

fn escaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 8);
    for &byte in bytes {
        if b"*?[]\\^".contains(&byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn scores_read_back_as_the_same_number(bits in any::<u64>()) {
            let number = f64::from_bits(bits);
            prop_assume!(!number.is_nan());
            let expected = Score::new(number).unwrap();
            let text = score(expected);
            let read: f64 = str::from_utf8(text.as_bytes()).unwrap().parse().unwrap();
            prop_assert_eq!(Score::new(read).unwrap(), expected);
            let text = bound(ScoreBound::Excluded(expected));
            let text = str::from_utf8(text.as_bytes()).unwrap();
            let read: f64 = text.strip_prefix('(').unwrap().parse().unwrap();
            prop_assert_eq!(Score::new(read).unwrap(), expected);
        }

        #[test]
        fn deadlines_round_up(micros in 1..i64::MAX) {
            let millis = i128::from(deadline_millis(Timestamp::from_micros(micros)));
            let late = millis * 1000 - i128::from(micros);
            prop_assert!((0..1000).contains(&late));
        }
    }

    #[test]
    fn scores_are_written_plainly() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (1_718_000_000_123.456, "1718000000123.456"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (1e300, "1e300"),
            (-2.225_073_858_507_201_4e-308, "-2.2250738585072014e-308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (number, text) in cases {
            let written = score(Score::new(number).unwrap());
            assert_eq!(written.as_bytes(), text.as_bytes(), "{number}");
        }
        let open = bound(ScoreBound::Excluded(Score::MIN));
        assert_eq!(open.as_bytes(), b"(-inf");
    }

    #[test]
    fn instants_before_1970_are_past_and_legal() {
        for micros in [i64::MIN, -1, 0, 1] {
            assert_eq!(deadline_millis(Timestamp::from_micros(micros)), 1);
        }
    }

    #[test]
    fn whole_numbers_have_room() {
        assert_eq!(digits(i64::MIN).as_bytes(), b"-9223372036854775808");
        assert_eq!(digits(u64::MAX).as_bytes(), b"18446744073709551615");
    }

    #[test]
    fn patterns_are_literal_but_for_their_star() {
        let of = |texts: &[&str]| {
            let prefixes: Vec<_> = texts.iter().map(|&it| Prefix::from(it)).collect();
            pattern(&prefixes).map(|it| String::from_utf8(it).unwrap())
        };
        assert_eq!(of(&["t[1]*x/"]).as_deref(), Some(r"t\[1\]\*x/*"));
        assert_eq!(of(&[r"a\?^%_-"]).as_deref(), Some(r"a\\\?\^%_-*"));
        assert_eq!(of(&["nala:t:", "{nala:t:"]).as_deref(), Some("*nala:t:*"));
        assert_eq!(of(&["a", "b"]), None);
        assert_eq!(of(&["", "a"]), None);
        assert_eq!(of(&[""]), None);
        assert_eq!(of(&["{", "{"]), None);
    }
}
