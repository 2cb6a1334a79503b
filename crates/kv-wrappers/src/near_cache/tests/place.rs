//! Where it may stand, and what it keeps there.

use super::site::{Asked, HOUR, Site, lasting};
use crate::{
    KeyResolver, KeySettings, NearCache, NearCacheConfig, NearCacheInvalidation, NearCacheStats,
    script::Script,
};
use kv_core::{Capability, CapabilitySet, Context, ErrorKind, Kv, Layer};
use kv_memory::MemoryStore;
use std::sync::Arc;

fn near(config: NearCacheConfig) -> NearCache {
    NearCache::new(config).unwrap()
}

fn resolver(namespace: &str) -> KeyResolver {
    KeyResolver::new(KeySettings {
        namespace: namespace.to_owned(),
        ..KeySettings::default()
    })
    .unwrap()
}

#[tokio::test]
async fn outside_of_a_layer_that_changes_keys_it_is_refused() {
    let builder = Kv::builder(MemoryStore::default())
        .layer(resolver("a"))
        .layer(near(NearCacheConfig::default()));
    let error = builder.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("put it further in"), "{error}");
}

#[tokio::test]
async fn without_a_watch_it_is_refused_unless_that_was_said() {
    let over = |config: NearCacheConfig| {
        let mut script = Script::default();
        script.lacks = CapabilitySet::NONE.with(Capability::Watch);
        Kv::from_service(near(config).wrap(Arc::new(script)))
    };
    let error = over(lasting(NearCacheInvalidation::Watch))
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("own_writes"), "{error}");
    over(lasting(NearCacheInvalidation::OwnWrites))
        .connect()
        .await
        .unwrap();
}

#[tokio::test]
async fn tenants_and_namespaces_never_meet_in_one_cache() {
    let store = MemoryStore::default();
    let mut handles = Vec::new();
    for namespace in ["a", "b"] {
        let builder = Kv::builder(store.clone())
            .layer(near(lasting(NearCacheInvalidation::OwnWrites)))
            .layer(resolver(namespace));
        let kv = builder.connect().await.unwrap();
        for tenant in ["t1", "t2"] {
            let kv = kv.bind(Context::tenant(tenant));
            handles.push((format!("{namespace} {tenant}"), kv));
        }
    }
    for (name, kv) in &handles {
        kv.set("key", name).await.unwrap();
    }
    for _ in 0..2 {
        for (name, kv) in &handles {
            assert_eq!(kv.get("key").await.unwrap(), Some(name.into()));
        }
    }
    for (_, kv) in &handles {
        let stats: NearCacheStats = kv.native().unwrap();
        assert_eq!((stats.hits, stats.misses), (2, 2));
    }
}

#[tokio::test]
async fn only_keys_below_the_prefixes_are_kept() {
    let config = NearCacheConfig {
        prefixes: vec!["in:".to_owned()],
        ..lasting(NearCacheInvalidation::Watch)
    };
    let site = Site::new(config).await;
    site.near.get("out").await.unwrap();
    let stats = site.stats();
    assert_eq!(stats.state, crate::NearCacheState::Idle);
    site.near.get("in:").await.unwrap();
    super::site::until("the cache is live", async || {
        site.stats().state == crate::NearCacheState::Live
    })
    .await;
    for (key, asked) in [
        ("in:a", Asked::Memory),
        ("{in:a}", Asked::Memory),
        ("out", Asked::Store),
        ("in", Asked::Store),
    ] {
        site.read(key).await;
        assert_eq!(site.read(key).await.1, asked, "{key}");
    }
}

#[test]
fn settings_parse_and_are_checked() {
    let config: NearCacheConfig = toml::from_str(
        "max_bytes = 1000\nmax_ttl = \"1h\"\ninvalidate = \"own_writes\"\ndeadlines = \"bounded\"\nprefixes = [\"a:\"]",
    )
    .unwrap();
    assert_eq!(config.max_ttl, HOUR);
    assert_eq!(config.invalidate, NearCacheInvalidation::OwnWrites);
    for bad in ["max_bytes = 0", "max_ttl = \"0s\"", "prefixes = []"] {
        let error = NearCache::new(toml::from_str(bad).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{bad}");
    }
    assert!(toml::from_str::<NearCacheConfig>("maxttl = \"1s\"").is_err());
}
