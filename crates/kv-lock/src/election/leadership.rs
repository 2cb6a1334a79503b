//! Being the leader.

use crate::{Lease, LockError, LockGuard, Release};
use kv_core::{Arg, Error, Value};
use std::ops::Deref;

/// Being the leader, until this is resigned or dropped, or the leadership is lost: a [`LockGuard`], and so
/// a [`Lease`].
///
/// Dropped, it resigns in the background. The published value ends with it.
#[derive(Debug)]
#[must_use = "dropped at once, nobody leads"]
pub struct Leadership(LockGuard);

impl Leadership {
    /// Publishes another value. Those who observe are told.
    ///
    /// # Errors
    /// [`LockError::Lost`] if this leads no more, or the store's; it is unknown then which value is
    /// published, until another is proclaimed.
    ///
    /// # Cancel safety
    /// Dropped, one of the two values is published.
    pub async fn proclaim(&self, value: impl Arg<Value>) -> Result<(), LockError> {
        let value = value.into_arg()?;
        self.check()?;
        let hold = &self.0.hold;
        let on_store = hold.terms.on_store;
        let Some(txn) = hold.claim.proclaim(value, on_store) else {
            return Err(Error::unsupported("proclaim").into());
        };
        let replies = hold.store.commit_again(&[txn]).await?;
        if replies.iter().all(|it| it.applied) {
            return Ok(());
        }
        hold.taken();
        Ok(self.check().map(|_| ())?)
    }

    /// Leads no more: one round trip, more only if the store fails.
    ///
    /// # Cancel safety
    /// Dropped, it goes on in the background.
    pub async fn resign(self) -> Release {
        self.0.release().await
    }
}

impl From<Lease> for Leadership {
    fn from(lease: Lease) -> Self {
        Self(lease.into())
    }
}

impl Deref for Leadership {
    type Target = LockGuard;

    fn deref(&self) -> &LockGuard {
        &self.0
    }
}
