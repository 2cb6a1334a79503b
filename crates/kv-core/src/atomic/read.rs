//! What a transaction reads.

use crate::{Field, Key, Member, RelativeRange, Result, Walk, Walker, command::Parts};

/// One read of a transaction. Its answer is the [`OpReply`](super::OpReply) that is named with it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Read {
    /// Reads a string that was written as a value. Answers `Value`.
    Get {
        /// The key.
        key: Key,
    },
    /// Reads a string that was written as a mark, or a counter. Answers `Mark`.
    GetMark {
        /// The key.
        key: Key,
    },
    /// Tells how long a key of any type will live. Answers `Ttl`.
    Ttl {
        /// The key.
        key: Key,
    },
    /// Reads a field that was written as a value. Answers `Value`.
    HGet {
        /// The key.
        key: Key,
        /// The field.
        field: Field,
    },
    /// Reads a field that was written as a mark, or a counter. Answers `Mark`.
    HGetMark {
        /// The key.
        key: Key,
        /// The field.
        field: Field,
    },
    /// Reads a member's score. Answers `Score`.
    ZScore {
        /// The key.
        key: Key,
        /// The member.
        member: Member,
    },
    /// Counts the members in a range of scores. Answers `Count`.
    ZCount {
        /// The key.
        key: Key,
        /// The range.
        range: RelativeRange,
    },
    /// Reads the members with the lowest scores in a range, with their scores. Answers `Members`.
    ZRange {
        /// The key.
        key: Key,
        /// The range.
        range: RelativeRange,
        /// How many at most: 1 to [`MAX_MEMBERS`](super::MAX_MEMBERS).
        limit: u32,
    },
    /// Reads the last token of a key; 0 if there is no record. Answers `Token`.
    LastToken {
        /// The key of the record.
        key: Key,
    },
    /// Reads the store's clock. Answers `Time`.
    Now,
}

impl Read {
    /// Whether the store's clock must be read for it.
    pub(crate) fn is_relative(&self) -> bool {
        match self {
            Self::ZCount { range, .. } | Self::ZRange { range, .. } => range.is_relative(),
            Self::Now => true,
            _ => false,
        }
    }

    /// The key it reads; none for the clock.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Get { key }
            | Self::GetMark { key }
            | Self::Ttl { key }
            | Self::HGet { key, .. }
            | Self::HGetMark { key, .. }
            | Self::ZScore { key, .. }
            | Self::ZCount { key, .. }
            | Self::ZRange { key, .. }
            | Self::LastToken { key } => Some(key),
            Self::Now => None,
        }
    }

    /// The field it reads, if it reads one.
    pub fn field(&self) -> Option<&Field> {
        match self {
            Self::HGet { field, .. } | Self::HGetMark { field, .. } => Some(field),
            _ => None,
        }
    }
}

impl Walk for Read {
    const PARTS: Parts = Parts::KEYS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        match self {
            Self::Get { key }
            | Self::GetMark { key }
            | Self::Ttl { key }
            | Self::ZCount { key, .. }
            | Self::ZRange { key, .. }
            | Self::LastToken { key } => key.walk(walker),
            Self::HGet { key, field } | Self::HGetMark { key, field } => {
                key.walk(walker)?;
                field.walk(walker)
            }
            Self::ZScore { key, member } => {
                key.walk(walker)?;
                member.walk(walker)
            }
            Self::Now => Ok(()),
        }
    }
}
