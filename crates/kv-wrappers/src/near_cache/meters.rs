//! What is counted of a cache, for its statistics and for metrics.

use crate::telemetry::{NEAR_LIVE, NEAR_LOOKUPS, NEAR_REFUSED, NEAR_REMOVED, StoreName};
use metrics::{Counter, Gauge};
use moka::notification::RemovalCause;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) struct Meters {
    pub(super) hits: Count,
    pub(super) misses: Count,
    pub(super) refused: Count,
    live: Gauge,
}

/// What left the cache.
pub(super) struct Removed {
    touched: Count,
    cleared: Count,
    expired: Count,
    pub(super) room: Count,
}

/// Apart from the others, which other processors write to.
#[repr(align(64))]
pub(super) struct Count {
    own: AtomicU64,
    told: Counter,
}

impl Meters {
    pub(super) fn new(store: &StoreName) -> Self {
        let looked = |result: &'static str| NEAR_LOOKUPS.counter([store.label(), result.into()]);
        Self {
            hits: Count::new(looked("hit")),
            misses: Count::new(looked("miss")),
            refused: Count::new(NEAR_REFUSED.counter([store.label()])),
            live: NEAR_LIVE.gauge([store.label()]),
        }
    }

    pub(super) fn begins(&self) {
        self.live.set(1);
    }

    pub(super) fn ends(&self) {
        self.live.set(0);
    }
}

impl Removed {
    pub(super) fn new(store: &StoreName) -> Self {
        let because =
            |reason: &'static str| Count::new(NEAR_REMOVED.counter([store.label(), reason.into()]));
        Self {
            touched: because("touched"),
            cleared: because("cleared"),
            expired: because("expired"),
            room: because("room"),
        }
    }

    /// Counts an entry that was still good.
    pub(super) fn add(&self, cause: RemovalCause) {
        match cause {
            RemovalCause::Explicit => self.touched.add(),
            RemovalCause::Expired => self.expired.add(),
            RemovalCause::Size => self.room.add(),
            // Its key is kept still.
            RemovalCause::Replaced => {}
        }
    }

    /// Counts one that had been forgotten together with all others.
    pub(super) fn add_cleared(&self, cause: RemovalCause) {
        if cause != RemovalCause::Replaced {
            self.cleared.add();
        }
    }
}

impl Count {
    fn new(told: Counter) -> Self {
        Self {
            own: AtomicU64::default(),
            told,
        }
    }

    pub(super) fn add(&self) {
        self.own.fetch_add(1, Ordering::Relaxed);
        self.told.increment(1);
    }

    pub(super) fn read(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }
}
