//! Locks on the store in memory, on a clock that is moved by hand.
#![allow(clippy::unwrap_used, reason = "a test")]

mod admin;
mod asleep;
mod cancel;
mod control;
mod election;
mod fair;
mod fenced;
mod held;
mod kinds;
mod latch;
mod lost;
mod multi;
mod replies;
mod run;
mod rw;
mod semaphore;
mod tenants;
mod waiting;

use kv_core::{Kv, VirtualClock, layer_fn};
use kv_lock::{LockManager, LockManagerBuilder};
use kv_memory::{MemoryConfig, MemoryStore};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

/// What the store holds on to a lock of 10 seconds: half as long again, and what clocks drift.
const ON_STORE: Duration = Duration::from_millis(15_102);

struct Site {
    store: MemoryStore,
    clock: VirtualClock,
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

    fn on(&self, kv: &Kv) -> LockManagerBuilder {
        LockManager::builder(kv).clock(Arc::new(self.clock.clone()))
    }

    /// Locks as another process sees them: nothing is shared but the store.
    async fn process(&self) -> LockManager {
        self.on(&self.kv().await).build().unwrap()
    }

    /// The same through something that counts the calls that carry transactions.
    async fn counted(&self) -> (LockManager, Arc<AtomicUsize>) {
        let calls = Arc::<AtomicUsize>::default();
        let count = calls.clone();
        let layer = layer_fn("count", move |request, next| {
            if request.command.spec().name == "commit" {
                count.fetch_add(1, Ordering::Relaxed);
            }
            next.call(request)
        });
        let kv = Kv::builder(self.store.clone())
            .layer(layer)
            .connect()
            .await
            .unwrap();
        (self.on(&kv).build().unwrap(), calls)
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
