//! The machine sleeps while a lock is held: timers stand still meanwhile, the lease does not.

use crate::{SECOND, Site, settle};
use kv_core::{BoxFuture, Clock, Timestamp, VirtualClock};
use kv_lock::{LockManager, LostReason};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};

/// A machine's clock that tells how long it slept, as the system's does; its timers do not know.
#[derive(Clone, Debug)]
struct Laptop {
    awake: VirtualClock,
    slept: Arc<Mutex<Duration>>,
}

impl Laptop {
    fn sleeps(&self, span: Duration) {
        *self.slept.lock() += span;
    }
}

impl Clock for Laptop {
    fn now(&self) -> Timestamp {
        self.awake.now().saturating_add(*self.slept.lock())
    }

    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        self.sleep(deadline.saturating_since(self.now()))
    }

    fn monotonic(&self) -> Duration {
        self.awake.monotonic() + *self.slept.lock()
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        self.awake.sleep(span)
    }
}

async fn laptop(site: &Site) -> (LockManager, Laptop) {
    let laptop = Laptop {
        awake: site.clock.clone(),
        slept: Arc::default(),
    };
    let kv = site.kv().await;
    let locks = LockManager::builder(&kv).clock(Arc::new(laptop.clone()));
    (locks.build().unwrap(), laptop)
}

#[tokio::test]
async fn who_asks_after_it_learns_of_the_loss_at_once() {
    let site = Site::new();
    let (locks, laptop) = laptop(&site).await;
    let guard = locks.lock("a").acquire().await.unwrap();
    settle().await;
    laptop.sleeps(9 * SECOND);
    assert_eq!(guard.remaining(), SECOND);
    laptop.sleeps(SECOND);
    assert_eq!(guard.check().unwrap_err().reason(), LostReason::Expired);
    assert!(guard.fenced_put("r", "late").await.is_err());
}

#[tokio::test]
async fn who_does_not_ask_is_told_within_a_second() {
    let site = Site::new();
    let (locks, laptop) = laptop(&site).await;
    let guard = locks.lock("a").acquire().await.unwrap();
    let (token, lost) = (guard.token(), tokio::spawn(guard.lost()));
    settle().await;
    laptop.sleeps(60 * SECOND);
    site.pass(SECOND).await;
    assert!(token.is_cancelled() && lost.is_finished());
}

/// A nap that is shorter than the lease: it is renewed before it ends.
#[tokio::test]
async fn a_nap_is_made_up_for() {
    let site = Site::new();
    let (locks, laptop) = laptop(&site).await;
    let guard = locks.lock("a").acquire().await.unwrap();
    settle().await;
    for _ in 0..10 {
        laptop.sleeps(8 * SECOND);
        site.pass(SECOND).await;
        assert!(guard.remaining() > 9 * SECOND);
    }
}
