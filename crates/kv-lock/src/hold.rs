//! One acquisition, from when it was granted until it is released or lost.

use crate::{
    Fence, Lost, LostReason, claim::Claim, lock::Limits, store::Store, telemetry::Holding,
    terms::Terms,
};
use kv_core::Result;
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tracing::Span;

#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) store: Store,
    pub(crate) claim: Arc<dyn Claim>,
    pub(crate) fence: Fence,
    pub(crate) terms: Terms,
    /// Cancelled when it ends, one way or the other.
    pub(crate) over: CancellationToken,
    telling: Holding,
    state: Mutex<State>,
}

/// Moments of the monotonic clock.
#[derive(Debug)]
struct State {
    end: Option<End>,
    /// The lease ends here, whatever the store says.
    until: Duration,
    /// The next renewal; none while one is under way.
    due: Option<Duration>,
    /// How much earlier it may be, so that it goes with others.
    early: Duration,
    /// When the next renewal was due at first.
    wanted: Duration,
    since: Duration,
    beat: Duration,
    max_hold: Option<Duration>,
    silence: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Lost(Lost),
    Released,
}

impl Hold {
    /// Granted by a call that was sent then, or later.
    pub(crate) fn new(
        store: Store,
        claim: Arc<dyn Claim>,
        fence: Fence,
        terms: Terms,
        sent: Duration,
    ) -> Self {
        let due = sent + terms.renew_after();
        let state = State {
            end: None,
            until: sent + terms.max_hold.map_or(terms.lease, |it| it.min(terms.lease)),
            due: Some(due),
            early: terms.early(),
            wanted: due,
            since: sent,
            beat: sent,
            max_hold: terms.max_hold,
            silence: terms.silence,
        };
        Self {
            telling: match fence.get() {
                // Locks have greater ones.
                0 => Holding::silent(),
                _ => Holding::new(&store.telemetry, claim.kind(), fence),
            },
            store,
            claim,
            fence,
            terms,
            over: CancellationToken::new(),
            state: Mutex::new(state),
        }
    }

    /// How long it lasts at least; notices by itself that the lease has ended.
    pub(crate) fn remaining(&self) -> Result<Duration, Lost> {
        let now = self.store.now();
        let mut state = self.state.lock();
        match state.end {
            Some(End::Lost(lost)) => return Err(lost),
            // Only futures that outlive their guard can ask.
            Some(End::Released) => {
                return Err(Lost {
                    reason: LostReason::Expired,
                });
            }
            None if now < state.until => return Ok(state.until - now),
            None => {}
        }
        let lost = Lost {
            reason: self.why(&state),
        };
        state.end = Some(End::Lost(lost));
        let held = now.saturating_sub(state.since);
        drop(state);
        self.over.cancel();
        self.telling.lost(held, lost);
        Err(lost)
    }

    /// The next moment at which something is to be done for it; none if it has ended.
    pub(crate) fn next(&self) -> Option<Duration> {
        let state = self.state.lock();
        match state.end {
            Some(_) => None,
            None => Some(state.due.map_or(state.until, |it| it.min(state.until))),
        }
    }

    /// Whether it is to be renewed now. If so, it is as good as begun.
    pub(crate) fn begin_renewal(&self) -> bool {
        let now = self.store.now();
        let mut state = self.state.lock();
        let is_due = state.due.is_some_and(|it| it <= now + state.early);
        if state.end.is_some() || !is_due {
            return false;
        }
        let may_go_on = self.may_go_on(&state);
        // It may give a sign of life before the lease ends.
        state.due = (!may_go_on).then_some(now + self.terms.retry_after());
        state.early = Duration::ZERO;
        may_go_on
    }

    /// It was sent then, and the store says yes; again after this. What was lost meanwhile stays lost.
    pub(crate) fn renewed(&self, sent: Duration, again: Duration) {
        let mut state = self.state.lock();
        let last = state.last();
        state.until = state.until.max(sent + self.terms.lease).min(last);
        let lag = self.store.now().saturating_sub(state.wanted);
        state.wanted = sent + again;
        state.due = Some(state.wanted);
        state.early = self.terms.early();
        drop(state);
        self.telling.renewed(lag);
    }

    /// Whether the store did it, nobody knows.
    pub(crate) fn not_renewed(&self) {
        let again = self.store.now() + self.terms.retry_after();
        self.state.lock().due = Some(again);
        self.telling.renewal_failed();
    }

    /// The store does not renew it: it is not ours, which is no news after a release.
    pub(crate) fn not_ours(&self) {
        if self.taken().is_none() {
            self.telling.renewal_refused();
        }
    }

    /// The store says that it is not ours.
    pub(crate) fn taken(&self) -> Option<End> {
        let reason = LostReason::Taken;
        self.end(End::Lost(Lost { reason }))
    }

    /// Ends it, and tells how it had ended before.
    pub(crate) fn end(&self, end: End) -> Option<End> {
        let mut state = self.state.lock();
        let before = state.end;
        state.end.get_or_insert(end);
        let held = self.store.now().saturating_sub(state.since);
        drop(state);
        self.over.cancel();
        match (before, end) {
            (Some(_), _) => {}
            (None, End::Released) => self.telling.released(held),
            (None, End::Lost(lost)) => self.telling.lost(held, lost),
        }
        before
    }

    /// Begins its span in the one that this is called in.
    pub(crate) fn enter_span(&self) {
        let (kind, key) = (self.claim.kind(), self.claim.key());
        self.telling.enter(&self.store.telemetry, kind, key);
    }

    /// What is done under it is done in this span.
    pub(crate) fn span(&self) -> Span {
        self.telling.span()
    }

    pub(crate) fn is_released(&self) -> bool {
        self.state.lock().end == Some(End::Released)
    }

    pub(crate) fn beat(&self) {
        self.state.lock().beat = self.store.now();
    }

    /// One attempt to free it on the store.
    pub(crate) async fn free(&self, patience: Duration) -> Result<bool> {
        Ok(self
            .store
            .commit(self.claim.release(), patience)
            .await?
            .applied)
    }

    /// From now on it is held for at most so long, and wants signs of life.
    pub(crate) fn limit(&self, limits: Limits) {
        let now = self.store.now();
        let mut state = self.state.lock();
        (state.since, state.beat) = (now, now);
        (state.max_hold, state.silence) = (limits.max_hold, limits.silence);
        state.until = state.until.min(state.last());
    }

    fn may_go_on(&self, state: &State) -> bool {
        let now = self.store.now();
        !is_over(now, state.max_hold, state.since) && !is_over(now, state.silence, state.beat)
    }

    fn why(&self, state: &State) -> LostReason {
        let now = self.store.now();
        if is_over(now, state.max_hold, state.since) {
            LostReason::HeldTooLong
        } else if is_over(now, state.silence, state.beat) {
            LostReason::NoHeartbeat
        } else {
            LostReason::Expired
        }
    }
}

impl State {
    /// The last moment at which it may be held.
    fn last(&self) -> Duration {
        self.max_hold
            .map_or(Duration::MAX, |it| self.since.saturating_add(it))
    }
}

fn is_over(now: Duration, limit: Option<Duration>, since: Duration) -> bool {
    limit.is_some_and(|it| now >= since.saturating_add(it))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::Hold;
    use crate::{Exclusive, Fence, LostReason, claim::Claims, store::Store, terms::Terms};
    use kv_core::{Clock, Kv, VirtualClock};
    use std::{sync::Arc, time::Duration};

    const LEASE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn what_is_lost_is_not_brought_back_by_a_late_renewal() {
        let clock = VirtualClock::default();
        let kv = Kv::builder(kv_memory::MemoryStore::default());
        let kv = kv.connect().await.unwrap();
        let store = Store::new(&kv, Arc::new(clock.clone())).unwrap();
        let terms = Terms::new(LEASE, None, Duration::ZERO).unwrap();
        let (place, sent) = (Exclusive.place(b"a").unwrap(), store.now());
        let fence = Fence::from_number(1);
        let hold = Hold::new(
            store,
            Exclusive.claim(&place, "me".into()),
            fence,
            terms,
            sent,
        );
        clock.advance(LEASE / 2);
        let sent = LEASE / 2;
        hold.renewed(sent, LEASE / 3);
        clock.advance(LEASE - Duration::from_millis(1));
        assert_eq!(hold.remaining(), Ok(Duration::from_millis(1)));
        clock.advance(Duration::from_millis(1));
        assert!(hold.remaining().is_err());
        hold.renewed(clock.monotonic(), LEASE / 3);
        assert_eq!(hold.remaining().unwrap_err().reason(), LostReason::Expired);
        assert!(hold.over.is_cancelled() && !hold.begin_renewal());
    }
}
