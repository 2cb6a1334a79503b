//! Handles on metrics, taken once for each policy.

use super::table::{COST, DECISIONS, ERRORS, LAPSED, LEASED, METRICS, POLICY_CHANGES, STORE};
use crate::{Decision, Source, Verdict};
use kv_core::{Error, telemetry::describe};
use metrics::{Counter, Histogram, SharedString};
use std::{fmt, sync::Arc, time::Duration};

/// What is told of a policy.
pub(crate) struct Meters {
    policy: Arc<str>,
    decisions: [[Counter; Source::ALL.len()]; Verdict::ALL.len()],
    cost: Counter,
    store: Histogram,
    leased: Counter,
    lapsed: Counter,
}

impl Meters {
    pub(crate) fn new(policy: &Arc<str>) -> Self {
        describe(METRICS);
        let name = || SharedString::from_shared(policy.clone());
        let known = SharedString::const_str;
        let decisions = |verdict: Verdict| {
            Source::ALL.map(|source| {
                DECISIONS.counter([name(), known(verdict.name()), known(source.name())])
            })
        };
        Self {
            policy: policy.clone(),
            decisions: Verdict::ALL.map(decisions),
            cost: COST.counter([name()]),
            store: STORE.histogram([name()]),
            leased: LEASED.counter([name()]),
            lapsed: LAPSED.counter([name()]),
        }
    }

    pub(crate) fn decided(&self, decision: &Decision) {
        self.decisions[decision.verdict as usize][decision.source as usize].increment(1);
        if decision.is_allowed() && decision.source != Source::NotAsked {
            self.cost.increment(decision.cost);
        }
    }

    /// The store was asked.
    pub(crate) fn asked(&self, took: Duration, failed: Option<&Error>) {
        self.store.record(took);
        if let Some(error) = failed {
            let policy = SharedString::from_shared(self.policy.clone());
            let kind = SharedString::const_str(error.kind().name());
            ERRORS.counter([policy, kind]).increment(1);
        }
    }

    pub(crate) fn leased(&self, units: u64) {
        self.leased.increment(units);
    }

    pub(crate) fn lapsed(&self, units: u64) {
        self.lapsed.increment(units);
    }
}

/// What is followed was read anew; seldom, so nothing is kept for it.
pub(crate) fn policies_changed(outcome: &'static str) {
    POLICY_CHANGES
        .counter([SharedString::const_str(outcome)])
        .increment(1);
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Meters({})", self.policy)
    }
}
