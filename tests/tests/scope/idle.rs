//! Waits cost nothing while nothing happens, and nothing once they are given up.

use crate::site::{LONG, asleep, memory, redis};
use futures_util::future;
use kv_core::{Clock, Kv, Stopwatch, SystemClock, layer_fn};
use kv_redis::redis;
use kv_tests::server::Redis;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const WAITS: usize = 1000;

/// How many commands a store was asked for so far.
trait Calls {
    async fn count(&self) -> u64;
}

/// All commands that a Redis executed, but those that ask for this number.
struct CommandStats(redis::aio::ConnectionManager);

impl Calls for CommandStats {
    async fn count(&self) -> u64 {
        let mut info = redis::cmd("INFO");
        let text: String = info
            .arg("commandstats")
            .query_async(&mut self.0.clone())
            .await
            .unwrap();
        let calls = text
            .lines()
            .filter(|line| !line.starts_with("cmdstat_info:"));
        let calls = calls.filter_map(|line| line.split_once("calls=")?.1.split(',').next());
        calls.map(|calls| calls.parse::<u64>().unwrap()).sum()
    }
}

struct Counted(Arc<AtomicU64>);

impl Calls for Counted {
    async fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

async fn on_redis(server: &Redis) -> (Kv, CommandStats) {
    let kv = redis(server).connect().await.unwrap();
    let asking = redis(server).connect().await.unwrap();
    (kv, CommandStats(asking.native().unwrap()))
}

async fn on_memory() -> (Kv, Counted) {
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Counted(Arc::clone(&calls));
    let count = layer_fn("count", move |request, next| {
        calls.fetch_add(1, Ordering::Relaxed);
        next.call(request)
    });
    (memory().layer(count).connect().await.unwrap(), counted)
}

async fn in_a_second(calls: &impl Calls) -> u64 {
    let before = calls.count().await;
    pass(Duration::from_secs(1)).await;
    calls.count().await - before
}

async fn pass(span: Duration) {
    let clock = SystemClock;
    clock.sleep_until(clock.now().saturating_add(span)).await;
}

/// Waits until a second passes with next to no calls.
async fn quiet(calls: &impl Calls) {
    let watch = Stopwatch::start();
    loop {
        let seen = in_a_second(calls).await;
        if seen <= 10 {
            return;
        }
        assert!(
            watch.elapsed() < LONG,
            "{seen} calls a second, without an end"
        );
    }
}

async fn idle_waits_ask_nothing(kv: Kv, calls: impl Calls) {
    let scope = kv.scope("idle", "waits").unwrap();
    let waits = (0..WAITS).map(|at| {
        let scope = scope.clone();
        tokio::spawn(async move { scope.wait_for_key(format!("k:{at}"), LONG * 3).await })
    });
    let waits: Vec<_> = waits.collect();
    quiet(&calls).await;
    let before = calls.count().await;
    assert!(
        before >= WAITS as u64,
        "each had a look, {before} calls are too few"
    );
    let seconds = 3;
    pass(Duration::from_secs(seconds)).await;
    let asked = calls.count().await - before;
    assert!(asked <= 10 * seconds, "{asked} calls in {seconds} seconds");
    assert!(waits.iter().all(|wait| !wait.is_finished()));
    let items = (0..WAITS).map(|at| (scope.key(format!("k:{at}")).unwrap(), "1"));
    kv.set_many(items).await.unwrap();
    for woken in future::join_all(waits).await {
        assert_eq!(woken.unwrap().unwrap(), "1");
    }
    kv.close().await;
}

#[tokio::test]
async fn case_118_a_thousand_idle_waits_ask_a_redis_nothing() {
    let server = Redis::start();
    let (kv, calls) = on_redis(&server).await;
    idle_waits_ask_nothing(kv, calls).await;
}

#[tokio::test]
async fn case_118_a_thousand_idle_waits_ask_memory_nothing() {
    let (kv, calls) = on_memory().await;
    idle_waits_ask_nothing(kv, calls).await;
}

/// Were somebody still waiting, every write would make it read.
async fn a_cancelled_wait_reads_no_more(kv: &Kv, writer: &Kv, calls: &impl Calls) {
    const WRITES: u64 = 200;
    let scope = kv.scope("idle", "waits").unwrap();
    let elsewhere = writer.scope("idle", "waits").unwrap();
    let for_keys = scope.wait_for_keys("k:*", 10).value("never").timeout(LONG);
    let mut for_keys = for_keys.into_future();
    let mut for_value = Box::pin(scope.wait_for_value("k:0", "never", LONG));
    asleep(&mut for_keys).await;
    asleep(&mut for_value).await;
    elsewhere.set("k:0", "0").await.unwrap();
    asleep(&mut for_value).await;
    drop((for_keys, for_value));
    // What was on its way when they ended may still be answered.
    elsewhere.set("k:0", "1").await.unwrap();
    quiet(calls).await;
    let before = calls.count().await;
    for at in 0..WRITES {
        elsewhere.set("k:0", at.to_string()).await.unwrap();
    }
    pass(Duration::from_millis(300)).await;
    let asked = calls.count().await - before;
    assert!(asked <= WRITES + 10, "{asked} calls for {WRITES} writes");
}

#[tokio::test]
async fn case_118_a_cancelled_wait_leaves_nothing_on_a_redis() {
    let server = Redis::start();
    let (kv, calls) = on_redis(&server).await;
    let writer = redis(&server).connect().await.unwrap();
    a_cancelled_wait_reads_no_more(&kv, &writer, &calls).await;
}

#[tokio::test]
async fn case_118_a_cancelled_wait_leaves_nothing_in_memory() {
    let (kv, calls) = on_memory().await;
    a_cancelled_wait_reads_no_more(&kv, &kv, &calls).await;
}
