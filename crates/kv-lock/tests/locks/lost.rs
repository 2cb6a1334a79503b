//! Who has lost a lock learns it in time, whatever the network does.

use crate::{ON_STORE, SECOND, Site, settle};
use kv_conformance::faults::{Fault, FaultsLayer, Odds, Plan};
use kv_core::Kv;
use kv_lock::{LockManager, LostReason, Release};
use std::{future::pending, sync::Arc};

/// Locks through a network that can be made to fail in this way.
pub(crate) async fn through(
    site: &Site,
    fault: Fault,
) -> (LockManager, kv_conformance::faults::FaultSwitch) {
    let faults = FaultsLayer::new(always(fault)).clock(Arc::new(site.clock.clone()));
    let switch = faults.switch();
    switch.off();
    let kv = Kv::builder(site.store.clone())
        .layer(faults)
        .connect()
        .await
        .unwrap();
    (site.on(&kv).build().unwrap(), switch)
}

fn always(fault: Fault) -> Plan {
    Plan::random(1, Odds::none().and(fault, 1.0).unwrap())
}

#[tokio::test]
async fn a_black_hole_ends_it_here_before_it_ends_there() {
    let site = Site::new();
    let (locks, switch) = through(&site, Fault::Hang).await;
    let other = site.process().await;
    let guard = locks.lock("a").acquire().await.unwrap();
    let (lost, token) = (tokio::spawn(guard.lost()), guard.token());
    switch.on();
    site.pass(10 * SECOND - SECOND / 10).await;
    assert!(guard.check().is_ok() && !lost.is_finished());
    site.pass(SECOND / 10).await;
    assert!(switch.counts().total() > 1, "it was tried");
    assert_eq!(guard.check().unwrap_err().reason(), LostReason::Expired);
    assert_eq!(lost.await.unwrap().reason(), LostReason::Expired);
    assert!(token.is_cancelled());
    // Only after the grace another has it.
    assert!(other.lock("a").try_acquire().await.unwrap().is_none());
    site.pass(ON_STORE - 10 * SECOND).await;
    let next = other.lock("a").try_acquire().await.unwrap().unwrap();
    // The network is back: nothing is renewed, and the release frees nobody else's.
    switch.off();
    site.pass(20 * SECOND).await;
    assert_eq!(guard.release().await, Release::Expired);
    next.check().unwrap();
    assert_eq!(next.release().await, Release::Released);
}

#[tokio::test]
async fn errors_are_outlived_until_the_lease_ends() {
    let site = Site::new();
    for fault in [Fault::FailBefore, Fault::ApplyThenFail] {
        let (locks, switch) = through(&site, fault).await;
        let guard = locks.lock("a").acquire().await.unwrap();
        for _ in 0..5 {
            switch.on();
            site.pass(5 * SECOND).await;
            switch.off();
            site.pass(5 * SECOND).await;
        }
        assert!(switch.counts().total() > 10, "it was tried");
        guard.check().unwrap();
        assert_eq!(guard.release().await, Release::Released);
    }
}

/// The process stood still: nothing ran that could have told it.
#[tokio::test]
async fn a_stall_is_noticed_at_the_first_look() {
    let site = Site::new();
    let locks = site.process().await;
    let guard = locks.lock("a").acquire().await.unwrap();
    site.clock.advance(10 * SECOND);
    assert_eq!(guard.check().unwrap_err().reason(), LostReason::Expired);
    assert!(guard.remaining().is_zero());
    let mut ran = false;
    let work = async { ran = true };
    assert!(guard.run(work).await.is_err());
    assert!(!ran);
    // Nor does a renewal bring it back.
    site.pass(SECOND).await;
    assert!(guard.check().is_err());
    assert_eq!(guard.release().await, Release::Expired);
}

#[tokio::test]
async fn work_is_dropped_when_the_lock_is_lost() {
    let site = Site::new();
    let (locks, kv) = (site.process().await, site.kv().await);
    let guard = Arc::new(locks.lock("a").acquire().await.unwrap());
    assert_eq!(guard.run(async { 7 }).await, Ok(7));
    let dropped = Arc::new(());
    let work = {
        let (guard, alive) = (guard.clone(), dropped.clone());
        tokio::spawn(async move {
            let work = async move {
                pending::<()>().await;
                drop(alive);
            };
            guard.run(work).await
        })
    };
    settle().await;
    assert_eq!(Arc::strong_count(&dropped), 2);
    // By force: not ours is final.
    kv.delete("{lock:a}:holder").await.unwrap();
    site.pass(4 * SECOND).await;
    let lost = work.await.unwrap().unwrap_err();
    assert_eq!(lost.reason(), LostReason::Taken);
    assert_eq!(Arc::strong_count(&dropped), 1);
    assert_eq!(guard.check().unwrap_err().reason(), LostReason::Taken);
}

#[tokio::test]
async fn it_is_held_no_longer_than_it_may_be() {
    let site = Site::new();
    let locks = site.process().await;
    let guard = locks
        .lock("a")
        .max_hold(25 * SECOND)
        .acquire()
        .await
        .unwrap();
    site.pass(24 * SECOND).await;
    guard.check().unwrap();
    site.pass(SECOND).await;
    assert_eq!(guard.check().unwrap_err().reason(), LostReason::HeldTooLong);
}

#[tokio::test]
async fn work_that_is_stuck_loses_it() {
    let site = Site::new();
    let locks = site.process().await;
    let guard = locks
        .lock("a")
        .heartbeat_within(5 * SECOND)
        .acquire()
        .await
        .unwrap();
    for _ in 0..10 {
        site.pass(4 * SECOND).await;
        guard.heartbeat();
        guard.check().unwrap();
    }
    site.pass(15 * SECOND).await;
    assert_eq!(guard.check().unwrap_err().reason(), LostReason::NoHeartbeat);
}
