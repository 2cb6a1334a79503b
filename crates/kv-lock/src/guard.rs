//! An exclusive lock that is held, and what only its holder may write.

use crate::{Lease, LockError, Release, transitions::fenced};
use kv_core::{Arg, Key, Txn, Value};
use std::ops::Deref;

/// An exclusive lock that is held, until this is released or dropped, or the lock is lost: a [`Lease`].
///
/// Dropped, it is released in the background.
#[derive(Debug)]
#[must_use = "dropped at once, it locks nothing"]
pub struct LockGuard(Lease);

impl LockGuard {
    /// Writes a value at a resource on the same store, unless a later holder has read or written there.
    ///
    /// The resource is a hash with the fields `v` and `fence`; [`fenced_get`](Self::fenced_get) reads
    /// it. All that write it must hold the same lock.
    ///
    /// # Errors
    /// [`LockError::Lost`] before anything is sent, [`LockError::Stale`], or the store's.
    pub async fn fenced_put(
        &self,
        resource: impl Arg<Key>,
        value: impl Arg<Value>,
    ) -> Result<(), LockError> {
        let (resource, value) = (resource.into_arg()?, value.into_arg()?);
        self.write(fenced::fenced_put(&resource, self.0.fence(), value)?)
            .await
    }

    /// Deletes the value at a resource, unless a later holder has read or written there. The fence is
    /// remembered for a day.
    ///
    /// # Errors
    /// As [`fenced_put`](Self::fenced_put).
    pub async fn fenced_delete(&self, resource: impl Arg<Key>) -> Result<(), LockError> {
        let resource = resource.into_arg()?;
        self.write(fenced::fenced_delete(&resource, self.0.fence())?)
            .await
    }

    /// The value at a resource, for who writes there what it makes of it: from now on the resource
    /// refuses earlier holders, also before anything new is written. One round trip.
    ///
    /// # Errors
    /// As [`fenced_put`](Self::fenced_put).
    pub async fn fenced_get(&self, resource: impl Arg<Key>) -> Result<Option<Value>, LockError> {
        let resource = resource.into_arg()?;
        self.check()?;
        let txns = fenced::fenced_get(&resource, self.fence())?;
        let store = &self.0.hold.store;
        let replies = store.commit_all(txns, self.remaining()).await?;
        Ok(fenced::fenced_read(replies)??)
    }

    /// Releases the lock: one round trip, more only if the store fails.
    ///
    /// # Cancel safety
    /// Dropped, it goes on in the background.
    pub async fn release(self) -> Release {
        self.0.release().await
    }

    async fn write(&self, txn: Txn) -> Result<(), LockError> {
        self.check()?;
        let store = &self.0.hold.store;
        let patience = self.remaining();
        let reply = store.commit(txn, patience).await?;
        Ok(fenced::fenced_written(reply)??)
    }
}

impl From<Lease> for LockGuard {
    fn from(lease: Lease) -> Self {
        Self(lease)
    }
}

impl From<LockGuard> for Lease {
    fn from(guard: LockGuard) -> Self {
        guard.0
    }
}

impl Deref for LockGuard {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.0
    }
}

/// A read/write lock that is held for reading, until this is released or dropped, or it is lost: a [`Lease`].
///
/// Dropped, it is released in the background.
#[derive(Debug)]
#[must_use = "dropped at once, it locks nothing"]
pub struct ReadGuard(Lease);

impl ReadGuard {
    /// As [`LockGuard::release`].
    pub async fn release(self) -> Release {
        self.0.release().await
    }
}

impl From<Lease> for ReadGuard {
    fn from(lease: Lease) -> Self {
        Self(lease)
    }
}

impl Deref for ReadGuard {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.0
    }
}

/// Permits of a semaphore that are held, until this is released or dropped, or they are lost: a [`Lease`].
///
/// Dropped, they are released in the background.
#[derive(Debug)]
#[must_use = "dropped at once, it holds nothing"]
pub struct PermitGuard(Lease);

impl PermitGuard {
    /// As [`LockGuard::release`].
    pub async fn release(self) -> Release {
        self.0.release().await
    }
}

impl From<Lease> for PermitGuard {
    fn from(lease: Lease) -> Self {
        Self(lease)
    }
}

impl Deref for PermitGuard {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.0
    }
}

/// A read/write lock that is held for writing, until this is released or dropped, or it is lost: a [`Lease`].
///
/// Dropped, it is released in the background.
#[derive(Debug)]
#[must_use = "dropped at once, it locks nothing"]
pub struct WriteGuard(LockGuard);

impl WriteGuard {
    /// As [`LockGuard::fenced_put`].
    ///
    /// # Errors
    /// The same.
    pub async fn fenced_put(
        &self,
        resource: impl Arg<Key>,
        value: impl Arg<Value>,
    ) -> Result<(), LockError> {
        self.0.fenced_put(resource, value).await
    }

    /// As [`LockGuard::fenced_delete`].
    ///
    /// # Errors
    /// The same.
    pub async fn fenced_delete(&self, resource: impl Arg<Key>) -> Result<(), LockError> {
        self.0.fenced_delete(resource).await
    }

    /// As [`LockGuard::fenced_get`].
    ///
    /// # Errors
    /// The same.
    pub async fn fenced_get(&self, resource: impl Arg<Key>) -> Result<Option<Value>, LockError> {
        self.0.fenced_get(resource).await
    }

    /// As [`LockGuard::release`].
    pub async fn release(self) -> Release {
        self.0.release().await
    }
}

impl From<Lease> for WriteGuard {
    fn from(lease: Lease) -> Self {
        Self(lease.into())
    }
}

impl Deref for WriteGuard {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.0
    }
}
