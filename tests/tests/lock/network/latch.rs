//! Latches and barriers on networks that fail: each counts once, and whoever waits goes on.

use super::{Backend, FAULTS, SECOND, Wire};
use crate::site::LONG;
use kv_conformance::proxy::Mode;
use kv_core::Stopwatch;
use kv_lock::{Barrier, Latch, LatchError, Progress};
use kv_tests::patience::pause;
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};

/// More than an arrival or a look has.
const STEPS: u32 = 4;

async fn an_arrival_counts_once<S: Backend>() {
    with_each_fault::<S, _>(arrives_once).await;
}

async fn arrives_once<S: Backend>(wire: Wire<S>, mode: Mode) {
    let (far, near) = (wire.far.latch("a", STEPS), wire.near.latch("a", STEPS));
    // The server knows from then on what is asked.
    arrive(&wire.far.latch("b", 1), "x").await;
    for replies in 0..STEPS {
        wire.proxy.set_after(replies, mode);
        let arrives = {
            let far = far.clone();
            tokio::spawn(async move { arrive(&far, &replies.to_string()).await })
        };
        for_a_while(&arrives).await;
        let has_failed = wire.heal();
        assert_eq!(arrives.await.unwrap().arrived, u64::from(replies) + 1);
        let seen = near.progress().await.unwrap();
        assert_eq!(seen.arrived, u64::from(replies) + 1, "{mode:?}");
        if !has_failed {
            break;
        }
    }
    assert!(wire.losses() + wire.proxy.counts().reset > 0);
}

async fn who_waits_outlives_an_outage<S: Backend>() {
    with_each_fault::<S, _>(waits_on).await;
}

async fn waits_on<S: Backend>(wire: Wire<S>, mode: Mode) {
    for replies in 0..STEPS {
        let name = format!("{replies}");
        wire.proxy.set_after(replies, mode);
        let waits = {
            let far = wire.far.latch(&name, 2).timeout(LONG);
            tokio::spawn(async move { far.wait().await })
        };
        for_a_while(&waits).await;
        let near = wire.near.latch(&name, 2);
        for who in ["x", "y"] {
            assert!(!waits.is_finished(), "{mode:?} after {replies}");
            arrive(&near, who).await;
        }
        for_a_while(&waits).await;
        let has_failed = wire.heal();
        waits.await.unwrap().unwrap();
        if !has_failed {
            break;
        }
    }
}

async fn parties_meet_in_spite_of_lost_answers<S: Backend>() {
    with_each_fault::<S, _>(meet).await;
}

async fn meet<S: Backend>(wire: Wire<S>, mode: Mode) {
    for replies in 0..STEPS {
        let side =
            |locks: &kv_lock::LockManager| locks.barrier(replies.to_string(), 2).timeout(LONG);
        let (far, near) = (side(&wire.far), side(&wire.near));
        wire.proxy.set_after(replies, mode);
        let ours = tokio::spawn(async move { through(&far, "far").await });
        for_a_while(&ours).await;
        assert!(!ours.is_finished(), "{mode:?} after {replies}: alone");
        let theirs = tokio::spawn(async move { through(&near, "near").await });
        for_a_while(&ours).await;
        let has_failed = wire.heal();
        ours.await.unwrap();
        theirs.await.unwrap();
        if !has_failed {
            break;
        }
    }
}

async fn a_restart_forgets_no_arrival<S: Backend>() {
    let mut wire = Wire::to(S::start_durable()).await;
    let latch = |locks: &kv_lock::LockManager| locks.latch("a", 3).timeout(LONG);
    let waits = latch(&wire.far);
    let waits = tokio::spawn(async move { waits.wait().await });
    arrive(&latch(&wire.far), "x").await;
    arrive(&latch(&wire.far), "y").await;
    tokio::task::block_in_place(|| {
        wire.server.kill();
        wire.server.restart();
    });
    assert_eq!(arrive(&latch(&wire.near), "x").await.arrived, 2);
    assert!(!waits.is_finished());
    assert_eq!(arrive(&latch(&wire.near), "z").await.missing(), 0);
    waits.await.unwrap().unwrap();
}

async fn with_each_fault<S: Backend, F>(test: fn(Wire<S>, Mode) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut tests = JoinSet::new();
    for mode in FAULTS {
        tests.spawn(test(Wire::to(S::start()).await, mode));
    }
    tests.join_all().await;
}

/// Said again by hand while the store does not answer.
async fn arrive(latch: &Latch, who: &str) -> Progress {
    loop {
        match latch.arrive(who).await {
            Ok(progress) => return progress,
            Err(LatchError::Store(_)) => pause(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn through(barrier: &Barrier, party: &str) {
    while let Err(error) = barrier.enter(party).await {
        assert!(matches!(error, LatchError::Store(_)), "{error}");
        pause(Duration::from_millis(20)).await;
    }
    while let Err(error) = barrier.leave(party).await {
        assert!(matches!(error, LatchError::Store(_)), "{error}");
        pause(Duration::from_millis(20)).await;
    }
}

/// Unless it ends. What has not happened by then fails later.
async fn for_a_while<T>(task: &JoinHandle<T>) {
    let begun = Stopwatch::start();
    while !task.is_finished() && begun.elapsed() < SECOND / 8 {
        pause(Duration::from_millis(5)).await;
    }
}

crate::on_each_server! {
    an_arrival_counts_once
    who_waits_outlives_an_outage
    parties_meet_in_spite_of_lost_answers
    a_restart_forgets_no_arrival
}
