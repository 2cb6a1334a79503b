//! Something that is held, whatever it is, until it is released or lost.

use crate::{
    Fence, Lost, LostReason,
    hold::{End, Hold},
    keeper::Keeper,
};
use futures_util::future::{Either, select};
use kv_core::Outcome;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// A lock of any kind that is held, until this is released or dropped, or the lock is lost. Each kind has a
/// guard of its own, which [`Deref`](std::ops::Deref)s to this.
///
/// Dropped, it is released in the background. It is [`Send`]; a `std::mem::forget` keeps the lock held
/// and renewed as long as the process lives.
#[derive(Debug)]
#[must_use = "dropped at once, it locks nothing"]
pub struct Lease {
    pub(crate) hold: Arc<Hold>,
    pub(crate) keeper: Arc<Keeper>,
    /// Somebody else sees to the release.
    is_released: bool,
}

/// What became of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The lock was held until now, and is free.
    Released,
    /// The lock had been lost before.
    Expired,
    /// The store could not say; it is free now, or will be when the lease and its grace have ended.
    Unknown,
}

impl Release {
    /// Of both together: a loss counts most.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Expired, _) | (_, Self::Expired) => Self::Expired,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            _ => Self::Released,
        }
    }
}

impl Lease {
    pub(crate) fn new(hold: Arc<Hold>, keeper: Arc<Keeper>) -> Self {
        keeper.keep(hold.clone());
        Self {
            hold,
            keeper,
            is_released: false,
        }
    }

    /// The number of this acquisition, greater than all before: to go with whatever is written under
    /// the lock.
    pub fn fence(&self) -> Fence {
        self.hold.fence
    }

    /// Whether the lock is held, without asking anybody: after a pause of whatever length the answer
    /// is right when it is given, though it may be outdated when it is read.
    ///
    /// # Errors
    /// [`Lost`] if it is held no more.
    pub fn check(&self) -> Result<Fence, Lost> {
        self.hold.remaining().map(|_| self.hold.fence)
    }

    /// How long it is held at least if it is not renewed; zero if it is lost.
    pub fn remaining(&self) -> Duration {
        self.hold.remaining().unwrap_or_default()
    }

    /// Ends when the lock is lost; never, if it is released before.
    ///
    /// # Cancel safety
    /// It may be dropped and asked for again.
    pub fn lost(&self) -> impl Future<Output = Lost> + Send + use<> {
        let hold = self.hold.clone();
        async move { lost(&hold).await }
    }

    /// Cancelled when the lock is lost, released or dropped: for work that runs elsewhere.
    pub fn token(&self) -> CancellationToken {
        self.hold.over.child_token()
    }

    /// Runs a future as long as the lock is held, in its span, and drops it when the lock is lost.
    ///
    /// # Errors
    /// [`Lost`] if the lock was not held until the future had ended. What it did may have been done.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, Lost> {
        self.run_to_end(work).await.map_err(|(lost, _)| lost)
    }

    /// As [`run`](Self::run), and keeps what came of work that ended when the lock was lost.
    pub(crate) async fn run_to_end<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, (Lost, Option<T>)> {
        self.check().map_err(|lost| (lost, None))?;
        let work = work.instrument(self.hold.span());
        // The loss first: work that is always ready must not hide it.
        match select(pin!(lost(&self.hold)), pin!(work)).await {
            Either::Left((lost, _)) => Err((lost, None)),
            Either::Right((done, _)) => match self.check() {
                Ok(_) => Ok(done),
                Err(lost) => Err((lost, Some(done))),
            },
        }
    }

    /// Says that the work goes on; see [`Lock::heartbeat_within`](crate::Lock::heartbeat_within).
    pub fn heartbeat(&self) {
        self.hold.beat();
    }

    /// Releases the lock: one round trip, more only if the store fails.
    ///
    /// # Cancel safety
    /// Dropped, it goes on in the background.
    pub async fn release(mut self) -> Release {
        let before = self.finish();
        let mut is_in_doubt = false;
        for _ in 0..3 {
            match self.hold.free(self.hold.terms.patience()).await {
                Ok(is_freed) => {
                    self.is_released = true;
                    return match (before, is_freed) {
                        (None, true) => Release::Released,
                        (None, false) if is_in_doubt => Release::Unknown,
                        _ => Release::Expired,
                    };
                }
                Err(error) => is_in_doubt |= error.outcome() == Outcome::Unknown,
            }
        }
        // What is left is tried when this is dropped.
        match before {
            Some(_) => Release::Expired,
            None => Release::Unknown,
        }
    }

    /// Releases several by one call that nobody waits for.
    pub(crate) fn give_back(leases: Vec<Self>) {
        let Some(keeper) = leases.first().map(|it| it.keeper.clone()) else {
            return;
        };
        keeper.spawn(async move {
            Self::release_all(leases).await;
        });
    }

    /// Releases several by one call, more only if the store fails.
    pub(crate) async fn release_all(leases: Vec<Self>) -> Release {
        let mut all = Release::Released;
        let mut left: Vec<_> = leases
            .into_iter()
            .map(|it| (it.finish().is_some(), it))
            .collect();
        let mut is_in_doubt = false;
        for _ in 0..3 {
            let Some((_, first)) = left.first() else {
                return all;
            };
            let (store, patience) = (first.hold.store.clone(), first.hold.terms.patience());
            let txns = left.iter().map(|(_, it)| it.hold.claim.release()).collect();
            let replies = match store.commit_all(txns, patience).await {
                Ok(replies) => replies,
                Err(error) => {
                    is_in_doubt |= error.outcome() == Outcome::Unknown;
                    continue;
                }
            };
            let sent = std::mem::take(&mut left);
            let was_in_doubt = is_in_doubt;
            for ((was_lost, mut lease), reply) in sent.into_iter().zip(replies) {
                match reply {
                    Ok(reply) => {
                        lease.is_released = true;
                        all = all.and(match (was_lost, reply.applied) {
                            (false, true) => Release::Released,
                            (false, false) if was_in_doubt => Release::Unknown,
                            _ => Release::Expired,
                        });
                    }
                    Err(error) => {
                        is_in_doubt |= error.outcome() == Outcome::Unknown;
                        left.push((was_lost, lease));
                    }
                }
            }
        }
        // They are tried once more when they are dropped.
        left.iter().fold(all, |all, (was_lost, _)| {
            all.and(match was_lost {
                true => Release::Expired,
                false => Release::Unknown,
            })
        })
    }

    /// Here it is over; tells how it was lost, if it was.
    fn finish(&self) -> Option<Lost> {
        let lost = self.hold.remaining().err();
        self.hold.end(End::Released);
        self.keeper.leave(&self.hold);
        lost
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.is_released {
            return;
        }
        self.finish();
        let hold = self.hold.clone();
        self.keeper.spawn(async move {
            let (release, lasts) = (hold.claim.release(), hold.terms.on_store.as_duration());
            hold.store.give_back(vec![release], lasts).await;
        });
    }
}

async fn lost(hold: &Hold) -> Lost {
    loop {
        match hold.remaining() {
            Ok(left) => {
                tokio::select! {
                    () = hold.over.cancelled() => {}
                    () = hold.store.clock.sleep(left) => {}
                }
            }
            Err(lost) if lost.reason() == LostReason::Expired && hold.is_released() => {
                return std::future::pending().await;
            }
            Err(lost) => return lost,
        }
    }
}
