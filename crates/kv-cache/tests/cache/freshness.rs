//! What is given out when, and when it is loaded anew.

use crate::{Origin, SECOND, fails, near, settle, ttl};
use kv_cache::{Cache, Freshness, LoadError, Loaded, Tier};
use kv_core::Clock;
use std::convert::Infallible;

async fn get(cache: &Cache<str, u32>, origin: &Origin) -> u32 {
    let origin = origin.clone();
    *cache
        .get_or_load("k", move |_| origin.next())
        .await
        .unwrap()
}

#[tokio::test]
async fn an_entry_is_loaded_once_in_its_time() {
    let (cache, clock) = near(ttl(10));
    let origin = Origin::default();
    for _ in 0..3 {
        assert_eq!(get(&cache, &origin).await, 1);
    }
    clock.advance(SECOND * 9);
    assert_eq!(get(&cache, &origin).await, 1);
    let entry = cache.get_entry("k").await.unwrap().unwrap();
    assert_eq!((entry.age(), entry.tier()), (SECOND * 9, Tier::Near));
    clock.advance(SECOND);
    assert_eq!(cache.get("k").await.unwrap(), None);
    assert_eq!(get(&cache, &origin).await, 2);
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.misses), (2, 2));
}

#[tokio::test]
async fn a_stale_value_is_given_out_while_one_refreshes_it() {
    let (cache, clock) = near(ttl(10).stale(SECOND * 10));
    let origin = Origin::default();
    assert_eq!(get(&cache, &origin).await, 1);
    clock.advance(SECOND * 10);
    for _ in 0..10 {
        assert_eq!(get(&cache, &origin).await, 1);
    }
    let entry = cache.get_entry("k").await.unwrap().unwrap();
    assert_eq!(entry.freshness(), Freshness::Stale);
    assert_eq!(cache.get("k").await.unwrap(), None);
    settle().await;
    assert_eq!(get(&cache, &origin).await, 2);
    assert_eq!(origin.loads(), 2);
    assert_eq!(cache.stats().stale_served, 10);
}

#[tokio::test]
async fn a_stale_value_is_given_out_when_loading_fails_and_ends_all_the_same() {
    let (cache, clock) = near(ttl(10).stale(SECOND * 20).throttle(SECOND * 4));
    cache.set("k", 7).await.unwrap();
    clock.advance(SECOND * 10);
    let failing = || cache.get_or_load("k", |_| fails());
    for _ in 0..5 {
        assert_eq!(*failing().await.unwrap(), 7);
        settle().await;
    }
    // Tried once, and left alone since.
    assert_eq!(cache.stats().loads, 1);
    clock.advance(SECOND * 4);
    assert_eq!(*failing().await.unwrap(), 7);
    settle().await;
    assert_eq!((cache.stats().loads, cache.stats().stale_on_error), (2, 2));
    clock.advance(SECOND * 15);
    assert_eq!(*failing().await.unwrap(), 7);
    settle().await;
    // K6: a moment before its end it was armed again, and it ends all the same.
    clock.advance(SECOND);
    assert!(matches!(failing().await, Err(LoadError::Failed(_))));
}

/// K6.
#[tokio::test]
async fn what_was_removed_is_not_given_out_when_loading_fails() {
    let (cache, _) = near(ttl(10).stale(SECOND * 20));
    cache.set("k", 7).await.unwrap();
    cache.remove("k").await.unwrap();
    let failed = cache.get_or_load("k", |_| fails()).await;
    assert!(matches!(failed, Err(LoadError::Failed(_))));
}

#[tokio::test]
async fn what_was_expired_is_stale() {
    let (cache, _) = near(ttl(10).stale(SECOND * 20));
    cache.set("k", 7).await.unwrap();
    cache.expire("k").await.unwrap();
    assert_eq!(cache.get("k").await.unwrap(), None);
    let entry = cache.get_entry("k").await.unwrap().unwrap();
    assert_eq!(entry.freshness(), Freshness::Stale);
    assert_eq!(*cache.get_or_load("k", |_| fails()).await.unwrap(), 7);
}

#[tokio::test]
async fn a_hot_entry_is_refreshed_before_its_end() {
    let (cache, clock) = near(ttl(10).eager(0.9));
    let origin = Origin::default();
    get(&cache, &origin).await;
    clock.advance(SECOND * 8);
    get(&cache, &origin).await;
    settle().await;
    assert_eq!(origin.loads(), 1);
    clock.advance(SECOND);
    assert_eq!(get(&cache, &origin).await, 1);
    settle().await;
    assert_eq!(get(&cache, &origin).await, 2);
    assert_eq!((origin.loads(), cache.stats().early_refreshes), (2, 1));
}

#[tokio::test]
async fn that_there_is_nothing_is_remembered_where_it_is_said() {
    for (policy, loads) in [(ttl(10), 3), (ttl(10).negative(SECOND * 3), 1)] {
        let (cache, clock) = near(policy);
        let none = || cache.find_or_load("k", |_| async { Ok::<_, Infallible>(None) });
        for _ in 0..3 {
            assert_eq!(none().await.unwrap(), None);
        }
        assert_eq!(cache.stats().loads, loads);
        clock.advance(SECOND * 3);
        let missing = cache.get_or_load("k", |_| async { Ok::<_, Infallible>(None) });
        assert!(matches!(missing.await, Err(LoadError::Missing)));
        assert_eq!(cache.stats().loads, loads + 1);
    }
}

#[tokio::test]
async fn where_there_is_nothing_any_more_the_stale_value_goes() {
    let (cache, clock) = near(ttl(10).stale(SECOND * 20).soft_timeout(SECOND));
    cache.set("k", 7).await.unwrap();
    clock.advance(SECOND * 10);
    let gone = cache.find_or_load("k", |_| async { Ok::<_, Infallible>(None) });
    assert_eq!(gone.await.unwrap(), None);
    cache.idle().await;
    assert!(matches!(
        cache.get_or_load("k", |_| fails()).await,
        Err(LoadError::Failed(_))
    ));
}

#[tokio::test]
async fn loaders_say_for_how_long_whether_at_all_and_that_nothing_changed() {
    let (cache, clock) = near(ttl(10).stale(SECOND * 10).soft_timeout(SECOND));
    let short = cache.get_or_load("short", |context| async move {
        context.set_ttl(SECOND * 2);
        Ok::<_, Infallible>(1)
    });
    short.await.unwrap();
    let unkept = cache.get_or_load("unkept", |context| async move {
        context.no_store();
        Ok::<_, Infallible>(1)
    });
    assert_eq!(*unkept.await.unwrap(), 1);
    assert_eq!(cache.get("unkept").await.unwrap(), None);
    assert!(cache.get("short").await.unwrap().is_some());
    clock.advance(SECOND * 2);
    assert_eq!(cache.get("short").await.unwrap(), None);
    let again = cache.get_or_load("short", |context| async move {
        let stale = context.stale().unwrap();
        assert_eq!(*stale, 1);
        Ok::<Loaded<u32>, Infallible>(stale.not_modified())
    });
    assert_eq!(*again.await.unwrap(), 1);
    clock.advance(SECOND * 9);
    assert_eq!(*cache.get("short").await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn a_refresh_loads_what_is_fresh_anew() {
    let (cache, _) = near(ttl(10));
    let origin = Origin::default();
    get(&cache, &origin).await;
    let loaded = origin.clone();
    let refreshed = cache.refresh("k", move |_| loaded.next()).await.unwrap();
    assert_eq!(refreshed.as_deref(), Some(&2));
    assert_eq!(get(&cache, &origin).await, 2);
}

/// Also where there is something that others would be given meanwhile.
#[tokio::test]
async fn who_refreshes_waits_for_what_the_loader_brings() {
    let (cache, clock) = near(ttl(10).stale(SECOND * 10));
    for age in [SECOND, SECOND * 10] {
        cache.set("k", 7).await.unwrap();
        clock.advance(age);
        let (refreshing, took) = (cache.clone(), clock.clone());
        let refreshed = tokio::spawn(async move {
            let load = refreshing.refresh("k", move |_| async move {
                took.sleep(SECOND).await;
                Ok::<_, Infallible>(8)
            });
            *load.await.unwrap().unwrap()
        });
        settle().await;
        assert!(!refreshed.is_finished());
        clock.advance(SECOND);
        assert_eq!(refreshed.await.unwrap(), 8);
    }
}

#[tokio::test]
async fn what_is_full_makes_room() {
    let clock = kv_core::VirtualClock::default();
    let cache = Cache::<u32, String>::builder("c")
        .near(kv_cache::Near::bytes(100_000))
        .policy(ttl(60))
        .clock(std::sync::Arc::new(clock));
    let cache = cache.build().unwrap();
    for key in 0..1000 {
        cache.set(&key, "x".repeat(1000)).await.unwrap();
    }
    let (entries, bytes) = cache.near_size();
    assert!(bytes <= 100_000 && bytes > 50_000, "{bytes}");
    assert!((30..=80).contains(&entries), "{entries}");
}
