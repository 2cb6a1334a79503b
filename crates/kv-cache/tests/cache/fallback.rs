//! A second store, while the first one is in trouble.

mod changes;
mod pair;
mod tenants;
mod trouble;

use self::pair::{LIFE, Mode, Pair};
use crate::{
    SECOND, fails,
    fleet::{SURE, ask, get},
    settle, ttl,
};
use kv_cache::{Cache, Fallback, Far, Tier};
use kv_core::{ErrorKind, TimeToLive};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::Notify;

#[tokio::test]
async fn one_still_loads_for_all() {
    let pair = Pair::new();
    let gate = Arc::new(Notify::new());
    let [one, other] = [pair.cut(ttl(60)).await, pair.cut(ttl(60)).await];
    let asking = ask(&one.cache, &gate, 1);
    settle().await;
    let waiting = ask(&other.cache, &gate, 2);
    settle().await;
    gate.notify_one();
    assert_eq!(asking.await.unwrap().unwrap(), 1);
    assert_eq!(waiting.await.unwrap().unwrap(), 1);
    other.cache.idle().await;
    let (one_stats, stats) = (one.cache.stats(), other.cache.stats());
    assert_eq!((one_stats.loads, stats.loads, stats.waits), (1, 0, 1));
    assert_eq!((stats.fallback_hits, stats.far_hits), (1, 0));
    assert!(stats.far_errors > 0 && stats.fallback_errors == 0);
    // It is kept here for as long as it is trusted; then the first is asked, which is to forget that, and the second.
    for (calls, hits, passes) in [(0, 1, SURE), (2, 2, SECOND), (0, 2, SECOND)] {
        other.first.take();
        assert_eq!(get(&other.cache, 3).await, 1);
        other.cache.idle().await;
        assert_eq!(other.first.take(), calls);
        assert_eq!(other.cache.stats().fallback_hits, hits);
        pair.fleet.clock.advance(passes);
    }
}

#[tokio::test]
async fn who_only_looks_is_shown_what_the_second_has() {
    let pair = Pair::new();
    let [one, other] = [pair.cut(ttl(60)).await, pair.cut(ttl(60)).await];
    let nothing = other.cache.get("k").await;
    assert!(nothing.is_err(), "what it does not have may be there");
    assert_eq!(get(&one.cache, 1).await, 1);
    one.cache.idle().await;
    pair.fleet.clock.advance(SECOND);
    let entry = other.cache.get_entry("k").await.unwrap().unwrap();
    assert_eq!(entry.value().map(|it| **it), Some(1));
    assert_eq!((entry.tier(), entry.age()), (Tier::Far, SECOND));
    assert_eq!(other.cache.stats().fallback_hits, 1);
    let again = other.cache.get_entry("k").await.unwrap().unwrap();
    assert_eq!(again.tier(), Tier::Near, "it is kept");
    pair.fleet.clock.advance(SURE);
    other.second.set(Mode::Fails);
    let unsure = other.cache.get_entry("k").await.unwrap().unwrap();
    assert_eq!(unsure.tier(), Tier::Near, "better than nothing");
    assert_eq!(other.cache.stats().fallback_errors, 1);
}

#[tokio::test]
async fn nothing_lives_there_for_longer_than_it_may() {
    let pair = Pair::new();
    let policy = ttl(600).stale(SECOND * 600).negative(SECOND * 600);
    let one = pair.cut(policy).await;
    let nothing = one
        .cache
        .find_or_load("k", |_| async { Ok::<_, Infallible>(None) });
    assert_eq!(nothing.await.unwrap(), None);
    one.cache.idle().await;
    let second = pair.second().await;
    let left = second.time_to_live("{cache:c:k}:data").await.unwrap();
    assert_eq!(left, TimeToLive::In(LIFE));
    one.cache.remove("k").await.unwrap_err();
    assert_eq!(get(&one.cache, 1).await, 1);
    one.cache.expire("k").await.unwrap_err();
    for key in ["{cache:c:k}:data", "{cache:c:k}:expired"] {
        let left = second.time_to_live(key).await.unwrap();
        assert_eq!(left, TimeToLive::In(LIFE), "{key}");
    }
    one.cache.remove("k").await.unwrap_err();
    assert_eq!(get(&one.cache, 2).await, 2);
    one.cache.idle().await;
    one.second.set(Mode::Fails);
    pair.fleet.clock.advance(LIFE - SECOND);
    assert!(
        one.cache.get("k").await.unwrap().is_some(),
        "better than nothing"
    );
    pair.fleet.clock.advance(SECOND);
    assert!(one.cache.get("k").await.is_err());
}

#[tokio::test]
async fn the_first_is_used_as_before_once_it_answers() {
    let pair = Pair::new();
    let one = pair.cut(ttl(600)).await;
    let other = pair.fleet.process(ttl(600)).await;
    assert_eq!(get(&one.cache, 1).await, 1);
    one.cache.idle().await;
    one.first.set(Mode::Passes);
    assert_eq!(get(&other, 2).await, 2);
    other.idle().await;
    assert_eq!(get(&one.cache, 3).await, 1, "it is trusted");
    pair.fleet.clock.advance(SURE);
    one.second.take();
    assert_eq!(get(&one.cache, 3).await, 2);
    assert_eq!((one.second.take(), one.cache.stats().far_hits), (0, 1));
    // In trouble once more, it is given what is there, and then nothing older.
    one.first.set(Mode::Fails);
    pair.fleet.clock.advance(SURE);
    assert_eq!(get(&one.cache, 3).await, 1);
    pair.fleet.clock.advance(LIFE - SURE - SURE);
    assert_eq!(get(&one.cache, 4).await, 4);
}

/// Stores count for themselves: the same number on both is chance.
#[tokio::test]
async fn versions_of_two_stores_are_not_compared() {
    for (more, there) in [(0, 0), (1, 0), (9, 0), (0, 1), (0, 9)] {
        let pair = Pair::new();
        let (one, other) = (pair.process(ttl(600)).await, pair.cut(ttl(600)).await);
        one.second.set(Mode::Fails);
        for (process, times) in [(&one, more), (&other, there)] {
            for _ in 0..times {
                // Of both it reaches one only.
                let _ = process.cache.remove("k").await;
            }
        }
        one.second.set(Mode::Passes);
        assert_eq!(get(&one.cache, 1).await, 1);
        one.cache.idle().await;
        assert_eq!(get(&other.cache, 2).await, 2);
        other.cache.idle().await;
        pair.fleet.clock.advance(SURE);
        one.first.set(Mode::Fails);
        let place = format!("{more} more on the first, {there} on the second");
        for _ in 0..2 {
            assert_eq!(get(&one.cache, 3).await, 2, "{place}");
            assert_eq!(one.cache.stats().fallback_hits, 1, "{place}: it is kept");
        }
        // Somebody wants a new one, whatever numbers there are.
        let new = one
            .cache
            .refresh("k", |_| async { Ok::<u32, Infallible>(4) });
        assert_eq!(new.await.unwrap().as_deref(), Some(&4), "{place}");
        one.cache.idle().await;
        assert_eq!(get(&one.cache, 5).await, 4, "{place}: it is kept");
        one.first.set(Mode::Passes);
        pair.fleet.clock.advance(SURE);
        for _ in 0..2 {
            assert_eq!(get(&one.cache, 5).await, 1, "{place}");
            assert_eq!(one.cache.stats().far_hits, 1, "{place}: it is kept");
        }
        assert_eq!(one.cache.stats().loads, 2);
    }
}

#[tokio::test]
async fn nor_are_those_of_tags() {
    let pair = Pair::new();
    let (one, other) = (pair.process(ttl(600)).await, pair.cut(ttl(600)).await);
    let tagged = [&one, &other].map(|it| it.cache.tagged(["t"]).unwrap());
    // The second has no tags yet, and the first higher numbers than it will have.
    one.second.set(Mode::Fails);
    for _ in 0..9 {
        one.cache.remove_tag("t").await.unwrap();
        one.cache.clear().await.unwrap();
    }
    assert_eq!(get(&tagged[0], 1).await, 1);
    one.cache.idle().await;
    one.second.set(Mode::Passes);
    // What this process knows of the tags on the first is trusted still.
    one.first.set(Mode::Fails);
    one.cache.remove("k").await.unwrap_err();
    assert_eq!(get(&tagged[0], 2).await, 2);
    one.cache.idle().await;
    assert_eq!(get(&tagged[1], 3).await, 2, "loaded for both");
    one.cache.clear_near().unwrap();
    one.first.set(Mode::Passes);
    one.cache.get("another").await.unwrap();
    one.first.set(Mode::Fails);
    let shown = one.cache.get("k").await.unwrap();
    assert_eq!(shown.as_deref(), Some(&2), "it holds");
}

#[tokio::test]
async fn what_is_stale_is_loaded_by_one_only() {
    let pair = Pair::new();
    let policy = ttl(2).stale(SECOND * 60);
    let [one, other] = [pair.process(policy).await, pair.process(policy).await];
    for process in [&one, &other] {
        assert_eq!(get(&process.cache, 1).await, 1);
        process.cache.idle().await;
    }
    pair.fleet.clock.advance(SECOND * 2);
    for process in [&one, &other] {
        process.first.set(Mode::Fails);
        assert_eq!(get(&process.cache, 2).await, 1, "in the background");
        process.cache.idle().await;
        assert_eq!(get(&process.cache, 3).await, 2);
    }
    let loads = [&one, &other].map(|it| it.cache.stats().loads);
    assert_eq!(loads, [2, 0]);
}

/// Nothing of it is lost if the second store has nothing.
#[tokio::test]
async fn what_is_here_is_given_out_if_the_loader_fails_as_well() {
    let pair = Pair::new();
    let one = pair.process(ttl(60).stale(SECOND * 600)).await;
    assert_eq!(get(&one.cache, 1).await, 1);
    one.cache.idle().await;
    one.first.set(Mode::Fails);
    pair.fleet.clock.advance(SURE);
    let gate = Arc::new(Notify::new());
    // Not at once: nobody knows whether it holds.
    let asking = ask(&one.cache, &gate, 2);
    settle().await;
    assert!(!asking.is_finished());
    gate.notify_one();
    assert_eq!(asking.await.unwrap().unwrap(), 2);
    one.cache.idle().await;
    let two = pair.process(ttl(60).stale(SECOND * 600)).await;
    assert_eq!(get(&two.cache, 3).await, 1);
    two.first.set(Mode::Fails);
    two.second.set(Mode::Fails);
    pair.fleet.clock.advance(SURE);
    for wire in [Mode::Fails, Mode::Passes] {
        two.second.set(wire);
        pair.fleet.clock.advance(LIFE);
        let kept = two.cache.get_or_load("k", |_| fails()).await;
        assert_eq!(*kept.unwrap(), 1, "{wire:?}");
        two.cache.idle().await;
    }
}

#[tokio::test]
async fn a_process_whose_first_answers_asks_no_second() {
    let pair = Pair::new();
    let policy = ttl(60).stale(SECOND * 60);
    let one = pair.process(policy).await;
    let (bare, sent) = pair.fleet.counted(policy).await;
    let mut counts = Vec::new();
    for (cache, key) in [(&one.cache, "a"), (&bare, "b")] {
        let wire = || match key {
            "a" => (one.first.take(), one.second.take()),
            _ => (sent.take().len(), 0),
        };
        let load = |value| {
            let load = cache.get_or_load(key, move |_| async move { Ok::<u32, Infallible>(value) });
            async move {
                load.await.unwrap();
                cache.idle().await;
            }
        };
        cache.get("first").await.unwrap();
        cache.set("first", 0).await.unwrap();
        let mut calls = vec![];
        wire();
        load(1).await;
        calls.push(wire());
        pair.fleet.clock.advance(SECOND * 60);
        load(2).await;
        calls.push(wire());
        cache.get(key).await.unwrap();
        calls.push(wire());
        assert!(calls.iter().all(|(_, second)| *second == 0), "{calls:?}");
        cache.set(key, 3).await.unwrap();
        calls.push(wire());
        cache.expire(key).await.unwrap();
        calls.push(wire());
        cache.remove(key).await.unwrap();
        calls.push(wire());
        cache.remove_tag("t").await.unwrap();
        calls.push(wire());
        cache.clear().await.unwrap();
        calls.push(wire());
        counts.push(calls);
    }
    let first = |calls: &[(usize, usize)]| calls.iter().map(|it| it.0).collect::<Vec<_>>();
    assert_eq!(first(&counts[0]), first(&counts[1]));
    let changes = counts[0].iter().skip(3).map(|it| it.1);
    assert!(changes.eq([1; 5]), "one call for each change");
}

#[tokio::test]
async fn a_fallback_that_makes_no_sense_is_refused() {
    let pair = Pair::new();
    let (kv, second) = (pair.fleet.kv().await, pair.second().await);
    let build = |fallback| {
        let far = Far::new(&kv).fallback(fallback);
        Cache::<str, u32>::builder("c").far(far).build().map(drop)
    };
    let error = build(Fallback::new(&second).life(Duration::ZERO)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("life"), "{error}");
    let error = build(Fallback::new(&second).deadline(Duration::ZERO)).unwrap_err();
    assert!(error.to_string().contains("deadline"), "{error}");
    build(Fallback::new(&second).life(Duration::MAX)).unwrap_err();
    build(Fallback::new(&second)).unwrap();
}
