#![allow(clippy::unwrap_used, reason = "a test")]

use super::{PolicySettings, RateLimitSettings};
use crate::{LimitError, OnError, Policy, RateLimiter, Tier};
use kv_core::Kv;
use kv_memory::MemoryStore;
use serde_json::{Value as Json, json};
use std::{num::NonZeroU32, time::Duration};

fn read(json: Json) -> Result<RateLimitSettings, String> {
    serde_json::from_value(json).map_err(|it| it.to_string())
}

/// The one policy of a section.
fn policy(json: Json) -> Policy {
    let settings = read(json!({ "policies": { "a": json } })).unwrap();
    settings.policies().unwrap().remove("a").unwrap()
}

#[test]
fn an_empty_section_says_what_code_says_by_itself() {
    let empty = read(json!({})).unwrap();
    assert_eq!(empty, RateLimitSettings::default());
    assert_eq!(empty.local_capacity.get(), 65_536);
    assert!(empty.policies().unwrap().is_empty());
}

#[test]
fn a_text_and_a_table_with_nothing_else_are_what_code_says_by_itself() {
    let expected = Policy::new("100/min burst 20".parse().unwrap());
    assert_eq!(policy(json!("100/min burst 20")), expected);
    assert_eq!(policy(json!({ "quota": "100/min burst 20" })), expected);
}

#[test]
fn all_that_is_said_is_read() {
    let settings = read(json!({
        "store": "limits", "local_capacity": 9,
        "policies": {
            "api": {
                "quota": "100/s burst 200", "tier": "leased", "max_batch": 10, "lease_age": "50ms",
                "on_error": "local", "local_share": 0.25, "deadline": "20ms", "shadow": true,
                "allow": ["health", "internal:*"], "flood_guard": 4,
            },
        },
    }));
    let settings = settings.unwrap();
    assert_eq!(settings.store.as_deref(), Some("limits"));
    assert_eq!(settings.local_capacity.get(), 9);
    let expected = Policy::new("100/s burst 200".parse().unwrap())
        .tier(Tier::Leased {
            max_batch: Some(10),
            age: Duration::from_millis(50),
        })
        .on_error(OnError::Local { share: 0.25 })
        .deadline(Duration::from_millis(20))
        .shadow()
        .allow(["health", "internal:*"])
        .flood_guard(NonZeroU32::new(4).unwrap());
    assert_eq!(settings.policies().unwrap()["api"], expected);
}

#[test]
fn each_tier_and_each_rule_has_its_word() {
    for (word, tier) in [
        ("auto", Tier::Auto),
        ("strict", Tier::Strict),
        ("mirrored", Tier::Mirrored),
        ("leased", Tier::leased()),
        ("in_process", Tier::InProcess),
    ] {
        let policy = policy(json!({ "quota": "1/s", "tier": word }));
        assert_eq!(policy.tier, tier, "{word}");
    }
    for (word, rule) in [
        ("fail", OnError::Fail),
        ("allow", OnError::Allow),
        ("deny", OnError::Deny),
    ] {
        let policy = policy(json!({ "quota": "1/s", "on_error": word }));
        assert_eq!(policy.on_error, rule, "{word}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    for (wrong, reason) in [
        (json!({ "polices": {} }), "unknown field `polices`"),
        (json!({ "local_capacity": 0 }), "nonzero"),
        (json!({ "policies": { "a": 5 } }), "a table with a `quota`"),
        (json!({ "policies": { "a": {} } }), "missing field `quota`"),
        (
            json!({ "policies": { "a": { "quota": "1/s", "teir": "auto" } } }),
            "unknown field `teir`",
        ),
        (
            json!({ "policies": { "a": { "quota": "1/s", "tier": "fast" } } }),
            "`in_process`",
        ),
        (
            json!({ "policies": { "a": { "quota": "1/s", "flood_guard": 0 } } }),
            "nonzero",
        ),
        (
            json!({ "policies": { "a": { "quota": "1/s", "deadline": 5 } } }),
            "duration",
        ),
    ] {
        let error = read(wrong.clone()).unwrap_err();
        assert!(error.contains(reason), "{wrong}: {error}");
    }
}

#[tokio::test]
async fn what_contradicts_itself_names_the_policy_and_the_remedy() {
    let kv = Kv::builder(MemoryStore::default());
    let kv = kv.connect().await.unwrap();
    for (wrong, remedy) in [
        (json!({ "max_batch": 5 }), "tier = \"leased\""),
        (json!({ "lease_age": "1s" }), "tier = \"leased\""),
        (json!({ "on_error": "local" }), "`local_share`"),
        (json!({ "local_share": 0.5 }), "on_error = \"local\""),
        (json!({ "quota": "often" }), "100/min burst 20"),
        // What the policy itself refuses.
        (json!({ "tier": "leased", "max_batch": 0 }), "empty"),
        (
            json!({ "on_error": "local", "local_share": 2.0 }),
            "at most 1",
        ),
        (json!({ "deadline": "0s" }), "zero"),
    ] {
        let mut table = wrong.clone();
        if table["quota"].is_null() {
            table["quota"] = "1/s".into();
        }
        let settings = read(json!({ "policies": { "login": table } })).unwrap();
        let error = RateLimiter::from_settings(&kv, &settings).unwrap_err();
        assert!(
            matches!(&error, LimitError::Policy(it) if it.policy() == "login"),
            "{wrong}: {error}"
        );
        let text = error.to_string();
        assert!(text.contains("`login`") && text.contains(remedy), "{text}");
    }
}

#[tokio::test]
async fn what_is_said_in_code_afterwards_counts_more() {
    let kv = Kv::builder(MemoryStore::default());
    let kv = kv.connect().await.unwrap();
    let section = json!({ "local_capacity": 9, "policies": { "a": "5/h", "b": "7/h" } });
    let settings = read(section).unwrap();
    let builder = RateLimiter::builder(&kv).settings(&settings).unwrap();
    assert!(format!("{builder:?}").contains("capacity: 9"));
    let builder = builder.policy("b", Policy::new("1/h".parse().unwrap()));
    let limiter = builder.build().unwrap();
    for (name, limit) in [("a", 5), ("b", 1)] {
        assert_eq!(limiter.check(name, "").await.unwrap().limit, limit);
    }
}

#[test]
fn settings_can_be_made_in_code() {
    let mut settings = RateLimitSettings::default();
    let policy = PolicySettings::new("5/h");
    settings.policies.insert("a".to_owned(), policy);
    assert_eq!(
        settings,
        read(json!({ "policies": { "a": "5/h" } })).unwrap()
    );
}
