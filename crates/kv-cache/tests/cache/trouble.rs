//! A store in trouble: no call suffers that the loader can answer.

use crate::{
    SECOND,
    bad::Bad,
    fails,
    fleet::{Fleet, SURE, ask, get},
    settle, ttl,
};
use kv_conformance::faults::{Fault, FaultsLayer, Plan};
use kv_core::{Clock, Error, ErrorKind, layer_fn};
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::Notify;

#[tokio::test]
async fn a_store_that_is_down_costs_a_load() {
    let fleet = Fleet::new();
    let is_down = Arc::new(AtomicBool::new(true));
    let down = is_down.clone();
    let layer = layer_fn("down", move |request, next| {
        match down.load(Ordering::Relaxed) {
            true => Box::pin(async { Err(Error::new(ErrorKind::Unavailable, "down")) }),
            false => next.call(request),
        }
    });
    let kv = fleet.builder().layer(layer).connect().await.unwrap();
    let cache = fleet.on(&kv, ttl(60).stale(SECOND * 60));
    assert_eq!(get(&cache, 1).await, 1);
    cache.idle().await;
    assert_eq!(get(&cache, 2).await, 1, "it is kept here");
    assert!(
        cache.get("other").await.is_err(),
        "an error is never a miss"
    );
    fleet.clock.advance(SURE);
    assert!(
        cache.get("k").await.unwrap().is_some(),
        "better than nothing"
    );
    assert_eq!(get(&cache, 2).await, 2, "nobody is sure of it any more");
    cache.idle().await;
    fleet.clock.advance(SURE);
    let kept = cache.get_or_load("k", |_| fails()).await;
    assert_eq!(*kept.unwrap(), 2, "the loader is down too");
    assert!(cache.remove("k").await.is_err());
    assert!(cache.set("k", 3).await.is_err());
    assert!(cache.expire("k").await.is_err());
    assert!(cache.stats().far_errors > 0);
    is_down.store(false, Ordering::Relaxed);
    assert_eq!(get(&cache, 4).await, 4);
    cache.idle().await;
    assert_eq!(get(&fleet.process(ttl(60)).await, 5).await, 4);
}

/// K8.
#[tokio::test]
async fn a_store_that_does_not_answer_costs_its_deadline() {
    let fleet = Fleet::new();
    let layer = layer_fn("black hole", |_, _| Box::pin(pending()));
    let kv = fleet.builder().layer(layer).connect().await.unwrap();
    let cache = fleet.on(&kv, ttl(60));
    let gate = Arc::new(Notify::new());
    gate.notify_one();
    let asking = ask(&cache, &gate, 1);
    settle().await;
    assert!(!asking.is_finished());
    fleet.clock.advance(SECOND);
    settle().await;
    assert!(asking.is_finished());
    assert_eq!(asking.await.unwrap().unwrap(), 1);
}

/// Whatever call is lost, before or after it was done, callers get their values, and what was removed stays so.
#[tokio::test]
async fn lost_calls_and_lost_answers_change_no_value() {
    for at in 0..4 {
        for fault in [Fault::FailBefore, Fault::ApplyThenFail] {
            let fleet = Fleet::new();
            let mut script = vec![Fault::None; at];
            script.push(fault);
            let layer = FaultsLayer::new(Plan::Script(script));
            let kv = fleet.builder().layer(layer).connect().await.unwrap();
            let cache = fleet.on(&kv, ttl(60).hard_timeout(SECOND));
            assert_eq!(get(&cache, 1).await, 1);
            cache.idle().await;
            while cache.remove("k").await.is_err() {}
            assert_eq!(get(&cache, 2).await, 2, "{at} {fault:?}");
            cache.idle().await;
            assert!(
                !kv.exists("{cache:c:k}:lease").await.unwrap_or(true),
                "{at} {fault:?}"
            );
        }
    }
}

/// K5: what was loaded may have been replaced as soon as its load began, and nothing is heard of that.
#[tokio::test]
async fn what_the_store_has_not_taken_is_trusted_from_when_its_load_began() {
    let (no, fails) = (Fault::None, Fault::FailBefore);
    for script in [
        vec![fails; 3],
        // Where the tags begin that all entries have.
        vec![no, fails],
        // The fill.
        vec![no, no, fails],
    ] {
        let plan = Plan::Script(script);
        let fleet = Fleet::new();
        let place = plan.to_string();
        let faults = FaultsLayer::new(plan).only(|it| it.name == "commit");
        let deaf = Bad {
            clock: fleet.clock.clone(),
            lost: 1.0,
            held: 0.0,
            random: Arc::default(),
        };
        let kv = fleet.builder().layer(faults).layer(deaf).connect();
        let one = fleet.on(&kv.await.unwrap(), ttl(60));
        let other = fleet.process(ttl(60)).await;
        let (loading, took) = (one.clone(), fleet.clock.clone());
        let loaded = tokio::spawn(async move {
            let load = loading.get_or_load("k", move |_| async move {
                took.sleep(SECOND * 2).await;
                Ok::<_, &'static str>(1)
            });
            *load.await.unwrap()
        });
        settle().await;
        fleet.clock.advance(SECOND);
        other.remove("k").await.unwrap();
        fleet.clock.advance(SECOND);
        assert_eq!(loaded.await.unwrap(), 1);
        one.idle().await;
        assert_eq!(get(&one, 2).await, 1, "{place}: it is kept");
        fleet.clock.advance(SURE - SECOND / 2);
        assert_eq!(get(&one, 2).await, 2, "{place}: replaced longer ago");
    }
}
