//! Conditions of a transaction or a move.

use crate::{Field, Key, Mark, Member, RelativeRange, Result, Score, Walk, Walker, command::Parts};

/// One condition. Where a key holds another type than the condition is about, the transaction is
/// refused as a whole with [`WrongType`](crate::ErrorKind::WrongType); [`Exists`](Self::Exists),
/// [`Absent`](Self::Absent) and [`ValueIs`](Self::ValueIs) take any type.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Guard {
    /// Something is at the key, of any type.
    Exists {
        /// The key.
        key: Key,
    },
    /// Nothing is at the key.
    Absent {
        /// The key.
        key: Key,
    },
    /// The string has exactly these bytes; with `None`, nothing is at the key. Never holds for a
    /// structure.
    ValueIs {
        /// The key of the string.
        key: Key,
        /// The bytes, or their absence.
        mark: Option<Mark>,
    },
    /// The field has exactly these bytes; with `None`, there is no such field.
    FieldIs {
        /// The key of the hash.
        key: Key,
        /// The field.
        field: Field,
        /// The bytes, or their absence.
        mark: Option<Mark>,
    },
    /// The member has exactly this score; with `None`, there is no such member.
    ScoreIs {
        /// The key of the sorted set.
        key: Key,
        /// The member.
        member: Member,
        /// The score, or its absence.
        score: Option<Score>,
    },
    /// The member is there and its score lies in this range.
    ScoreWithin {
        /// The key of the sorted set.
        key: Key,
        /// The member.
        member: Member,
        /// The range.
        range: RelativeRange,
    },
    /// The member is there.
    MemberExists {
        /// The key of the sorted set.
        key: Key,
        /// The member.
        member: Member,
    },
    /// The field is there.
    FieldExists {
        /// The key of the hash.
        key: Key,
        /// The field.
        field: Field,
    },
    /// Fewer than this many members have a score in the range.
    CountBelow {
        /// The key of the sorted set.
        key: Key,
        /// The range.
        range: RelativeRange,
        /// The number that must not be reached.
        limit: u64,
    },
    /// The counter is at most this number; one that is missing counts as 0. A counter that is not a
    /// whole number refuses the transaction with [`NotAnInteger`](crate::ErrorKind::NotAnInteger).
    AtMost {
        /// The key of the string, or of the hash.
        key: Key,
        /// The field, if the counter is in a hash.
        field: Option<Field>,
        /// The number.
        limit: i64,
    },
}

impl Guard {
    /// Something is at the key, of any type.
    pub fn exists(key: impl Into<Key>) -> Self {
        Self::Exists { key: key.into() }
    }

    /// Nothing is at the key.
    pub fn absent(key: impl Into<Key>) -> Self {
        Self::Absent { key: key.into() }
    }

    /// The string has exactly these bytes.
    pub fn value_is(key: impl Into<Key>, mark: impl Into<Mark>) -> Self {
        let (key, mark) = (key.into(), Some(mark.into()));
        Self::ValueIs { key, mark }
    }

    /// The field has exactly these bytes.
    pub fn field_is(key: impl Into<Key>, field: impl Into<Field>, mark: impl Into<Mark>) -> Self {
        let (key, field, mark) = (key.into(), field.into(), Some(mark.into()));
        Self::FieldIs { key, field, mark }
    }

    /// There is no such field.
    pub fn field_absent(key: impl Into<Key>, field: impl Into<Field>) -> Self {
        let (key, field, mark) = (key.into(), field.into(), None);
        Self::FieldIs { key, field, mark }
    }

    /// The field is there.
    pub fn field_exists(key: impl Into<Key>, field: impl Into<Field>) -> Self {
        let (key, field) = (key.into(), field.into());
        Self::FieldExists { key, field }
    }

    /// The member has exactly this score.
    pub fn score_is(key: impl Into<Key>, member: impl Into<Member>, score: Score) -> Self {
        let (key, member, score) = (key.into(), member.into(), Some(score));
        Self::ScoreIs { key, member, score }
    }

    /// The member is there and its score lies in this range.
    pub fn score_within(
        key: impl Into<Key>,
        member: impl Into<Member>,
        range: impl Into<RelativeRange>,
    ) -> Self {
        let (key, member, range) = (key.into(), member.into(), range.into());
        Self::ScoreWithin { key, member, range }
    }

    /// There is no such member.
    pub fn member_absent(key: impl Into<Key>, member: impl Into<Member>) -> Self {
        let (key, member, score) = (key.into(), member.into(), None);
        Self::ScoreIs { key, member, score }
    }

    /// The member is there.
    pub fn member_exists(key: impl Into<Key>, member: impl Into<Member>) -> Self {
        let (key, member) = (key.into(), member.into());
        Self::MemberExists { key, member }
    }

    /// Fewer than this many members have a score in the range.
    pub fn count_below(key: impl Into<Key>, range: impl Into<RelativeRange>, limit: u64) -> Self {
        let (key, range) = (key.into(), range.into());
        Self::CountBelow { key, range, limit }
    }

    /// The counter at the key is at most this number; one that is missing counts as 0.
    pub fn at_most(key: impl Into<Key>, limit: i64) -> Self {
        let (key, field) = (key.into(), None);
        Self::AtMost { key, field, limit }
    }

    /// The counter in the field is at most this number; one that is missing counts as 0.
    pub fn field_at_most(key: impl Into<Key>, field: impl Into<Field>, limit: i64) -> Self {
        let (key, field) = (key.into(), Some(field.into()));
        Self::AtMost { key, field, limit }
    }

    /// Whether the store's clock must be read to judge it.
    pub(crate) fn is_relative(&self) -> bool {
        match self {
            Self::ScoreWithin { range, .. } | Self::CountBelow { range, .. } => range.is_relative(),
            _ => false,
        }
    }

    /// The key it looks at.
    pub fn key(&self) -> &Key {
        match self {
            Self::Exists { key }
            | Self::Absent { key }
            | Self::ValueIs { key, .. }
            | Self::FieldIs { key, .. }
            | Self::ScoreIs { key, .. }
            | Self::ScoreWithin { key, .. }
            | Self::MemberExists { key, .. }
            | Self::FieldExists { key, .. }
            | Self::CountBelow { key, .. }
            | Self::AtMost { key, .. } => key,
        }
    }
}

impl Walk for Guard {
    const PARTS: Parts = Parts::KEYS.and(Parts::MARKS);

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        match self {
            Self::Exists { key } | Self::Absent { key } | Self::CountBelow { key, .. } => {
                key.walk(walker)
            }
            Self::ValueIs { key, mark } => {
                key.walk(walker)?;
                mark.walk(walker)
            }
            Self::FieldIs { key, field, mark } => {
                key.walk(walker)?;
                field.walk(walker)?;
                mark.walk(walker)
            }
            Self::ScoreIs { key, member, .. }
            | Self::ScoreWithin { key, member, .. }
            | Self::MemberExists { key, member } => {
                key.walk(walker)?;
                member.walk(walker)
            }
            Self::FieldExists { key, field } => {
                key.walk(walker)?;
                field.walk(walker)
            }
            Self::AtMost { key, field, .. } => {
                key.walk(walker)?;
                field.walk(walker)
            }
        }
    }
}
