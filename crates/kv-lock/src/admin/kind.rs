//! The kinds of locks, as operators tell them apart.

use crate::place::name_in;
use kv_core::{Key, Prefix, Prefixes};
use std::fmt;

/// Kinds of locks that have nothing to do with each other, even if they have the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LockKind {
    /// One at a time holds it: a [`Lock`](crate::Lock), [fair](crate::Lock::fair) or not, each of a
    /// [`MultiLock`](crate::MultiLock), and an [`Election`](crate::Election).
    Exclusive,
    /// Many read or one writes: an [`RwLock`](crate::RwLock).
    ReadWrite,
    /// So many permits are held: a [`Semaphore`](crate::Semaphore).
    Semaphore,
}

impl LockKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Exclusive, Self::ReadWrite, Self::Semaphore];

    /// Its name, as operators read and type it: `exclusive`, `rw` or `semaphore`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::ReadWrite => "rw",
            Self::Semaphore => "semaphore",
        }
    }

    /// What the keys of all locks begin with.
    pub(super) fn prefixes() -> Prefixes {
        let begin = |it: Self| Prefix::from(&format!("{{{}:", it.group()));
        Self::ALL.into_iter().map(begin).collect()
    }

    /// What the keys of its locks begin with.
    fn group(self) -> &'static str {
        match self {
            Self::Exclusive => "lock",
            Self::ReadWrite => "rw",
            Self::Semaphore => "semaphore",
        }
    }
}

impl fmt::Display for LockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key that is there while a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Holder,
    Writer,
    Readers,
    Permits,
}

impl Part {
    const ALL: [Self; 4] = [Self::Holder, Self::Writer, Self::Readers, Self::Permits];

    /// What this key is a part of, and the name of that; `None` for all other keys.
    pub(super) fn of(key: &Key) -> Option<(Self, Vec<u8>)> {
        let parts = Self::ALL.into_iter();
        parts
            .filter_map(|it| Some((it, name_in(key, it.kind().group(), it.end())?)))
            .next()
    }

    pub(super) fn kind(self) -> LockKind {
        match self {
            Self::Holder => LockKind::Exclusive,
            Self::Writer | Self::Readers => LockKind::ReadWrite,
            Self::Permits => LockKind::Semaphore,
        }
    }

    fn end(self) -> &'static str {
        match self {
            Self::Holder => ":holder",
            Self::Writer => ":writer",
            Self::Readers => ":readers",
            Self::Permits => ":holders",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::{LockKind, Part};
    use crate::{place, rw, semaphore};

    /// Those that the locks themselves use.
    #[test]
    fn keys_tell_what_they_are_of() {
        let exclusive = place::Place::of(b"a").unwrap();
        let rw = rw::Place::of(b"a").unwrap();
        let semaphore = semaphore::Place::of(b"a").unwrap();
        for (key, part) in [
            (exclusive.holder, Some(Part::Holder)),
            (rw.writer, Some(Part::Writer)),
            (rw.readers, Some(Part::Readers)),
            (semaphore.holders, Some(Part::Permits)),
            (exclusive.fence, None),
            (rw.intents, None),
            (semaphore.size, None),
        ] {
            let found = Part::of(&key);
            assert_eq!(found, part.map(|it| (it, b"a".to_vec())), "{key:?}");
            assert!(LockKind::prefixes().contain(&key));
        }
    }
}
