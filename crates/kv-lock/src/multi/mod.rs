//! Several locks that are acquired together, all or none.

mod guard;

pub use self::guard::MultiGuard;

use crate::{Lease, Lock, LockError, lock::Limits, lock_settings::lock_settings};
use bytes::Bytes;
use futures_util::future::{Either, select};
use kv_core::{Clock, Error, ErrorKind, Result};
use std::{pin::pin, sync::Arc, time::Duration};

/// Several exclusive locks that are acquired together, all or none; what is set here holds for the
/// acquisitions that follow.
///
/// They are the locks that [`LockManager::lock`](crate::LockManager::lock) gives by these names. All who wait
/// do so in the order of the names, so those who want several never wait for each other in a circle.
///
/// ```
/// # use kv_lock::LockManager;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// let locks = LockManager::new(&kv)?;
/// let transfer = locks.multi(["account/7", "account/3"]);
/// let guard = transfer.acquire().await?;
/// assert!(locks.lock("account/3").try_acquire().await?.is_none());
/// for (account, fence) in guard.fences() {
///     println!("{account:?}: {fence}");
/// }
/// guard.release().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct MultiLock {
    /// In order.
    names: Vec<Bytes>,
    locks: Vec<Lock>,
    clock: Arc<dyn Clock>,
    wait: Option<Duration>,
}

impl MultiLock {
    /// The names in order, none twice.
    pub(crate) fn new(
        names: impl IntoIterator<Item = Bytes>,
        locks: Vec<Lock>,
        clock: Arc<dyn Clock>,
        wait: Option<Duration>,
    ) -> Self {
        Self {
            names: names.into_iter().collect(),
            locks,
            clock,
            wait,
        }
    }

    lock_settings!();

    /// How long [`acquire`](Self::acquire) waits for others, for all locks together; without end if nothing
    /// is said.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Acquires all, waiting for others until they release them or die.
    ///
    /// If all are free it is one call. Else those before the first that is held are kept and renewed, and it
    /// is waited for that one, and so on: nobody waits for a lock who holds one that comes after it.
    ///
    /// # Errors
    /// As [`Lock::acquire`]; or [`ErrorKind::InvalidArgument`] without any name. Then none is held.
    ///
    /// # Cancel safety
    /// As [`Lock::acquire`]; what was acquired is released in the background.
    pub async fn acquire(&self) -> Result<MultiGuard, LockError> {
        let (plain, limits) = self.plain();
        plain.check(limits)?;
        let end = self
            .wait
            .map(|wait| self.clock.monotonic().saturating_add(wait));
        loop {
            let leases = plain.acquire_in_order(end).await?;
            // One may have been lost while it was waited for another.
            if leases.iter().all(|it| it.check().is_ok()) {
                return Ok(self.guard(leases, limits));
            }
            Lease::give_back(leases);
        }
    }

    /// Acquires all if nobody holds one of them: one call, and one more to give back what it got if it did
    /// not get all. Of two who try at once for some of the same, it may be that neither gets them.
    ///
    /// # Errors
    /// As [`Lock::try_acquire`]; or [`ErrorKind::InvalidArgument`] without any name. What it may have got
    /// is given back.
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(&self) -> Result<Option<MultiGuard>, LockError> {
        let (plain, limits) = self.plain();
        plain.check(limits)?;
        let mut leases = Vec::new();
        let mut error = None;
        for tried in Lock::try_all(&plain.locks).await? {
            match tried {
                Ok(lease) => leases.extend(lease),
                Err(failed) => error = Some(failed),
            }
        }
        if leases.len() == self.locks.len() {
            return Ok(Some(self.guard(leases, limits)));
        }
        Lease::release_all(leases).await;
        match error {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    /// Some of them may have been lost when the last is acquired.
    async fn acquire_in_order(&self, end: Option<Duration>) -> Result<Vec<Lease>, LockError> {
        let mut leases = Held(Vec::with_capacity(self.locks.len()));
        loop {
            self.acquire_free(&mut leases.0, end).await?;
            let Some(held) = self.locks.get(leases.0.len()) else {
                return Ok(std::mem::take(&mut leases.0));
            };
            let lock = match end {
                Some(end) => held.clone().wait(self.until(end)),
                None => held.clone(),
            };
            leases.0.push(lock.acquire().await?.into());
        }
    }

    /// Adds the next that are free, by one call. What lies behind one that is not is given back.
    async fn acquire_free(
        &self,
        leases: &mut Vec<Lease>,
        end: Option<Duration>,
    ) -> Result<(), LockError> {
        let rest = &self.locks[leases.len()..];
        if rest.is_empty() {
            return Ok(());
        }
        let tries = pin!(Lock::try_all(rest));
        let tried = match end {
            None => tries.await,
            Some(end) => match select(tries, self.clock.sleep(self.until(end))).await {
                Either::Left((tried, _)) => tried,
                Either::Right(_) => return Err(LockError::Timeout),
            },
        };
        let tried = match tried {
            Ok(tried) => tried,
            // Who waits for the next meets it too, and knows whether it passes.
            Err(error) => {
                tracing::debug!(%error, "locks could not be asked for");
                return Ok(());
            }
        };
        let mut tried = tried.into_iter().map(|it| it.ok().flatten());
        leases.extend(tried.by_ref().map_while(|it| it));
        Lease::give_back(tried.flatten().collect());
        Ok(())
    }

    /// What limits how long they are held counts from when all are: until then nobody has a guard.
    fn plain(&self) -> (Self, Limits) {
        let mut limits = Limits::default();
        let locks = self.locks.iter().map(|it| {
            let (lock, own) = it.clone().unlimited();
            limits = own;
            lock
        });
        let locks = locks.collect();
        (
            Self {
                locks,
                ..self.clone()
            },
            limits,
        )
    }

    fn check(&self, limits: Limits) -> Result<()> {
        limits.check()?;
        match self.locks.is_empty() {
            true => Err(Error::new(
                ErrorKind::InvalidArgument,
                "several locks need at least one name",
            )),
            false => Ok(()),
        }
    }

    fn guard(&self, leases: Vec<Lease>, limits: Limits) -> MultiGuard {
        for lease in &leases {
            lease.hold.limit(limits);
        }
        let leases = leases.into_iter().map(Into::into);
        MultiGuard::new(self.names.iter().cloned().zip(leases).collect())
    }

    fn until(&self, end: Duration) -> Duration {
        end.saturating_sub(self.clock.monotonic())
    }

    fn each(mut self, change: impl Fn(Lock) -> Lock) -> Self {
        self.locks = self.locks.into_iter().map(change).collect();
        self
    }
}

/// What was acquired on the way: given back if it leads nowhere.
struct Held(Vec<Lease>);

impl Drop for Held {
    fn drop(&mut self) {
        Lease::give_back(std::mem::take(&mut self.0));
    }
}
