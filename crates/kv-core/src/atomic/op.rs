//! What a transaction does and reads.

use super::Read;
use crate::{
    Expiry, Field, Key, Mark, Member, RelativeRange, RelativeScore, Result, Ttl, Value, Walk,
    Walker, command::Parts,
};

/// What is written: content that layers may transform, or bytes that are to be compared later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Content. Layers may transform it, so no [`Guard`](super::Guard) should compare it.
    Value(Value),
    /// Bytes that no layer transforms; read back with [`Read::GetMark`] or [`Read::HGetMark`].
    Mark(Mark),
}

impl Content {
    /// The bytes as they go to the next layer, and at the end to the store.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Value(value) => value.as_bytes(),
            Self::Mark(mark) => mark.as_bytes(),
        }
    }
}

impl From<Value> for Content {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl From<Mark> for Content {
    fn from(mark: Mark) -> Self {
        Self::Mark(mark)
    }
}

/// A message to everyone who watches a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The channel. It is named as keys are and need not share the group of the transaction.
    pub channel: Key,
    /// The payload.
    pub payload: Value,
}

impl Notice {
    /// A message.
    pub fn new(channel: impl Into<Key>, payload: impl Into<Value>) -> Self {
        let (channel, payload) = (channel.into(), payload.into());
        Self { channel, payload }
    }
}

/// One step of a transaction. Its answer is the [`OpReply`](super::OpReply) that is named with it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// Writes a string; whatever is there is replaced. Answers `Done`.
    Set {
        /// The key.
        key: Key,
        /// What to write.
        content: Content,
        /// What happens to the time to live.
        ttl: Ttl,
    },
    /// Deletes a key of any type. Answers `Flag`: whether it was there.
    Delete {
        /// The key.
        key: Key,
    },
    /// Deletes a string if it has exactly these bytes. Answers `Flag`: whether it did.
    DeleteIf {
        /// The key.
        key: Key,
        /// The bytes.
        mark: Mark,
    },
    /// Adds to a counter as `increment_with` does. Answers `Integer`: the sum.
    Increment {
        /// The key.
        key: Key,
        /// What to add.
        by: i64,
        /// The time to live of a counter that is new.
        ttl_if_created: Ttl,
    },
    /// Writes fields of a hash. Answers `Count`: how many are new.
    HSet {
        /// The key.
        key: Key,
        /// The fields, each once.
        fields: Vec<(Field, Content)>,
    },
    /// Deletes fields of a hash. Answers `Count`: how many were there.
    HDel {
        /// The key.
        key: Key,
        /// The fields, each once.
        fields: Vec<Field>,
    },
    /// Adds to a counter in a hash. Answers `Integer`: the sum.
    HIncrement {
        /// The key.
        key: Key,
        /// The field.
        field: Field,
        /// What to add.
        by: i64,
    },
    /// Adds members to a sorted set or moves them. Answers `Count`: how many are new.
    ZAdd {
        /// The key.
        key: Key,
        /// The members, each once.
        members: Vec<(Member, RelativeScore)>,
        /// Sent if afterwards the first member of the set, by score and then by bytes, is one of
        /// these and was not the first with this score before: a sleeper must wake earlier.
        notify_if_first: Option<Notice>,
    },
    /// Removes members of a sorted set. Answers `Count`: how many were there.
    ZRem {
        /// The key.
        key: Key,
        /// The members, each once.
        members: Vec<Member>,
    },
    /// Removes the members with the lowest scores in a range. Answers `Count`: how many.
    ZRemRange {
        /// The key.
        key: Key,
        /// The range.
        range: RelativeRange,
        /// How many at most: 1 to [`MAX_MEMBERS`](super::MAX_MEMBERS).
        limit: u32,
    },
    /// Gives a key of any type a deadline. Answers `Flag`: whether the key is there.
    Expire {
        /// The key.
        key: Key,
        /// The deadline.
        expiry: Expiry,
    },
    /// Takes the deadline off a key of any type, as `persist` does. Answers `Flag`: whether it had
    /// one.
    Persist {
        /// The key.
        key: Key,
    },
    /// Sends a message. Answers `Done`.
    Notify(Notice),
    /// Takes the next token of a key. Answers `Token`: greater than every one before, also if the
    /// record was lost, as long as the store's clock did not fall behind the last token. It cannot
    /// be written by its own transaction; [`Read::LastToken`] reads it back.
    NextToken {
        /// The key of the record, a string that nothing else writes.
        key: Key,
        /// The time to live of the record.
        ttl: Ttl,
    },
    /// Reads, in between: sees what the steps before it did.
    Read(Read),
}

/// What holds elements rather than a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// Values by field.
    Hash,
    /// Members by score.
    SortedSet,
}

impl From<Read> for Op {
    fn from(read: Read) -> Self {
        Self::Read(read)
    }
}

impl Op {
    /// Whether the store's clock must be read for it, other than for a token.
    pub(crate) fn is_relative(&self) -> bool {
        match self {
            Self::ZAdd { members, .. } => members.iter().any(|(_, score)| score.is_relative()),
            Self::ZRemRange { range, .. } => range.is_relative(),
            Self::Read(read) => read.is_relative(),
            _ => false,
        }
    }

    /// The key it works on; none for a message or the clock.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Set { key, .. }
            | Self::Delete { key }
            | Self::DeleteIf { key, .. }
            | Self::Increment { key, .. }
            | Self::HSet { key, .. }
            | Self::HDel { key, .. }
            | Self::HIncrement { key, .. }
            | Self::ZAdd { key, .. }
            | Self::ZRem { key, .. }
            | Self::ZRemRange { key, .. }
            | Self::Expire { key, .. }
            | Self::Persist { key }
            | Self::NextToken { key, .. } => Some(key),
            Self::Notify(_) => None,
            Self::Read(read) => read.key(),
        }
    }

    /// The structure that it makes where nothing is; none if it makes none, or a string. For
    /// providers: a read behind it sees what it made, also of which type.
    pub fn makes(&self) -> Option<Structure> {
        match self {
            Self::HSet { fields, .. } => (!fields.is_empty()).then_some(Structure::Hash),
            Self::HIncrement { .. } => Some(Structure::Hash),
            Self::ZAdd { members, .. } => (!members.is_empty()).then_some(Structure::SortedSet),
            _ => None,
        }
    }
}

impl Walk for Content {
    const PARTS: Parts = Parts::VALUES.and(Parts::MARKS);

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        match self {
            Self::Value(value) => value.walk(walker),
            Self::Mark(mark) => mark.walk(walker),
        }
    }
}

impl Walk for Notice {
    const PARTS: Parts = Parts::KEYS.and(Parts::VALUES);

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        walker.channel(&mut self.channel)?;
        self.payload.walk(walker)
    }
}

impl Walk for Op {
    const PARTS: Parts = Parts::KEYS
        .and(Parts::VALUES)
        .and(Parts::MARKS)
        .and(Parts::TTLS);

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        match self {
            Self::Set { key, content, ttl } => {
                key.walk(walker)?;
                content.walk(walker)?;
                ttl.walk(walker)
            }
            Self::Delete { key } | Self::Persist { key } | Self::ZRemRange { key, .. } => {
                key.walk(walker)
            }
            Self::DeleteIf { key, mark } => {
                key.walk(walker)?;
                mark.walk(walker)
            }
            Self::Increment {
                key,
                ttl_if_created: ttl,
                ..
            }
            | Self::NextToken { key, ttl } => {
                key.walk(walker)?;
                ttl.walk(walker)
            }
            Self::HSet { key, fields } => {
                key.walk(walker)?;
                fields.walk(walker)
            }
            Self::HDel { key, fields } => {
                key.walk(walker)?;
                fields.walk(walker)
            }
            Self::HIncrement { key, field, .. } => {
                key.walk(walker)?;
                field.walk(walker)
            }
            Self::ZAdd {
                key,
                members,
                notify_if_first,
            } => {
                key.walk(walker)?;
                members.walk(walker)?;
                notify_if_first.walk(walker)
            }
            Self::ZRem { key, members } => {
                key.walk(walker)?;
                members.walk(walker)
            }
            Self::Expire { key, expiry } => {
                key.walk(walker)?;
                expiry.walk(walker)
            }
            Self::Notify(notice) => notice.walk(walker),
            Self::Read(read) => read.walk(walker),
        }
    }
}
