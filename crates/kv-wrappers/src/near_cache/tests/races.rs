//! Never a stale fill.

use super::site::{Asked, Site, lasting};
use crate::{NearCache, NearCacheInvalidation, NearCacheStats};
use futures_util::{FutureExt, future::join_all};
use kv_core::{Kv, layer_fn};
use kv_memory::MemoryStore;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

#[tokio::test]
async fn case_142_a_read_that_an_own_write_overtook_is_not_kept() {
    let site = Site::new(lasting(NearCacheInvalidation::OwnWrites)).await;
    site.near.set("a", "old").await.unwrap();
    let hold = site.wire.gate.clone().write_owned().await;
    let mut read = Box::pin(site.near.get("a"));
    assert!(read.as_mut().now_or_never().is_none());
    // Batches pass the gate.
    site.near.set_many([("a", "new")]).await.unwrap();
    drop(hold);
    assert_eq!(read.await.unwrap(), Some("old".into()));
    assert_eq!(site.stats().refused, 1);
    assert_eq!(site.read("a").await, (Some("new".to_owned()), Asked::Store));
}

#[tokio::test]
async fn case_142_a_read_that_an_event_overtook_is_not_kept() {
    let site = Site::live(lasting(NearCacheInvalidation::Watch)).await;
    site.other.set("a", "old").await.unwrap();
    let hold = site.wire.gate.clone().write_owned().await;
    let mut read = Box::pin(site.near.get("a"));
    assert!(read.as_mut().now_or_never().is_none());
    site.other.set("a", "new").await.unwrap();
    // The task that watches has its turn.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    drop(hold);
    assert_eq!(read.await.unwrap(), Some("old".into()));
    assert_eq!(site.stats().refused, 1);
    assert_eq!(site.read("a").await, (Some("new".to_owned()), Asked::Store));
}

#[tokio::test]
async fn a_read_that_a_clear_or_a_lost_watch_overtook_is_not_kept() {
    let site = Site::new(lasting(NearCacheInvalidation::OwnWrites)).await;
    site.near.set("a", "old").await.unwrap();
    let hold = site.wire.gate.clone().write_owned().await;
    let mut read = Box::pin(site.near.get("a"));
    assert!(read.as_mut().now_or_never().is_none());
    site.near.clear_prefixes("a").await.unwrap();
    drop(hold);
    assert_eq!(read.await.unwrap(), Some("old".into()));
    assert_eq!(site.read("a").await, (None, Asked::Store));
}

/// Replies to reads linger on their way, every second one until a write has overtaken it.
#[derive(Clone, Default)]
struct Traffic {
    turn: Arc<AtomicU64>,
    lingering: Arc<AtomicU64>,
    reads: Arc<AtomicU64>,
}

impl Traffic {
    /// A near cache on a store, and another handle on that.
    async fn stack(&self, invalidate: NearCacheInvalidation) -> (Kv, Kv) {
        let traffic = self.clone();
        let layer = layer_fn("lingering", move |request, next| {
            let lingers = request.command.spec().name == "get" && fastrand::bool();
            let traffic = traffic.clone();
            Box::pin(async move {
                let reply = next.call(request).await;
                if lingers {
                    traffic.linger().await;
                }
                reply
            })
        });
        let store = MemoryStore::default();
        let near = NearCache::new(lasting(invalidate)).unwrap();
        let builder = Kv::builder(store.clone()).layer(layer).layer(near);
        let near = builder.connect().await.unwrap();
        (near, Kv::builder(store).connect().await.unwrap())
    }

    async fn linger(&self) {
        let turn = self.turn.load(Ordering::Acquire);
        self.lingering.fetch_add(1, Ordering::AcqRel);
        for _ in 0..1_000 {
            if self.turn.load(Ordering::Acquire) != turn {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.lingering.fetch_sub(1, Ordering::AcqRel);
    }

    /// Waits for a read to overtake, or for so many that came back without lingering.
    async fn wait(&self, enough: u64) {
        let is_lingering = || self.lingering.load(Ordering::Acquire) > 0;
        self.wait_until(|| is_lingering() || self.reads.load(Ordering::Acquire) >= enough)
            .await;
    }

    async fn wait_for_reads(&self, enough: u64) {
        self.wait_until(|| self.reads.load(Ordering::Acquire) >= enough)
            .await;
    }

    async fn wait_until(&self, holds: impl Fn() -> bool) {
        for _ in 0..1_000_000 {
            if holds() {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("nobody reads any more");
    }

    async fn read(&self, near: &Kv) -> u64 {
        let value = near.get("key").await.unwrap();
        self.reads.fetch_add(1, Ordering::AcqRel);
        value.map_or(0, |it| it.to_str().unwrap().parse().unwrap())
    }

    fn over(&self) {
        self.turn.fetch_add(1, Ordering::AcqRel);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn case_142_a_loop_of_reads_never_sees_less_than_the_last_own_write() {
    let traffic = Traffic::default();
    let (near, _) = traffic.stack(NearCacheInvalidation::OwnWrites).await;
    let written = Arc::new(AtomicU64::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let readers = (0..6).map(|_| {
        let (near, traffic) = (near.clone(), traffic.clone());
        let (written, is_over) = (Arc::clone(&written), Arc::clone(&is_over));
        tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let least = written.load(Ordering::Acquire);
                let seen = traffic.read(&near).await;
                assert!(seen >= least, "read {seen} after {least} was written");
                tokio::task::yield_now().await;
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    let write = async move {
        let mut reads = 0;
        for at in 1..=500_u64 {
            // Those that the last write has overtaken have come back.
            traffic.wait_for_reads(reads + 1).await;
            traffic.wait(reads + 3).await;
            reads = traffic.reads.load(Ordering::Acquire);
            match at % 3 {
                0 => near.set("key", at.to_string()).await.unwrap(),
                1 => drop(near.increment("key", 1).await.unwrap()),
                _ => near.set_many([("key", at.to_string())]).await.unwrap(),
            }
            written.store(at, Ordering::Release);
            traffic.over();
        }
        is_over.store(true, Ordering::Relaxed);
        near.native::<NearCacheStats>().unwrap()
    };
    let stats = tokio::spawn(write).await.unwrap();
    for reader in join_all(readers).await {
        reader.unwrap();
    }
    assert!(stats.hits > 100 && stats.refused > 50, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn case_142_a_loop_of_reads_keeps_nothing_that_others_wrote_over() {
    let traffic = Traffic::default();
    let (near, other) = traffic.stack(NearCacheInvalidation::Watch).await;
    let rounds = async move {
        for at in 1..=500_u64 {
            near.delete("key").await.unwrap();
            let reads = traffic.reads.load(Ordering::Acquire);
            let readers = (0..4).map(|_| {
                let (near, traffic) = (near.clone(), traffic.clone());
                tokio::spawn(async move { traffic.read(&near).await })
            });
            let readers: Vec<_> = readers.collect();
            traffic.wait(reads + 4).await;
            other.set("key", at.to_string()).await.unwrap();
            for _ in 0..fastrand::u32(..20) {
                tokio::task::yield_now().await;
            }
            traffic.over();
            join_all(readers).await;
            // What is kept is kept for an hour.
            let mut looks = 0;
            while traffic.read(&near).await != at {
                looks += 1;
                assert!(looks < 100_000, "{at} is never read");
                traffic.over();
                tokio::task::yield_now().await;
            }
        }
        near.native::<NearCacheStats>().unwrap()
    };
    let stats = tokio::spawn(rounds).await.unwrap();
    assert!(stats.hits > 100 && stats.refused > 50, "{stats:?}");
}
