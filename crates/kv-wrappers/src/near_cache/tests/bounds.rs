//! How long what is kept counts, and how much there may be.

use super::site::{Asked, HOUR, Site, lasting};
use crate::{NearCacheConfig, NearCacheDeadlines, NearCacheInvalidation};
use kv_core::{CallOptions, ErrorKind};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn case_142_a_value_is_told_no_longer_than_its_deadline_allows() {
    let site = Site::new(lasting(NearCacheInvalidation::OwnWrites)).await;
    site.other.set_for("a", "value", 5 * SECOND).await.unwrap();
    assert_eq!(site.read("a").await.1, Asked::Store);
    site.clock.advance(5 * SECOND - Duration::from_millis(2));
    assert_eq!(site.read("a").await.1, Asked::Memory);
    site.clock.advance(Duration::from_millis(2));
    assert_eq!(site.read("a").await, (None, Asked::Store));

    site.other.set_for("b", "value", 5 * SECOND).await.unwrap();
    site.near.get_many(["b", "c"]).await.unwrap();
    assert_eq!(site.read("b").await.1, Asked::Memory);
    site.clock.advance(5 * SECOND);
    assert_eq!(site.read("b").await, (None, Asked::Store));
}

#[tokio::test]
async fn without_asking_for_deadlines_the_longest_age_bounds() {
    let mut config = lasting(NearCacheInvalidation::OwnWrites);
    config.deadlines = NearCacheDeadlines::Bounded;
    config.max_ttl = 10 * SECOND;
    let site = Site::new(config).await;
    site.other.set_for("a", "value", 5 * SECOND).await.unwrap();
    site.near.get("a").await.unwrap();
    assert_eq!(site.wire.take(), ["get"]);
    site.clock.advance(9 * SECOND);
    assert_eq!(site.read("a").await.1, Asked::Memory);
    site.clock.advance(SECOND);
    assert_eq!(site.read("a").await, (None, Asked::Store));
}

#[tokio::test]
async fn case_142_no_answer_is_older_than_the_longest_age() {
    let mut config = lasting(NearCacheInvalidation::OwnWrites);
    config.max_ttl = 10 * SECOND;
    let site = Site::new(config).await;
    site.near.set("a", "old").await.unwrap();
    site.read("a").await;
    site.other.set("a", "new").await.unwrap();
    site.clock.advance(10 * SECOND - Duration::from_millis(1));
    assert_eq!(site.read("a").await.0, Some("old".to_owned()));
    site.clock.advance(Duration::from_millis(1));
    assert_eq!(site.read("a").await.0, Some("new".to_owned()));
}

#[tokio::test]
async fn case_142_a_missing_key_is_kept_for_its_own_time_and_an_empty_value_is_one() {
    let mut config = lasting(NearCacheInvalidation::OwnWrites);
    config.negative_ttl = SECOND;
    let site = Site::new(config).await;
    assert_eq!(site.read("a").await, (None, Asked::Store));
    assert_eq!(site.read("a").await, (None, Asked::Memory));
    assert_eq!(site.near.get_many(["a"]).await.unwrap(), [None]);
    assert_eq!(site.wire.take(), [""; 0]);
    site.clock.advance(SECOND);
    assert_eq!(site.read("a").await, (None, Asked::Store));

    site.near.set("b", "").await.unwrap();
    assert_eq!(site.read("b").await, (Some(String::new()), Asked::Store));
    assert_eq!(site.read("b").await, (Some(String::new()), Asked::Memory));

    let config = NearCacheConfig {
        negative_ttl: Duration::ZERO,
        ..lasting(NearCacheInvalidation::OwnWrites)
    };
    let site = Site::new(config).await;
    site.read("a").await;
    assert_eq!(site.read("a").await, (None, Asked::Store));
}

#[tokio::test]
async fn a_structure_is_not_taken_for_a_missing_key() {
    for deadlines in [NearCacheDeadlines::Exact, NearCacheDeadlines::Bounded] {
        let mut config = lasting(NearCacheInvalidation::OwnWrites);
        config.deadlines = deadlines;
        let site = Site::new(config).await;
        site.near.hset("a", "f", "v").await.unwrap();
        assert_eq!(site.near.get_many(["a", "b"]).await.unwrap(), [None, None]);
        let error = site.near.get("a").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongType);
        // Whether `b` is missing only the second answer tells.
        let asked = match deadlines {
            NearCacheDeadlines::Exact => Asked::Memory,
            NearCacheDeadlines::Bounded => Asked::Store,
        };
        assert_eq!(site.read("b").await.1, asked);
    }
}

#[tokio::test]
async fn a_batch_asks_for_what_is_not_known_and_keeps_the_order() {
    let site = Site::new(lasting(NearCacheInvalidation::OwnWrites)).await;
    for key in ["a", "b", "c", "d"] {
        site.near.set(key, key).await.unwrap();
    }
    site.read("b").await;
    site.read("d").await;
    let keys = ["a", "b", "none", "c", "b", "d", "a"];
    let values = site.near.get_many(keys).await.unwrap();
    let wanted = keys.map(|it| (it != "none").then(|| it.into()));
    assert_eq!(values, wanted);
    let mut asked = site.wire.take();
    asked.sort_unstable();
    let ttl = "time_to_live";
    assert_eq!(asked, ["get_many", ttl, ttl, ttl, ttl]);
    assert_eq!(site.near.get_many(keys).await.unwrap(), wanted);
    assert_eq!(site.wire.take(), [""; 0]);
}

#[tokio::test]
async fn what_is_too_long_is_not_kept_and_the_room_is_bounded() {
    let mut config = lasting(NearCacheInvalidation::OwnWrites);
    config.max_bytes = 64 << 10;
    config.max_value_bytes = 1000;
    let site = Site::new(config).await;
    let long = "x".repeat(1001);
    site.near.set("long", &long).await.unwrap();
    site.read("long").await;
    assert_eq!(site.read("long").await, (Some(long), Asked::Store));
    for at in 0..1000 {
        let (key, value) = (format!("key {at}"), "x".repeat(1000));
        site.near.set(&key, value).await.unwrap();
        site.near.get(&key).await.unwrap();
    }
    let stats = site.stats();
    assert!(stats.bytes <= 64 << 10, "{stats:?}");
    assert!(stats.entries >= 50, "{stats:?}");
    assert!(stats.evictions >= 900, "{stats:?}");
    site.clock.advance(HOUR);
}

#[tokio::test]
async fn a_call_can_ask_the_store_in_any_case_and_what_it_brings_is_kept() {
    let site = Site::new(lasting(NearCacheInvalidation::OwnWrites)).await;
    let strict = site.near.with(CallOptions::new().without_near_cache());
    for (round, value) in ["1", "2", "3"].into_iter().enumerate() {
        site.read("a").await;
        site.other.set("a", value).await.unwrap();
        let seen = match round {
            0 | 2 => strict.get("a").await.unwrap(),
            _ => strict.get_many(["a"]).await.unwrap().remove(0),
        };
        assert_eq!(seen, Some(value.into()));
        assert_eq!(
            site.read("a").await,
            (Some(value.to_owned()), Asked::Memory)
        );
    }
}
