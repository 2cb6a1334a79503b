//! Both stores in trouble, and stores that do not answer.

use super::pair::{DEADLINE, Mode, Pair};
use crate::{
    SECOND, fails,
    fleet::{SURE, get},
    ttl,
};
use futures_util::FutureExt;
use kv_core::{Clock, VirtualClock};
use kv_memory::{MemoryConfig, MemoryStore};
use std::{convert::Infallible, sync::Arc, time::Duration};

/// As without a second one.
#[tokio::test]
async fn if_both_are_down_each_loads_for_itself() {
    let pair = Pair::new();
    for mode in [Mode::Fails, Mode::Loses] {
        let policy = ttl(600).stale(SECOND * 600);
        let [one, other] = [pair.cut(policy).await, pair.cut(policy).await];
        for (process, value) in [(&one, 1), (&other, 2)] {
            process.second.set(mode);
            assert_eq!(get(&process.cache, value).await, value);
            process.cache.idle().await;
            assert_eq!(get(&process.cache, 9).await, value, "it is kept here");
            assert!(process.cache.get("none").await.is_err());
            pair.fleet.clock.advance(SURE);
            let kept = process.cache.get_or_load("k", |_| fails()).await;
            assert_eq!(*kept.unwrap(), value, "better than nothing");
            let stats = process.cache.stats();
            assert!(stats.fallback_errors > 1 && stats.far_errors > 1);
        }
        // What it may have leased is given up.
        one.second.set(Mode::Passes);
        assert_eq!(get(&other.cache, 9).await, 2);
        other.second.set(Mode::Passes);
        one.cache.idle().await;
        other.cache.idle().await;
    }
}

#[tokio::test]
async fn what_the_first_may_have_granted_is_given_up() {
    let pair = Pair::new();
    let one = pair.process(ttl(600)).await;
    one.first.set(Mode::Loses);
    assert_eq!(get(&one.cache, 1).await, 1);
    one.cache.idle().await;
    let kv = pair.fleet.kv().await;
    assert!(!kv.exists("{cache:c:k}:lease").await.unwrap());
    let second = pair.second().await;
    assert!(!second.exists("{cache:c:k}:lease").await.unwrap());
    assert!(second.exists("{cache:c:k}:data").await.unwrap());
}

/// K8: whichever does not answer, who asks waits for its deadline, and then for the load.
#[tokio::test]
async fn each_store_costs_its_deadline() {
    let loading = SECOND * 2;
    for (first, second, waits, longest) in [
        (Mode::Fails, Mode::Passes, Duration::ZERO, Duration::ZERO),
        (Mode::Hangs, Mode::Passes, SECOND, SECOND),
        (Mode::Fails, Mode::Hangs, DEADLINE, DEADLINE),
        (Mode::Hangs, Mode::Hangs, SECOND + DEADLINE, DEADLINE),
    ] {
        let pair = Pair::new();
        let one = pair.process(ttl(600)).await;
        one.first.set(first);
        one.second.set(second);
        let clock = pair.fleet.clock.clone();
        let took = clock.clone();
        let load = one.cache.get_or_load("k", move |_| async move {
            took.sleep(loading).await;
            Ok::<u32, Infallible>(1)
        });
        let began = clock.monotonic();
        let asked = async {
            load.await.unwrap();
            clock.monotonic() - began
        };
        let asked = tokio::select! {
            asked = asked => asked,
            () = pair.fleet.pass(SECOND * 60) => panic!("for ever"),
        };
        assert_eq!(asked, waits + loading, "{first:?} {second:?}");
        // A change waits for both at the same time.
        let began = clock.monotonic();
        let changed = async {
            let _ = one.cache.remove("k").await;
            clock.monotonic() - began
        };
        let changed = tokio::select! {
            changed = changed => changed,
            () = pair.fleet.pass(SECOND * 60) => panic!("for ever"),
        };
        assert_eq!(changed, longest, "{first:?} {second:?}");
    }
}

/// It was always found on the first one, so that is looked at before anything is leased.
#[tokio::test]
async fn who_looks_in_vain_is_given_what_the_second_has() {
    let pair = Pair::new();
    let one = pair.process(ttl(600)).await;
    assert_eq!(get(&one.cache, 1).await, 1);
    for _ in 0..20 {
        pair.fleet.clock.advance(SURE);
        assert_eq!(get(&one.cache, 2).await, 1);
    }
    assert_eq!(one.cache.stats().far_hits, 20);
    let cut = pair.cut(ttl(600)).await;
    assert_eq!(get(&cut.cache, 7).await, 7);
    cut.cache.idle().await;
    for (mode, waits) in [(Mode::Fails, Duration::ZERO), (Mode::Hangs, SECOND)] {
        pair.fleet.clock.advance(SURE);
        one.first.set(mode);
        let clock = pair.fleet.clock.clone();
        let began = clock.monotonic();
        let asked = async {
            assert_eq!(get(&one.cache, 9).await, 7);
            clock.monotonic() - began
        };
        let asked = tokio::select! {
            asked = asked => asked,
            () = pair.fleet.pass(SECOND * 60) => panic!("for ever"),
        };
        assert_eq!(asked, waits, "{mode:?}");
        one.first.set(Mode::Passes);
        pair.fleet.clock.advance(SURE);
        assert_eq!(get(&one.cache, 9).await, 1);
    }
}

/// What is kept of it after a load has failed is as if it were the first one's.
#[tokio::test]
async fn nothing_of_the_second_outlives_the_trouble() {
    let mut pair = Pair::new();
    // Versions there are far ahead.
    let ahead = VirtualClock::at(pair.fleet.clock.now().saturating_add(SECOND * 86_400));
    pair.second = MemoryStore::with_clock(MemoryConfig::default(), Arc::new(ahead.clone()));
    let pass = |seconds| {
        pair.fleet.clock.advance(SECOND * seconds);
        ahead.advance(SECOND * seconds);
    };
    let policy = ttl(10).stale(SECOND * 600);
    let one = pair.cut(policy).await;
    assert_eq!(get(&one.cache, 7).await, 7);
    one.cache.idle().await;
    pass(12);
    let other = pair.cut(policy).await;
    let kept = other.cache.get_or_load("k", |_| fails()).await;
    assert_eq!(*kept.unwrap(), 7, "stale, and better than nothing");
    other.cache.idle().await;
    let well = pair.process(policy).await;
    assert_eq!(get(&well.cache, 1).await, 1);
    well.cache.idle().await;
    other.first.set(Mode::Passes);
    pass(5);
    assert_eq!(get(&other.cache, 9).await, 1);
    other.first.take();
    assert_eq!(get(&other.cache, 9).await, 1);
    assert_eq!(other.first.take(), 0, "it is kept here again");
}

#[tokio::test]
async fn a_write_that_the_first_has_taken_stays_whatever_the_second_does() {
    let pair = Pair::new();
    let one = pair.process(ttl(600)).await;
    one.second.set(Mode::Hangs);
    // Its caller has no patience with the second.
    assert!(one.cache.set("k", 5).now_or_never().is_none());
    one.second.set(Mode::Passes);
    pair.fleet.pass(SECOND * 30).await;
    assert_eq!(get(&one.cache, 9).await, 5);
    let other = pair.process(ttl(600)).await;
    assert_eq!(get(&other.cache, 9).await, 5);
    // And is removed from there all the same.
    let cut = pair.cut(ttl(600)).await;
    assert_eq!(get(&cut.cache, 7).await, 7);
    cut.cache.idle().await;
    one.second.set(Mode::Hangs);
    assert!(one.cache.set("k", 6).now_or_never().is_none());
    one.second.set(Mode::Passes);
    pair.fleet.pass(SECOND).await;
    let second = pair.second().await;
    assert!(!second.exists("{cache:c:k}:data").await.unwrap());
}
