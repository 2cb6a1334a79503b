//! Waiting for a limit, in the order of coming.

use crate::{
    Decision, Limit, LimitError, Source, Tier, TooLate, Verdict, here::Flood, policy::Enforcement,
};
use kv_core::ThrottleMode;
use std::time::Duration;
use tokio::runtime::Handle;

/// A wait for a limit without places is lengthened by a tenth at most, which is no less than this ...
const LEAST_JITTER: Duration = Duration::from_millis(1);
/// ... and no more.
const MOST_JITTER: Duration = Duration::from_millis(250);
/// How long who waits leaves a store alone that could not be asked.
const OUTAGE: Duration = Duration::from_millis(100);

/// What came of a reservation.
#[derive(Debug)]
#[must_use]
pub enum Reserved {
    /// The request may be made once the reservation is ready.
    Yes(Reservation),
    /// Even waiting for so long would not do; nothing was taken.
    No(Decision),
}

/// A place in the order of those who wait for a limit: what it costs is taken already. Dropped before its
/// wait is over, it is given back in the background, if there is a Tokio runtime; after that it counts as used.
#[derive(Debug)]
#[must_use = "dropped, it is given back"]
pub struct Reservation {
    limit: Limit,
    decision: Decision,
    /// On the monotonic clock.
    ready_at: Duration,
    is_kept: bool,
}

impl Limit {
    /// Takes the request's cost now, for a request that is made within this time: when, the
    /// [`Reservation`] tells. Those who reserve get their places in the order of coming, so that they do not all
    /// wake at once. For GCRA only; under a tier in process it is allowed now or not.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`LimitError::NotPossible`] for other algorithms.
    ///
    /// # Cancel safety
    /// Dropped while it is asked for, it may have been taken; after the wait it has flowed back.
    pub async fn reserve(&self, max_wait: Duration) -> Result<Reserved, LimitError> {
        self.accept()?;
        if self.active.policy.quota.as_gcra().is_none() {
            return Err(self.not_possible(
                "be reserved",
                "only a GCRA quota can; wait with `until_ready`",
            ));
        }
        let local = self.decide_local(Flood::Count)?;
        let local = local.filter(|it| it.is_allowed() || it.source != Source::LocalDeny);
        let decision = match local {
            Some(decision) => self.told(decision),
            None => {
                let max_wait = match self.active.policy.enforcement {
                    Enforcement::Enforced => max_wait,
                    // What is only tried out makes nobody wait.
                    Enforcement::Shadow => Duration::ZERO,
                };
                let mode = ThrottleMode::Reserve { max_wait };
                let asked = self.ask(self.cost, mode, 0).await;
                let asked = asked.map(|it| self.decision(&it.state, Source::Store, it.at));
                self.told(self.fall_back(asked)?)
            }
        };
        if decision.verdict == Verdict::Denied {
            return Ok(Reserved::No(decision));
        }
        let wait = match decision.verdict {
            Verdict::Allowed => decision.retry_after,
            // It is only tried out.
            _ => Duration::ZERO,
        };
        Ok(Reserved::Yes(Reservation {
            ready_at: self.store().clock.monotonic().saturating_add(wait),
            // It may be dropped where nobody knows for whom it was.
            limit: self.for_caller(),
            decision,
            is_kept: false,
        }))
    }

    /// Waits until the request may be made, which counts then; for no longer than this.
    ///
    /// # Errors
    /// [`LimitError::TooLate`], at once if it is known that it would take longer: nothing was taken. Others as
    /// [`check`](Self::check).
    ///
    /// # Cancel safety
    /// Dropped while it waits, what was taken is given back in the background; while the store is asked, it
    /// may have been taken, and flows back by itself.
    pub async fn until_ready(&self, max_wait: Duration) -> Result<Decision, LimitError> {
        let clock = &self.store().clock;
        let end = clock.monotonic().saturating_add(max_wait);
        loop {
            let left = end.saturating_sub(clock.monotonic());
            let denied = match self.has_places() {
                true => match self.reserve(left.min(self.longest_place())).await? {
                    Reserved::Yes(reservation) => return Ok(reservation.ready().await),
                    Reserved::No(denied) => denied,
                },
                false => match self.check().await? {
                    decision if decision.is_allowed() => return Ok(decision),
                    denied => denied,
                },
            };
            let left = end.saturating_sub(clock.monotonic());
            if denied.retry_after > left || left.is_zero() {
                return Err(LimitError::TooLate(TooLate {
                    retry_after: denied.retry_after,
                }));
            }
            // Not all at once, and never without a pause.
            let jitter = (denied.retry_after / 10).clamp(LEAST_JITTER, MOST_JITTER);
            let mut pause = denied.retry_after + jitter.mul_f64(fastrand::f64());
            if denied.source == Source::Fallback {
                // It is not known when the store will be there again.
                pause = pause.max(OUTAGE);
            }
            clock.sleep(pause.min(left)).await;
        }
    }

    /// How far ahead places are taken: a minute, or as much as a bucket where a minute is too much to be
    /// counted exactly.
    fn longest_place(&self) -> Duration {
        const MINUTE: Duration = Duration::from_secs(60);
        let quota = &self.active.policy.quota;
        match quota.limit() < 1 << 24 {
            true => quota.full_time().max(MINUTE),
            false => quota.full_time(),
        }
    }

    /// Whether the store gives places to those who wait.
    fn has_places(&self) -> bool {
        let policy = &self.active.policy;
        policy.quota.as_gcra().is_some() && policy.tier != Tier::InProcess
    }
}

impl Reservation {
    /// What the store said: `retry_after` is the whole wait, from then.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// How long it still takes.
    pub fn wait(&self) -> Duration {
        let now = self.limit.store().clock.monotonic();
        self.ready_at.saturating_sub(now)
    }

    /// Waits until the request may be made.
    ///
    /// # Cancel safety
    /// Dropped, the reservation is given back in the background.
    pub async fn ready(mut self) -> Decision {
        let wait = self.wait();
        if !wait.is_zero() {
            self.limit.store().clock.sleep(wait).await;
        }
        self.is_kept = true;
        self.decision.clone()
    }

    /// Gives it back.
    ///
    /// # Errors
    /// As [`Limit::refund`].
    pub async fn cancel(mut self) -> Result<(), LimitError> {
        self.is_kept = true;
        self.limit.refund(self.decision.clone()).await
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // What was ready has been used, for all that is known.
        if self.is_kept || self.wait().is_zero() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (limit, decision) = (self.limit.clone(), self.decision.clone());
        runtime.spawn(async move {
            if let Err(error) = limit.refund(decision).await {
                tracing::debug!(target: kv_core::telemetry::TARGET, %error, "a reservation was not given back");
            }
        });
    }
}
