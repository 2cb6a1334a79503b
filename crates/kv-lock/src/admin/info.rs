//! What operators are told of locks.

use super::{HolderName, LockCursor, LockKind};
use crate::Fence;
use bytes::Bytes;
use kv_core::Error;
use std::time::Duration;

/// A lock that is held, as the store had it at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockInfo {
    /// The name of the lock.
    pub name: Bytes,
    /// What it is. Locks of other kinds may have the same name.
    pub kind: LockKind,
    /// Who holds it: at least one, and of a read/write lock or a semaphore the first whose lease ends first.
    pub holders: Vec<HolderInfo>,
    /// So many readers, or permits, beyond the [`holders`](Self::holders) that are told: only in
    /// [lists](crate::LockManager::list), of locks with more than 200 of them.
    pub left_out: u64,
    /// Who waits, if the store knows, at most 200. It knows those that wait for a
    /// [fair](crate::Lock::fair) lock, in the order in which they came, and writers that wait for a read/write lock, in
    /// no order. All others wait in their processes only.
    pub waiting: Vec<WaiterInfo>,
    /// The permits of a semaphore; `None` for other kinds.
    pub permits: Option<PermitsInfo>,
    /// The last fence that anybody got for this lock; `None` if the store has lost its record.
    pub last_fence: Option<Fence>,
}

/// One that holds a lock, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HolderInfo {
    /// Its name; `None` if the record was not written by this version of the library.
    pub holder: Option<HolderName>,
    /// As what.
    pub role: Role,
    /// What the holder tells of itself, see [`Lock::metadata`](crate::Lock::metadata). Anybody with
    /// access to the store can have written it: escape it before it is shown.
    pub metadata: Bytes,
    /// Its fence, if it is the only one that can hold the lock; `None` if the store has lost the record. Of
    /// readers and holders of permits the store does not keep it: it is
    /// [`last_fence`](LockInfo::last_fence) or less.
    pub fence: Option<Fence>,
    /// How long the store keeps others out if it is not renewed: the rest of the lease and the grace.
    /// `None` if nothing ends it, which is nothing that a lock does.
    pub left: Option<Duration>,
}

/// As what a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// By the only holder of an exclusive lock.
    Owner,
    /// The same, who has published a value in an [`Election`](crate::Election).
    Leader,
    /// By one of the readers.
    Reader,
    /// By the writer.
    Writer,
    /// By one that has so many permits.
    Permits(u32),
}

/// One that waits for a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaiterInfo {
    /// The name that it will hold the lock under; `None` if the record cannot be read.
    pub holder: Option<HolderName>,
    /// As that of [holders](HolderInfo::metadata).
    pub metadata: Bytes,
    /// How long it has been waiting, if the store knows: for a fair lock.
    pub waited: Option<Duration>,
    /// When it counts as dead if it gives no sign of life; zero if it was silent for too long. `None` if it is
    /// not known, since more than 200 wait.
    pub left: Option<Duration>,
}

/// The permits of a semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PermitsInfo {
    /// So many are held; more than there are after a [`resize`](crate::Semaphore::resize).
    pub in_use: u64,
    /// So many there are; `None` if the store has lost their number.
    pub size: Option<u64>,
}

/// Some of the locks that are held, and where to go on.
#[derive(Debug)]
#[non_exhaustive]
pub struct LockPage {
    /// The locks; can be few, even none, while more follow.
    pub locks: Vec<LockInfo>,
    /// Those of which the store could not tell, or told what is no record of a lock.
    pub unreadable: Vec<UnreadableLock>,
    /// Behind what to go on; `None` at the end.
    pub next: Option<LockCursor>,
}

/// A lock that may be held; who holds it could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub struct UnreadableLock {
    /// The name of the lock.
    pub name: Bytes,
    /// What it is.
    pub kind: LockKind,
    /// Why.
    pub error: Error,
}

/// What became of a release by force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForcedRelease {
    /// Those who were meant held it, and do no more.
    Released,
    /// Nobody held it.
    Free,
    /// Others than the one that was meant hold it, and were left alone: one lock for each kind that has the name.
    HeldBy(Vec<LockInfo>),
}
