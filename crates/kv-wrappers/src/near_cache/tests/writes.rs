//! Own writes.

use super::site::{Asked, Site, lasting};
use crate::NearCacheInvalidation;
use futures_util::{FutureExt, future::join};
use kv_core::{
    Command, Expiry, Field, Key, Lifetime, Op, Prefixes, RelativeScore, Rule, Score, Scores,
    SetOptions, Throttle, Ttl, Txn, Value, When, ZMove,
};
use std::time::Duration;

fn key() -> Key {
    Key::new("{a}").unwrap()
}

/// Every kind of write there is, on one key.
fn writes() -> Vec<Command> {
    let day = Lifetime::new(Duration::from_secs(86_400)).unwrap();
    let value = || Value::from("other");
    let member = || vec![("m".into(), Score::from(1))];
    vec![
        Command::Set {
            key: key(),
            value: value(),
            options: SetOptions::default(),
        },
        Command::Set {
            key: key(),
            value: value(),
            options: SetOptions::from(When::IfAbsent),
        },
        Command::SetMany {
            items: vec![(Key::new("b").unwrap(), value()), (key(), value())],
            options: SetOptions::default(),
        },
        Command::Delete { keys: vec![key()] },
        Command::Increment {
            key: key(),
            by: 1,
            ttl_if_created: Ttl::Never,
        },
        Command::Expire {
            key: key(),
            expiry: Expiry::In(day),
        },
        Command::Persist { key: key() },
        Command::Clear {
            prefixes: Prefixes::from("{a"),
        },
        Command::HSet {
            key: key(),
            fields: vec![("f".into(), value())],
        },
        Command::HIncrement {
            key: key(),
            field: "f".into(),
            by: 1,
        },
        Command::HDel {
            key: key(),
            fields: vec![Field::from("f")],
        },
        Command::ZAdd {
            key: key(),
            members: member(),
        },
        Command::ZRem {
            key: key(),
            members: vec!["m".into()],
        },
        Command::ZPopByScore {
            key: key(),
            max: Score::from(1),
            limit: 1,
            scores: Scores::Include,
        },
        Command::Commit {
            txns: vec![Txn::new().then(Op::Delete { key: key() })],
        },
        Command::ZMove {
            step: Box::new(ZMove::new(1).from(key(), RelativeScore::NOW)),
        },
        Command::Throttle {
            request: Throttle::new()
                .limit(key(), Rule::gcra(1, Duration::from_secs(1), 1).unwrap()),
        },
    ]
}

#[tokio::test]
async fn case_142_every_own_write_invalidates_whatever_becomes_of_it() {
    let site = Site::new(lasting(NearCacheInvalidation::OwnWrites)).await;
    for write in writes() {
        site.other.delete("{a}").await.unwrap();
        site.other.set("{a}", "value").await.unwrap();
        site.near.delete("{a}").await.unwrap();
        site.other.set("{a}", "value").await.unwrap();
        assert_eq!(site.read("{a}").await.1, Asked::Store);
        assert_eq!(site.read("{a}").await.1, Asked::Memory);
        let name = write.spec().name;
        // Some of these are refused: it is a string.
        let _ = site.near.call(write).await;
        let what = site.other.get_many(["{a}"]).await.unwrap().remove(0);
        site.wire.take();
        let read = site.near.get_many(["{a}"]).await.unwrap().remove(0);
        assert_eq!(site.wire.take().first(), Some(&"get_many"), "{name}");
        assert_eq!(read, what, "{name}");
    }
    let named: std::collections::BTreeSet<_> = writes().iter().map(|it| it.spec().name).collect();
    let all = kv_core::COMMANDS.iter();
    let all = all.filter(|it| it.access == kv_core::Access::Write && it.name != "notify");
    assert_eq!(named, all.map(|it| it.name).collect());
}

#[tokio::test]
async fn case_142_a_write_in_doubt_invalidates() {
    let site = Site::new(lasting(NearCacheInvalidation::OwnWrites)).await;
    site.near.set("a", "old").await.unwrap();
    site.read("a").await;
    *site.wire.loses.lock() = true;
    site.near.set("a", "new").await.unwrap_err();
    assert_eq!(site.read("a").await, (Some("new".to_owned()), Asked::Store));
}

#[tokio::test]
async fn case_142_while_a_write_is_under_way_nothing_is_kept_and_a_dropped_one_invalidates() {
    let site = Site::new(lasting(NearCacheInvalidation::OwnWrites)).await;
    site.near.set("a", "old").await.unwrap();
    site.read("a").await;
    let hold = site.wire.gate.clone().write_owned().await;
    let mut write = Box::pin(site.near.set("a", "new"));
    assert!(write.as_mut().now_or_never().is_none());
    // Both ask: the first would be out of date as soon as the write has ended.
    let read = join(site.near.get("a"), site.near.get("a"));
    site.wire.take();
    let (reads, ()) = join(read, async { drop(hold) }).await;
    assert_eq!(reads.0.unwrap(), Some("old".into()));
    assert_eq!(site.wire.take(), ["get", "get"]);
    drop(write);
    assert_eq!(site.read("a").await.1, Asked::Store);
    assert_eq!(site.read("a").await.1, Asked::Memory);
}

#[tokio::test]
async fn a_refused_compare_and_set_makes_room_for_what_is_there() {
    let site = Site::new(lasting(NearCacheInvalidation::OwnWrites)).await;
    site.near.set("a", "1").await.unwrap();
    site.read("a").await;
    site.other.set("a", "2").await.unwrap();
    // Nobody hears of it, so the value before is read.
    assert_eq!(site.read("a").await, (Some("1".to_owned()), Asked::Memory));
    let options = SetOptions::from(When::IfValue("1".into()));
    assert!(!site.near.set_with("a", "3", options).await.unwrap().applied);
    assert_eq!(site.read("a").await, (Some("2".to_owned()), Asked::Store));
}
