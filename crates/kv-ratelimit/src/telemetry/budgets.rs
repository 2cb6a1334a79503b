//! Handles on the metrics of budgets.

use super::table::{METRICS, RESERVATIONS, RESERVATIONS_LAPSED, SETTLED};
use crate::Reserve;
use kv_core::telemetry::describe;
use metrics::{Counter, SharedString};
use std::fmt;

/// What is told of all budgets of a process.
pub(crate) struct BudgetMeters {
    reserved: Counter,
    over: Counter,
    failed: Counter,
    settled: Counter,
    lapsed: Counter,
}

impl BudgetMeters {
    pub(crate) fn new() -> Self {
        describe(METRICS);
        let reservations = |outcome| RESERVATIONS.counter([SharedString::const_str(outcome)]);
        Self {
            reserved: reservations("reserved"),
            over: reservations("over"),
            failed: reservations("failed"),
            settled: SETTLED.counter([]),
            lapsed: RESERVATIONS_LAPSED.counter([]),
        }
    }

    /// Nothing if it failed.
    pub(crate) fn reserved(&self, reserve: Option<&Reserve>) {
        let counter = match reserve {
            Some(Reserve::Reserved(_)) => &self.reserved,
            Some(Reserve::Over(_)) => &self.over,
            None => &self.failed,
        };
        counter.increment(1);
    }

    pub(crate) fn settled(&self, amount: u64) {
        self.settled.increment(amount);
    }

    pub(crate) fn lapsed(&self) {
        self.lapsed.increment(1);
    }
}

impl fmt::Debug for BudgetMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BudgetMeters")
    }
}
