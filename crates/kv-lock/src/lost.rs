//! That a lock is held no more.

use std::{error, fmt};

/// The lock is held no more: somebody else may hold it by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    pub(crate) reason: LostReason,
}

/// How a lock was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostReason {
    /// The lease has ended by the clock of this process: the store could not be reached in time, or
    /// the process stood still.
    Expired,
    /// The store says that it is not ours: it was released by force, or the store has forgotten it.
    Taken,
    /// It was held for as long as it may be.
    HeldTooLong,
    /// The work gave no sign of life, so the lease was not renewed.
    NoHeartbeat,
}

impl Lost {
    /// How it was lost.
    pub fn reason(self) -> LostReason {
        self.reason
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            LostReason::Expired => "the lock is lost: its lease has ended",
            LostReason::Taken => "the lock is lost: it is not ours on the store",
            LostReason::HeldTooLong => "the lock is lost: it was held for as long as it may be",
            LostReason::NoHeartbeat => "the lock is lost: the work gave no sign of life",
        })
    }
}

impl error::Error for Lost {}
