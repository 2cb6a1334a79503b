//! In the order in which they came, whatever process they are of.

use crate::{
    ON_STORE, SECOND, Site,
    cancel::{is_over_after, slow},
    lost::through,
    replies::with,
    settle,
};
use kv_conformance::faults::Fault;
use kv_lock::{LockManager, Release};
use parking_lot::Mutex;
use std::sync::{Arc, atomic::Ordering};
use tokio::task::JoinHandle;

type Order = Arc<Mutex<Vec<usize>>>;

/// Waits in turn, notes down when it has come, and releases at once.
async fn waits(site: &Site, locks: &LockManager, order: &Order, number: usize) -> JoinHandle<()> {
    let (lock, order) = (locks.lock("a").fair(), order.clone());
    // Two that come in the same microsecond came at once.
    site.clock.advance(SECOND / 1000);
    let task = tokio::spawn(async move {
        let guard = lock.acquire().await.unwrap();
        order.lock().push(number);
        assert_ne!(guard.release().await, Release::Expired);
    });
    settle().await;
    task
}

#[tokio::test]
async fn they_come_in_the_order_of_their_arrival_across_processes() {
    let site = Site::new();
    let processes = [
        site.counted().await,
        site.counted().await,
        site.counted().await,
    ];
    let order = Order::default();
    let held = site
        .process()
        .await
        .lock("a")
        .fair()
        .acquire()
        .await
        .unwrap();
    let mut tasks = Vec::new();
    for number in 0..12 {
        let (locks, _) = &processes[number % 3];
        tasks.push(waits(&site, locks, &order, number).await);
    }
    let count = || -> usize {
        let counts = processes.iter().map(|(_, it)| it.load(Ordering::Relaxed));
        counts.sum()
    };
    let before = count();
    // Asked, refused, queued; whoever is the first of its process asks once more when it listens.
    assert!(before <= 12 * 2 + 3, "{before} calls");
    held.release().await;
    for _ in 0..20 {
        settle().await;
    }
    for task in &tasks {
        assert!(task.is_finished());
    }
    assert_eq!(*order.lock(), (0..12).collect::<Vec<_>>());
    // Acquired and released: who is not next was not woken, but for the first time, when nobody knew who is.
    let calls = count() - before;
    assert!(calls <= 2 * 12 + 3, "{calls} calls");
    let kv = site.kv().await;
    for key in ["{lock:a}:queue", "{lock:a}:alive", "{lock:a}:holder"] {
        assert!(!kv.exists(key).await.unwrap(), "{key}");
    }
}

#[tokio::test]
async fn a_free_lock_costs_what_a_plain_one_does() {
    let site = Site::new();
    let (locks, calls) = site.counted().await;
    let lock = locks.lock("a").fair();
    lock.acquire().await.unwrap().release().await;
    lock.try_acquire().await.unwrap().unwrap().release().await;
    assert_eq!(calls.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn it_is_the_same_lock_as_a_plain_one() {
    let site = Site::new();
    let (ann, bob) = (site.process().await, site.process().await);
    let plain = ann.lock("a").acquire().await.unwrap();
    assert!(bob.lock("a").fair().try_acquire().await.unwrap().is_none());
    let order = Order::default();
    let task = waits(&site, &bob, &order, 1).await;
    let earlier = plain.fence();
    plain.release().await;
    settle().await;
    assert!(task.is_finished());
    let fair = bob.lock("a").fair().acquire().await.unwrap();
    assert!(fair.fence() > earlier);
    assert!(ann.lock("a").try_acquire().await.unwrap().is_none());
    let waits = tokio::spawn(async move { ann.lock("a").acquire().await.unwrap() });
    settle().await;
    fair.release().await;
    settle().await;
    assert!(waits.is_finished());
}

#[tokio::test]
async fn who_tries_does_not_overtake_who_waits() {
    let site = Site::new();
    let (ann, (dead, switch)) = (site.process().await, through(&site, Fault::Hang).await);
    let held = ann.lock("a").fair().acquire().await.unwrap();
    let order = Order::default();
    let task = waits(&site, &dead, &order, 1).await;
    switch.on();
    held.release().await;
    settle().await;
    assert!(ann.lock("a").fair().try_acquire().await.unwrap().is_none());
    // Nor is it kept out for ever by one that has died.
    site.pass(6 * SECOND).await;
    assert!(ann.lock("a").fair().try_acquire().await.unwrap().is_some());
    task.abort();
}

#[tokio::test]
async fn waiting_is_told_in_one_call_for_all_and_asks_rarely() {
    let site = Site::new();
    let held = site.process().await.lock("a").acquire().await.unwrap();
    let (locks, calls) = site.counted().await;
    let order = Order::default();
    let mut tasks = Vec::new();
    for number in 0..30 {
        tasks.push(waits(&site, &locks, &order, number).await);
    }
    let before = calls.load(Ordering::Relaxed);
    site.pass(60 * SECOND).await;
    // Alive about each 1.6 seconds, all together; and the first of them when the lease might have ended.
    let calls = calls.load(Ordering::Relaxed) - before;
    assert!(calls <= 60, "{calls} calls");
    held.release().await;
    for _ in 0..40 {
        settle().await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock(), (0..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_waiter_that_died_is_passed_over() {
    let site = Site::new();
    let ann = site.process().await;
    let (dead, switch) = through(&site, Fault::Hang).await;
    let order = Order::default();
    let held = ann.lock("a").fair().acquire().await.unwrap();
    let returns = waits(&site, &dead, &order, 1).await;
    let second = waits(&site, &ann, &order, 2).await;
    switch.on();
    // Freed while the dead one counts as alive: nobody may take it yet.
    held.release().await;
    settle().await;
    site.pass(3 * SECOND).await;
    assert!(!second.is_finished());
    site.pass(3 * SECOND).await;
    assert!(second.is_finished());
    // It comes back while others wait, and starts at the end.
    let held = ann.lock("a").fair().acquire().await.unwrap();
    let third = waits(&site, &ann, &order, 3).await;
    switch.off();
    site.pass(20 * SECOND).await;
    held.release().await;
    for _ in 0..4 {
        settle().await;
    }
    assert!(third.is_finished() && returns.is_finished());
    assert_eq!(*order.lock(), [2, 3, 1]);
}

/// The one that the holder would name has died, and is out of the queue before the lock is free.
#[tokio::test]
async fn a_release_does_not_wait_for_who_died_long_before() {
    let site = Site::new();
    let (ann, bob) = (site.process().await, site.process().await);
    let (dead, switch) = through(&site, Fault::Hang).await;
    let order = Order::default();
    let held = ann.lock("a").fair().acquire().await.unwrap();
    let first = waits(&site, &bob, &order, 1).await;
    let returns = waits(&site, &dead, &order, 2).await;
    let third = waits(&site, &bob, &order, 3).await;
    switch.on();
    site.pass(12 * SECOND).await;
    held.release().await;
    for _ in 0..4 {
        settle().await;
    }
    assert!(first.is_finished() && third.is_finished());
    returns.abort();
}

#[tokio::test]
async fn a_holder_that_died_is_followed_by_who_came_first() {
    let site = Site::new();
    let (dead, switch) = through(&site, Fault::Hang).await;
    let (bob, cid) = (site.process().await, site.process().await);
    let order = Order::default();
    let _held = dead.lock("a").fair().acquire().await.unwrap();
    let tasks = [
        waits(&site, &bob, &order, 1).await,
        waits(&site, &cid, &order, 2).await,
        waits(&site, &bob, &order, 3).await,
    ];
    switch.on();
    site.pass(ON_STORE - SECOND).await;
    assert!(order.lock().is_empty());
    site.pass(SECOND * 3 / 2).await;
    for task in &tasks {
        assert!(task.is_finished());
    }
    assert_eq!(*order.lock(), [1, 2, 3]);
}

#[tokio::test]
async fn a_waiter_that_is_dropped_leaves_the_queue_at_whatever_moment() {
    for polls in 0..24 {
        let site = Site::new();
        let (ann, order) = (site.process().await, Order::default());
        let held = ann.lock("a").fair().acquire().await.unwrap();
        let locks = slow(&site).await;
        assert!(!is_over_after(polls, locks.lock("a").fair().acquire()));
        let same = waits(&site, &locks, &order, 1).await;
        let other = waits(&site, &ann, &order, 2).await;
        held.release().await;
        for _ in 0..4 {
            settle().await;
        }
        assert!(same.is_finished() && other.is_finished(), "after {polls}");
        assert_eq!(*order.lock(), [1, 2], "after {polls}");
        let kv = site.kv().await;
        assert!(!kv.exists("{lock:a}:queue").await.unwrap(), "after {polls}");
    }
}

/// Not dropped this time: whatever it was at when the lock became free, it learns of it.
#[tokio::test]
async fn a_release_at_any_moment_is_not_missed() {
    for polls in 0..24 {
        let site = Site::new();
        let locks = slow(&site).await;
        let held = site
            .process()
            .await
            .lock("a")
            .fair()
            .acquire()
            .await
            .unwrap();
        let mut waits = Box::pin(async move { locks.lock("a").fair().acquire().await });
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..polls {
            assert!(waits.as_mut().poll(&mut context).is_pending());
        }
        held.release().await;
        let waits = tokio::spawn(waits);
        settle().await;
        settle().await;
        assert!(waits.is_finished(), "after {polls}");
    }
}

#[tokio::test]
async fn one_that_is_dropped_when_it_acquires_holds_nothing() {
    for polls in 0..8 {
        let site = Site::new();
        let locks = slow(&site).await;
        is_over_after(polls, locks.lock("a").fair().acquire());
        settle().await;
        let other = site.process().await.lock("a").fair();
        assert!(
            other.try_acquire().await.unwrap().is_some(),
            "after {polls}"
        );
    }
}

/// The named one left after the holder learnt of it; who came next knows by itself.
#[tokio::test]
async fn who_is_next_need_not_be_named() {
    let site = Site::new();
    let (ann, bob, cid) = (
        site.process().await,
        site.process().await,
        site.process().await,
    );
    let order = Order::default();
    let held = ann.lock("a").fair().acquire().await.unwrap();
    let holder = {
        let lock = ann.lock("a").fair();
        tokio::spawn(async move { lock.acquire().await.unwrap() })
    };
    settle().await;
    let leaves = waits(&site, &bob, &order, 1).await;
    let next = waits(&site, &cid, &order, 2).await;
    held.release().await;
    settle().await;
    let holder = holder.await.unwrap();
    leaves.abort();
    settle().await;
    settle().await;
    holder.release().await;
    settle().await;
    assert!(next.is_finished());
}

#[tokio::test]
async fn lost_answers_do_no_harm() {
    let lost = [
        vec![Fault::ApplyThenFail],
        vec![Fault::ApplyThenFail, Fault::ApplyThenFail],
        vec![Fault::None, Fault::ApplyThenFail],
        vec![Fault::None, Fault::ApplyThenFail, Fault::ApplyThenFail],
        vec![Fault::None, Fault::None, Fault::ApplyThenFail],
        vec![Fault::None, Fault::Duplicate, Fault::Duplicate],
        vec![Fault::None, Fault::Hang, Fault::ApplyThenFail],
    ];
    for faults in lost {
        for is_held in [true, false] {
            let site = Site::new();
            let locks = with(&site, &faults).await;
            let plain = site.process().await;
            let held = plain.lock("a").try_acquire().await.unwrap();
            let order = Order::default();
            if !is_held {
                held.unwrap().release().await;
                settle().await;
                let task = waits(&site, &locks, &order, 1).await;
                site.pass(12 * SECOND).await;
                assert!(task.is_finished(), "{faults:?}");
            } else {
                let task = waits(&site, &locks, &order, 1).await;
                site.pass(12 * SECOND).await;
                assert!(!task.is_finished(), "{faults:?}");
                held.unwrap().release().await;
                site.pass(6 * SECOND).await;
                assert!(task.is_finished(), "{faults:?}");
            }
            let free = plain.lock("a").fair().try_acquire().await.unwrap();
            assert!(free.is_some(), "{faults:?}");
        }
    }
}
