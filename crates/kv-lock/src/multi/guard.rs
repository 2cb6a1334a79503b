//! Several locks that are held.

use crate::{Fence, Lease, LockGuard, Lost, Release};
use bytes::Bytes;
use futures_util::future::{self, Either, select};
use std::{pin::pin, time::Duration};
use tokio_util::sync::CancellationToken;

/// Several locks that are held, until this is released or dropped, or one of them is lost: then all count
/// as lost. Dropped, they are released in the background.
#[derive(Debug)]
#[must_use = "dropped at once, it locks nothing"]
pub struct MultiGuard {
    /// By name, in order; at least one.
    locks: Vec<(Bytes, LockGuard)>,
}

impl MultiGuard {
    pub(crate) fn new(locks: Vec<(Bytes, LockGuard)>) -> Self {
        Self { locks }
    }

    /// One of the locks: for its fence, and for what is written under it. None if it is not among them.
    pub fn lock(&self, name: impl AsRef<[u8]>) -> Option<&LockGuard> {
        let at = self
            .locks
            .binary_search_by(|(it, _)| it.as_ref().cmp(name.as_ref()));
        Some(&self.locks.get(at.ok()?)?.1)
    }

    /// The fence of each lock by its name, in the order of names. Those of different locks say nothing about
    /// each other: each goes with what its lock guards.
    pub fn fences(&self) -> impl Iterator<Item = (&[u8], Fence)> {
        self.locks.iter().map(|(name, it)| (&name[..], it.fence()))
    }

    /// Whether all are held, without asking anybody; as [`Lease::check`].
    ///
    /// # Errors
    /// [`Lost`] if one is held no more.
    pub fn check(&self) -> Result<(), Lost> {
        self.leases().try_for_each(|it| it.check().map(|_| ()))
    }

    /// How long all are held at least if none is renewed; zero if one is lost.
    pub fn remaining(&self) -> Duration {
        self.leases()
            .map(Lease::remaining)
            .min()
            .unwrap_or_default()
    }

    /// Ends when the first is lost; never, if they are released before.
    ///
    /// # Cancel safety
    /// It may be dropped and asked for again.
    pub fn lost(&self) -> impl Future<Output = Lost> + Send + use<> {
        let losses: Vec<_> = self.leases().map(|it| Box::pin(it.lost())).collect();
        async move { future::select_all(losses).await.0 }
    }

    /// Cancelled when one is lost, or they are released or dropped: for work that runs elsewhere.
    pub fn token(&self) -> CancellationToken {
        let all = CancellationToken::new();
        if self.check().is_err() {
            all.cancel();
            return all;
        }
        let tokens = self
            .leases()
            .map(|it| Box::pin(it.token().cancelled_owned()));
        let first = future::select_all(tokens.collect::<Vec<_>>());
        if let Some(lease) = self.leases().next() {
            let all = all.clone();
            lease.keeper.spawn(async move {
                first.await;
                all.cancel();
            });
        }
        all
    }

    /// Runs a future as long as all are held, and drops it when one is lost.
    ///
    /// # Errors
    /// [`Lost`] if not all were held until the future had ended. What it did may have been done.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, Lost> {
        self.check()?;
        // The loss first: work that is always ready must not hide it.
        match select(pin!(self.lost()), pin!(work)).await {
            Either::Left((lost, _)) => Err(lost),
            Either::Right((done, _)) => self.check().map(|()| done),
        }
    }

    /// Says that the work goes on; see [`Lock::heartbeat_within`](crate::Lock::heartbeat_within).
    pub fn heartbeat(&self) {
        self.leases().for_each(Lease::heartbeat);
    }

    /// Releases all: one call, more only if the store fails. [`Release::Expired`] if one had been lost before,
    /// else [`Release::Unknown`] if the store could not say of one.
    ///
    /// # Cancel safety
    /// Dropped, it goes on in the background.
    pub async fn release(mut self) -> Release {
        Lease::release_all(self.take()).await
    }

    fn take(&mut self) -> Vec<Lease> {
        self.locks.drain(..).map(|(_, it)| it.into()).collect()
    }

    fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.locks.iter().map(|(_, it)| &**it)
    }
}

impl Drop for MultiGuard {
    fn drop(&mut self) {
        Lease::give_back(self.take());
    }
}
