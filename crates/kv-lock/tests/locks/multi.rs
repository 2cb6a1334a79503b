//! Several locks are acquired together or not at all.

use crate::{
    ON_STORE, SECOND, Site,
    cancel::{is_over_after, slow},
    settle,
    tenants::{manager, tenant},
};
use kv_conformance::faults::{Fault, FaultsLayer, Plan};
use kv_core::{ErrorKind, Kv};
use kv_lock::{LockError, LockManager, LostReason, MultiGuard, Release};
use std::sync::{Arc, atomic::Ordering};

fn names(guard: &MultiGuard) -> Vec<String> {
    let name = |(name, _): (&[u8], _)| String::from_utf8(name.to_vec()).unwrap();
    guard.fences().map(name).collect()
}

/// Whether each of these is free, as another process sees it.
async fn free(site: &Site, names: &str) -> Vec<bool> {
    let locks = site.process().await;
    let mut all = Vec::new();
    for name in names.split(' ') {
        all.push(locks.lock(name).try_acquire().await.unwrap().is_some());
    }
    settle().await;
    all
}

#[tokio::test]
async fn all_are_held_in_order_none_twice_by_one_call() {
    let site = Site::new();
    let (locks, calls) = site.counted().await;
    let guard = locks.multi(["b", "a", "c", "a"]).acquire().await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert_eq!(names(&guard), ["a", "b", "c"]);
    assert_eq!(free(&site, "a b c d").await, [false, false, false, true]);
    for (name, fence) in guard.fences() {
        assert_eq!(guard.lock(name).unwrap().check(), Ok(fence));
    }
    assert!(guard.lock("d").is_none());
    // All are renewed by one call at a time.
    site.pass(30 * SECOND).await;
    let renewals = calls.load(Ordering::Relaxed) - 1;
    assert!((7..=18).contains(&renewals), "{renewals} calls");
    guard.check().unwrap();
    assert!(guard.remaining() > 5 * SECOND);
    let before = calls.load(Ordering::Relaxed);
    assert_eq!(guard.release().await, Release::Released);
    assert_eq!(calls.load(Ordering::Relaxed) - before, 1);
    assert_eq!(free(&site, "a b c").await, [true; 3]);
}

#[tokio::test]
async fn a_try_gets_all_or_none() {
    let site = Site::new();
    let (locks, calls) = site.counted().await;
    let held = site.process().await.lock("b").acquire().await.unwrap();
    let abc = locks.multi(["a", "b", "c"]);
    assert!(abc.try_acquire().await.unwrap().is_none());
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert_eq!(free(&site, "a b c").await, [true, false, true]);
    held.release().await;
    let guard = abc.try_acquire().await.unwrap().unwrap();
    drop(guard);
    settle().await;
    assert_eq!(free(&site, "a b c").await, [true; 3]);
    assert_eq!(calls.load(Ordering::Relaxed), 4);
    let none = locks.multi([""; 0]).acquire().await;
    assert!(
        matches!(none, Err(LockError::Store(error)) if error.kind() == ErrorKind::InvalidArgument)
    );
}

/// What lies behind the one that is waited for is free for others meanwhile.
#[tokio::test]
async fn who_waits_keeps_what_comes_before() {
    let site = Site::new();
    let b = site.process().await.lock("b").acquire().await.unwrap();
    let d = site.process().await.lock("d").acquire().await.unwrap();
    let (locks, calls) = site.counted().await;
    let task = tokio::spawn(async move { locks.multi(["a", "b", "c", "d", "e"]).acquire().await });
    settle().await;
    assert_eq!(
        free(&site, "a b c d e").await,
        [false, false, true, false, true]
    );
    b.release().await;
    settle().await;
    assert_eq!(
        free(&site, "a b c d e").await,
        [false, false, false, false, true]
    );
    d.release().await;
    settle().await;
    // Without any time having passed.
    assert!(task.is_finished());
    let guard = task.await.unwrap().unwrap();
    assert_eq!(names(&guard), ["a", "b", "c", "d", "e"]);
    // Three times those that are free; twice it waits, and gives back.
    let calls = calls.load(Ordering::Relaxed);
    assert!(calls <= 3 + 2 * 4, "{calls} calls");
}

#[tokio::test]
async fn the_time_to_wait_is_for_all_and_then_none_is_held() {
    let site = Site::new();
    let other = site.process().await;
    let b = other.lock("b").acquire().await.unwrap();
    let _d = other.lock("d").acquire().await.unwrap();
    let locks = site.process().await;
    let names = ["a", "b", "c", "d"];
    let task = tokio::spawn(async move { locks.multi(names).wait(10 * SECOND).acquire().await });
    site.pass(6 * SECOND).await;
    b.release().await;
    site.pass(3 * SECOND).await;
    assert!(!task.is_finished());
    assert_eq!(free(&site, "a b c").await, [false; 3]);
    site.pass(2 * SECOND).await;
    assert!(task.is_finished());
    assert!(matches!(task.await.unwrap(), Err(LockError::Timeout)));
    assert_eq!(free(&site, "a b c d").await, [true, true, true, false]);
}

#[tokio::test]
async fn limits_count_from_when_all_are_held() {
    let site = Site::new();
    let b = site.process().await.lock("b").acquire().await.unwrap();
    let locks = site.process().await.multi(["a", "b"]);
    let locks = locks.max_hold(12 * SECOND).heartbeat_within(5 * SECOND);
    let task = tokio::spawn(async move { locks.acquire().await });
    site.pass(40 * SECOND).await;
    b.release().await;
    settle().await;
    let guard = task.await.unwrap().unwrap();
    for _ in 0..3 {
        site.pass(3 * SECOND).await;
        guard.heartbeat();
        guard.check().unwrap();
    }
    site.pass(4 * SECOND).await;
    assert_eq!(guard.check().unwrap_err().reason(), LostReason::HeldTooLong);
}

#[tokio::test]
async fn those_who_want_the_same_never_wait_in_a_circle() {
    let site = Site::new();
    let wanted = ["a b c", "c a", "b a", "c b", "d a b", "b d"];
    let mut tasks = Vec::new();
    for names in wanted {
        let locks = slow(&site).await;
        tasks.push(tokio::spawn(async move {
            for _ in 0..20 {
                let guard = locks.multi(names.split(' ')).acquire().await.unwrap();
                tokio::task::yield_now().await;
                guard.check().unwrap();
                assert_eq!(guard.release().await, Release::Released);
            }
        }));
    }
    for _ in 0..400 {
        settle().await;
    }
    // No lease had to end for it: the clock stood still.
    for task in tasks {
        assert!(task.is_finished());
        task.await.unwrap();
    }
}

#[tokio::test]
async fn the_loss_of_one_is_the_loss_of_all() {
    let site = Site::new();
    let guard = site.process().await.multi(["a", "b"]).acquire().await;
    let guard = guard.unwrap();
    let (token, lost) = (guard.token(), tokio::spawn(guard.lost()));
    site.pass(SECOND).await;
    assert!(!token.is_cancelled() && !lost.is_finished());
    site.kv().await.delete("{lock:b}:holder").await.unwrap();
    let run = tokio::spawn(async move {
        let ran = guard.run(std::future::pending::<()>()).await;
        (guard, ran)
    });
    site.pass(5 * SECOND).await;
    assert!(token.is_cancelled() && lost.is_finished() && run.is_finished());
    let (guard, ran) = run.await.unwrap();
    assert!(ran.is_err() && guard.check().is_err());
    assert!(guard.remaining().is_zero());
    assert_eq!(guard.release().await, Release::Expired);
    assert_eq!(free(&site, "a b").await, [true; 2]);
}

/// The first is lost while it waits for the second: it begins anew.
#[tokio::test]
async fn what_is_lost_on_the_way_is_acquired_again() {
    let site = Site::new();
    let b = site.process().await.lock("b").acquire().await.unwrap();
    let locks = site.process().await;
    let task = tokio::spawn(async move { locks.multi(["a", "b"]).acquire().await });
    settle().await;
    site.kv().await.delete("{lock:a}:holder").await.unwrap();
    site.pass(5 * SECOND).await;
    let other = site.process().await.lock("a").acquire().await.unwrap();
    b.release().await;
    settle().await;
    assert!(!task.is_finished());
    other.release().await;
    site.pass(SECOND).await;
    let guard = task.await.unwrap().unwrap();
    guard.check().unwrap();
    assert_eq!(free(&site, "a b").await, [false; 2]);
}

#[tokio::test]
async fn dropped_anywhere_it_leaves_nothing_held() {
    for is_busy in [false, true] {
        for polls in 0.. {
            let site = Site::new();
            let locks = slow(&site).await;
            let other = site.process().await.lock("b");
            let held = match is_busy {
                true => Some(other.acquire().await.unwrap()),
                false => None,
            };
            let is_over = is_over_after(polls, locks.multi(["a", "b", "c"]).acquire());
            settle().await;
            assert_eq!(
                free(&site, "a b c").await,
                [true, !is_busy, true],
                "after {polls}"
            );
            drop(held);
            if is_over || polls > 40 {
                assert!(polls > 2, "dropped in between");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_release_that_is_dropped_anywhere_goes_on() {
    for polls in 0.. {
        let site = Site::new();
        let guard = slow(&site).await.multi(["a", "b"]).acquire().await.unwrap();
        let is_over = is_over_after(polls, guard.release());
        settle().await;
        assert_eq!(free(&site, "a b").await, [true; 2], "after {polls}");
        if is_over {
            assert!(polls > 2, "dropped in between");
            return;
        }
    }
}

async fn faulty(site: &Site, faults: &[Fault]) -> LockManager {
    let faults = FaultsLayer::new(Plan::Script(faults.to_vec()))
        .clock(Arc::new(site.clock.clone()))
        .only(|spec| spec.name == "commit");
    let kv = Kv::builder(site.store.clone()).layer(faults);
    site.on(&kv.connect().await.unwrap()).build().unwrap()
}

#[tokio::test]
async fn lost_answers_do_no_harm() {
    let lost = Fault::ApplyThenFail;
    for faults in [
        vec![lost],
        vec![lost, lost],
        vec![lost, lost, Fault::None, lost],
    ] {
        let site = Site::new();
        let locks = faulty(&site, &faults).await;
        let task = tokio::spawn(async move { locks.multi(["a", "b"]).acquire().await });
        site.pass(ON_STORE + SECOND).await;
        assert!(task.is_finished(), "{faults:?}");
        let guard = task.await.unwrap().unwrap();
        assert_eq!(free(&site, "a b").await, [false; 2]);
        assert_eq!(guard.release().await, Release::Released);
        assert_eq!(free(&site, "a b").await, [true; 2]);
    }
    let site = Site::new();
    let locks = faulty(&site, &[lost]).await;
    assert!(locks.multi(["a", "b"]).try_acquire().await.is_err());
    settle().await;
    assert_eq!(free(&site, "a b").await, [true; 2]);
    let site = Site::new();
    let locks = faulty(&site, &[Fault::None, lost]).await;
    let guard = locks.multi(["a", "b"]).acquire().await.unwrap();
    assert_eq!(guard.release().await, Release::Unknown);
    assert_eq!(free(&site, "a b").await, [true; 2]);
}

#[tokio::test]
async fn tenants_have_locks_of_their_own() {
    let site = Site::new();
    let (locks, _) = manager(&site).await;
    let multi = locks.multi(["a", "b"]);
    let ann = tenant("ann").scope(multi.acquire()).await.unwrap();
    let bob = tenant("bob").scope(multi.try_acquire()).await.unwrap();
    let bob = bob.unwrap();
    assert!(
        tenant("ann")
            .scope(multi.try_acquire())
            .await
            .unwrap()
            .is_none()
    );
    // Without a context.
    assert_eq!(ann.release().await, Release::Released);
    assert!(
        tenant("ann")
            .scope(multi.try_acquire())
            .await
            .unwrap()
            .is_some()
    );
    bob.check().unwrap();
}
