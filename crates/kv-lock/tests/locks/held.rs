//! Who holds a lock holds it alone, for as long as it lives.

use crate::{ON_STORE, SECOND, Site, settle};
use kv_core::TimeToLive;
use kv_lock::{LockManager, Release};
use std::{sync::atomic::Ordering, time::Duration};

#[tokio::test]
async fn one_holds_it_at_a_time_and_fences_rise() {
    let site = Site::new();
    let (ann, bob) = (site.process().await, site.process().await);
    let first = ann.lock("a").acquire().await.unwrap();
    assert!(bob.lock("a").try_acquire().await.unwrap().is_none());
    // Not even who holds it.
    assert!(ann.lock("a").try_acquire().await.unwrap().is_none());
    assert!(bob.lock("b").try_acquire().await.unwrap().is_some());
    assert_eq!(first.check(), Ok(first.fence()));
    assert_eq!(first.remaining(), 10 * SECOND);
    let fence = first.fence();
    assert_eq!(first.release().await, Release::Released);
    let second = bob.lock("a").try_acquire().await.unwrap().unwrap();
    assert!(second.fence() > fence);
    // Forgotten by the store.
    site.kv()
        .await
        .delete_many(["{lock:a}:holder", "{lock:a}:fence"])
        .await
        .unwrap();
    let third = ann.lock("a").acquire().await.unwrap();
    assert!(third.fence() > second.fence());
}

#[tokio::test]
async fn an_acquisition_and_a_release_are_one_call_each() {
    let site = Site::new();
    let (locks, calls) = site.counted().await;
    for round in 1..=5 {
        locks.lock("a").acquire().await.unwrap().release().await;
        assert_eq!(calls.load(Ordering::Relaxed), 2 * round);
    }
}

#[tokio::test]
async fn it_is_renewed_as_long_as_it_is_held() {
    let site = Site::new();
    let (locks, calls) = site.counted().await;
    let mut guards = Vec::new();
    for name in 0..100 {
        guards.push(locks.lock(format!("{name}")).acquire().await.unwrap());
    }
    calls.store(0, Ordering::Relaxed);
    site.pass(100 * SECOND).await;
    for guard in &guards {
        guard.check().unwrap();
        assert!(guard.remaining() > 6 * SECOND);
    }
    // Each interval is a third of ten seconds, or a little less.
    let calls = calls.load(Ordering::Relaxed);
    assert!(
        calls <= 2 * 36,
        "{calls} calls for 100 locks in 100 seconds"
    );
    // No renewal follows a release.
    drop(guards);
    settle().await;
    let kv = site.kv().await;
    site.pass(10 * SECOND).await;
    for name in 0..100 {
        assert!(!kv.exists(format!("{{lock:{name}}}:holder")).await.unwrap());
    }
}

#[tokio::test]
async fn the_store_keeps_it_longer_than_the_holder() {
    let site = Site::new();
    let (locks, kv) = (site.process().await, site.kv().await);
    let guard = locks.lock("a").metadata("host=a").acquire().await.unwrap();
    let key = "{lock:a}:holder";
    assert_eq!(
        kv.time_to_live(key).await.unwrap(),
        TimeToLive::In(ON_STORE)
    );
    let stored = kv.get(key).await.unwrap().unwrap();
    let text = stored.to_str().unwrap();
    assert!(
        text.starts_with("1:") && text.ends_with(":host=a"),
        "{text}"
    );
    drop(guard);
}

#[tokio::test]
async fn a_guard_that_is_dropped_releases() {
    let site = Site::new();
    let locks = site.process().await;
    let guard = locks.lock("a").acquire().await.unwrap();
    let token = guard.token();
    assert!(!token.is_cancelled());
    drop(guard);
    assert!(token.is_cancelled());
    settle().await;
    assert!(locks.lock("a").try_acquire().await.unwrap().is_some());
}

/// Also on a thread that knows of no runtime.
#[test]
fn without_its_runtime_the_lease_ends_a_lock() {
    let site = Site::new();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    let first = runtime();
    let locks: LockManager = first.block_on(site.process());
    let guard = first.block_on(locks.lock("a").acquire()).unwrap();
    let elsewhere = first.block_on(locks.lock("b").acquire()).unwrap();
    drop(elsewhere);
    first.block_on(settle());
    drop(first);
    drop(guard);
    runtime().block_on(async {
        assert!(locks.lock("b").try_acquire().await.unwrap().is_some());
        assert!(locks.lock("a").try_acquire().await.unwrap().is_none());
        site.clock.advance(ON_STORE);
        assert!(locks.lock("a").try_acquire().await.unwrap().is_some());
    });
}

#[tokio::test]
async fn a_lease_that_makes_no_sense_is_refused() {
    let site = Site::new();
    let kv = site.kv().await;
    assert!(site.on(&kv).lease(SECOND / 100).build().is_err());
    assert!(site.on(&kv).grace(SECOND * 100_000).build().is_err());
    let locks = site.process().await;
    assert!(
        locks
            .lock("a")
            .lease(SECOND * 100_000)
            .acquire()
            .await
            .is_err()
    );
}

#[tokio::test]
async fn limits_may_be_without_end_but_not_shorter_than_a_call() {
    let site = Site::new();
    let lock = site.process().await.lock("a");
    for wrong in [
        lock.clone().max_hold(SECOND / 100),
        lock.clone().heartbeat_within(SECOND / 100),
    ] {
        let refused = wrong.acquire().await.unwrap_err().to_string();
        assert!(refused.contains("at least 100ms"), "{refused}");
    }
    let endless = lock.max_hold(Duration::MAX).heartbeat_within(Duration::MAX);
    let guard = endless.acquire().await.unwrap();
    site.pass(60 * SECOND).await;
    guard.check().unwrap();
}
