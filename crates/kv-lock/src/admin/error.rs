//! Why operators were told nothing of a lock, or nothing was done to it.

use super::LockKind;
use bytes::Bytes;
use kv_core::Error;
use std::{error, fmt};

/// Why operators were told nothing of a lock, or nothing was done to it. That nobody holds it is no error.
#[derive(Debug)]
#[non_exhaustive]
pub enum ControlError {
    /// Locks of several kinds have this name and are held, and it was not said which is meant.
    SeveralKinds {
        /// The name.
        name: Bytes,
        /// Those that are held.
        found: Vec<LockKind>,
    },
    /// What is held under this name is of another kind than was said.
    OtherKind {
        /// The name.
        name: Bytes,
        /// What was said.
        asked: LockKind,
        /// What is held.
        found: Vec<LockKind>,
    },
    /// This is the name of a [`Latch`](crate::Latch), which nobody holds.
    Latch {
        /// The name.
        name: Bytes,
    },
    /// This is the name of a [`Barrier`](crate::Barrier), which nobody holds.
    Barrier {
        /// The name.
        name: Bytes,
    },
    /// The store could not be asked, or cannot do it.
    Store(Error),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SeveralKinds { name, found } => write!(
                f,
                "\"{}\" is held as {}; say which kind is meant",
                name.escape_ascii(),
                all(found)
            ),
            Self::OtherKind { name, asked, found } => write!(
                f,
                "\"{}\" is not held as {asked}, but as {}; name that kind, or none",
                name.escape_ascii(),
                all(found)
            ),
            Self::Latch { name } => nobodys(f, "latch", name),
            Self::Barrier { name } => nobodys(f, "barrier", name),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl error::Error for ControlError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            _ => None,
        }
    }
}

impl From<Error> for ControlError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

fn all(kinds: &[LockKind]) -> String {
    let kinds: Vec<_> = kinds.iter().map(|it| it.as_str()).collect();
    kinds.join(" and as ")
}

fn nobodys(f: &mut fmt::Formatter<'_>, what: &str, name: &Bytes) -> fmt::Result {
    write!(
        f,
        "\"{}\" is a {what}: nobody holds it, so there is no holder to show or to free; \
         a program that arrives or waits there sees how far it is, and another round takes another name",
        name.escape_ascii()
    )
}
