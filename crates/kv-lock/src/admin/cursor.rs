//! Places in a list of locks.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use kv_core::{Cursor, Error, ErrorKind, Result};
use std::{fmt, str::FromStr};

/// A place in a list of locks: opaque, good for the store and the tenant that it was told for. It can
/// be written as text and read back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LockCursor(pub(crate) Cursor);

impl fmt::Display for LockCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0.as_bytes()))
    }
}

impl FromStr for LockCursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|source| {
            let message = "this is no place in a list of locks; take one that a list told";
            Error::new(ErrorKind::InvalidArgument, message)
                .with_context("cursor", text.escape_debug())
                .with_context("reason", source)
        })?;
        Ok(Self(Cursor::new(bytes)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::LockCursor;
    use kv_core::Cursor;

    #[test]
    fn a_place_survives_being_typed() {
        for token in [&b"\x01{lock:a/b}:holder"[..], b"", b"\xff\xfe\x00"] {
            let cursor = LockCursor(Cursor::new(token));
            assert_eq!(cursor.to_string().parse::<LockCursor>().unwrap(), cursor);
        }
        assert!("a=b".parse::<LockCursor>().is_err());
    }
}
