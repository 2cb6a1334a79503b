//! Counters as text.

/// Parses the one spelling that a number has: no sign but a leading `-`, no leading zero, no spaces.
pub(crate) fn parse(text: &[u8]) -> Option<i64> {
    let number: i64 = str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_the_canonical_spelling_is_a_number() {
        for number in [0, 1, -1, 10, i64::MAX, i64::MIN] {
            assert_eq!(super::parse(number.to_string().as_bytes()), Some(number));
        }
        for text in [
            "",
            "-",
            "-0",
            "+1",
            "01",
            " 1",
            "1 ",
            "1.5",
            "9223372036854775808",
        ] {
            assert_eq!(super::parse(text.as_bytes()), None, "{text:?}");
        }
    }
}
