//! Answers get lost; what was done is done once.

use crate::{ON_STORE, SECOND, Site, lost::through, settle};
use kv_conformance::faults::{Fault, FaultsLayer, Plan};
use kv_core::{Kv, TimeToLive};
use kv_lock::{LockManager, Release};
use std::sync::Arc;

pub(crate) async fn with(site: &Site, faults: &[Fault]) -> LockManager {
    let faults = FaultsLayer::new(Plan::Script(faults.to_vec()))
        .clock(Arc::new(site.clock.clone()))
        .only(|spec| spec.name == "commit");
    let kv = Kv::builder(site.store.clone())
        .layer(faults)
        .connect()
        .await
        .unwrap();
    site.on(&kv).build().unwrap()
}

#[tokio::test]
async fn who_acquires_again_finds_itself() {
    let lost = [
        vec![Fault::ApplyThenFail],
        vec![Fault::ApplyThenFail, Fault::ApplyThenFail],
        vec![Fault::ApplyThenFail, Fault::None, Fault::ApplyThenFail],
        vec![Fault::FailBefore, Fault::ApplyThenFail, Fault::FailBefore],
        vec![Fault::Duplicate],
        vec![Fault::ApplyThenFail, Fault::Duplicate, Fault::Duplicate],
        vec![Fault::Hang, Fault::ApplyThenFail],
    ];
    for faults in lost {
        let site = Site::new();
        let locks = with(&site, &faults).await;
        let task = tokio::spawn(async move { locks.lock("a").acquire().await });
        site.pass(8 * SECOND).await;
        assert!(task.is_finished(), "{faults:?}");
        let guard = task.await.unwrap().unwrap();
        let kv = site.kv().await;
        let fence = kv.get("{lock:a}:fence").await.unwrap().unwrap();
        assert_eq!(fence.to_str().unwrap(), guard.fence().to_string());
        assert!(
            site.process()
                .await
                .lock("a")
                .try_acquire()
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(guard.release().await, Release::Released, "{faults:?}");
    }
}

/// The lease is counted from when it was confirmed, never from an answer to something older.
#[tokio::test]
async fn an_answer_that_took_long_leaves_less_of_the_lease() {
    let site = Site::new();
    let locks = with(&site, &[Fault::Delay(2 * SECOND)]).await;
    let task = tokio::spawn(async move { locks.lock("a").acquire().await });
    settle().await;
    site.pass(2 * SECOND).await;
    let guard = task.await.unwrap().unwrap();
    assert_eq!(guard.remaining(), 8 * SECOND);
}

/// Its first request was granted long before it learned of it.
#[tokio::test]
async fn who_is_recognised_late_has_its_lease_on_the_store_too() {
    let site = Site::new();
    let locks = with(&site, &[Fault::ApplyThenFail, Fault::Hang]).await;
    let task = tokio::spawn(async move { locks.lock("a").acquire().await });
    settle().await;
    site.pass(6 * SECOND).await;
    assert!(task.is_finished());
    let guard = task.await.unwrap().unwrap();
    let left = site
        .kv()
        .await
        .time_to_live("{lock:a}:holder")
        .await
        .unwrap();
    let TimeToLive::In(left) = left else {
        panic!("{left:?}");
    };
    assert!(
        left >= guard.remaining() + 5 * SECOND,
        "{left:?}, {:?}",
        guard.remaining()
    );
}

#[tokio::test]
async fn what_try_was_granted_in_vain_is_given_back() {
    let site = Site::new();
    let locks = with(&site, &[Fault::ApplyThenFail]).await;
    assert!(locks.lock("a").try_acquire().await.is_err());
    settle().await;
    assert!(locks.lock("a").try_acquire().await.unwrap().is_some());
}

#[tokio::test]
async fn a_release_may_be_sent_again() {
    let ends = [
        (vec![Fault::None, Fault::ApplyThenFail], Release::Unknown),
        (vec![Fault::None, Fault::FailBefore], Release::Released),
        (vec![Fault::None, Fault::Duplicate], Release::Expired),
        (
            vec![Fault::None, Fault::ApplyThenFail, Fault::ApplyThenFail],
            Release::Unknown,
        ),
    ];
    for (faults, release) in ends {
        let site = Site::new();
        let locks = with(&site, &faults).await;
        let guard = locks.lock("a").acquire().await.unwrap();
        assert_eq!(guard.release().await, release, "{faults:?}");
        assert!(locks.lock("a").try_acquire().await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_release_that_never_arrives_leaves_it_to_the_lease() {
    let site = Site::new();
    let locks = with(
        &site,
        &[[Fault::None].as_slice(), &[Fault::FailBefore; 4]].concat(),
    )
    .await;
    let guard = locks.lock("a").acquire().await.unwrap();
    assert_eq!(guard.release().await, Release::Unknown);
    settle().await;
    assert!(locks.lock("a").try_acquire().await.unwrap().is_none());
    site.clock.advance(ON_STORE);
    assert!(locks.lock("a").try_acquire().await.unwrap().is_some());
}

/// Nobody shall wait for the end of a lease since what gives it back was lost, too.
#[tokio::test]
async fn what_was_granted_in_vain_is_given_back_until_it_is_known() {
    let failing = [Fault::FailBefore; 3];
    let faults = [&[Fault::ApplyThenFail][..], &failing].concat();
    let site = Site::new();
    let (locks, other) = (with(&site, &faults).await, site.process().await);
    locks.lock("a").try_acquire().await.unwrap_err();
    settle().await;
    assert!(other.lock("a").try_acquire().await.unwrap().is_none());
    site.pass(SECOND).await;
    let guard = other.lock("a").try_acquire().await.unwrap();
    assert!(guard.is_some());
}

#[tokio::test]
async fn a_dropped_guard_is_released_until_it_is_known() {
    let faults = [&[Fault::None][..], &[Fault::FailBefore; 3]].concat();
    let site = Site::new();
    let (locks, other) = (with(&site, &faults).await, site.process().await);
    drop(locks.lock("a").acquire().await.unwrap());
    settle().await;
    assert!(other.lock("a").try_acquire().await.unwrap().is_none());
    site.pass(SECOND).await;
    let guard = other.lock("a").try_acquire().await.unwrap();
    assert!(guard.is_some());
}

/// However long the lease is.
#[tokio::test]
async fn a_store_that_does_not_answer_is_left_alone_in_the_end() {
    let site = Site::new();
    let (locks, switch) = through(&site, Fault::ApplyThenFail).await;
    switch.on();
    let hour = locks.lock("a").lease(SECOND * 3600);
    hour.try_acquire().await.unwrap_err();
    site.pass(SECOND * 70).await;
    let tried = switch.counts().total();
    assert!(tried > 5, "it was tried {tried} times");
    site.pass(SECOND * 60).await;
    assert_eq!(switch.counts().total(), tried);
}
