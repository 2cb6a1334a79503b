//! Arguments and replies that carry several things.

use crate::{Key, Member, Score, Value};
use bytes::Bytes;
use std::fmt;

/// The answer to a `set`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetReply {
    /// Whether the value was written.
    pub applied: bool,
    /// If it was refused: the string that stood in the way; `None` for none, or for a structure.
    pub current: Option<Value>,
}

impl SetReply {
    /// The value was written.
    pub fn applied() -> Self {
        Self {
            applied: true,
            current: None,
        }
    }

    /// The value was not written because of this string, or because of its absence.
    pub fn refused(current: Option<Value>) -> Self {
        Self {
            applied: false,
            current,
        }
    }
}

/// Where a page of a scan begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScanFrom {
    /// At the first key.
    #[default]
    Start,
    /// Where the page before ended.
    Cursor(Cursor),
    /// Behind this key, whether it is there or not, in the store's own order.
    After(Key),
}

/// Where a page ended: a token of the store that gave it, good for the same scan only. It stays
/// good while keys come and go.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(Bytes);

impl Cursor {
    /// A cursor of a provider's own making.
    pub fn new(token: impl Into<Bytes>) -> Self {
        Self(token.into())
    }

    /// What the provider put in.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({} bytes)", self.0.len())
    }
}

/// One page of keys, in no promised order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanPage {
    /// The keys: at most as many as asked for, perhaps none although more follow.
    pub keys: Vec<Key>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

impl ScanPage {
    /// A page.
    pub fn new(keys: Vec<Key>, next: Option<Cursor>) -> Self {
        Self { keys, next }
    }
}

/// A member, and its score if that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScoredMember {
    /// The member.
    pub member: Member,
    /// Its score, with `Scores::Include`.
    pub score: Option<Score>,
}

impl ScoredMember {
    /// A member with or without its score.
    pub fn new(member: impl Into<Member>, score: Option<Score>) -> Self {
        Self {
            member: member.into(),
            score,
        }
    }
}
