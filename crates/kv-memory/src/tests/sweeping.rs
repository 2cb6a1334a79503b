use super::{Fixture, START, connected, fixture, limit, millis};
use crate::{MemoryConfig, MemoryStore};
use kv_core::{Kv, Stopwatch, Timestamp, Ttl};
use std::time::Duration;

/// Waits for an effect; fails if it does not come.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let watch = Stopwatch::start();
    while !holds() {
        assert!(watch.elapsed() < Duration::from_secs(10), "never: {what}");
        tokio::task::yield_now().await;
    }
}

async fn entries(it: &Fixture, count: usize) {
    until("that many entries", || it.store.stats().entries == count).await;
}

#[tokio::test]
async fn what_ended_is_freed_though_nobody_reads() {
    let it = connected(MemoryConfig::default()).await;
    for index in 0..5000 {
        let ttl = millis(1 + index % 10 * 100);
        it.kv.set_for(format!("k{index}"), "v", ttl).await.unwrap();
    }
    it.kv.set("stays", "v").await.unwrap();
    it.clock.advance(millis(1));
    entries(&it, 4501).await;
    it.clock.advance(millis(100));
    entries(&it, 4001).await;
    it.clock.advance(millis(1000));
    entries(&it, 1).await;
    assert_eq!(it.store.stats().expired, 5000);
    it.audit();
}

#[tokio::test]
async fn an_earlier_deadline_wakes_the_sleeper() {
    let it = connected(MemoryConfig::default()).await;
    it.kv.set_for("late", "v", millis(60_000)).await.unwrap();
    // The sweeper goes to sleep until then.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    it.kv.set_for("soon", "v", millis(5)).await.unwrap();
    it.clock.advance(millis(5));
    entries(&it, 1).await;
    it.kv.expire("late", millis(10)).await.unwrap();
    it.clock.advance(millis(10));
    entries(&it, 0).await;
}

#[tokio::test]
async fn a_clock_that_steps_back_does_not_stall_it() {
    const HOUR: i64 = 3_600_000_000;
    let it = connected(MemoryConfig::default()).await;
    // The sweeper goes to sleep at the time before the step.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let earlier = Timestamp::from_micros(START.as_micros() - HOUR);
    it.clock.set(earlier);
    it.kv.set_for("k", "v", millis(1000)).await.unwrap();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    it.clock.advance(millis(1000));
    entries(&it, 0).await;
}

#[tokio::test]
async fn it_ends_on_close_and_when_the_last_handle_goes() {
    let it = connected(MemoryConfig::default()).await;
    let task = it.store.inner().sweeper.watch().unwrap();
    let second = Kv::builder(it.store.clone()).connect().await.unwrap();
    it.kv.close().await;
    it.kv.close().await;
    assert!(!task.is_finished(), "the second handle still needs it");
    second.close().await;
    assert!(task.is_finished());
    // Data outlives the connection, and a new one sweeps again.
    let third = Kv::builder(it.store.clone()).connect().await.unwrap();
    third.set_for("k", "v", millis(5)).await.unwrap();
    it.clock.advance(millis(5));
    entries(&it, 0).await;

    let Fixture { kv, store, .. } = connected(MemoryConfig::default()).await;
    let task = store.inner().sweeper.watch().unwrap();
    kv.set_for("k", "v", millis(60_000)).await.unwrap();
    drop((kv, store));
    until("the task ends", || task.is_finished()).await;
}

#[test]
fn connecting_needs_a_runtime_and_survives_its_end() {
    use kv_core::Store;
    let store = MemoryStore::default();
    let outside = futures_util::future::FutureExt::now_or_never(store.connect());
    let error = outside.unwrap().unwrap_err();
    assert_eq!(error.kind(), kv_core::ErrorKind::Config);
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    runtime().block_on(store.connect()).unwrap();
    let second = runtime();
    second.block_on(store.connect()).unwrap();
    let task = store.inner().sweeper.watch().unwrap();
    assert!(!task.is_finished(), "the task died with the first runtime");
}

#[tokio::test]
async fn stale_deadlines_do_not_pile_up() {
    let it = fixture(MemoryConfig::default()).await;
    for round in 0..10_000 {
        let ttl = Ttl::after(millis(1000 + round)).unwrap();
        it.kv.set_with("k", "v", ttl).await.unwrap();
    }
    let inner = it.store.inner();
    let held: usize = inner
        .shards
        .iter()
        .map(|it| it.read().books.deadlines.len())
        .sum();
    assert!(held < 100, "{held} deadlines are kept for one key");
    it.clock.advance(millis(10_998));
    assert!(it.kv.exists("k").await.unwrap());
    inner.sweep();
    assert_eq!(it.store.stats().entries, 1);
    it.clock.advance(millis(1));
    inner.sweep();
    assert_eq!(it.store.stats().entries, 0);
    it.audit();
}

#[tokio::test]
async fn deleting_most_keys_gives_the_table_back() {
    let it = fixture(MemoryConfig::default().shards(crate::ShardCount::new(1).unwrap())).await;
    for index in 0..20_000 {
        it.kv.set(format!("k:{index}"), "v").await.unwrap();
    }
    assert_eq!(it.kv.delete_prefix("k:1").await.unwrap(), 11_111);
    assert_eq!(it.kv.delete_prefix("k:").await.unwrap(), 8_889);
    let capacity = it.store.inner().shards[0].read().table.capacity();
    assert!(capacity < 1000, "{capacity}");
    it.audit();
}

#[tokio::test]
async fn a_full_store_frees_what_ended_before_it_refuses() {
    let it = fixture(MemoryConfig::default().max_entries(limit(10))).await;
    for index in 0..10 {
        it.kv
            .set_for(format!("k{index}"), "v", millis(5))
            .await
            .unwrap();
    }
    assert!(it.kv.set("new", "v").await.is_err());
    it.clock.advance(millis(5));
    it.kv.set("new", "v").await.unwrap();
    assert_eq!(it.store.stats().entries, 1);
    it.audit();
}
