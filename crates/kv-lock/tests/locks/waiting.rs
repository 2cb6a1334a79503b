//! Who waits is woken; nobody looks again and again.

use crate::{ON_STORE, SECOND, Site, settle};
use kv_lock::LockError;
use parking_lot::Mutex;
use std::sync::{Arc, atomic::Ordering};

#[tokio::test]
async fn a_release_wakes_without_any_time_passing() {
    let site = Site::new();
    let (ann, bob) = (site.process().await, site.process().await);
    let guard = ann.lock("a").acquire().await.unwrap();
    let waits = tokio::spawn(async move { bob.lock("a").acquire().await });
    settle().await;
    assert!(!waits.is_finished());
    let fence = guard.fence();
    guard.release().await;
    settle().await;
    assert!(waits.is_finished());
    assert!(waits.await.unwrap().unwrap().fence() > fence);
}

#[test]
fn the_end_of_a_lease_wakes_those_who_wait_for_the_dead() {
    let site = Site::new();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    let dies = runtime();
    let guard = dies.block_on(async { site.process().await.lock("a").acquire().await.unwrap() });
    drop(dies);
    std::mem::forget(guard);
    runtime().block_on(async {
        let bob = site.process().await;
        let waits = tokio::spawn(async move { bob.lock("a").acquire().await });
        site.pass(ON_STORE - SECOND / 10).await;
        assert!(!waits.is_finished());
        site.pass(SECOND / 5).await;
        assert!(waits.is_finished());
    });
}

#[tokio::test]
async fn waiting_ends_when_its_time_is_over_and_costs_nothing() {
    let site = Site::new();
    let (ann, bob) = (site.process().await, site.counted().await);
    let guard = ann.lock("a").acquire().await.unwrap();
    let (bob, calls) = bob;
    let waits = tokio::spawn(async move { bob.lock("a").wait(60 * SECOND).acquire().await });
    settle().await;
    site.pass(60 * SECOND).await;
    assert!(matches!(waits.await.unwrap(), Err(LockError::Timeout)));
    // Once when it came, once more when it listened, then when a lease might have ended.
    let calls = calls.load(Ordering::Relaxed);
    assert!(calls <= 2 + 6, "{calls} calls");
    guard.check().unwrap();
}

#[tokio::test]
async fn those_of_one_process_come_in_turn_and_one_asks() {
    let site = Site::new();
    let ann = site.process().await;
    let (bob, calls) = site.counted().await;
    let guard = ann.lock("a").acquire().await.unwrap();
    let order = Arc::<Mutex<Vec<usize>>>::default();
    let mut tasks = Vec::new();
    for place in 0..10 {
        let (bob, order) = (bob.clone(), order.clone());
        tasks.push(tokio::spawn(async move {
            let guard = bob.lock("a").acquire().await.unwrap();
            order.lock().push(place);
            guard.release().await;
        }));
        settle().await;
    }
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    // One gives up, and those behind it do not mind.
    tasks.remove(3).abort();
    guard.release().await;
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock(), [0, 1, 2, 4, 5, 6, 7, 8, 9]);
    // Acquired and released, and sometimes asked for too early.
    let calls = calls.load(Ordering::Relaxed);
    assert!(calls <= 2 + 3 * 9, "{calls} calls");
}
