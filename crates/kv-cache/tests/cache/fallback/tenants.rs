//! Whose is what, on two stores.

use super::pair::{Mode, Pair};
use crate::{fleet::SURE, ttl};
use kv_cache::{Cache, LoadError};
use kv_core::{Context, ErrorKind, Kv, KvBuilder};
use kv_wrappers::{KeyResolver, KeySettings};
use std::convert::Infallible;

fn tenants(builder: KvBuilder) -> KvBuilder {
    builder.layer(KeyResolver::new(KeySettings::default()).unwrap())
}

#[tokio::test]
async fn tenants_are_apart_there_as_well() {
    let pair = Pair::new();
    let [one, other] = [
        pair.with(ttl(60), tenants, tenants).await,
        pair.with(ttl(60), tenants, tenants).await,
    ];
    let get = async |cache: &Cache<str, u32>, tenant: &'static str, value| {
        let load = cache.tagged(["t"]).unwrap();
        let load = load.get_or_load("k", move |_| async move {
            let seen = Context::current().unwrap();
            assert_eq!(seen.tenant_id(), Some(tenant.as_bytes()));
            Ok::<_, Infallible>(value)
        });
        let got = *Context::tenant(tenant).scope(load).await.unwrap();
        cache.idle().await;
        got
    };
    one.first.set(Mode::Fails);
    other.first.set(Mode::Fails);
    for (tenant, value) in [("ann", 1), ("bob", 2)] {
        assert_eq!(get(&one.cache, tenant, value).await, value);
        assert_eq!(get(&other.cache, tenant, 3).await, value);
    }
    for change in 0..3 {
        let ann = Context::tenant("ann");
        let cache = &one.cache;
        let changed = match change {
            0 => ann.scope(cache.remove("k")).await,
            1 => ann.scope(cache.remove_tag("t")).await,
            _ => ann.scope(cache.clear()).await,
        };
        changed.unwrap_err();
        assert_eq!(get(cache, "bob", 9).await, 2);
        assert_eq!(get(cache, "ann", 10 + change).await, 10 + change);
        pair.fleet.clock.advance(SURE);
        assert_eq!(get(&other.cache, "bob", 9).await, 2);
        assert_eq!(get(&other.cache, "ann", 9).await, 10 + change);
    }
}

#[tokio::test]
async fn a_fallback_that_mixes_tenants_is_refused() {
    let pair = Pair::new();
    let on = async |layers: [bool; 2]| {
        let builders = [pair.fleet.builder(), Kv::builder(pair.second.clone())];
        let mut stores = Vec::new();
        for (builder, has_layer) in builders.into_iter().zip(layers) {
            let builder = match has_layer {
                true => tenants(builder),
                false => builder,
            };
            stores.push(builder.connect().await.unwrap());
        }
        pair.on(&stores[0], &stores[1], ttl(60)).map(drop)
    };
    for layers in [[true, false], [false, true]] {
        let error = on(layers).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{layers:?}");
        assert!(error.to_string().contains("tenants"), "{error}");
    }
    on([true, true]).await.unwrap();
    on([false, false]).await.unwrap();
}

/// Whoever has to say for whom it asks is told so, and not that a store is in trouble.
#[tokio::test]
async fn who_must_have_a_tenant_is_told() {
    let pair = Pair::new();
    let strict = |builder: KvBuilder| {
        let settings = KeySettings {
            require_tenant: Some(true),
            ..KeySettings::default()
        };
        builder.layer(KeyResolver::new(settings).unwrap())
    };
    let one = pair.with(ttl(60), strict, strict).await;
    one.first.set(Mode::Fails);
    let load = || {
        one.cache
            .get_or_load("k", |_| async { Ok::<_, Infallible>(1) })
    };
    assert!(matches!(load().await, Err(LoadError::Refused(_))));
    assert_eq!(*Context::tenant("a").scope(load()).await.unwrap(), 1);
}
