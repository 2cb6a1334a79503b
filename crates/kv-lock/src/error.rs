//! Why a lock was not acquired, or a write under it not made.

use crate::{Lost, Stale};
use kv_core::Error;
use std::{error, fmt};

/// Why a lock was not acquired, or a write under it not made. That somebody else holds a lock is no
/// error of [`try_acquire`](crate::Lock::try_acquire).
#[derive(Debug)]
#[non_exhaustive]
pub enum LockError {
    /// Others held it for as long as the caller was willing to wait.
    Timeout,
    /// The lock was held, and is not any more.
    Lost(Lost),
    /// A later holder has written what an earlier one wants to write.
    Stale(Stale),
    /// The store says that a semaphore has more or fewer permits than this handle does.
    SizeMismatch(SizeMismatch),
    /// No semaphore grants so many permits at once.
    TooManyPermits(TooManyPermits),
    /// The store could not be asked, or cannot do it.
    Store(Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("the lock was held by others all the while"),
            Self::Lost(lost) => lost.fmt(f),
            Self::Stale(stale) => stale.fmt(f),
            Self::SizeMismatch(mismatch) => mismatch.fmt(f),
            Self::TooManyPermits(too_many) => too_many.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl error::Error for LockError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            _ => None,
        }
    }
}

impl From<Error> for LockError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<Lost> for LockError {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl From<Stale> for LockError {
    fn from(stale: Stale) -> Self {
        Self::Stale(stale)
    }
}

impl From<SizeMismatch> for LockError {
    fn from(mismatch: SizeMismatch) -> Self {
        Self::SizeMismatch(mismatch)
    }
}

impl From<TooManyPermits> for LockError {
    fn from(too_many: TooManyPermits) -> Self {
        Self::TooManyPermits(too_many)
    }
}

/// A semaphore has another number of permits on the store than here: it was resized, or two programs are
/// configured differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeMismatch {
    pub(crate) here: u64,
    pub(crate) store: u64,
}

impl SizeMismatch {
    /// How many permits this handle says there are.
    pub fn here(self) -> u64 {
        self.here
    }

    /// How many there are.
    pub fn on_store(self) -> u64 {
        self.store
    }
}

impl fmt::Display for SizeMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { here, store } = self;
        write!(
            f,
            "the semaphore has {store} permits on the store and {here} here; \
             make a handle with {store}, or resize it"
        )
    }
}

impl error::Error for SizeMismatch {}

/// No semaphore grants so many permits in one acquisition, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyPermits {
    pub(crate) asked: u32,
    pub(crate) most: u32,
}

impl TooManyPermits {
    /// So many were asked for.
    pub fn asked(self) -> u32 {
        self.asked
    }

    /// So many can be had at once: all there are, at most 200, and as many as the store moves in one step.
    pub fn most(self) -> u32 {
        self.most
    }
}

impl fmt::Display for TooManyPermits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, most } = self;
        write!(
            f,
            "{asked} permits cannot be acquired at once, only 1 to {most}; \
             for larger amounts let one permit stand for more"
        )
    }
}

impl error::Error for TooManyPermits {}
