//! What stands before a value.
//!
//! A value without a deadline stands alone, so that other clients read and write it as it is. One
//! with a deadline has a header of 13 bytes before it:
//!
//! | bytes | what |
//! |---|---|
//! | 3 | `00 6b 76`, that is NUL, `k`, `v` |
//! | 1 | the version of the format, `01` |
//! | 1 | `00` no deadline, `01` the deadline that follows decides, `02` the lease decides; plus `10` for a token |
//! | 8 | the deadline in microseconds since the Unix epoch, big-endian; 0 unless it decides |
//!
//! The value of a *token* is the revision of the key's last change, in decimal digits, which is not
//! known when it is written; nothing follows its header.
//!
//! A value without a deadline that happens to begin with the three bytes gets a header that says so.
//! The rule for readers: bytes that do not begin with the three are a value; bytes that do and are
//! no header of a version the reader knows are an error, [`ErrorKind::Codec`](kv_core::ErrorKind::Codec).

use crate::error::{Answer, Failure};
use bytes::Bytes;
use kv_core::Timestamp;

const MAGIC: [u8; 3] = *b"\0kv";
const VERSION: u8 = 1;
const LENGTH: usize = 13;
/// Where the flags are.
const FLAGS: usize = 4;
const TOKEN: u8 = 0x10;

/// When something ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// When it is deleted.
    Never,
    /// At this instant of the readers' clocks.
    At(Timestamp),
    /// With its lease, whatever clocks say.
    Lease,
}

impl End {
    /// Whether it has come.
    pub(crate) fn is_past(self, now: Timestamp) -> bool {
        matches!(self, Self::At(deadline) if deadline <= now)
    }

    pub(super) fn to_bytes(self) -> [u8; 9] {
        let (flag, deadline) = match self {
            Self::Never => (0, 0),
            Self::At(deadline) => (1, deadline.as_micros()),
            Self::Lease => (2, 0),
        };
        let mut bytes = [flag; 9];
        bytes[1..].copy_from_slice(&deadline.to_be_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; 9]) -> Option<Self> {
        let [flag, deadline @ ..] = bytes;
        let deadline = i64::from_be_bytes(deadline);
        match (flag, deadline) {
            (0, 0) => Some(Self::Never),
            (1, _) => Some(Self::At(Timestamp::from_micros(deadline))),
            (2, 0) => Some(Self::Lease),
            _ => None,
        }
    }
}

/// A value and when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) value: Bytes,
    pub(crate) end: End,
}

/// What is written for a value.
pub(crate) fn encode(value: &[u8], end: End) -> Vec<u8> {
    if end == End::Never && !value.starts_with(&MAGIC) {
        return value.to_vec();
    }
    let mut raw = Vec::with_capacity(LENGTH + value.len());
    raw.extend_from_slice(&MAGIC);
    raw.push(VERSION);
    raw.extend_from_slice(&end.to_bytes());
    raw.extend_from_slice(value);
    raw
}

/// What is written for a token.
pub(crate) fn encode_token(end: End) -> Vec<u8> {
    let mut raw = Vec::with_capacity(LENGTH);
    raw.extend_from_slice(&MAGIC);
    raw.push(VERSION);
    raw.extend_from_slice(&end.to_bytes());
    raw[FLAGS] |= TOKEN;
    raw
}

/// Whether these bytes stand for a token.
pub(crate) fn is_token(raw: &[u8]) -> bool {
    raw.starts_with(&MAGIC) && raw.len() == LENGTH && raw[FLAGS] & TOKEN != 0
}

/// What was written, and changed last at this revision.
pub(crate) fn decode(raw: Bytes, revision: i64) -> Answer<Content> {
    if !raw.starts_with(&MAGIC) {
        return Ok(Content {
            value: raw,
            end: End::Never,
        });
    }
    let token = is_token(&raw);
    let end = raw.get(MAGIC.len()..LENGTH).and_then(|header| {
        let (version, rest) = header.split_first()?;
        let mut rest: [u8; 9] = rest.try_into().ok()?;
        if token {
            rest[0] &= !TOKEN;
        }
        End::from_bytes(rest).filter(|_| *version == VERSION)
    });
    let end =
        end.ok_or_else(|| Failure::codec("the value's header is none that this version knows"))?;
    let value = match token {
        true => revision.to_string().into(),
        false => raw.slice(LENGTH..),
    };
    Ok(Content { value, end })
}
