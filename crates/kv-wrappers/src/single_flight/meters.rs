//! What is counted of reads that can be shared.

use crate::telemetry::{FLIGHTS, StoreName};
use metrics::Counter;

pub(super) struct Meters {
    asked: Counter,
    joined: Counter,
}

impl Meters {
    pub(super) fn new(store: &StoreName) -> Self {
        let role = |role: &'static str| FLIGHTS.counter([store.label(), role.into()]);
        Self {
            asked: role("asked"),
            joined: role("joined"),
        }
    }

    pub(super) fn asked(&self) {
        self.asked.increment(1);
    }

    pub(super) fn joined(&self) {
        self.joined.increment(1);
    }
}
