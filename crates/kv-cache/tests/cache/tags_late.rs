//! Tags that loaders name, and removals of tags that the store has not taken.

use crate::{
    SECOND,
    fleet::{Fleet, Products, get},
    near, settle, ttl,
};
use kv_cache::{LoadError, Loaded, Policy};
use kv_conformance::faults::{Fault, FaultsLayer, Odds, Plan};
use std::sync::Arc;
use tokio::{sync::Notify, task::JoinHandle};

type Asked = JoinHandle<Result<Arc<u32>, LoadError<()>>>;

/// A load that names its tag once the gate is open, after it has read.
fn ask(cache: &Products, key: &'static str, gate: &Arc<Notify>, value: u32) -> Asked {
    let (cache, gate) = (cache.clone(), gate.clone());
    tokio::spawn(async move {
        cache
            .get_or_load(key, move |context| async move {
                gate.notified().await;
                context.tag("red");
                Ok::<_, ()>(value)
            })
            .await
    })
}

/// As with an open gate.
async fn load(cache: &Products, key: &'static str, value: u32) -> u32 {
    let gate = Arc::new(Notify::new());
    gate.notify_one();
    *ask(cache, key, &gate, value).await.unwrap().unwrap()
}

/// One process without a store, and one with one.
async fn each_kind(policy: Policy) -> [Products; 2] {
    [near(policy).0, Fleet::new().process(policy).await]
}

#[tokio::test]
async fn a_loader_names_tags() {
    for cache in each_kind(ttl(60)).await {
        assert_eq!(load(&cache, "a", 1).await, 1);
        get(&cache, 1).await;
        cache.idle().await;
        assert_eq!(load(&cache, "a", 2).await, 1);
        cache.remove_tag("red").await.unwrap();
        assert_eq!(get(&cache, 2).await, 1);
        assert_eq!(load(&cache, "a", 3).await, 3);
        cache.idle().await;
        assert_eq!(load(&cache, "a", 4).await, 3);
    }
}

/// Whether this process knew the tag before or not, and whoever removes it.
#[tokio::test]
async fn a_tag_that_is_removed_while_a_loader_runs_that_names_it_removes_what_it_brings() {
    for knows in [false, true] {
        for is_told in [false, true] {
            let fleet = Fleet::new();
            let one = fleet.process(ttl(60)).await;
            let mut remover = one.clone();
            if !is_told {
                remover = fleet.process(ttl(60)).await;
            }
            if knows {
                load(&one, "other", 0).await;
                one.idle().await;
            }
            let gate = Arc::new(Notify::new());
            let before = ask(&one, "k", &gate, 1);
            settle().await;
            remover.remove_tag("red").await.unwrap();
            gate.notify_one();
            assert_eq!(*before.await.unwrap().unwrap(), 1);
            one.idle().await;
            let third = fleet.process(ttl(60)).await;
            for cache in [&remover, &one, &third] {
                assert_eq!(cache.get("k").await.unwrap(), None, "{knows} {is_told}");
            }
        }
    }
}

/// Without a store only what is here tells.
#[tokio::test]
async fn so_it_is_without_a_store() {
    for knows in [false, true] {
        let (one, _) = near(ttl(60));
        if knows {
            load(&one, "other", 0).await;
            one.idle().await;
        }
        let gate = Arc::new(Notify::new());
        let before = ask(&one, "k", &gate, 1);
        settle().await;
        one.remove_tag("red").await.unwrap();
        gate.notify_one();
        assert_eq!(*before.await.unwrap().unwrap(), 1);
        one.idle().await;
        assert_eq!(one.get("k").await.unwrap(), None, "{knows}");
    }
}

/// Which came first cannot be told, so it is not kept; of a tag that is known here it can.
#[tokio::test]
async fn another_tag_that_is_removed_meanwhile_leaves_a_doubt_once() {
    for (knows, is_kept) in [(false, false), (true, true)] {
        let fleet = Fleet::new();
        let one = fleet.process(ttl(60)).await;
        let other = fleet.process(ttl(60)).await;
        if knows {
            load(&one, "other", 0).await;
            one.idle().await;
            fleet.pass(SECOND / 10).await;
        }
        let gate = Arc::new(Notify::new());
        let before = ask(&one, "k", &gate, 1);
        settle().await;
        // Whom nobody tells.
        other.remove_tag("blue").await.unwrap();
        gate.notify_one();
        assert_eq!(*before.await.unwrap().unwrap(), 1);
        one.idle().await;
        let there = other.get("k").await.unwrap();
        assert_eq!(there.is_some(), is_kept);
        assert_eq!(one.stats().refused_fills, u64::from(!is_kept));
        load(&one, "k", 2).await;
        one.idle().await;
        assert!(other.get("k").await.unwrap().is_some());
    }
}

#[tokio::test]
async fn what_is_not_modified_keeps_its_tags() {
    for cache in each_kind(ttl(60).stale(SECOND * 60)).await {
        load(&cache, "k", 1).await;
        cache.idle().await;
        cache.expire("k").await.unwrap();
        let again = cache.refresh("k", |context| async move {
            let stale = context.stale().ok_or("nothing")?;
            Ok::<Loaded<u32>, &'static str>(stale.not_modified())
        });
        assert_eq!(again.await.unwrap().as_deref(), Some(&1));
        cache.idle().await;
        assert!(cache.get("k").await.unwrap().is_some());
        cache.remove_tag("red").await.unwrap();
        assert_eq!(cache.get("k").await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_a_loader_cannot_name_is_given_out_and_not_kept() {
    for cache in each_kind(ttl(60)).await {
        for value in 1..3 {
            let load = cache.get_or_load("k", move |context| async move {
                context.tag("");
                Ok::<_, ()>(value)
            });
            assert_eq!(*load.await.unwrap(), value);
            cache.idle().await;
        }
    }
}

#[tokio::test]
async fn a_tag_is_removed_once_the_store_is_there_again() {
    for fault in [Fault::FailBefore, Fault::ApplyThenFail] {
        let fleet = Fleet::new();
        let odds = Odds::none().and(fault, 1.0).unwrap();
        let faults = FaultsLayer::new(Plan::random(7, odds)).only(|it| it.name == "commit");
        let switch = faults.switch();
        switch.off();
        let kv = fleet.builder().layer(faults).connect().await.unwrap();
        let one = fleet.on(&kv, ttl(600));
        let other = fleet.process(ttl(600)).await;
        assert_eq!(load(&one, "a", 1).await, 1);
        one.idle().await;
        switch.on();
        one.remove_tag("red").await.unwrap_err();
        one.expire_tag("red").await.unwrap_err();
        // Nothing of it is had here any more.
        assert!(one.get("a").await.is_err());
        switch.off();
        fleet.pass(SECOND * 15).await;
        assert_eq!(other.get("a").await.unwrap(), None);
        assert_eq!(one.stats().tried_again, 1);
    }
}
