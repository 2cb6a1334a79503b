//! The algorithms that the stores themselves do not know, on the store in memory and a clock that is moved by hand.
#![allow(clippy::unwrap_used, reason = "a test")]

mod calendar;
mod log;
mod sliding;
mod slots;

use futures_util::TryStreamExt;
use kv_core::{Kv, KvBuilder, TimeToLive, Timestamp, VirtualClock, layer_fn};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_ratelimit::{Decision, Limit, Policy, RateLimiter, Tier};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);
const MICRO: Duration = Duration::from_micros(1);

struct Site {
    store: MemoryStore,
    /// The store's.
    clock: VirtualClock,
    /// The processes'.
    here: VirtualClock,
}

/// How often a process has asked the store.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicU64>);

impl Calls {
    /// Since it was last asked.
    fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Site {
    /// All clocks show this instant.
    fn at(instant: &str) -> Self {
        let clock = VirtualClock::at(time(instant));
        Self::of(clock.clone(), clock)
    }

    fn of(clock: VirtualClock, here: VirtualClock) -> Self {
        let store = MemoryStore::with_clock(MemoryConfig::default(), Arc::new(clock.clone()));
        Self { store, clock, here }
    }

    async fn kv(&self) -> Kv {
        Kv::builder(self.store.clone()).connect().await.unwrap()
    }

    /// A process: nothing is shared with others but the store.
    async fn process(&self, quota: &str) -> RateLimiter {
        self.on(Kv::builder(self.store.clone()), strict(quota))
            .await
    }

    /// Some limit under a policy in a process of its own.
    async fn limit(&self, quota: &str) -> Limit {
        self.process(quota).await.limit("p", "ann").unwrap()
    }

    async fn counted(&self, quota: &str) -> (Limit, Calls) {
        let calls = Calls::default();
        let count = calls.clone();
        let layer = layer_fn("count", move |request, next| {
            count.0.fetch_add(1, Ordering::Relaxed);
            next.call(request)
        });
        let kv = Kv::builder(self.store.clone()).layer(layer);
        let limiter = self.on(kv, strict(quota)).await;
        calls.take();
        (limiter.limit("p", "ann").unwrap(), calls)
    }

    async fn on(&self, kv: KvBuilder, policy: Policy) -> RateLimiter {
        let kv = kv.connect().await.unwrap();
        let limiter = RateLimiter::builder(&kv).clock(Arc::new(self.here.clone()));
        limiter.policy("p", policy).build().unwrap()
    }

    /// All keys, each with how long it lives.
    async fn keys(&self) -> Vec<(String, TimeToLive)> {
        let kv = self.kv().await;
        let mut found = kv.scan("");
        let mut keys = Vec::new();
        while let Some(key) = found.try_next().await.unwrap() {
            let left = kv.time_to_live(&key).await.unwrap();
            keys.push((key.to_string(), left));
        }
        keys.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        keys
    }

    /// Lets this much time pass, and everybody do what there is to do meanwhile.
    async fn pass(&self, span: Duration) {
        let step = Duration::from_millis(100);
        let mut left = span;
        while !left.is_zero() {
            let next = left.min(step);
            self.clock.advance(next);
            left -= next;
            settle().await;
        }
    }
}

/// Everybody goes on as far as they can.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

fn time(instant: &str) -> Timestamp {
    let instant: jiff::Timestamp = instant.parse().unwrap();
    Timestamp::from_micros(instant.as_microsecond())
}

fn strict(quota: &str) -> Policy {
    Policy::new(quota.parse().unwrap()).tier(Tier::Strict)
}

async fn passes(limit: &Limit) -> Decision {
    let decision = limit.check().await.unwrap();
    assert!(decision.is_allowed(), "{decision:?}");
    decision
}

async fn is_denied(limit: &Limit) -> Decision {
    let decision = limit.check().await.unwrap();
    assert!(!decision.is_allowed(), "{decision:?}");
    decision
}

/// R2: after `retry_after` the same call passes, a microsecond earlier it does not.
async fn is_denied_exactly_until(site: &Site, limit: &Limit, after: Duration) {
    assert_eq!(is_denied(limit).await.retry_after, after);
    assert_eq!(limit.peek().await.unwrap().retry_after, after);
    site.clock.advance(after - MICRO);
    assert_eq!(is_denied(limit).await.retry_after, MICRO);
    site.clock.advance(MICRO);
    passes(limit).await;
}
