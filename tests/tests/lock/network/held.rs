//! What is held while the network fails, the server starts anew or forgets.

use super::{
    Backend, FAULTS,
    line::{KINDS, Line, with_each},
};
use kv_conformance::proxy::Mode;
use kv_core::Stopwatch;
use kv_lock::{LostReason, Release};
use kv_tests::{
    kinds::Held,
    patience::{PATIENCE, until},
};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::timeout};

/// Long enough for several renewals after one that was lost, on a slow machine, too.
const LEASE: Duration = Duration::from_secs(15);

/// One that is waited out.
const SHORT: Duration = Duration::from_secs(2);

async fn renewals_outlive_an_outage<S: Backend>() {
    with_each::<S, _>(FAULTS, 0..1, LEASE, outlives_an_outage).await;
}

async fn outlives_an_outage(line: Line) {
    let (kind, name) = (line.kind, &line.name);
    let held = kind.acquire(&line.far, name).await.unwrap();
    let beside = kind.beside(&line.near, name).await.unwrap();
    let watch = Stopwatch::start();
    let before = line.losses();
    line.proxy.set(line.mode);
    until("a renewal is lost", async || line.losses() > before).await;
    let end = watch.elapsed() + held.remaining();
    line.heal();
    is_renewed(&line, &held, &watch, end).await;
    let others = u64::from(beside.is_some());
    assert_eq!(line.held().await, others + kind.weight(), "{line:?}");
    let rival = kind.rival().try_acquire(&line.near, name).await.unwrap();
    assert!(rival.is_none(), "{line:?}");
    assert_ne!(held.release().await, Release::Expired, "{line:?}");
    if let Some(beside) = beside {
        assert_eq!(beside.release().await, Release::Released, "{line:?}");
    }
}

async fn loss_is_told_before_another_holds_it<S: Backend>() {
    let modes = [Mode::BlackHole, Mode::HalfOpen, Mode::Refuse];
    with_each::<S, _>(modes, 0..1, SHORT, told_before_another_holds_it).await;
}

async fn told_before_another_holds_it(line: Line) {
    let line = Arc::new(line);
    let kind = line.kind;
    let held = Arc::new(kind.acquire(&line.far, &line.name).await.unwrap());
    line.proxy.set(line.mode);
    if line.mode == Mode::Refuse {
        line.proxy.reset_all();
    }
    let next = {
        let (line, held) = (line.clone(), held.clone());
        tokio::spawn(async move {
            let next = kind.rival().acquire(&line.near, &line.name).await.unwrap();
            // By the clock, whatever tasks had time to run.
            assert!(held.check().is_err(), "{line:?}: two at once");
            next
        })
    };
    let lost = timeout(PATIENCE, held.lost()).await.unwrap();
    assert_eq!(lost.reason(), LostReason::Expired, "{line:?}");
    let next = next.await.unwrap();
    assert!(next.fence() > held.fence(), "{line:?}");
    line.heal();
    let held = Arc::into_inner(held).unwrap();
    assert_eq!(held.release().await, Release::Expired, "{line:?}");
    next.check().unwrap();
    let (held, weight) = (kind.rival().held(&line.kv, &line.name).await.unwrap(), next);
    assert_eq!(held, kind.rival().weight(), "{line:?}");
    assert_eq!(weight.release().await, Release::Released, "{line:?}");
    assert!(line.is_free().await, "{line:?}");
}

/// What was acknowledged survives: it stays held, and who waits gets it in the end.
async fn a_restart_leaves_each_kind_held<S: Backend>() {
    let mut server = S::start_durable();
    let mut holders = Vec::new();
    for kind in KINDS {
        // Longer than a server takes to start.
        let line = Line::to(&server, kind, Mode::Pass, LEASE).await;
        let held = kind.acquire(&line.far, &line.name).await.unwrap();
        let (near, name) = (line.near.clone(), line.name.clone());
        let waits = tokio::spawn(async move { kind.rival().acquire(&near, &name).await.unwrap() });
        holders.push((line, held, waits));
    }
    tokio::task::block_in_place(|| {
        server.kill();
        server.restart();
    });
    let watch = Stopwatch::start();
    let ends = holders.iter().map(|(_, held, _)| held.remaining());
    let ends: Vec<_> = ends.collect();
    for ((line, held, waits), end) in holders.iter().zip(ends) {
        is_renewed(line, held, &watch, end).await;
        assert!(!waits.is_finished(), "{line:?}");
    }
    for (line, held, waits) in holders {
        let fence = held.fence();
        assert_ne!(held.release().await, Release::Expired, "{line:?}");
        assert!(waits.await.unwrap().fence() > fence, "{line:?}");
    }
}

/// Holders, fences and counters are gone, as after FLUSHALL or an eviction.
async fn what_is_forgotten_is_noticed_and_fences_rise<S: Backend>() {
    let server = S::start();
    let mut tests = JoinSet::new();
    for kind in KINDS {
        let line = Line::to(&server, kind, Mode::Pass, SHORT).await;
        tests.spawn(async move {
            let held = kind.acquire(&line.far, &line.name).await.unwrap();
            kind.forget(&line.kv, &line.name).await.unwrap();
            let next = kind.rival().acquire(&line.near, &line.name).await.unwrap();
            assert!(next.fence() > held.fence(), "{line:?}");
            // The next renewal tells.
            let lost = timeout(PATIENCE, held.lost()).await.unwrap();
            println!("{line:?}: {lost}");
            assert_eq!(held.release().await, Release::Expired, "{line:?}");
            next.check().unwrap();
            let last = next.fence();
            assert_eq!(next.release().await, Release::Released, "{line:?}");
            kind.forget(&line.kv, &line.name).await.unwrap();
            let next = kind.acquire(&line.near, &line.name).await.unwrap();
            assert!(next.fence() > last, "{line:?}");
        });
    }
    tests.join_all().await;
}

/// Its lease ends later than it did.
async fn is_renewed(line: &Line, held: &Held, watch: &Stopwatch, end: Duration) {
    let end = end + LEASE / 10;
    until(&format!("{line:?}: it is renewed"), async || {
        watch.elapsed() + held.remaining() > end
    })
    .await;
    held.check().unwrap();
}

crate::on_each_server! {
    renewals_outlive_an_outage
    loss_is_told_before_another_holds_it
    a_restart_leaves_each_kind_held
    what_is_forgotten_is_noticed_and_fences_rise
}
