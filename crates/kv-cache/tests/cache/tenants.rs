//! What is loaded for one is not for another.

use crate::{
    SECOND,
    fleet::{Fleet, SURE},
    near, settle, ttl,
};
use kv_cache::{Cache, LoadError};
use kv_core::Context;
use kv_wrappers::{KeyResolver, KeySettings};
use std::convert::Infallible;

async fn get(cache: &Cache<str, u32>, tenant: &'static str, value: u32) -> u32 {
    let load = cache.get_or_load("k", move |_| async move {
        // The loader sees for whom it loads.
        let seen = Context::current().unwrap();
        assert_eq!(seen.tenant_id(), Some(tenant.as_bytes()));
        Ok::<_, Infallible>(value)
    });
    *Context::tenant(tenant).scope(load).await.unwrap()
}

#[tokio::test]
async fn the_same_key_is_another_entry_for_each_tenant_also_after_a_refresh() {
    let (cache, clock) = near(ttl(10).stale(SECOND * 10));
    assert_eq!(get(&cache, "ann", 1).await, 1);
    assert_eq!(get(&cache, "bob", 2).await, 2);
    assert_eq!(cache.get("k").await.unwrap(), None);
    clock.advance(SECOND * 10);
    // In the background.
    assert_eq!(get(&cache, "ann", 3).await, 1);
    assert_eq!(get(&cache, "bob", 4).await, 2);
    settle().await;
    assert_eq!(get(&cache, "ann", 5).await, 3);
    assert_eq!(get(&cache, "bob", 6).await, 4);
    Context::tenant("ann")
        .scope(cache.remove("k"))
        .await
        .unwrap();
    assert_eq!(get(&cache, "ann", 7).await, 7);
    assert_eq!(get(&cache, "bob", 8).await, 4);
}

#[tokio::test]
async fn so_it_is_on_a_store_that_keeps_tenants_apart() {
    let fleet = Fleet::new();
    let tenants = || {
        let layer = KeyResolver::new(KeySettings::default()).unwrap();
        fleet.builder().layer(layer).connect()
    };
    let policy = ttl(10).stale(SECOND * 100);
    let one = fleet.on(&tenants().await.unwrap(), policy);
    let other = fleet.on(&tenants().await.unwrap(), policy);
    assert_eq!(get(&one, "ann", 1).await, 1);
    assert_eq!(get(&one, "bob", 2).await, 2);
    one.idle().await;
    assert_eq!(get(&other, "ann", 3).await, 1);
    assert_eq!(get(&other, "bob", 4).await, 2);
    fleet.clock.advance(SECOND * 20);
    for cache in [&one, &other] {
        // The old one or the new one, odd for one of them and even for the other.
        assert_eq!(get(cache, "ann", 5).await % 2, 1);
        assert_eq!(get(cache, "bob", 6).await % 2, 0);
        cache.idle().await;
    }
    for cache in [&one, &other] {
        assert_eq!(get(cache, "ann", 7).await, 5);
        assert_eq!(get(cache, "bob", 8).await, 6);
    }
    Context::tenant("ann").scope(one.remove("k")).await.unwrap();
    fleet.clock.advance(SURE);
    assert_eq!(get(&other, "ann", 9).await, 9);
    assert_eq!(get(&other, "bob", 9).await, 6);
}

#[tokio::test]
async fn who_must_have_a_tenant_is_told() {
    let fleet = Fleet::new();
    let settings = KeySettings {
        require_tenant: Some(true),
        ..KeySettings::default()
    };
    let layer = KeyResolver::new(settings).unwrap();
    let kv = fleet.builder().layer(layer).connect().await.unwrap();
    let cache = fleet.on(&kv, ttl(10));
    let refused = cache.get_or_load("k", |_| async { Ok::<_, Infallible>(1) });
    assert!(matches!(refused.await, Err(LoadError::Refused(_))));
    assert_eq!(get(&cache, "ann", 1).await, 1);
}
