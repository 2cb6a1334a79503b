//! Bytes as text: for people escaped, for programs without loss.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value as Json, json};
use std::fmt::Write;

/// One line for people: what is no text, or would move the cursor, is escaped.
pub(crate) fn line(bytes: &[u8]) -> String {
    escaped(bytes, |_| false)
}

/// As [`line`], but with the line ends and tabs that are there.
pub(crate) fn lines(bytes: &[u8]) -> String {
    escaped(bytes, |it| matches!(it, '\n' | '\t'))
}

/// For programs: a string, or `{"base64": …}` where the bytes are not UTF-8.
pub(crate) fn json(bytes: &[u8]) -> Json {
    match str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "base64": BASE64_STANDARD.encode(bytes) }),
    }
}

fn escaped(bytes: &[u8], stays: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter.is_control() && !stays(letter) {
                true => out.extend(letter.escape_default()),
                false => out.push(letter),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{json, line, lines};

    #[test]
    fn a_terminal_gets_no_control_characters() {
        assert_eq!(line("a\n\tü\u{1b}[2J\\".as_bytes()), "a\\n\\tü\\u{1b}[2J\\");
        assert_eq!(lines(b"a\n\tb\r\x1b"), "a\n\tb\\r\\u{1b}");
        assert_eq!(line(b"a\xff\xc3b"), "a\\xff\\xc3b");
    }

    #[test]
    fn a_program_gets_every_byte() {
        assert_eq!(json(b"a\n").to_string(), r#""a\n""#);
        assert_eq!(json(b"\xff\x00").to_string(), r#"{"base64":"/wA="}"#);
    }
}
