//! The order of arrival, across processes.

use crate::site::{LONG, Site};
use kv_core::Key;
use kv_lock::{LockManager, Release};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinHandle;

type Order = Arc<Mutex<Vec<usize>>>;

/// Nobody may wait for the end of a lease in these tests.
const LEASE: Duration = Duration::from_secs(600);

/// Stands in the queue before this ends.
async fn waits(site: &Site, locks: &LockManager, order: &Order, number: usize) -> JoinHandle<()> {
    let queued = || site.kv.zcount(key("queue"), kv_core::ScoreRange::ALL);
    let before = queued().await.unwrap();
    let (lock, order) = (
        locks.lock("a").lease(LEASE).wait(LONG).fair(),
        order.clone(),
    );
    let task = tokio::spawn(async move {
        let guard = lock.acquire().await.unwrap();
        order.lock().push(number);
        assert_ne!(guard.release().await, Release::Expired);
    });
    while queued().await.unwrap() <= before {
        tokio::task::yield_now().await;
    }
    task
}

fn key(name: &str) -> Key {
    Key::new(format!("{{lock:a}}:{name}")).unwrap()
}

async fn they_come_in_the_order_of_their_arrival(site: Site) {
    let processes = [
        site.counted().await,
        site.counted().await,
        site.counted().await,
    ];
    let order = Order::default();
    let lock = site.locks.lock("a").lease(LEASE).fair();
    let held = lock.acquire().await.unwrap();
    let mut tasks = Vec::new();
    for number in 0..12 {
        let locks = &processes[number % 3].0;
        tasks.push(waits(&site, locks, &order, number).await);
    }
    let calls = || -> u64 { processes.iter().map(|it| it.1.commits()).sum() };
    let before = calls();
    held.release().await;
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock(), (0..12).collect::<Vec<_>>());
    // Acquired and released each, the signs of life, and at the first hand-over nobody knew who is next.
    let calls = calls() - before;
    assert!(calls <= 2 * 12 + 3 + 6, "{calls} calls for 12 hand-overs");
    for name in ["queue", "alive", "holder"] {
        assert!(!site.kv.exists(key(name)).await.unwrap(), "{name}");
    }
}

async fn a_waiter_that_died_is_passed_over(site: Site) {
    let (order, dead) = (Order::default(), site.mortal().await);
    let lock = site.locks.lock("a").lease(LEASE).fair();
    let held = lock.acquire().await.unwrap();
    let returns = waits(&site, &dead.locks, &order, 1).await;
    let second = waits(&site, &site.locks, &order, 2).await;
    dead.dies.on();
    held.release().await;
    second.await.unwrap();
    // It comes back, finds its place gone, and waits behind those who came meanwhile.
    dead.dies.off();
    returns.await.unwrap();
    assert_eq!(*order.lock(), [2, 1]);
}

async fn one_that_gives_up_is_not_waited_for(site: Site) {
    let (order, other) = (Order::default(), site.another().await);
    let lock = site.locks.lock("a").lease(LEASE).fair();
    let held = lock.acquire().await.unwrap();
    let leaves = waits(&site, &other, &order, 1).await;
    let next = waits(&site, &site.locks, &order, 2).await;
    leaves.abort();
    held.release().await;
    next.await.unwrap();
    assert_eq!(*order.lock(), [2]);
}

async fn it_is_the_same_lock_as_a_plain_one(site: Site) {
    let other = site.another().await;
    let plain = site.locks.lock("a").lease(LEASE).acquire().await.unwrap();
    assert!(
        other
            .lock("a")
            .fair()
            .try_acquire()
            .await
            .unwrap()
            .is_none()
    );
    let order = Order::default();
    let task = waits(&site, &other, &order, 1).await;
    plain.release().await;
    task.await.unwrap();
    let fair = other.lock("a").lease(LEASE).fair().acquire().await.unwrap();
    assert!(site.locks.lock("a").try_acquire().await.unwrap().is_none());
    let lock = site.locks.lock("a").wait(LONG);
    let plain = tokio::spawn(async move { lock.acquire().await.unwrap() });
    fair.release().await;
    plain.await.unwrap().release().await;
}

async fn lost_answers_do_no_harm(site: Site) {
    let (order, other) = (Order::default(), site.another().await);
    site.lost_answers.on();
    for number in 0..10 {
        let held = other
            .lock("a")
            .lease(LEASE)
            .wait(LONG)
            .fair()
            .acquire()
            .await;
        let task = waits(&site, &site.locks, &order, number).await;
        held.unwrap().release().await;
        task.await.unwrap();
    }
    site.lost_answers.off();
    let free = other.lock("a").wait(LONG).fair().acquire().await.unwrap();
    free.release().await;
}

crate::on_each_store! {
    they_come_in_the_order_of_their_arrival
    a_waiter_that_died_is_passed_over
    one_that_gives_up_is_not_waited_for
    it_is_the_same_lock_as_a_plain_one
    lost_answers_do_no_harm
}
