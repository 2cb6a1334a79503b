//! Slots: how much goes on at the same time.

use crate::{
    CostError, Decision, Limit, LimitError, NoSlot, OnError, Source, Verdict, limiter::Shared,
    policy::Enforcement, quota::Kind,
};
use kv_core::{Clock, Error, ErrorKind};
use kv_lock::{LockError, LockManager, Lost, PermitGuard, Release, Semaphore};
use std::{future, time::Duration};

/// What came of trying to acquire a slot.
#[derive(Debug)]
#[must_use = "a slot is given back when it is dropped"]
pub enum Acquired {
    /// It may go on as long as the slot is kept.
    Yes(Slot),
    /// All slots are held by others, or the policy denies since the store could not be asked.
    No(Decision),
}

/// A slot, or as many as the request costs, held until this is released or dropped, or the slot is lost. It is
/// renewed in the background as long as the process lives.
///
/// Dropped, it is given back in the background. The slot of a subject that is not limited, of a policy that is only tried
/// out, or of one that allows what the store could not be asked about, may hold nothing; it behaves the same.
#[derive(Debug)]
#[must_use = "dropped at once, it holds nothing"]
pub struct Slot {
    held: Option<PermitGuard>,
    decision: Decision,
}

impl Limit {
    /// Acquires a slot, or as many as the request [costs](Self::cost), waiting for others until they give some back, for
    /// no longer than this; then the store is asked a last time, within the policy's deadline. Those of one process come in turn; a waiter is woken by the store and does not poll. A
    /// policy that is only tried out keeps nobody waiting.
    ///
    /// If the store cannot be asked, a policy that only fails waits that out, too. One that has
    /// another rule applies it at once, but when the store fails later, when the time is over.
    ///
    /// # Errors
    /// [`LimitError::NoSlot`] if there was none all the while, or the policy denies what the store cannot be asked about;
    /// [`LimitError::Cost`] for more slots than there are, or than the store hands out at once: 200, on etcd 38;
    /// [`LimitError::NotPossible`] for a quota that is not one of concurrency; [`LimitError::Store`].
    ///
    /// # Cancel safety
    /// Dropped, it leaves the line; what the store may have granted is given back in the background, and ends at
    /// the latest with the lease.
    pub async fn acquire(&self, max_wait: Duration) -> Result<Slot, LimitError> {
        match self.acquire_within(max_wait).await? {
            Acquired::Yes(slot) => Ok(slot),
            Acquired::No(decision) => Err(LimitError::NoSlot(NoSlot { decision })),
        }
    }

    /// Acquires a slot, or as many as the request [costs](Self::cost), if they are free: one round trip, within the
    /// policy's deadline.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), but that there is none.
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(&self) -> Result<Acquired, LimitError> {
        self.acquire_within(Duration::ZERO).await
    }

    async fn acquire_within(&self, max_wait: Duration) -> Result<Acquired, LimitError> {
        let Kind::Concurrent { slots, lease } = *self.active.policy.quota.kind() else {
            return Err(self.not_possible(
                "be held in slots",
                "only a quota such as `10 concurrent` can; check it",
            ));
        };
        let asks = Asks {
            locks: self.shared.locks()?,
            // Any bytes are a name, and a key of ours is nobody else's.
            name: self.key.as_bytes(),
            slots,
            lease,
            count: u32::try_from(self.cost).unwrap_or(u32::MAX),
        };
        if let Err(LockError::TooManyPermits(why)) = asks.semaphore().permits(asks.count) {
            return Err(LimitError::Cost(CostError {
                policy: self.active.name.to_string(),
                cost: self.cost,
                most: why.most().into(),
            }));
        }
        if self.is_free {
            return Ok(self.acquired(None, self.free()));
        }
        let max_wait = match self.active.policy.enforcement {
            Enforcement::Enforced => max_wait,
            Enforcement::Shadow => Duration::ZERO,
        };
        Ok(match self.hold(&asks, max_wait).await {
            Ok(held) => {
                let verdict = match held {
                    Some(_) => Verdict::Allowed,
                    None => Verdict::Denied,
                };
                self.acquired(held, self.by_source(verdict, Source::Store))
            }
            Err(error) => self.acquired(None, self.fall_back(Err(error))?),
        })
    }

    fn acquired(&self, held: Option<PermitGuard>, decision: Decision) -> Acquired {
        let decision = self.told(decision);
        match decision.is_allowed() {
            true => Acquired::Yes(Slot { held, decision }),
            false => Acquired::No(decision),
        }
    }

    async fn hold(
        &self,
        asks: &Asks<'_>,
        max_wait: Duration,
    ) -> Result<Option<PermitGuard>, Error> {
        let clock = &self.store().clock;
        let began = clock.monotonic();
        let end = began.saturating_add(max_wait);
        // Where something is decided without the store, nobody waits for it to come back.
        if max_wait.is_zero() || self.active.policy.on_error != OnError::Fail {
            let held = self.within(asks.hold(Wait::No)).await?;
            if held.is_some() || max_wait.is_zero() {
                return Ok(held);
            }
        }
        match asks.hold(Wait::Until(end, &**clock)).await {
            // Others had them all the while, or the store has not said a word.
            Ok(None) => self.within(asks.hold(Wait::No)).await,
            Ok(held) => Ok(held),
            Err(error) => {
                let took = clock.monotonic().saturating_sub(began);
                self.active.meters.asked(took, Some(&error));
                Err(error)
            }
        }
    }
}

impl Slot {
    /// How it was decided. How many slots are left nobody has counted: it says zero.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Whether the slot was held and is no more: the store could not be reached for a whole lease, the process stood still,
    /// or somebody took it away. Others may have it. What holds nothing is never lost. Nobody is asked.
    pub fn is_lost(&self) -> bool {
        self.held.as_ref().is_some_and(|it| it.check().is_err())
    }

    /// Ends when the slot is lost; never, if it is released before, or holds nothing.
    ///
    /// # Cancel safety
    /// It may be dropped and asked for again.
    pub fn lost(&self) -> impl Future<Output = Lost> + Send + use<> {
        let lost = self.held.as_ref().map(|it| it.lost());
        async move {
            match lost {
                Some(lost) => lost.await,
                None => future::pending().await,
            }
        }
    }

    /// Gives it back: one round trip, more only if the store fails. Tells whether it was held until now; so it says of
    /// a slot that holds nothing.
    ///
    /// # Cancel safety
    /// Dropped, it goes on in the background.
    pub async fn release(self) -> Release {
        match self.held {
            Some(held) => held.release().await,
            None => Release::Released,
        }
    }
}

/// What is asked of the locks.
struct Asks<'a> {
    locks: &'a LockManager,
    name: &'a [u8],
    slots: u64,
    lease: Duration,
    count: u32,
}

impl Asks<'_> {
    fn semaphore(&self) -> Semaphore {
        self.locks.semaphore(self.name, self.slots)
    }

    /// None if there was none in time. Where the store knows another number of slots, it is told ours, once: as long as
    /// processes have different policies, the last one to tell counts.
    async fn hold(&self, wait: Wait<'_>) -> Result<Option<PermitGuard>, Error> {
        let mut semaphore = self.semaphore();
        let mut is_resized = false;
        loop {
            let Ok(permits) = semaphore.permits(self.count) else {
                // Others say that there are not even so many.
                return Ok(None);
            };
            // Who dies gives back when the lease ends, as the quota says.
            let permits = permits.lease(self.lease).grace(Duration::ZERO);
            let acquired = match wait {
                Wait::No => permits.try_acquire().await,
                Wait::Until(end, clock) => {
                    let left = end.saturating_sub(clock.monotonic());
                    permits.wait(left).acquire().await.map(Some)
                }
            };
            match acquired {
                Ok(held) => return Ok(held),
                Err(LockError::Timeout) => return Ok(None),
                Err(LockError::SizeMismatch(other)) if is_resized => {
                    semaphore = self.locks.semaphore(self.name, other.on_store());
                }
                Err(LockError::SizeMismatch(_)) => {
                    semaphore = semaphore.resize(self.slots).await.map_err(store_error)?;
                    is_resized = true;
                }
                Err(error) => return Err(store_error(error)),
            }
        }
    }
}

/// How long others are waited for.
#[derive(Clone, Copy)]
enum Wait<'a> {
    No,
    /// So late on this clock.
    Until(Duration, &'a dyn Clock),
}

fn store_error(error: LockError) -> Error {
    match error {
        LockError::Store(error) => error,
        other => {
            Error::new(ErrorKind::Unexpected, "the slots could not be asked for").with_source(other)
        }
    }
}

impl Shared {
    /// Made when the first slot is asked for: not every store that limits can lock.
    fn locks(&self) -> Result<&LockManager, Error> {
        if let Some(locks) = self.locks.get() {
            return Ok(locks);
        }
        let locks = LockManager::builder(&self.store.kv).clock(self.store.clock.clone());
        let locks = locks.build()?;
        Ok(self.locks.get_or_init(|| locks))
    }
}
