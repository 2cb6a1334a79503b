//! The tier that takes units in advance.

use crate::{
    Decision, Limit, Source, Tier, Verdict,
    asking::Asked,
    local::{
        Local,
        tokens::{Batch, Ending, Lapsed, Spent, Terms},
    },
    refund::Refund,
};
use kv_core::{Error, ThrottleMode};
use std::{sync::Arc, time::Duration};
use tokio::runtime::Handle;

impl Limit {
    /// From what was taken in advance.
    pub(crate) fn spend(&self, local: &Arc<Local>, now: Duration) -> Option<Decision> {
        self.spent(local, local.tokens.spend(self.cost, now), now)
    }

    fn spent(&self, local: &Arc<Local>, spent: Spent, now: Duration) -> Option<Decision> {
        let terms = self.terms()?;
        let Spent::Yes {
            left,
            unused_at,
            refill,
        } = spent
        else {
            return None;
        };
        if refill {
            self.refill(local, terms, now);
        }
        Some(Decision {
            remaining: left,
            unused_at: Some(unused_at),
            ..self.by_source(Verdict::Allowed, Source::Lease)
        })
    }

    /// By the store, and with units for those who come next if there are many of them.
    pub(crate) async fn check_leased(&self) -> Result<Decision, Error> {
        let Some(terms) = self.terms() else {
            return self.check_store().await;
        };
        let physical = self.store().kv.resolve(&self.key)?;
        let local = self.active.locals.get_or_insert(&physical);
        let clock = &self.store().clock;
        let batch = local.tokens.batch(&terms, clock.monotonic());
        if batch == 0 {
            let asked = self.ask(self.cost, ThrottleMode::Debit, 0).await?;
            local.tokens.remains(asked.state.remaining);
            return Ok(self.decision(&asked.state, Source::Store, asked.at));
        }
        // Who waits too long for others asks for itself.
        let turn = self.active.patience.timeout(local.tokens.gate.lock()).await;
        let now = clock.monotonic();
        let spent = local.tokens.spend_after_waiting(self.cost, now);
        if let Some(decision) = self.spent(&local, spent, now) {
            return Ok(decision);
        }
        let denial = local.mirror.denies(self.cost, self.active.by_quota(), now);
        if let Some(state) = denial {
            return Ok(self.decision(&state, Source::LocalDeny, now));
        }
        let (asked, taken) = self.take_batch(&local, &terms, self.cost + batch).await?;
        drop(turn);
        if taken > 0 {
            // Those that are kept flow back after its own.
            let kept = u32::try_from(taken - self.cost).unwrap_or(u32::MAX);
            let kept = self.unit().saturating_mul(kept);
            return Ok(Decision {
                unused_at: Some(asked.unused_at().saturating_sub(kept)),
                ..self.decision(&asked.state, Source::Store, asked.at)
            });
        }
        // There is not so much left, but perhaps enough for this one.
        self.check_store().await
    }

    /// How long a unit takes to flow back, rounded up.
    fn unit(&self) -> Duration {
        let gcra = self.active.policy.quota.as_gcra();
        let micros = gcra.map_or(0, |it| it.period().div_ceil(it.count()));
        Duration::from_micros(micros)
    }

    fn terms(&self) -> Option<Terms> {
        let Tier::Leased { max_batch, age } = self.active.policy.tier else {
            return None;
        };
        let burst = self.active.policy.quota.max_cost();
        Some(Terms {
            // As if there were eight processes, of which none is to take what the others need.
            max_batch: max_batch.unwrap_or(burst / 8).min(burst.saturating_sub(1)),
            age,
        })
    }

    /// Gets more before all are spent.
    fn refill(&self, local: &Arc<Local>, terms: Terms, now: Duration) {
        let refilling = Refilling(local.clone());
        let batch = local.tokens.batch(&terms, now);
        if batch == 0 {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        // None of it is for the caller.
        let limit = self.for_caller().cost(0);
        runtime.spawn(async move {
            // The next one asks again if it failed.
            let _ = limit.take_batch(&refilling.0, &terms, batch).await;
        });
    }

    /// Takes so many units, of which this limit's cost is spent at once and the rest is kept. So many were
    /// taken: all or none.
    async fn take_batch(
        &self,
        local: &Arc<Local>,
        terms: &Terms,
        units: u64,
    ) -> Result<(Asked, u64), Error> {
        let epoch = local.tokens.epoch();
        let units = units.min(self.active.policy.quota.max_cost());
        let asked = self.ask(units, ThrottleMode::Debit, 0).await?;
        let (taken, kept) = match asked.state.allowed {
            true => (units, units - self.cost),
            false => (0, 0),
        };
        let batch = Batch {
            units: kept,
            until: asked.at + terms.age,
            unused_at: asked.unused_at(),
            unit: self.unit(),
            remaining: asked.state.remaining,
            epoch,
        };
        self.active.meters.leased(kept);
        if local.tokens.add(batch, self.store().clock.monotonic()) {
            let watching = Watching::new(local);
            // Without a runtime the next one on one watches.
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn(self.for_caller().watch(watching));
            }
        }
        Ok((asked, taken))
    }

    /// Gives back what nobody has spent in time.
    async fn watch(self, mut watching: Watching) {
        loop {
            let now = self.store().clock.monotonic();
            match watching.local.tokens.ending(now) {
                Ending::Wait(span) => self.store().clock.sleep(span).await,
                Ending::Done => {
                    watching.is_over = true;
                    return;
                }
                Ending::GiveBack(Lapsed { units, unused_at }) => {
                    self.active.meters.lapsed(units);
                    let refund = Refund::of(&self.active.policy.quota, units, unused_at, now);
                    // One that is lost errs on the strict side.
                    let _ = self.give_back_to_store(refund, 0).await;
                }
            }
        }
    }
}

/// Somebody is on the way to get more; dropped, also with the runtime, nobody is.
struct Refilling(Arc<Local>);

impl Drop for Refilling {
    fn drop(&mut self) {
        self.0.tokens.not_refilled();
    }
}

/// Somebody gives back what is left in the end; dropped before that, also with the runtime, nobody does.
struct Watching {
    local: Arc<Local>,
    /// There was nothing left, and it is noted that nobody watches: the next one may be there already.
    is_over: bool,
}

impl Watching {
    fn new(local: &Arc<Local>) -> Self {
        Self {
            local: local.clone(),
            is_over: false,
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if !self.is_over {
            self.local.tokens.not_watched();
        }
    }
}
