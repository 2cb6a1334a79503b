//! Counters as text, for providers.

use crate::Value;

/// Parses the one spelling that a number has: no sign but a leading `-`, no leading zero, no spaces.
pub fn parse(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        b"0" => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// The one spelling that a number has.
pub fn print(number: i64) -> Value {
    number.to_string().into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_the_canonical_spelling_is_a_number() {
        for number in [0, 1, -1, 10, -10, i64::MAX, i64::MIN] {
            assert_eq!(super::parse(number.to_string().as_bytes()), Some(number));
        }
        let others = [
            "",
            "-",
            "-0",
            "+1",
            "01",
            "-01",
            "00",
            " 1",
            "1 ",
            "1.5",
            "1e3",
            "abc",
            "--1",
            "٣",
            "9223372036854775808",
            "-9223372036854775809",
        ];
        for text in others {
            assert_eq!(super::parse(text.as_bytes()), None, "{text:?}");
        }
    }
}
