//! What others write, and what becomes of the watch.

use super::site::{Asked, Site, Wire, lasting, until};
use crate::{NearCacheInvalidation, NearCacheState};
use futures_util::StreamExt;
use kv_core::{Error, ErrorKind, Event, Key, Watch};
use std::time::Duration;

#[tokio::test]
async fn case_142_what_others_write_is_read_once_it_was_told() {
    let site = Site::live(lasting(NearCacheInvalidation::Watch)).await;
    for round in 0..100 {
        let value = format!("value {round}");
        site.read("a").await;
        match round % 3 {
            0 => site.other.delete("a").await.map(|_| ()).unwrap(),
            1 => {
                site.other.delete("a").await.unwrap();
                site.other.hset("a", "f", "v").await.unwrap();
                site.other.delete("a").await.unwrap();
            }
            _ => site.other.set("a", &value).await.unwrap(),
        }
        let wanted = site.other.get("a").await.unwrap();
        until("the write is read", async || {
            site.near.get("a").await.unwrap() == wanted
        })
        .await;
    }
    assert!(site.stats().hits > 0);
}

#[tokio::test]
async fn a_key_that_ends_is_told_too() {
    let mut config = lasting(NearCacheInvalidation::Watch);
    config.deadlines = crate::NearCacheDeadlines::Bounded;
    let site = Site::live(config).await;
    let second = Duration::from_secs(1);
    site.other.set_for("a", "value", second).await.unwrap();
    until("it is kept", async || {
        site.read("a").await == (Some("value".to_owned()), Asked::Memory)
    })
    .await;
    site.clock.advance(second);
    until("it is gone", async || site.read("a").await.0.is_none()).await;
}

#[tokio::test]
async fn an_event_makes_room_and_a_resync_for_all() {
    let site = Site::of(lasting(NearCacheInvalidation::Watch), Wire::by_hand()).await;
    site.is_live().await;
    for key in ["a", "b"] {
        site.read(key).await;
        assert_eq!(site.read(key).await.1, Asked::Memory);
    }
    let key = Key::new("a").unwrap();
    site.wire.tell(Ok(Event::Delete { key }));
    until("the event is heard", async || {
        site.read("a").await.1 == Asked::Store
    })
    .await;
    assert_eq!(site.read("b").await.1, Asked::Memory);
    site.read("a").await;
    site.wire.tell(Ok(Event::Resync));
    until("the resync is heard", async || {
        site.read("b").await.1 == Asked::Store
    })
    .await;
    assert_eq!(site.read("a").await.1, Asked::Store);
    assert_eq!(site.read("a").await.1, Asked::Memory);
}

#[tokio::test]
async fn without_a_watch_everything_goes_to_the_store_and_it_begins_again() {
    let failed = || Error::new(ErrorKind::Unavailable, "cut");
    for ends_with in [Some(failed()), None] {
        let site = Site::of(lasting(NearCacheInvalidation::Watch), Wire::by_hand()).await;
        assert_eq!(site.stats().state, NearCacheState::Idle);
        *site.wire.refusals.lock() = 3;
        site.near.get("a").await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(site.stats().state, NearCacheState::Connecting);
        for _ in 0..3 {
            assert_eq!(site.read("a").await.1, Asked::Store);
        }
        for _ in 0..10 {
            site.clock.advance(Duration::from_millis(100));
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
        site.is_live().await;
        site.read("a").await;
        assert_eq!(site.read("a").await.1, Asked::Memory);

        match ends_with {
            Some(error) => site.wire.tell(Err(error)),
            None => site.wire.hang_up(),
        }
        until("the end is heard", async || {
            site.stats().state == NearCacheState::Connecting
        })
        .await;
        assert_eq!(site.read("a").await.1, Asked::Store);
        assert_eq!(site.read("a").await.1, Asked::Store);
        assert_eq!(site.wire.watches(), 0);
        site.clock.advance(Duration::from_secs(1));
        site.is_live().await;
        assert_eq!(site.wire.watches(), 1);
        // What was kept before says nothing about now.
        assert_eq!(site.read("a").await.1, Asked::Store);
        assert_eq!(site.read("a").await.1, Asked::Memory);
    }
}

#[tokio::test]
async fn one_watch_begins_with_the_first_read_and_ends_with_the_layer() {
    let site = Site::of(lasting(NearCacheInvalidation::Watch), Wire::by_hand()).await;
    site.near.set("a", "value").await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(site.wire.watches(), 0);
    site.is_live().await;
    site.near.get("b").await.unwrap();
    assert_eq!(site.wire.watches(), 1);
    site.near.close().await;
    assert_eq!(site.wire.watches(), 0);
    assert_eq!(site.stats().state, NearCacheState::Closed);
    let error = site.near.get("b").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);

    let site = Site::of(lasting(NearCacheInvalidation::Watch), Wire::by_hand()).await;
    site.is_live().await;
    let wire = site.wire.clone();
    drop(site);
    until("the task has ended", async || wire.watches() == 0).await;
}

#[tokio::test]
async fn who_reads_after_an_event_or_after_a_watch_began_reads_what_is_there() {
    // The layer's own watch tells nothing here.
    let site = Site::of(lasting(NearCacheInvalidation::OwnWrites), Wire::default()).await;
    let key = Key::new("a").unwrap();
    assert_eq!(site.read("a").await.0, None);
    site.other.set("a", "0").await.unwrap();
    let watch = Watch::Keys(vec![key.clone()]);
    let mut events = site.near.watch(watch).await.unwrap();
    assert_eq!(site.read("a").await.0, Some("0".to_owned()));
    for round in 1..20 {
        let value = round.to_string();
        site.other.set("a", &value).await.unwrap();
        let event = events.next().await.unwrap().unwrap();
        assert!(matches!(event, Event::Put { .. }), "{event:?}");
        assert_eq!(site.read("a").await.0, Some(value));
    }
    assert_eq!(site.read("b").await.0, None);
    site.other.set("b", "0").await.unwrap();
    let all = Watch::Prefixes("".into());
    let mut events = site.near.watch(all).await.unwrap();
    assert_eq!(site.read("b").await.0, Some("0".to_owned()));
    site.other.set("b", "1").await.unwrap();
    events.next().await.unwrap().unwrap();
    assert_eq!(site.read("b").await.0, Some("1".to_owned()));
}

#[tokio::test]
async fn waits_are_not_deceived() {
    let site = Site::live(lasting(NearCacheInvalidation::Watch)).await;
    let scope = site.near.scope("app", "part").unwrap();
    let writer = site.other.scope("app", "part").unwrap();
    let minute = Duration::from_secs(60);
    for round in 0..50 {
        let key = format!("key {round}");
        assert_eq!(scope.get(&key).await.unwrap(), None);
        let wait = scope.wait_for_key(&key, minute);
        let write = async {
            tokio::task::yield_now().await;
            writer.set(&key, "value").await.unwrap();
        };
        let (found, ()) = futures_util::future::join(wait, write).await;
        assert_eq!(found.unwrap(), "value");
    }
}

#[tokio::test]
async fn a_wait_looks_at_the_store() {
    let site = Site::new(lasting(NearCacheInvalidation::OwnWrites)).await;
    let scope = site.near.scope("app", "part").unwrap();
    let writer = site.other.scope("app", "part").unwrap();
    let minute = Duration::from_secs(60);
    assert_eq!(scope.get("a").await.unwrap(), None);
    writer.set("a", "1").await.unwrap();
    assert_eq!(scope.get("a").await.unwrap(), None);
    assert_eq!(scope.wait_for_key("a", minute).await.unwrap(), "1");
    writer.set("a", "2").await.unwrap();
    assert_eq!(scope.wait_for_value("a", "2", minute).await.unwrap(), "2");
    writer.set("a", "3").await.unwrap();
    let keys = scope.wait_for_keys("a*", 1).value("3").timeout(minute);
    assert_eq!(keys.await.unwrap().len(), 1);
}
