//! Numbers by which a resource tells a later holder from an earlier one.

use std::{
    error, fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// The number of an acquisition: greater than that of every earlier one of the same lock, also after a
/// release, a crash, a restart of the store or the loss of its records.
///
/// Those of different locks, or of one lock on different stores, say nothing about each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(u64);

impl Fence {
    /// As a number: below 2^63, so that it fits a column of any database.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// A fence that came with a request.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Keeps those out who hold a lock no more: for the owner of a resource that is in one process.
///
/// ```
/// # use kv_lock::{Fence, FenceGate};
/// let gate = FenceGate::default();
/// let (earlier, later) = (Fence::from_number(33), Fence::from_number(34));
/// gate.admit(earlier).unwrap();
/// gate.admit(later).unwrap();
/// // The first holder was paused, wakes up and believes that it still holds the lock.
/// assert_eq!(gate.admit(earlier).unwrap_err().seen(), later);
/// ```
#[derive(Debug, Default)]
pub struct FenceGate(AtomicU64);

impl FenceGate {
    /// A gate that has seen a fence: what the resource had stored when its owner was started anew.
    pub const fn after(seen: Fence) -> Self {
        Self(AtomicU64::new(seen.0))
    }

    /// Lets a holder in, unless a later one was here.
    ///
    /// The write that it is asked for must be made before another holder is let in: under the same
    /// mutex, or in the same transaction.
    ///
    /// # Errors
    /// [`Stale`] if a greater fence was admitted before.
    pub fn admit(&self, fence: Fence) -> Result<(), Stale> {
        match self.0.fetch_max(fence.0, Ordering::AcqRel) {
            seen if seen > fence.0 => Err(Stale { seen: Fence(seen) }),
            _ => Ok(()),
        }
    }
}

/// A later holder has been here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    pub(crate) seen: Fence,
}

impl Stale {
    /// The fence of the later holder.
    pub fn seen(self) -> Fence {
        self.seen
    }
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a later holder of the lock has been here, with the fence {}",
            self.seen
        )
    }
}

impl error::Error for Stale {}
