//! Who waits is woken when all have arrived, each counted once.

use crate::{
    SECOND, Site,
    cancel::{is_over_after, slow},
    settle,
    tenants::{manager, tenant},
};
use kv_conformance::faults::{Fault, FaultsLayer, Plan};
use kv_core::Kv;
use kv_lock::{Latch, LatchError};
use std::sync::{Arc, atomic::Ordering};

async fn latch(site: &Site, count: u32) -> Latch {
    site.process().await.latch("a", count)
}

async fn missing(latch: &Latch, who: &str) -> u64 {
    latch.arrive(who).await.unwrap().missing()
}

#[tokio::test]
async fn each_counts_once_and_then_it_is_open_for_all() {
    let site = Site::new();
    let (ann, bob) = (latch(&site, 3).await, latch(&site, 3).await);
    assert_eq!(ann.progress().await.unwrap().missing(), 3);
    assert_eq!(missing(&ann, "x").await, 2);
    assert_eq!(missing(&bob, "x").await, 2);
    assert_eq!(missing(&bob, "y").await, 1);
    assert!(!ann.progress().await.unwrap().is_open());
    assert_eq!(missing(&ann, "z").await, 0);
    // Late comers, who wait and who arrive.
    bob.wait().await.unwrap();
    let progress = bob.arrive("late").await.unwrap();
    assert_eq!((progress.arrived, progress.count), (4, 3));
    assert!(progress.is_open());
}

#[tokio::test]
async fn the_last_to_arrive_wakes_all_and_they_ask_seldom() {
    let site = Site::new();
    let mut waits = Vec::new();
    let mut counts = Vec::new();
    for _ in 0..5 {
        let (locks, calls) = site.counted().await;
        counts.push(calls);
        waits.push(tokio::spawn(
            async move { locks.latch("a", 50).wait().await },
        ));
    }
    settle().await;
    let ann = latch(&site, 50).await;
    for number in 0..50 {
        assert!(waits.iter().all(|it| !it.is_finished()), "{number}");
        ann.arrive(number.to_string()).await.unwrap();
        settle().await;
    }
    // No time has passed.
    for task in waits {
        assert!(task.is_finished());
        task.await.unwrap().unwrap();
    }
    for calls in counts {
        let calls = calls.load(Ordering::Relaxed);
        assert_eq!(
            calls, 3,
            "looked, looked when it listened, looked when all were told of"
        );
    }
}

#[tokio::test]
async fn waiting_has_an_end_and_tells_how_far_it_was() {
    let site = Site::new();
    let (locks, calls) = site.counted().await;
    let ann = locks.latch("a", 3).timeout(150 * SECOND);
    ann.arrive("x").await.unwrap();
    let waits = tokio::spawn(async move { ann.wait().await });
    settle().await;
    site.pass(151 * SECOND).await;
    let refused = waits.await.unwrap().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "1 of 3 had arrived when the time was over"
    );
    assert!(matches!(refused, LatchError::Timeout(it) if it.missing() == 2));
    // Arrived, looked twice, and once a minute.
    let calls = calls.load(Ordering::Relaxed);
    assert!(calls <= 5, "{calls} calls");
}

/// Something that tells nobody: who waits looks by itself, if seldom.
#[tokio::test]
async fn a_message_that_is_lost_costs_a_minute() {
    let site = Site::new();
    let ann = latch(&site, 2).await;
    ann.arrive("x").await.unwrap();
    let waits = tokio::spawn(async move { ann.wait().await });
    settle().await;
    let kv = site.kv().await;
    kv.zadd("{latch:a}:arrived", [("y", 0)]).await.unwrap();
    settle().await;
    assert!(!waits.is_finished());
    site.pass(61 * SECOND).await;
    assert!(waits.is_finished());
}

#[tokio::test]
async fn another_count_is_an_error_that_names_both() {
    let site = Site::new();
    latch(&site, 3).await.arrive("x").await.unwrap();
    let other = latch(&site, 2).await;
    let all = [
        other.arrive("y").await.unwrap_err(),
        other.progress().await.unwrap_err(),
        other.wait().await.unwrap_err(),
    ];
    for error in all {
        assert!(matches!(error, LatchError::Mismatch { ours: 2, theirs: 3 }));
    }
    // It did not count.
    let progress = latch(&site, 3).await.progress().await.unwrap();
    assert_eq!(progress.arrived, 1);
    assert!(latch(&site, 0).await.arrive("x").await.is_err());
}

#[tokio::test]
async fn no_key_stays_and_then_it_counts_from_nothing() {
    let site = Site::new();
    let ann = latch(&site, 2).await.lifetime(10 * SECOND);
    let keys = ["{latch:a}:count", "{latch:a}:arrived"];
    let kv = site.kv().await;
    ann.arrive("x").await.unwrap();
    site.pass(6 * SECOND).await;
    ann.arrive("y").await.unwrap();
    // Counted from the last arrival.
    site.pass(9 * SECOND).await;
    assert!(ann.progress().await.unwrap().is_open());
    site.pass(2 * SECOND).await;
    for key in keys {
        assert!(!kv.exists(key).await.unwrap(), "{key}");
    }
    assert_eq!(ann.progress().await.unwrap().arrived, 0);
    // Also where something of the earlier time was left.
    kv.zadd(keys[1], [("old", 0)]).await.unwrap();
    // Now another count may be used.
    assert_eq!(missing(&latch(&site, 5).await, "x").await, 4);
}

#[tokio::test]
async fn lost_answers_do_no_harm() {
    let lost = Fault::ApplyThenFail;
    for faults in [
        vec![lost],
        vec![lost, lost],
        vec![Fault::FailBefore, lost],
        vec![Fault::Duplicate],
    ] {
        let site = Site::new();
        let faulty = FaultsLayer::new(Plan::Script(faults.clone()))
            .clock(Arc::new(site.clock.clone()))
            .only(|spec| spec.name == "commit");
        let kv = Kv::builder(site.store.clone()).layer(faulty);
        let kv = kv.connect().await.unwrap();
        let ann = site.on(&kv).build().unwrap().latch("a", 2);
        assert_eq!(missing(&ann, "x").await, 1, "{faults:?}");
    }
}

#[tokio::test]
async fn an_arrival_that_is_dropped_anywhere_may_be_made_again() {
    for polls in 0.. {
        let site = Site::new();
        let ann = slow(&site).await.latch("a", 2);
        let is_over = is_over_after(polls, ann.arrive("x"));
        settle().await;
        assert_eq!(missing(&ann, "x").await, 1, "after {polls}");
        if is_over {
            assert!(polls > 2, "dropped in between");
            return;
        }
    }
}

/// Whatever it was at when the last arrived, it learns of it.
#[tokio::test]
async fn an_arrival_at_any_moment_is_not_missed() {
    for polls in 0..14 {
        let site = Site::new();
        let ann = slow(&site).await.latch("a", 1);
        let mut waits = Box::pin(async move { ann.wait().await });
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..polls {
            assert!(waits.as_mut().poll(&mut context).is_pending());
        }
        latch(&site, 1).await.arrive("x").await.unwrap();
        let waits = tokio::spawn(waits);
        settle().await;
        assert!(waits.is_finished(), "after {polls}");
    }
}

#[tokio::test]
async fn tenants_have_latches_of_their_own() {
    let site = Site::new();
    let (locks, _) = manager(&site).await;
    let one = locks.latch("a", 1);
    tenant("ann").scope(one.arrive("x")).await.unwrap();
    let anns = tenant("ann").scope(one.progress()).await.unwrap();
    let bobs = tenant("bob").scope(one.progress()).await.unwrap();
    assert!(anns.is_open() && !bobs.is_open());
}

#[tokio::test]
async fn parties_begin_and_go_together() {
    let site = Site::new();
    let (locks, calls) = site.counted().await;
    let enter = |who: &'static str| {
        let barrier = locks.barrier("a", 3);
        tokio::spawn(async move { barrier.enter(who).await })
    };
    let first = [enter("x"), enter("y")];
    settle().await;
    // Whoever is started anew counts once.
    let again = enter("y");
    settle().await;
    assert!(first.iter().all(|it| !it.is_finished()) && !again.is_finished());
    let before = calls.load(Ordering::Relaxed);
    locks.barrier("a", 3).enter("z").await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed) - before, 1);
    settle().await;
    assert!(first.iter().all(|it| it.is_finished()) && again.is_finished());
    let leaves = {
        let barrier = locks.barrier("a", 3);
        tokio::spawn(async move { barrier.leave("x").await })
    };
    settle().await;
    assert!(!leaves.is_finished());
    // Who comes late goes in.
    locks.barrier("a", 3).enter("y").await.unwrap();
    let barrier = locks.barrier("a", 3).timeout(SECOND);
    let waits = tokio::spawn(async move { barrier.leave("y").await });
    site.pass(2 * SECOND).await;
    assert!(matches!(waits.await.unwrap(), Err(LatchError::Timeout(it)) if it.arrived == 2));
    locks.barrier("a", 3).leave("z").await.unwrap();
    settle().await;
    assert!(leaves.is_finished());
    let other = locks.barrier("a", 2).enter("x").await;
    assert!(matches!(
        other,
        Err(LatchError::Mismatch { ours: 2, theirs: 3 })
    ));
}
