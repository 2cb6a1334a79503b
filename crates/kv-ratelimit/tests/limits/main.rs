//! Limits on the store in memory, on a clock that is moved by hand.
#![allow(clippy::unwrap_used, reason = "a test")]

mod errors;
mod follow;
mod history;
mod leased;
mod mirrored;
mod own;
mod policies;
mod refund;
mod several;
mod strict;
mod tenants;
mod waiting;

use kv_core::{Kv, KvBuilder, VirtualClock, layer_fn};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_ratelimit::{Policy, RateLimiter, RateLimiterBuilder, Tier};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

struct Site {
    store: MemoryStore,
    clock: VirtualClock,
}

/// How often a process has asked the store about limits.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicU64>);

impl Calls {
    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Site {
    fn new() -> Self {
        let clock = VirtualClock::default();
        clock.advance(1000 * SECOND);
        let store = MemoryStore::with_clock(MemoryConfig::default(), Arc::new(clock.clone()));
        Self { store, clock }
    }

    async fn kv(&self) -> Kv {
        Kv::builder(self.store.clone()).connect().await.unwrap()
    }

    fn counted(&self) -> (KvBuilder, Calls) {
        let calls = Calls::default();
        let count = calls.clone();
        let layer = layer_fn("count", move |request, next| {
            if request.command.spec().name == "throttle" {
                count.0.fetch_add(1, Ordering::Relaxed);
            }
            next.call(request)
        });
        (Kv::builder(self.store.clone()).layer(layer), calls)
    }

    fn on(&self, kv: &Kv) -> RateLimiterBuilder {
        RateLimiter::builder(kv).clock(Arc::new(self.clock.clone()))
    }

    /// A process with one policy, `p`: nothing is shared with others but the store.
    async fn process(&self, policy: Policy) -> (RateLimiter, Calls) {
        let (kv, calls) = self.counted();
        let kv = kv.connect().await.unwrap();
        (self.on(&kv).policy("p", policy).build().unwrap(), calls)
    }

    /// Lets this much time pass, and everybody do what there is to do meanwhile.
    async fn pass(&self, span: Duration) {
        let step = Duration::from_millis(5).max(span / 200);
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
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn quota(text: &str) -> Policy {
    Policy::new(text.parse().unwrap()).tier(Tier::Strict)
}
