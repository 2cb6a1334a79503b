//! What a cache counts: for who asks it, and as metrics, by the same table.

use kv_core::telemetry::{MetricKind, MetricSpec, MetricUnit, describe};
use metrics::{Counter, SharedString};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

macro_rules! counts {
    ($($name:ident $metric:literal $meaning:literal;)*) => {
        /// What a cache has counted since it was built.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $(#[doc = concat!($meaning, ".")] pub $name: u64,)*
        }

        pub(crate) struct Counts {
            $(pub(crate) $name: Count,)*
        }

        impl Counts {
            /// Of the cache with this name.
            pub(crate) fn new(cache: &Arc<str>) -> Self {
                describe(METRICS);
                let mut metrics = METRICS.iter().map(|it| Count::new(it, cache));
                let mut next = || metrics.next().unwrap_or_default();
                Self {
                    $($name: next(),)*
                }
            }

            pub(crate) fn read(&self) -> Stats {
                Stats {
                    $($name: self.$name.count.load(Ordering::Relaxed),)*
                }
            }
        }

        /// All metrics.
        pub const METRICS: &[MetricSpec] = &[$(MetricSpec::new(
            $metric,
            MetricKind::Counter,
            MetricUnit::Count,
            &["cache"],
            "cache",
            $meaning,
        )),*];
    };
}

counts! {
    near_hits "kv_cache_near_hits_total"
        "Given out from this process's memory";
    far_hits "kv_cache_far_hits_total"
        "Found in the store";
    misses "kv_cache_misses_total"
        "Neither in this process nor in the store: it had to be loaded";
    loads "kv_cache_loads_total"
        "Loaders that were begun";
    failed_loads "kv_cache_failed_loads_total"
        "Those that failed, panicked, or did not end";
    coalesced "kv_cache_coalesced_total"
        "Callers who found their entry being loaded for another";
    stale_served "kv_cache_stale_served_total"
        "Callers who got a stale value at once, while a new one was loaded";
    stale_on_error "kv_cache_stale_on_error_total"
        "Loads that failed where a stale value was given out in place of a new one";
    early_refreshes "kv_cache_early_refreshes_total"
        "Loads that began before the entry was due";
    timeouts "kv_cache_timeouts_total"
        "Callers who had nothing and waited for a loader in vain";
    refused_fills "kv_cache_refused_fills_total"
        "What was loaded or read and not kept in this process, since something had been removed meanwhile";
    dropped_fills "kv_cache_dropped_fills_total"
        "What was loaded and not taken by the store, since something had been removed meanwhile";
    waits "kv_cache_waits_total"
        "Times that another process's load was waited for";
    far_errors "kv_cache_store_errors_total"
        "Calls to the store that failed or took too long";
    fallback_hits "kv_cache_fallback_hits_total"
        "Found in the fallback, while the store was in trouble";
    fallback_errors "kv_cache_fallback_errors_total"
        "Calls to the fallback that failed or took too long";
    tried_again "kv_cache_removals_tried_again_total"
        "Removals and expiries that the store had not taken, and took later";
    given_up "kv_cache_removals_given_up_total"
        "Those that it will not take: refused, or too many waited for it";
    heard "kv_cache_invalidations_heard_total"
        "Removals, writes and expiries that other processes have told";
    doubts "kv_cache_doubts_total"
        "Times that something may have been told and not heard";
    unreadable "kv_cache_unreadable_total"
        "Entries in the store that could not be read: damaged, or written by a newer program";
}

/// Apart from the others, which other processors write to.
#[repr(align(64))]
pub(crate) struct Count {
    count: AtomicU64,
    metric: Counter,
}

impl Count {
    fn new(spec: &MetricSpec, cache: &Arc<str>) -> Self {
        Self {
            count: AtomicU64::new(0),
            metric: spec.counter([SharedString::from_shared(cache.clone())]),
        }
    }

    pub(crate) fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.metric.increment(1);
    }
}

/// Told to nobody.
impl Default for Count {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(0),
            metric: Counter::noop(),
        }
    }
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}
