//! What locks cost the store while nothing happens.

use crate::site::{LONG, Site};
use futures_util::future::join_all;
use kv_core::{Layer, Stopwatch, layer_fn};
use kv_lock::LockManager;
use kv_tests::patience::pause;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const LOCKS: usize = 1_000;
const LEASE: Duration = Duration::from_secs(12);

/// No lock is renewed sooner after its last renewal.
const INTERVAL: Duration = LEASE.checked_div(100).unwrap().saturating_mul(28);

fn counted(calls: &Arc<AtomicUsize>) -> impl Layer + use<> {
    let calls = calls.clone();
    layer_fn("count", move |request, next| {
        calls.fetch_add(1, Ordering::Relaxed);
        next.call(request)
    })
}

async fn a_thousand_locks_are_renewed_in_two_calls_an_interval(site: Site) {
    let calls = Arc::default();
    let kv = site
        .builder()
        .layer(counted(&calls))
        .connect()
        .await
        .unwrap();
    let locks = LockManager::builder(&kv).lease(LEASE).build().unwrap();
    let acquire = |number: usize| {
        let lock = locks.lock(format!("{number}"));
        async move { lock.acquire().await.unwrap() }
    };
    let guards = join_all((0..LOCKS).map(acquire)).await;
    let (before, watch) = (calls.load(Ordering::Relaxed), Stopwatch::start());
    pause(LEASE * 5 / 4).await;
    let calls = calls.load(Ordering::Relaxed) - before;
    let intervals = watch.elapsed().div_duration_f64(INTERVAL).ceil();
    println!("{calls} calls for {LOCKS} locks in {intervals} intervals");
    assert!(calls > 2);
    assert!(calls as f64 <= 2.0 * intervals, "{calls} calls");
    for guard in &guards {
        guard.check().unwrap();
    }
}

async fn idle_waiters_ask_when_a_lease_may_have_ended(site: Site) {
    const PROCESSES: usize = 2;
    let lease = Duration::from_secs(6);
    let _held = site.locks.lock("a").lease(lease).acquire().await.unwrap();
    let calls = Arc::default();
    let mut waiters = tokio::task::JoinSet::new();
    for _ in 0..PROCESSES {
        let kv = site
            .builder()
            .layer(counted(&calls))
            .connect()
            .await
            .unwrap();
        let locks = LockManager::builder(&kv).lease(lease).build().unwrap();
        for _ in 0..50 {
            let locks = locks.clone();
            waiters.spawn(async move { locks.lock("a").acquire().await });
        }
    }
    let watch = Stopwatch::start();
    pause(lease * 5 / 2).await;
    // What is renewed after at most 0.38 of the lease is on the store for one and a half.
    let looks = watch.elapsed().div_duration_f64(lease.mul_f64(1.1)).ceil();
    let calls = calls.load(Ordering::Relaxed);
    println!("{calls} calls of 100 waiters in {PROCESSES} processes, {looks} looks each");
    assert!(
        calls as f64 <= PROCESSES as f64 * (2.0 + looks),
        "{calls} calls"
    );
    assert!(waiters.try_join_next().is_none());
}

/// It never releases, and its key may be there for a while after its end.
async fn a_dead_holder_is_not_asked_for_again_and_again(site: Site) {
    let lease = Duration::from_secs(1);
    let locks = LockManager::new(&site.builder().connect().await.unwrap()).unwrap();
    let dies = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    // It is renewed in that runtime, and so no more when it ends.
    let held = dies.spawn(async move { locks.lock("a").lease(lease).acquire().await.unwrap() });
    std::mem::forget(held.await.unwrap());
    dies.shutdown_background();
    let calls = Arc::default();
    let kv = site
        .builder()
        .layer(counted(&calls))
        .connect()
        .await
        .unwrap();
    let locks = LockManager::new(&kv).unwrap();
    let watch = Stopwatch::start();
    let guard = locks
        .lock("a")
        .lease(LONG)
        .wait(LONG)
        .acquire()
        .await
        .unwrap();
    let (calls, took) = (calls.load(Ordering::Relaxed), watch.elapsed());
    println!("{calls} calls in {took:.2?} until a dead holder was followed");
    assert!(calls <= 10, "{calls} calls");
    guard.check().unwrap();
}

crate::on_each_store! {
    a_thousand_locks_are_renewed_in_two_calls_an_interval
    idle_waiters_ask_when_a_lease_may_have_ended
    a_dead_holder_is_not_asked_for_again_and_again
}
