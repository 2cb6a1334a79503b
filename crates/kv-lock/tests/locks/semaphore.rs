//! Permits that all share.

use crate::{
    ON_STORE, SECOND, Site,
    cancel::{is_over_after, slow},
    lost::through,
    replies::with,
    settle,
};
use kv_conformance::faults::Fault;
use kv_lock::{LockError, LostReason, Release};
use std::sync::atomic::Ordering;

#[tokio::test]
async fn no_more_are_held_than_there_are() {
    let site = Site::new();
    let (ann, bob) = (
        site.process().await.semaphore("a", 5),
        site.process().await.semaphore("a", 5),
    );
    let three = ann.acquire(3).await.unwrap();
    assert!(
        bob.permits(3)
            .unwrap()
            .try_acquire()
            .await
            .unwrap()
            .is_none()
    );
    let two = bob.acquire(2).await.unwrap();
    assert!(two.fence() > three.fence());
    assert!(
        ann.permits(1)
            .unwrap()
            .try_acquire()
            .await
            .unwrap()
            .is_none()
    );
    // Each holds all its permits for as long as it likes.
    site.pass(60 * SECOND).await;
    assert!(
        ann.permits(1)
            .unwrap()
            .try_acquire()
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(two.release().await, Release::Released);
    assert!(
        ann.permits(3)
            .unwrap()
            .try_acquire()
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        ann.permits(2)
            .unwrap()
            .try_acquire()
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(three.release().await, Release::Released);
}

#[tokio::test]
async fn impossible_amounts_are_refused_before_anything_is_sent() {
    let site = Site::new();
    let (locks, calls) = site.counted().await;
    for (size, asked, most) in [(5, 6, 5), (5, 0, 5), (1000, 201, 200), (0, 1, 0)] {
        let refused = locks.semaphore("a", size).acquire(asked).await.unwrap_err();
        let LockError::TooManyPermits(why) = refused else {
            panic!("{refused}");
        };
        assert_eq!((why.asked(), why.most()), (asked, most));
    }
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    let all = locks.semaphore("b", 1000).acquire(200).await.unwrap();
    site.pass(30 * SECOND).await;
    assert_eq!(all.release().await, Release::Released);
}

#[tokio::test]
async fn all_must_agree_on_their_number() {
    let site = Site::new();
    let ann = site.process().await.semaphore("a", 5);
    let held = ann.acquire(3).await.unwrap();
    let other = site.process().await.semaphore("a", 7);
    let refused = other.permits(1).unwrap().try_acquire().await.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("5 permits on the store and 7 here"), "{text}");
    let LockError::SizeMismatch(mismatch) = refused else {
        panic!("{refused}");
    };
    assert_eq!((mismatch.here(), mismatch.on_store()), (7, 5));
    // One that waits learns it, too.
    let waits = {
        let ann = ann.clone();
        tokio::spawn(async move { ann.acquire(3).await })
    };
    settle().await;
    let resized = other.resize(2).await.unwrap();
    settle().await;
    assert!(matches!(
        waits.await.unwrap(),
        Err(LockError::SizeMismatch(_))
    ));
    // Nothing is taken away, and nobody let in before enough came back.
    held.check().unwrap();
    assert!(
        resized
            .permits(1)
            .unwrap()
            .try_acquire()
            .await
            .unwrap()
            .is_none()
    );
    site.pass(20 * SECOND).await;
    assert_eq!(held.release().await, Release::Released);
    let both = resized.acquire(2).await.unwrap();
    assert!(ann.acquire(1).await.is_err());
    both.release().await;
    let more = resized.resize(3).await.unwrap();
    more.acquire(3).await.unwrap().release().await;
}

#[tokio::test]
async fn who_waits_is_woken_and_does_not_poll() {
    let site = Site::new();
    let ann = site.process().await.semaphore("a", 3);
    let (bob, calls) = site.counted().await;
    let bob = bob.semaphore("a", 3);
    let held = ann.acquire(2).await.unwrap();
    let waits = tokio::spawn(async move { bob.acquire(2).await.unwrap() });
    settle().await;
    site.pass(60 * SECOND).await;
    assert!(!waits.is_finished());
    let calls = calls.load(Ordering::Relaxed);
    assert!(calls <= 3 + 6, "{calls} calls");
    held.release().await;
    settle().await;
    assert!(waits.is_finished());
}

/// Many who want little come and go; one who wants much has its turn.
#[tokio::test]
async fn much_is_not_starved_by_little_within_a_process() {
    let site = Site::new();
    let locks = site.process().await.semaphore("a", 4);
    let mut held = std::collections::VecDeque::new();
    for _ in 0..4 {
        held.push_back(locks.acquire(1).await.unwrap());
    }
    let much = {
        let locks = locks.clone();
        tokio::spawn(async move { locks.acquire(4).await.unwrap() })
    };
    settle().await;
    let mut little = Vec::new();
    while let Some(one) = held.pop_front() {
        let locks = locks.clone();
        little.push(tokio::spawn(async move { locks.acquire(1).await.unwrap() }));
        settle().await;
        assert!(!little.iter().any(tokio::task::JoinHandle::is_finished));
        one.release().await;
        settle().await;
    }
    assert!(much.is_finished());
    much.await.unwrap().release().await;
    for _ in 0..4 {
        settle().await;
    }
    assert!(little.iter().all(tokio::task::JoinHandle::is_finished));
}

#[tokio::test]
async fn a_crash_gives_permits_back() {
    let site = Site::new();
    let (dead, switch) = through(&site, Fault::Hang).await;
    let held = dead.semaphore("a", 3).acquire(3).await.unwrap();
    let bob = site.process().await.semaphore("a", 3);
    let waits = tokio::spawn(async move { bob.acquire(3).await.unwrap() });
    switch.on();
    site.pass(10 * SECOND).await;
    assert_eq!(held.check().unwrap_err().reason(), LostReason::Expired);
    site.pass(ON_STORE - 10 * SECOND - SECOND / 5).await;
    assert!(!waits.is_finished());
    site.pass(SECOND / 2).await;
    let next = waits.await.unwrap();
    switch.off();
    site.pass(20 * SECOND).await;
    assert_eq!(held.release().await, Release::Expired);
    next.check().unwrap();
    assert_eq!(next.release().await, Release::Released);
}

#[tokio::test]
async fn what_is_dropped_holds_nothing_at_whatever_moment() {
    for polls in 0..24 {
        let site = Site::new();
        let locks = slow(&site).await.semaphore("a", 2);
        is_over_after(polls, locks.acquire(2));
        settle().await;
        let other = site.process().await.semaphore("a", 2);
        let held = other.permits(2).unwrap().try_acquire().await.unwrap();
        let held = held.unwrap_or_else(|| panic!("after {polls}"));
        // Nor does one that had to wait.
        assert!(!is_over_after(polls, locks.acquire(1)));
        let behind = tokio::spawn(async move { locks.acquire(1).await.unwrap() });
        settle().await;
        held.release().await;
        settle().await;
        assert!(behind.is_finished(), "after {polls}");
        let left = other.permits(1).unwrap().try_acquire().await.unwrap();
        assert!(left.is_some(), "after {polls}");
    }
}

#[tokio::test]
async fn lost_answers_do_no_harm() {
    let lost = [
        vec![Fault::ApplyThenFail],
        vec![Fault::None, Fault::ApplyThenFail],
        vec![Fault::None, Fault::ApplyThenFail, Fault::ApplyThenFail],
        vec![Fault::None, Fault::Duplicate],
        vec![Fault::Hang, Fault::FailBefore, Fault::ApplyThenFail],
    ];
    for faults in lost {
        let site = Site::new();
        let locks = with(&site, &faults).await.semaphore("a", 3);
        let task = tokio::spawn(async move { locks.acquire(2).await.unwrap() });
        site.pass(8 * SECOND).await;
        assert!(task.is_finished(), "{faults:?}");
        let held = task.await.unwrap();
        let other = site.process().await.semaphore("a", 3);
        let two = other.permits(2).unwrap();
        assert!(two.try_acquire().await.unwrap().is_none(), "{faults:?}");
        drop(
            other
                .permits(1)
                .unwrap()
                .try_acquire()
                .await
                .unwrap()
                .unwrap(),
        );
        assert_eq!(held.release().await, Release::Released, "{faults:?}");
        settle().await;
        let three = other.permits(3).unwrap();
        assert!(three.try_acquire().await.unwrap().is_some(), "{faults:?}");
    }
}
