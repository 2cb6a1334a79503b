//! The cache in one process, on a clock that is moved by hand: without a store, and on the store in memory.
#![allow(clippy::unwrap_used, reason = "a test")]

mod across;
mod admin;
mod again;
mod bad;
mod batches;
mod between;
mod dropped;
mod events;
mod fallback;
mod far;
mod fleet;
mod flights;
mod freshness;
mod glance;
mod hangs;
mod keyed;
mod many;
mod tags;
mod tags_late;
mod tags_races;
mod tenants;
mod timeouts;
mod trouble;

use kv_cache::{Cache, Near, Policy};
use kv_core::VirtualClock;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

/// Where values come from: it counts up.
#[derive(Clone, Default)]
struct Origin(Arc<AtomicU32>);

impl Origin {
    /// A loader of the next value.
    fn next(&self) -> impl Future<Output = Result<u32, &'static str>> + Send + use<> {
        let value = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        async move { Ok(value) }
    }

    /// How many have it.
    fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    fn loads(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

async fn fails() -> Result<u32, &'static str> {
    Err("down")
}

fn ttl(fresh: u32) -> Policy {
    Policy::ttl(SECOND * fresh)
}

/// In this process only.
fn near(policy: Policy) -> (Cache<str, u32>, VirtualClock) {
    let clock = VirtualClock::default();
    clock.advance(SECOND * 1000);
    let cache = Cache::builder("c")
        .near(Near::megabytes(1))
        .policy(policy)
        .clock(Arc::new(clock.clone()))
        .build();
    (cache.unwrap(), clock)
}

/// Lets all others go on until nobody can: there is one thread, and nothing is waited for but the clock and
/// what tests do.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
