//! Two levels: what the store is asked, and what processes have from each other.

use crate::{
    SECOND, fails,
    fleet::{Fleet, SURE, ask, get},
    settle, ttl,
};
use kv_cache::{Freshness, LoadError, Tier};
use kv_core::Key;
use std::{convert::Infallible, sync::Arc};
use tokio::sync::Notify;

#[tokio::test]
async fn the_store_is_asked_as_often_as_the_table_says() {
    let fleet = Fleet::new();
    let policy = ttl(60).stale(SECOND * 60);
    let (one, sent) = fleet.counted(policy).await;
    let (other, others) = fleet.counted(policy).await;
    one.set("first", 0).await.unwrap();
    assert_eq!(
        sent.take().len(),
        3,
        "the first ever: what tells of a removal of all begins"
    );
    one.set("second", 0).await.unwrap();
    assert_eq!(sent.take().len(), 2, "a write");
    assert_eq!(get(&one, 1).await, 1);
    one.idle().await;
    assert_eq!(sent.take().len(), 2, "a miss");
    get(&one, 2).await;
    assert_eq!(sent.take().len(), 0, "a hit here");
    assert_eq!(get(&other, 2).await, 1);
    assert_eq!(others.take().len(), 1, "a hit there");
    assert!(other.get("k").await.unwrap().is_some());
    assert_eq!(others.take().len(), 0);
    fleet.clock.advance(SURE);
    assert!(other.get("k").await.unwrap().is_some());
    assert_eq!(others.take().len(), 1, "asked whether it still holds");
    fleet.clock.advance(SECOND * 60);
    get(&other, 3).await;
    other.idle().await;
    assert_eq!(others.take().len(), 3, "found stale, leased, filled");
    other.remove("k").await.unwrap();
    assert_eq!(others.take().len(), 1, "a removal");
    other.expire("k").await.unwrap();
    assert_eq!(others.take().len(), 1, "an expiry");
    other.set("k", 4).await.unwrap();
    assert_eq!(others.take().len(), 2, "a write");
    assert_eq!(get(&other, 5).await, 4);
    assert_eq!(others.take().len(), 0);
}

#[tokio::test]
async fn one_loads_for_all_processes() {
    let fleet = Fleet::new();
    let gate = Arc::new(Notify::new());
    let mut asking = Vec::new();
    let mut caches = Vec::new();
    for value in 1..=4 {
        let cache = fleet.process(ttl(60)).await;
        asking.push(ask(&cache, &gate, value));
        settle().await;
        caches.push(cache);
    }
    gate.notify_one();
    for answer in asking {
        assert_eq!(answer.await.unwrap().unwrap(), 1);
    }
    let loads: u64 = caches.iter().map(|it| it.stats().loads).sum();
    assert_eq!(loads, 1);
    assert_eq!(caches[1].stats().waits, 1);
}

#[tokio::test]
async fn when_a_load_fails_the_next_process_need_not_wait() {
    let fleet = Fleet::new();
    let [one, other] = [fleet.process(ttl(60)).await, fleet.process(ttl(60)).await];
    let gate = Arc::new(Notify::new());
    let opened = gate.clone();
    let failing = one.clone();
    let failing = tokio::spawn(async move {
        let load = failing.get_or_load("k", move |_| async move {
            opened.notified().await;
            fails().await
        });
        load.await.map(drop)
    });
    settle().await;
    let waiting = tokio::spawn(async move { get(&other, 2).await });
    settle().await;
    assert!(!waiting.is_finished());
    gate.notify_one();
    assert!(matches!(failing.await.unwrap(), Err(LoadError::Failed(_))));
    assert_eq!(waiting.await.unwrap(), 2);
}

/// Liveness before thrift; and what comes after the lease was taken is dropped.
#[tokio::test]
async fn who_waits_in_vain_loads_and_the_late_one_is_dropped() {
    let fleet = Fleet::new();
    let policy = ttl(60).hard_timeout(SECOND * 10);
    let [one, other] = [fleet.process(policy).await, fleet.process(policy).await];
    let gate = Arc::new(Notify::new());
    let late = ask(&one, &gate, 1);
    settle().await;
    let waiting = {
        let other = other.clone();
        tokio::spawn(async move { get(&other, 2).await })
    };
    settle().await;
    fleet.clock.advance(SECOND * 9);
    settle().await;
    assert!(!waiting.is_finished());
    fleet.clock.advance(SECOND);
    assert_eq!(waiting.await.unwrap(), 2);
    other.idle().await;
    assert!(matches!(late.await.unwrap(), Err(LoadError::TimedOut)));
    gate.notify_one();
    one.idle().await;
    assert_eq!(one.stats().dropped_fills, 1);
    assert_eq!(get(&one, 3).await, 2);
}

/// It never waits for another process: bentocache#103.
#[tokio::test]
async fn who_has_a_stale_value_never_waits_for_a_lease() {
    let fleet = Fleet::new();
    let policy = ttl(10).stale(SECOND * 600).soft_timeout(SECOND * 5);
    let [one, other, new] = [
        fleet.process(policy).await,
        fleet.process(policy).await,
        fleet.process(policy).await,
    ];
    one.set("k", 1).await.unwrap();
    fleet.clock.advance(SECOND * 8);
    assert_eq!(get(&other, 2).await, 1);
    fleet.clock.advance(SECOND * 2);
    let gate = Arc::new(Notify::new());
    let refreshing = ask(&one, &gate, 3);
    settle().await;
    assert!(
        !refreshing.is_finished(),
        "it has the lease, and waits for its loader"
    );
    // One of them has it here, the other has to ask for it.
    for cache in [&other, &new] {
        let at_once = ask(cache, &gate, 4);
        settle().await;
        assert!(at_once.is_finished());
        assert_eq!(at_once.await.unwrap().unwrap(), 1);
    }
    gate.notify_one();
    assert_eq!(refreshing.await.unwrap().unwrap(), 3);
    for cache in [&one, &other, &new] {
        cache.idle().await;
        assert_eq!(get(cache, 5).await, 3);
    }
    let loads = [&one, &other, &new].map(|it| it.stats().loads);
    assert_eq!(loads, [1, 0, 0]);
}

/// C3.
#[tokio::test]
async fn a_load_that_began_before_a_removal_is_kept_nowhere() {
    let fleet = Fleet::new();
    for removal in ["remove", "expire", "set"] {
        let [one, other] = [fleet.process(ttl(60)).await, fleet.process(ttl(60)).await];
        let gate = Arc::new(Notify::new());
        let old = ask(&one, &gate, 1);
        settle().await;
        match removal {
            "remove" => other.remove("k").await.unwrap(),
            "expire" => other.expire("k").await.unwrap(),
            _ => other.set("k", 2).await.unwrap(),
        }
        gate.notify_one();
        assert_eq!(old.await.unwrap().unwrap(), 1);
        one.idle().await;
        assert_eq!(one.stats().dropped_fills, 1, "{removal}");
        assert_eq!(get(&one, 2).await, 2, "{removal}");
        assert_eq!(get(&other, 3).await, 2, "{removal}");
        one.remove("k").await.unwrap();
        for cache in [one, other] {
            cache.idle().await;
        }
    }
}

#[tokio::test]
async fn others_see_a_removal_when_they_are_not_sure_any_more() {
    let fleet = Fleet::new();
    let policy = ttl(60).stale(SECOND * 60);
    let [one, other] = [fleet.process(policy).await, fleet.process(policy).await];
    one.set("k", 1).await.unwrap();
    assert_eq!(get(&other, 9).await, 1);
    one.remove("k").await.unwrap();
    fleet.clock.advance(SURE - SECOND);
    assert_eq!(get(&other, 9).await, 1);
    fleet.clock.advance(SECOND);
    // K5; and what was removed is no stale value either.
    let failed = other.get_or_load("k", |_| fails()).await;
    assert!(matches!(failed, Err(LoadError::Failed(_))));
    assert_eq!(get(&other, 2).await, 2);
}

#[tokio::test]
async fn an_expired_entry_is_stale_for_all_until_it_is_loaded() {
    let fleet = Fleet::new();
    let policy = ttl(60).stale(SECOND * 60);
    let [one, other] = [fleet.process(policy).await, fleet.process(policy).await];
    one.set("k", 1).await.unwrap();
    one.expire("k").await.unwrap();
    let entry = other.get_entry("k").await.unwrap().unwrap();
    assert_eq!(
        (entry.freshness(), entry.tier()),
        (Freshness::Stale, Tier::Far)
    );
    assert_eq!(other.get("k").await.unwrap(), None);
    assert_eq!(get(&other, 2).await, 1);
    other.idle().await;
    assert_eq!(get(&other, 3).await, 2);
    let entry = other.get_entry("k").await.unwrap().unwrap();
    assert_eq!(entry.freshness(), Freshness::Fresh);
    assert_eq!(get(&one, 3).await, 1);
    one.idle().await;
    assert_eq!(get(&one, 3).await, 2);
    assert_eq!(one.stats().loads, 0, "the other has been faster");
}

#[tokio::test]
async fn an_entry_is_as_old_for_all() {
    let fleet = Fleet::new();
    let policy = ttl(20).stale(SECOND * 40);
    let [one, other] = [fleet.process(policy).await, fleet.process(policy).await];
    let (gate, clock) = (Arc::new(Notify::new()), &fleet.clock);
    let loading = ask(&one, &gate, 1);
    settle().await;
    clock.advance(SECOND * 5);
    gate.notify_one();
    loading.await.unwrap().unwrap();
    one.idle().await;
    clock.advance(SECOND * 2);
    for cache in [&one, &other] {
        let entry = cache.get_entry("k").await.unwrap().unwrap();
        assert_eq!(entry.age(), SECOND * 7);
    }
    clock.advance(SECOND * 13);
    for cache in [&one, &other] {
        let entry = cache.get_entry("k").await.unwrap().unwrap();
        assert_eq!(entry.freshness(), Freshness::Stale);
    }
    clock.advance(SECOND * 39);
    assert!(other.get_entry("k").await.unwrap().is_some());
    clock.advance(SECOND);
    for cache in [&one, &other] {
        assert!(cache.get_entry("k").await.unwrap().is_none());
    }
}

#[tokio::test]
async fn that_there_is_nothing_is_known_to_all() {
    let fleet = Fleet::new();
    let policy = ttl(60).negative(SECOND * 2);
    let [one, other] = [fleet.process(policy).await, fleet.process(policy).await];
    let none = one.find_or_load("k", |_| async { Ok::<_, Infallible>(None) });
    assert_eq!(none.await.unwrap(), None);
    one.idle().await;
    let there = other.find_or_load("k", |_| async { Ok::<_, Infallible>(Some(1)) });
    assert_eq!(there.await.unwrap(), None);
    fleet.clock.advance(SECOND * 2);
    assert_eq!(get(&other, 1).await, 1);
}

#[tokio::test]
async fn what_cannot_be_read_is_loaded_and_what_is_newer_left_alone() {
    let fleet = Fleet::new();
    let kv = fleet.kv().await;
    let key = Key::new("{cache:c:k}:data").unwrap();
    let newer = b"\xca\x02 of next year".as_slice();
    for (there, is_replaced) in [(b"".as_slice(), true), (b"{}", true), (newer, false)] {
        let cache = fleet.process(ttl(60)).await;
        kv.set(&key, there).await.unwrap();
        assert!(cache.get("k").await.unwrap().is_none());
        assert_eq!(get(&cache, 1).await, 1);
        cache.idle().await;
        assert_eq!(get(&cache, 2).await, 1, "it is kept here");
        assert!(cache.stats().unreadable > 0);
        let now = kv.get(&key).await.unwrap().unwrap();
        assert_eq!(now.as_bytes() != there, is_replaced);
        assert!(!kv.exists("{cache:c:k}:lease").await.unwrap());
        kv.delete(&key).await.unwrap();
    }
}

#[tokio::test]
async fn a_value_of_another_type_is_loaded_anew() {
    let fleet = Fleet::new();
    let kv = fleet.kv().await;
    let texts = kv_cache::Cache::<str, String>::builder("c").far(&kv);
    let texts = texts.build().unwrap();
    texts.set("k", "a text".to_owned()).await.unwrap();
    let numbers = fleet.process(ttl(60)).await;
    assert_eq!(get(&numbers, 1).await, 1);
    numbers.idle().await;
    assert_eq!(numbers.stats().unreadable, 2);
    assert_eq!(get(&fleet.process(ttl(60)).await, 2).await, 1);
}
