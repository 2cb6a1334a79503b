//! Patterns in which `*` stands for any bytes.

use crate::Prefix;

/// A pattern over keys. `*` matches any bytes, also none; everything else matches itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<u8>);

impl Pattern {
    pub(crate) fn new(pattern: &[u8]) -> Self {
        Self(pattern.to_vec())
    }

    /// The bytes up to the first `*`: what every match starts with.
    pub(crate) fn literal_prefix(&self) -> Prefix {
        let end = self.0.iter().position(|&byte| byte == b'*');
        Prefix::new(self.0[..end.unwrap_or(self.0.len())].to_vec())
    }

    /// Greedy with one step back: a later `*` makes every earlier one's choice final, so no more than
    /// the last needs to be reconsidered.
    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        let pattern = &self.0;
        let (mut at, mut in_text) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while in_text < text.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, in_text));
                    at += 1;
                }
                Some(byte) if *byte == text[in_text] => {
                    at += 1;
                    in_text += 1;
                }
                _ => {
                    let Some((after, taken)) = star else {
                        return false;
                    };
                    star = Some((after, taken + 1));
                    at = after + 1;
                    in_text = taken + 1;
                }
            }
        }
        pattern[at..].iter().all(|&byte| byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern.as_bytes()).matches(text.as_bytes())
    }

    #[test]
    fn the_star_is_the_only_metacharacter() {
        assert!(matches("pair:foo/rank:*/ready", "pair:foo/rank:0/ready"));
        assert!(matches("pair:foo/rank:*/ready", "pair:foo/rank:/ready"));
        assert!(!matches("pair:foo/rank:*/ready", "pair:foo/rank:0/readyx"));
        assert!(!matches("pair:foo/rank:*/ready", "pair:bar/rank:0/ready"));
        assert!(matches("*", ""));
        assert!(matches("**a**", "xay"));
        assert!(!matches("a?c", "abc"));
        assert!(matches("a?c", "a?c"));
        assert!(!matches("[ab]", "a"));
        assert!(matches(r"\*", r"\x"));
        assert!(!matches("", "a"));
        assert!(matches("", ""));
        assert!(matches("*ab*ab", "abxabab"));
    }

    #[test]
    fn every_match_starts_with_the_literal_prefix() {
        let prefix = |it: &str| Pattern::new(it.as_bytes()).literal_prefix();
        assert_eq!(prefix("ready/*").as_bytes(), b"ready/");
        assert_eq!(prefix("*/ready").as_bytes(), b"");
        assert_eq!(prefix("ready").as_bytes(), b"ready");
    }

    /// The definition, word by word.
    fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|from| by_definition(rest, &text[from..])),
            Some((byte, rest)) => text.first() == Some(byte) && by_definition(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_definition(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            let expected = by_definition(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(matches(&pattern, &text), expected);
        }
    }
}
