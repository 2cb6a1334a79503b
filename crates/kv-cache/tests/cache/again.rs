//! What the store has not taken, tried again.

use crate::{
    SECOND,
    fleet::{Fleet, Products, SURE, get},
    settle, ttl,
};
use futures_util::FutureExt;
use kv_cache::{Cache, Freshness};
use kv_conformance::faults::{Fault, FaultSwitch, FaultsLayer, Odds, Plan};

/// A process whose store can be taken away: transactions are not done, or done and not answered.
async fn on_a_bad_store(fleet: &Fleet, fault: Fault) -> (Products, FaultSwitch) {
    let odds = Odds::none().and(fault, 1.0).unwrap();
    let faults = FaultsLayer::new(Plan::random(7, odds)).only(|it| it.name == "commit");
    let switch = faults.switch();
    switch.off();
    let kv = fleet.builder().layer(faults).connect().await.unwrap();
    (fleet.on(&kv, ttl(600).stale(SECOND * 600)), switch)
}

#[tokio::test]
async fn a_removal_is_done_once_the_store_is_there_again() {
    for fault in [Fault::FailBefore, Fault::ApplyThenFail] {
        let fleet = Fleet::new();
        let (one, switch) = on_a_bad_store(&fleet, fault).await;
        let other = fleet.process(ttl(600)).await;
        assert_eq!(get(&one, 1).await, 1);
        one.idle().await;
        switch.on();
        one.remove("k").await.unwrap_err();
        fleet.pass(SECOND * 60).await;
        switch.off();
        fleet.pass(SECOND * 15).await;
        assert_eq!(other.get("k").await.unwrap(), None);
        assert_eq!(one.stats().tried_again, 1);
        assert_eq!(get(&one, 2).await, 2);
    }
}

#[tokio::test]
async fn a_write_that_failed_leaves_nothing_old() {
    let fleet = Fleet::new();
    let (one, switch) = on_a_bad_store(&fleet, Fault::FailBefore).await;
    let other = fleet.process(ttl(600)).await;
    assert_eq!(get(&other, 1).await, 1);
    switch.on();
    one.set("k", 2).await.unwrap_err();
    switch.off();
    fleet.pass(SECOND).await;
    assert_eq!(get(&other, 3).await, 3);
}

#[tokio::test]
async fn an_expiry_is_done_and_takes_no_removal_back() {
    for removes in [false, true] {
        let fleet = Fleet::new();
        let (one, switch) = on_a_bad_store(&fleet, Fault::FailBefore).await;
        get(&one, 1).await;
        one.idle().await;
        switch.on();
        if removes {
            one.remove("k").await.unwrap_err();
        }
        one.expire("k").await.unwrap_err();
        switch.off();
        if removes {
            one.expire("k").await.unwrap();
        }
        fleet.pass(SECOND).await;
        let entry = fleet.process(ttl(600)).await.get_entry("k").await.unwrap();
        let freshness = entry.map(|it| it.freshness());
        assert_eq!(
            freshness,
            (!removes).then_some(Freshness::Stale),
            "{removes}"
        );
    }
}

#[tokio::test]
async fn what_is_written_since_is_not_removed() {
    let fleet = Fleet::new();
    let (one, switch) = on_a_bad_store(&fleet, Fault::FailBefore).await;
    switch.on();
    one.remove("k").await.unwrap_err();
    switch.off();
    one.set("k", 2).await.unwrap();
    fleet.pass(SECOND * 15).await;
    assert_eq!(get(&one, 3).await, 2);
    assert_eq!(one.stats().tried_again, 0);
}

/// Dropped before the store has answered, it has written nothing.
#[tokio::test]
async fn a_write_that_is_dropped_takes_no_removals_place() {
    let fleet = Fleet::new();
    let odds = |fault| Odds::none().and(fault, 1.0).unwrap();
    let layer =
        |fault| FaultsLayer::new(Plan::random(7, odds(fault))).only(|it| it.name == "commit");
    let (fails, hangs) = (layer(Fault::FailBefore), layer(Fault::Hang));
    let (failing, hanging) = (fails.switch(), hangs.switch());
    failing.off();
    hanging.off();
    let builder = fleet.builder().layer(fails).layer(hangs);
    let kv = builder.connect().await.unwrap();
    let one = fleet.on(&kv, ttl(600));
    get(&one, 1).await;
    one.idle().await;
    failing.on();
    one.remove("k").await.unwrap_err();
    hanging.on();
    assert!(one.set("k", 2).now_or_never().is_none());
    hanging.off();
    failing.off();
    fleet.pass(SECOND * 15).await;
    let other = fleet.process(ttl(600)).await;
    assert_eq!(other.get("k").await.unwrap(), None);
}

/// What was read from the store while a removal waited is old.
#[tokio::test]
async fn what_was_read_meanwhile_goes_with_it() {
    let fleet = Fleet::new();
    let (one, switch) = on_a_bad_store(&fleet, Fault::FailBefore).await;
    get(&one, 1).await;
    one.idle().await;
    switch.on();
    one.remove("k").await.unwrap_err();
    switch.off();
    assert_eq!(get(&one, 2).await, 1, "it is still there");
    fleet.pass(SECOND).await;
    assert_eq!(get(&one, 3).await, 3);
}

#[tokio::test]
async fn no_more_wait_than_there_is_room_for() {
    let fleet = Fleet::new();
    let (one, switch) = on_a_bad_store(&fleet, Fault::FailBefore).await;
    switch.on();
    for number in 0..1100 {
        one.remove(&number.to_string()).await.unwrap_err();
    }
    assert_eq!(one.stats().given_up, 1100 - 1024);
    switch.off();
    fleet.pass(SECOND * 15).await;
    assert_eq!(one.stats().tried_again, 1024);
    // There is room again.
    switch.on();
    one.remove("k").await.unwrap_err();
    switch.off();
    fleet.pass(SECOND * 15).await;
    assert_eq!(one.stats().tried_again, 1025);
}

#[tokio::test]
async fn nobody_tries_once_the_cache_is_gone() {
    let fleet = Fleet::new();
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let (one, switch) = on_a_bad_store(&fleet, Fault::FailBefore).await;
    let before = tasks();
    switch.on();
    one.remove("k").await.unwrap_err();
    settle().await;
    assert!(tasks() > before);
    drop(one);
    fleet.pass(SURE * 5).await;
    assert_eq!(tasks(), before);
}

/// Whoever tried ended with the runtime: the next one tries all.
#[test]
fn what_waits_is_tried_on_the_next_runtime() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    let fleet = Fleet::new();
    let (one, switch): (Cache<str, u32>, FaultSwitch) = runtime().block_on(async {
        let (one, switch) = on_a_bad_store(&fleet, Fault::FailBefore).await;
        switch.on();
        one.remove("a").await.unwrap_err();
        (one, switch)
    });
    runtime().block_on(async {
        one.remove("b").await.unwrap_err();
        switch.off();
        fleet.pass(SECOND * 15).await;
        assert_eq!(one.stats().tried_again, 2);
    });
}
