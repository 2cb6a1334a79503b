//! How long callers wait, and what becomes of what comes late.

use crate::{SECOND, near, settle, ttl};
use kv_cache::{Cache, LoadError};
use std::{convert::Infallible, sync::Arc};
use tokio::{sync::Notify, task::JoinHandle};

type Answer = Result<u32, LoadError<Infallible>>;

/// Asks for what comes when the gate opens.
fn ask(cache: &Cache<str, u32>, gate: &Arc<Notify>, value: u32) -> JoinHandle<Answer> {
    let (cache, gate) = (cache.clone(), gate.clone());
    tokio::spawn(async move {
        let load = cache.get_or_load("k", move |_| async move {
            gate.notified().await;
            Ok(value)
        });
        load.await.map(|it| *it)
    })
}

#[tokio::test]
async fn who_has_nothing_waits_for_so_long_and_what_comes_late_is_kept() {
    let (cache, clock) = near(ttl(60).hard_timeout(SECOND * 2));
    let gate = Arc::new(Notify::new());
    let asking = ask(&cache, &gate, 7);
    settle().await;
    clock.advance(SECOND * 2);
    assert!(matches!(asking.await.unwrap(), Err(LoadError::TimedOut)));
    // Who comes later waits for the same load.
    let second = ask(&cache, &gate, 8);
    settle().await;
    gate.notify_one();
    assert_eq!(second.await.unwrap().unwrap(), 7);
    assert_eq!(*cache.get("k").await.unwrap().unwrap(), 7);
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.timeouts), (1, 1));
}

#[tokio::test]
async fn a_loader_that_never_ends_is_ended() {
    let (cache, clock) = near(ttl(60).hard_timeout(SECOND * 2));
    let gate = Arc::new(Notify::new());
    let first = ask(&cache, &gate, 7);
    settle().await;
    clock.advance(SECOND * 4);
    assert!(matches!(first.await.unwrap(), Err(LoadError::TimedOut)));
    cache.idle().await;
    assert_eq!(cache.stats().failed_loads, 1);
    gate.notify_one();
    assert_eq!(ask(&cache, &gate, 8).await.unwrap().unwrap(), 8);
}

#[tokio::test]
async fn who_has_a_stale_value_waits_for_so_long_and_takes_it() {
    let policy = ttl(10).stale(SECOND * 50).soft_timeout(SECOND);
    let (cache, clock) = near(policy);
    let gate = Arc::new(Notify::new());
    cache.set("k", 7).await.unwrap();
    clock.advance(SECOND * 10);
    let late = ask(&cache, &gate, 8);
    settle().await;
    assert!(!late.is_finished());
    clock.advance(SECOND);
    assert_eq!(late.await.unwrap().unwrap(), 7);
    let in_time = ask(&cache, &gate, 9);
    settle().await;
    gate.notify_one();
    assert_eq!(in_time.await.unwrap().unwrap(), 8);
    assert_eq!(*cache.get("k").await.unwrap().unwrap(), 8);
    assert_eq!(cache.stats().stale_served, 1);
}

#[tokio::test]
async fn what_comes_too_late_leaves_the_stale_value_alone() {
    let policy = ttl(10).stale(SECOND * 50).hard_timeout(SECOND * 2);
    let (cache, clock) = near(policy.throttle(SECOND * 3));
    let gate = Arc::new(Notify::new());
    cache.set("k", 7).await.unwrap();
    clock.advance(SECOND * 10);
    assert_eq!(ask(&cache, &gate, 8).await.unwrap().unwrap(), 7);
    settle().await;
    clock.advance(SECOND * 4);
    cache.idle().await;
    let stats = cache.stats();
    assert_eq!((stats.failed_loads, stats.stale_on_error), (1, 1));
    assert_eq!(ask(&cache, &gate, 9).await.unwrap().unwrap(), 7);
    assert_eq!(cache.stats().loads, 1);
}
