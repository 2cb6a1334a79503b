//! The sections of caches.

use kv_cache::{Cache, CacheSettings, CachesSettings, Freshness, Near, Policy, Tier};
use kv_factory::Factory;
use kv_tests::server::{Etcd, Redis};
use std::{convert::Infallible, path::Path, time::Duration};

/// A configuration whose cache is on this store.
fn configuration(provider: &str) -> String {
    format!(
        "[default.database.kvstore.shared]\nprovider = {{ {provider} }}\n\
         wrappers = [{{ name = \"key_resolver\" }}]\n\
         [default.cache.prices]\nstore = \"shared\"\ndeadline = \"1m\"\n\
         near = {{ max_bytes = 1_000_000, max_stale = \"1m\" }}\n\
         policy = {{ ttl = \"${{TTL:-1h}}\", stale = \"2h\", hard_timeout = \"1m\" }}\n\
         codec = \"message_pack\"\n"
    )
}

async fn a_cache_is_as_its_section_says(provider: &str) {
    let factory = Factory::from_str(&configuration(provider)).unwrap();
    let settings: CacheSettings = factory.section("cache.prices").unwrap();
    let kv = factory.open(settings.store.as_deref().unwrap());
    let kv = kv.await.unwrap();
    let one: Cache<str, u32> = Cache::from_settings("prices", Some(&kv), &settings).unwrap();
    let seven = one.get_or_load("apple", async |_| Ok::<u32, Infallible>(7));
    assert_eq!(*seven.await.unwrap(), 7);
    one.idle().await;
    // As two processes: the second finds it on the store, and then in its own memory.
    let two: Cache<str, u32> = Cache::from_settings("prices", Some(&kv), &settings).unwrap();
    for tier in [Tier::Far, Tier::Near] {
        let entry = two.get_entry("apple").await.unwrap().unwrap();
        assert_eq!(entry.value().map(|it| **it), Some(7));
        assert_eq!((entry.tier(), entry.freshness()), (tier, Freshness::Fresh));
    }
    let left = kv.time_to_live("{cache:prices:apple}:data").await.unwrap();
    let kv_core::TimeToLive::In(left) = left else {
        panic!("{left:?}");
    };
    let hours = Duration::from_secs(3600);
    assert!(left > hours * 2 && left <= hours * 3, "{left:?}");
    let stored = kv.get("{cache:prices:apple}:data").await.unwrap().unwrap();
    // The number as MessagePack writes it, behind the envelope.
    assert_eq!(stored.as_bytes().last(), Some(&7));
    kv.close().await;
}

#[tokio::test]
async fn a_cache_in_memory_is_as_its_section_says() {
    a_cache_is_as_its_section_says("backend = \"memory\"").await;
}

#[tokio::test]
async fn a_cache_on_redis_is_as_its_section_says() {
    let server = Redis::start();
    let provider = format!(
        "backend = \"redis\", uri = \"{}\", connect_timeout = \"1m\", response_timeout = \"1m\"",
        server.url()
    );
    a_cache_is_as_its_section_says(&provider).await;
}

#[tokio::test]
async fn a_cache_on_etcd_is_as_its_section_says() {
    let server = Etcd::start();
    let provider = format!(
        "backend = \"etcd\", uri = \"{}\", connect_timeout = \"1m\", response_timeout = \"1m\"",
        server.url()
    );
    a_cache_is_as_its_section_says(&provider).await;
}

#[test]
fn a_fault_names_its_place_and_what_helps() {
    for (section, place, remedy) in [
        ("polcy = {}", "cache.prices", "policy"),
        (
            "deadline = \"0s\"",
            "cache.prices.deadline",
            "longer than zero",
        ),
        (
            "near = { max_bytes = 0 }",
            "cache.prices.near",
            "leave `near` out",
        ),
        (
            "near = { max_bytes = \"64MiB\" }",
            "cache.prices.near.max_bytes",
            "",
        ),
        ("policy.ttl = 5", "cache.prices.policy.ttl", "duration"),
        (
            "policy = { soft_timeout = \"1s\" }",
            "cache.prices.policy",
            "with stale",
        ),
        (
            "policy = { eager = 0.5, eager_by_chance = 1 }",
            "cache.prices.policy",
            "leave one of them out",
        ),
        ("codec = \"xml\"", "cache.prices.codec", "message_pack"),
    ] {
        let factory = Factory::from_str(&format!("[default.cache.prices]\n{section}")).unwrap();
        let error = factory.section::<CacheSettings>("cache.prices");
        let error = error.unwrap_err().to_string();
        assert!(error.contains(place) && error.contains(remedy), "{error}");
        let error = factory.section::<CachesSettings>("cache").unwrap_err();
        assert!(error.to_string().contains(place), "{error}");
    }
}

#[test]
fn the_sample_has_a_cache_that_makes_sense() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/settings.toml");
    let factory = Factory::from_file(path).unwrap();
    let all: CachesSettings = factory.section("cache").unwrap();
    let names: Vec<_> = all.0.keys().map(String::as_str).collect();
    assert_eq!(names, ["products"]);
    let settings = &all.0["products"];
    assert_eq!(settings.store.as_deref(), Some("default_redis"));
    assert_eq!(settings.near, Some(Near::megabytes(64)));
    let seconds = Duration::from_secs;
    let policy = Policy::ttl(seconds(300))
        .stale(seconds(7200))
        .jitter(0.1)
        .eager(0.9)
        .soft_timeout(Duration::from_millis(100))
        .hard_timeout(seconds(2))
        .negative(seconds(30));
    assert_eq!(settings.policy, policy);
}
