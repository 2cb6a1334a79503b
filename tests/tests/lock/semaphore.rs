//! The semaphore: how many hold it, what a crash gives back, and who says how many there are.

use crate::site::{LONG, Site};
use kv_lock::{LockError, Release};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// Nobody may wait for the end of a lease but where that is tested.
const LEASE: Duration = Duration::from_secs(600);

async fn no_more_are_held_than_there_are(site: Site) {
    let held = Arc::<AtomicU32>::default();
    let mut tasks = Vec::new();
    for number in 0..6 {
        let (locks, held) = (site.another().await, held.clone());
        tasks.push(tokio::spawn(async move {
            let count = 1 + number % 3;
            for _ in 0..5 {
                let permits = locks.semaphore("a", 4).permits(count).unwrap();
                let guard = permits.lease(LEASE).wait(LONG).acquire().await.unwrap();
                let all = held.fetch_add(count, Ordering::SeqCst) + count;
                assert!(all <= 4, "{all}");
                tokio::task::yield_now().await;
                held.fetch_sub(count, Ordering::SeqCst);
                assert_eq!(guard.release().await, Release::Released);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let all = site.locks.semaphore("a", 4).permits(4).unwrap();
    assert!(all.try_acquire().await.unwrap().is_some());
}

async fn a_crash_gives_permits_back(site: Site) {
    let dead = site.mortal().await;
    let permits = dead.locks.semaphore("a", 3).permits(3).unwrap();
    let held = permits
        .lease(Duration::from_millis(600))
        .acquire()
        .await
        .unwrap();
    dead.dies.on();
    let permits = site.locks.semaphore("a", 3).permits(2).unwrap();
    let next = permits.lease(LEASE).wait(LONG).acquire().await.unwrap();
    assert!(held.check().is_err(), "known there before anybody has them");
    dead.dies.off();
    assert_eq!(held.release().await, Release::Expired);
    assert_eq!(next.release().await, Release::Released);
}

async fn all_must_agree_on_their_number(site: Site) {
    let ours = site.locks.semaphore("a", 3);
    let held = ours.permits(3).unwrap().lease(LEASE).acquire().await;
    let theirs = site.another().await.semaphore("a", 5);
    let refused = theirs.acquire(1).await.unwrap_err();
    let LockError::SizeMismatch(mismatch) = refused else {
        panic!("{refused}");
    };
    assert_eq!((mismatch.here(), mismatch.on_store()), (5, 3));
    let waits = tokio::spawn(async move { ours.acquire(1).await });
    let resized = theirs.resize(4).await.unwrap();
    assert!(matches!(
        waits.await.unwrap(),
        Err(LockError::SizeMismatch(_))
    ));
    let one = resized.permits(1).unwrap().try_acquire().await.unwrap();
    assert!(one.is_some());
    let two = resized.permits(2).unwrap().try_acquire().await.unwrap();
    assert!(two.is_none(), "what is held stays held");
    assert_eq!(held.unwrap().release().await, Release::Released);
}

/// Each store has a bound of its own, and keeps and renews so many.
async fn the_most_at_once_is_held_and_given_back(site: Site) {
    let refused = site.locks.semaphore("a", 1000).acquire(1000).await;
    let Err(LockError::TooManyPermits(why)) = refused else {
        panic!("{refused:?}");
    };
    let (most, size) = (why.most(), u64::from(why.most()) + 5);
    let steps = site.kv.capabilities().max_txn_ops;
    assert_eq!(most as usize, 200.min(steps - 2));
    let permits = site.locks.semaphore("a", size).permits(most).unwrap();
    let lease = Duration::from_secs(5);
    let held = permits.lease(lease).acquire().await.unwrap();
    let other = site.another().await.semaphore("a", size);
    let six = other.permits(6).unwrap();
    // Longer than the lease and its grace.
    let watch = kv_core::Stopwatch::start();
    while watch.elapsed() < 2 * lease {
        assert!(six.try_acquire().await.unwrap().is_none());
        tokio::time::timeout(Duration::from_millis(5), std::future::pending::<()>())
            .await
            .unwrap_err();
    }
    let waits = other.permits(most).unwrap().wait(LONG);
    let waits = tokio::spawn(async move { waits.acquire().await.unwrap() });
    assert_eq!(held.release().await, Release::Released);
    assert_eq!(waits.await.unwrap().release().await, Release::Released);
}

async fn lost_answers_do_no_harm(site: Site) {
    let other = site.another().await.semaphore("a", 3);
    site.lost_answers.on();
    for _ in 0..15 {
        let permits = site.locks.semaphore("a", 3).permits(2).unwrap();
        let guard = permits.wait(LONG).acquire().await.unwrap();
        let two = other.permits(2).unwrap();
        assert!(two.try_acquire().await.unwrap().is_none());
        assert_ne!(guard.release().await, Release::Expired);
    }
    site.lost_answers.off();
    let all = other.permits(3).unwrap().wait(LONG);
    assert_eq!(
        all.acquire().await.unwrap().release().await,
        Release::Released
    );
}

crate::on_each_store! {
    no_more_are_held_than_there_are
    a_crash_gives_permits_back
    all_must_agree_on_their_number
    the_most_at_once_is_held_and_given_back
    lost_answers_do_no_harm
}
