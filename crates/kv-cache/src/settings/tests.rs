#![allow(clippy::unwrap_used, reason = "a test")]

use super::{CacheSettings, CachesSettings, FallbackSettings};
use crate::{Cache, Far, Near, Policy};
use kv_core::{Codec, ErrorKind, Kv};
use kv_memory::MemoryStore;
use serde_json::{Value as Json, json};
use std::time::Duration;

fn read(json: Json) -> Result<CacheSettings, String> {
    serde_json::from_value(json).map_err(|it| it.to_string())
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

async fn store() -> Kv {
    let kv = Kv::builder(MemoryStore::default());
    kv.connect().await.unwrap()
}

#[tokio::test]
async fn an_empty_section_says_what_code_says_by_itself() {
    let empty = read(json!({})).unwrap();
    assert_eq!(empty, CacheSettings::default());
    assert_eq!(read(json!({ "policy": {} })).unwrap(), empty);
    let kv = store().await;
    let configured = Cache::<str, u32>::from_settings("a", Some(&kv), &empty);
    let plain = Cache::<str, u32>::builder("a").far(&kv).build();
    assert_eq!(
        format!("{:?}", configured.unwrap()),
        format!("{:?}", plain.unwrap())
    );
    let near = read(json!({ "near": { "max_bytes": 5000 } })).unwrap().near;
    assert_eq!(near, Some(Near::bytes(5000)));
}

#[test]
fn all_that_is_said_is_read() {
    let settings = read(json!({
        "store": "shared", "deadline": "200ms",
        "fallback": { "store": "second", "life": "10s", "deadline": "1s" },
        "near": { "max_bytes": 67_108_864, "max_stale": "2s" },
        "policy": {
            "ttl": "1m", "stale": "1h", "jitter": 0.1, "eager": 0.9, "soft_timeout": "100ms",
            "hard_timeout": "2s", "negative": "30s", "throttle": "3s",
        },
        "codec": "message_pack",
    }));
    let policy = Policy::ttl(seconds(60))
        .stale(seconds(3600))
        .jitter(0.1)
        .eager(0.9)
        .soft_timeout(Duration::from_millis(100))
        .hard_timeout(seconds(2))
        .negative(seconds(30))
        .throttle(seconds(3));
    let expected = CacheSettings {
        store: Some("shared".to_owned()),
        deadline: Duration::from_millis(200),
        fallback: Some(FallbackSettings {
            store: "second".to_owned(),
            life: seconds(10),
            deadline: Some(seconds(1)),
        }),
        near: Some(Near::megabytes(64).max_stale(seconds(2))),
        policy,
        codec: Codec::MESSAGE_PACK,
    };
    assert_eq!(settings.unwrap(), expected);
    let by_chance = read(json!({ "policy": { "eager_by_chance": 1.5 } })).unwrap();
    let expected = Policy::ttl(seconds(300)).eager_by_chance(1.5);
    assert_eq!(by_chance.policy, expected);
    assert_eq!(read(json!({ "codec": "json" })).unwrap().codec, Codec::JSON);
}

#[test]
fn caches_have_names() {
    let section = json!({ "prices": { "policy": { "ttl": "1m" } }, "a.b": {} });
    let all: CachesSettings = serde_json::from_value(section).unwrap();
    assert_eq!(all.0["prices"].policy, Policy::ttl(seconds(60)));
    assert_eq!(all.0["a.b"], CacheSettings::default());
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    for (wrong, reason) in [
        (json!({ "polcy": {} }), "unknown field `polcy`"),
        (json!({ "deadline": "0s" }), "a deadline longer than zero"),
        (json!({ "deadline": 5 }), "duration"),
        (
            json!({ "fallback": { "life": "1s" } }),
            "missing field `store`",
        ),
        (
            json!({ "fallback": { "store": "a", "life": "0s" } }),
            "a life longer than zero",
        ),
        (
            json!({ "fallback": { "store": "a", "deadline": "0s" } }),
            "a deadline longer than zero",
        ),
        (json!({ "codec": "xml" }), "`json` or `message_pack`"),
        (json!({ "near": {} }), "missing field `max_bytes`"),
        (json!({ "near": { "max_bytes": 0 } }), "leave `near` out"),
        (
            json!({ "near": { "max_bytes": 1, "max_size": 1 } }),
            "unknown field `max_size`",
        ),
        (
            json!({ "near": { "max_bytes": 1, "max_stale": 5 } }),
            "duration",
        ),
    ] {
        let error = read(wrong.clone()).unwrap_err();
        assert!(error.contains(reason), "{wrong}: {error}");
    }
}

#[test]
fn a_policy_that_makes_no_sense_is_refused_by_its_setting() {
    for (wrong, reason) in [
        (json!({ "tll": "1m" }), "unknown field `tll`"),
        (json!({ "ttl": 60 }), "duration"),
        (json!({ "ttl": "0s" }), "ttl must be longer than zero"),
        (json!({ "stale": "2000years" }), "ttl and stale must not"),
        (json!({ "jitter": 1.0 }), "at least 0, less than 1"),
        (json!({ "eager": 0.0 }), "above 0 and at most 1"),
        (
            json!({ "eager_by_chance": 0.0 }),
            "eager_by_chance is above 0",
        ),
        (
            json!({ "eager": 0.5, "eager_by_chance": 1.0 }),
            "leave one of them out",
        ),
        (
            json!({ "soft_timeout": "1s" }),
            "say how long that may be with stale",
        ),
        (
            json!({ "stale": "1h", "soft_timeout": "10s" }),
            "shorter than hard_timeout",
        ),
        (
            json!({ "hard_timeout": "0s" }),
            "hard_timeout must be longer",
        ),
        (json!({ "hard_timeout": "25h" }), "than a day"),
        (json!({ "negative": "0s" }), "leave it out"),
        (json!({ "throttle": "0s" }), "throttle must be longer"),
    ] {
        let error = read(json!({ "policy": wrong })).unwrap_err();
        assert!(error.contains(reason), "{wrong}: {error}");
    }
}

#[tokio::test]
async fn a_store_that_is_named_is_handed_over() {
    let settings = read(json!({ "store": "shared", "near": { "max_bytes": 9999 } })).unwrap();
    let error = Cache::<str, u32>::from_settings("a", None, &settings).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let named = [error.context("cache"), error.context("store")];
    assert_eq!(named, [Some("a"), Some("shared")]);
    assert!(error.to_string().contains("open it"), "{error}");
    // What code hands over it has a use for.
    let kv = store().await;
    let unnamed = read(json!({})).unwrap();
    assert!(Cache::<str, u32>::from_settings("a", Some(&kv), &unnamed).is_ok());
    let error = Cache::<str, u32>::from_settings("a", None, &unnamed).unwrap_err();
    assert!(error.to_string().contains("needs a level"), "{error}");
    let here = read(json!({ "near": { "max_bytes": 9999 } })).unwrap();
    assert!(Cache::<str, u32>::from_settings("a", None, &here).is_ok());
}

#[tokio::test]
async fn a_fallback_that_is_named_is_handed_over() {
    let settings = json!({ "store": "a", "fallback": { "store": "b" } });
    let settings = read(settings).unwrap();
    let (kv, second) = (store().await, store().await);
    let error = Cache::<str, u32>::from_settings("c", Some(&kv), &settings).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let named = [error.context("cache"), error.context("store")];
    assert_eq!(named, [Some("c"), Some("b")]);
    let configured =
        Cache::<str, u32>::from_settings_with_fallback("c", &kv, &second, &settings).unwrap();
    let plain = Cache::<str, u32>::builder("c").far(Far::new(&kv).fallback(&second));
    let plain = plain.build().unwrap();
    assert_eq!(format!("{configured:?}"), format!("{plain:?}"));
    let fallback = |store| json!({ "store": store, "life": "7s", "deadline": "3s" });
    for wrong in [
        json!({ "fallback": fallback("b") }),
        json!({ "store": "b", "fallback": fallback("b") }),
    ] {
        let wrong = read(wrong).unwrap();
        let both = Cache::<str, u32>::from_settings_with_fallback("c", &kv, &second, &wrong);
        let one = Cache::<str, u32>::from_settings("c", Some(&kv), &wrong);
        for error in [both.unwrap_err(), one.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains("`fallback`"), "{error}");
        }
    }
    let settings = json!({ "store": "a", "fallback": fallback("b") });
    let settings = read(settings).unwrap();
    let short = Cache::<str, u32>::from_settings_with_fallback("c", &kv, &second, &settings);
    let told = format!("{:?}", short.unwrap());
    assert!(
        told.contains("life: 7s") && told.contains("deadline: Some(3s)"),
        "{told}"
    );
}

#[tokio::test]
async fn what_is_said_in_code_afterwards_counts() {
    let kv = store().await;
    let settings = read(json!({
        "deadline": "7s", "near": { "max_bytes": 5000 }, "policy": { "ttl": "9s" },
    }));
    let settings = settings.unwrap();
    let builder = Cache::<str, u32>::builder("a").settings(&settings);
    let cache = builder.far(settings.far(&kv)).build().unwrap();
    let told = format!("{cache:?}");
    assert!(
        told.contains("deadline: 7s") && told.contains("fresh: 9s"),
        "{told}"
    );
    let builder = Cache::<str, u32>::builder("a").settings(&settings);
    let builder = builder.near(Near::bytes(6)).policy(Policy::ttl(seconds(8)));
    let told = format!("{builder:?}");
    assert!(
        told.contains("bytes: 6") && told.contains("fresh: 8s"),
        "{told}"
    );
}
