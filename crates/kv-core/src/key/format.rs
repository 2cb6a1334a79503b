use crate::{Error, ErrorKind, Result};
use bytes::Bytes;

/// How the parts of a prefix become bytes on the store: `nala:tenant-123:cache:`.
///
/// The format is fixed; keys written by one version are found by every other. The parts are joined,
/// and ended, by the separator. Inside a part every byte of the separator and every `{`, `}` and `%`
/// is written as `%` and two upper-case hexadecimal digits, so a part never holds a separator:
/// prefixes of different parts differ, and none starts another. A part that is absent, but could be
/// there, is empty; a present part is never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFormat {
    separator: Bytes,
}

/// One part of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment<'a> {
    /// Never there under these settings: left out with its separator.
    Never,
    /// Could be there and is not: an empty part.
    Absent,
    /// There.
    Present(&'a [u8]),
}

impl KeyFormat {
    /// A format with this separator.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the separator is empty or holds a letter, a digit, `{`, `}`
    /// or `%`, which escapes are made of.
    pub fn new(separator: impl Into<Bytes>) -> Result<Self> {
        let separator = separator.into();
        let reserved = |byte: &u8| byte.is_ascii_alphanumeric() || b"{}%".contains(byte);
        if separator.is_empty() || separator.iter().any(reserved) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the separator must not be empty and must not hold letters, digits, `{`, `}` or `%`; `:` is usual",
            )
            .with_context("separator", separator.escape_ascii()));
        }
        Ok(Self { separator })
    }

    /// The prefix made of these parts, in order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if a present part is empty: it could not be told from an
    /// absent one.
    pub fn prefix<'a>(&self, parts: impl IntoIterator<Item = Segment<'a>>) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(64);
        parts
            .into_iter()
            .try_for_each(|part| self.append(part, &mut out))?;
        Ok(out)
    }

    /// Puts one more part at the end of a prefix.
    ///
    /// # Errors
    /// As [`prefix`](Self::prefix).
    pub fn append(&self, part: Segment<'_>, prefix: &mut Vec<u8>) -> Result<()> {
        match part {
            Segment::Never => return Ok(()),
            Segment::Absent => {}
            Segment::Present([]) => {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    "a tenant, user, namespace or static prefix must not be empty; leave it out instead",
                ));
            }
            Segment::Present(bytes) => self.escape(bytes, prefix),
        }
        prefix.extend_from_slice(&self.separator);
        Ok(())
    }

    fn escape(&self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        // Most parts have nothing to escape, and go in one piece.
        while let Some(at) = rest.iter().position(|&byte| self.is_reserved(byte)) {
            let (plain, reserved) = rest.split_at(at);
            out.extend_from_slice(plain);
            out.extend_from_slice(format!("%{:02X}", reserved[0]).as_bytes());
            rest = &reserved[1..];
        }
        out.extend_from_slice(rest);
    }

    fn is_reserved(&self, byte: u8) -> bool {
        // Of letters and digits, which are most, none is.
        !byte.is_ascii_alphanumeric()
            && (matches!(byte, b'{' | b'}' | b'%') || self.separator.contains(&byte))
    }
}
