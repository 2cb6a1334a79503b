//! Decisions as they are put together.

use crate::{
    Decision, Limit, Source, Verdict, local::governed::Standing, policies::Active,
    policy::Enforcement,
};
use kv_core::LimitState;
use std::time::Duration;

impl Limit {
    pub(crate) fn free(&self) -> Decision {
        Decision {
            remaining: self.active.policy.quota.limit(),
            ..self.by_source(Verdict::Allowed, Source::AllowList)
        }
    }

    pub(crate) fn by_rule(&self, verdict: Verdict) -> Decision {
        self.by_source(verdict, Source::Fallback)
    }

    pub(crate) fn by_source(&self, verdict: Verdict, source: Source) -> Decision {
        self.active.by_source(self.cost, verdict, source)
    }

    /// What the store says; it was asked at this time or after it.
    pub(crate) fn decision(&self, state: &LimitState, source: Source, asked: Duration) -> Decision {
        let verdict = match state.allowed {
            true => Verdict::Allowed,
            false => Verdict::Denied,
        };
        Decision {
            remaining: state.remaining,
            retry_after: state.retry_after,
            reset_after: state.reset_after,
            unused_at: Some(asked.saturating_add(state.reset_after)),
            ..self.by_source(verdict, source)
        }
    }

    pub(crate) fn governed(&self, standing: Standing, source: Source) -> Decision {
        self.active.governed(self.cost, standing, source)
    }

    /// Counts a decision.
    pub(crate) fn told(&self, decision: Decision) -> Decision {
        self.active.meters.decided(&decision);
        decision
    }
}

impl Active {
    fn by_source(&self, cost: u64, verdict: Verdict, source: Source) -> Decision {
        Decision {
            policy: self.name.clone(),
            verdict: self.enforced(verdict),
            source,
            cost,
            limit: self.policy.quota.limit(),
            remaining: 0,
            retry_after: Duration::ZERO,
            reset_after: Duration::ZERO,
            number: 0,
            unused_at: None,
        }
    }

    pub(crate) fn governed(&self, cost: u64, standing: Standing, source: Source) -> Decision {
        let verdict = match standing.allowed {
            true => Verdict::Allowed,
            false => Verdict::Denied,
        };
        Decision {
            remaining: standing.remaining,
            retry_after: standing.retry_after,
            reset_after: standing.reset_after,
            unused_at: Some(standing.unused_at),
            ..self.by_source(cost, verdict, source)
        }
    }

    fn enforced(&self, verdict: Verdict) -> Verdict {
        match (verdict, self.policy.enforcement) {
            (Verdict::Denied, Enforcement::Shadow) => Verdict::WouldDeny,
            _ => verdict,
        }
    }
}
