//! Why nothing was waited for, or in vain.

use super::Progress;
use kv_core::Error;
use std::{error, fmt};

/// Why an arrival did not count, or why it was waited in vain.
#[derive(Debug)]
#[non_exhaustive]
pub enum LatchError {
    /// Too few had arrived when the time was over.
    Timeout(Progress),
    /// Others count to another number under this name.
    Mismatch {
        /// What this latch counts to here.
        ours: u32,
        /// What it counts to for who arrived first.
        theirs: u32,
    },
    /// The store could not be asked, or cannot do it.
    Store(Error),
}

impl fmt::Display for LatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(Progress { arrived, count }) => {
                write!(f, "{arrived} of {count} had arrived when the time was over")
            }
            Self::Mismatch { ours, theirs } => {
                write!(f, "{ours} are waited for here, and {theirs} elsewhere")
            }
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl error::Error for LatchError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            _ => None,
        }
    }
}

impl From<Error> for LatchError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}
