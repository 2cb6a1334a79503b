//! The tier that takes units in advance.

use crate::{
    Decision, Limit, Source, Tier, Verdict,
    local::{
        Local,
        tokens::{Ending, Spent, Terms},
    },
};
use kv_core::{Error, LimitState, ThrottleMode};
use std::{sync::Arc, time::Duration};
use tokio::runtime::Handle;

impl Limit {
    /// From what was taken in advance.
    pub(crate) fn spend(&self, local: &Arc<Local>, now: Duration) -> Option<Decision> {
        let terms = self.terms()?;
        let Spent::Yes { left, refill } = local.tokens.spend(self.cost, now) else {
            return None;
        };
        if refill {
            self.refill(local, terms, now);
        }
        Some(Decision {
            remaining: left,
            ..self.by_source(Verdict::Allowed, Source::Lease)
        })
    }

    /// By the store, and with units for those who come next if there are many of them.
    pub(crate) async fn check_leased(&self) -> Result<Decision, Error> {
        let Some(terms) = self.terms() else {
            return self.check_store().await;
        };
        let physical = self.store().kv.resolve(&self.key)?;
        let local = self.active.locals.get_or_insert(physical);
        let clock = &self.store().clock;
        let batch = local.tokens.batch(&terms, clock.monotonic());
        if batch == 0 {
            let state = self.ask(self.cost, ThrottleMode::Debit, 0).await?;
            local.tokens.remains(state.remaining);
            return Ok(self.decision(&state, Source::Store));
        }
        // Who waits too long for others asks for itself.
        let turn = self.active.timers.timeout(local.tokens.gate.lock()).await;
        let now = clock.monotonic();
        if let Some(decision) = self.spend(&local, now) {
            return Ok(decision);
        }
        let denial = local.mirror.denies(self.cost, self.active.by_quota(), now);
        if let Some(state) = denial {
            return Ok(self.decision(&state, Source::LocalDeny));
        }
        let (state, taken) = self.take_batch(&local, &terms, self.cost + batch).await?;
        drop(turn);
        if taken > 0 {
            return Ok(self.decision(&state, Source::Store));
        }
        // There is not so much left, but perhaps enough for this one.
        self.check_store().await
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
        let batch = local.tokens.batch(&terms, now);
        let runtime = match batch {
            0 => None,
            _ => Handle::try_current().ok(),
        };
        let Some(runtime) = runtime else {
            local.tokens.not_refilled();
            return;
        };
        // None of it is for the caller.
        let limit = self.for_caller().cost(0);
        let local = local.clone();
        runtime.spawn(async move {
            if limit.take_batch(&local, &terms, batch).await.is_err() {
                local.tokens.not_refilled();
            }
        });
    }

    /// Takes so many units, of which this limit's cost is spent at once and the rest is kept. So many were
    /// taken: all or none.
    async fn take_batch(
        &self,
        local: &Arc<Local>,
        terms: &Terms,
        units: u64,
    ) -> Result<(LimitState, u64), Error> {
        let clock = &self.store().clock;
        let before = clock.monotonic();
        let units = units.min(self.active.policy.quota.max_cost());
        let state = self.ask(units, ThrottleMode::Debit, 0).await?;
        let (taken, kept) = match state.allowed {
            true => (units, units - self.cost),
            false => (0, 0),
        };
        let until = before + terms.age;
        self.active.meters.leased(kept);
        if local
            .tokens
            .add(kept, until, state.remaining, clock.monotonic())
        {
            tokio::spawn(self.for_caller().watch(local.clone()));
        }
        Ok((state, taken))
    }

    /// Gives back what nobody has spent in time.
    async fn watch(self, local: Arc<Local>) {
        loop {
            match local.tokens.ending(self.store().clock.monotonic()) {
                Ending::Wait(span) => self.store().clock.sleep(span).await,
                Ending::Done => return,
                Ending::GiveBack(units) => {
                    self.active.meters.lapsed(units);
                    // One that is lost errs on the strict side.
                    let most = self.active.policy.quota.max_cost();
                    let mut left = units;
                    while left > 0 {
                        let part = left.min(most);
                        let _ = self.give_back_to_store(part, 0).await;
                        left -= part;
                    }
                }
            }
        }
    }
}
