//! Every kind of write to a watched key is told, and nothing else is.

use crate::site::Site;
use futures_util::StreamExt;
use kv_core::{ErrorKind, Event, Lifetime, Score, SetOptions, Ttl, Watch, When};
use kv_tests::{
    patience::until,
    watching::{delete, key, keys, next, nothing_but, put},
};
use std::time::Duration;

fn hour() -> Lifetime {
    Lifetime::new(Duration::from_secs(3600)).unwrap()
}

#[tokio::test]
async fn every_kind_of_write_is_told() {
    let site = Site::start().await;
    let mut events = site.kv.watch(keys(["k"])).await.unwrap();
    let events = &mut events;
    let other = &site.other;
    other.set("k", "a").await.unwrap();
    assert_eq!(next(events).await, put("k", Some("a")));
    // The store's own writes come back.
    site.kv.set("k", "b").await.unwrap();
    assert_eq!(next(events).await, put("k", Some("b")));
    other.expire("k", hour()).await.unwrap();
    assert_eq!(next(events).await, put("k", Some("b")));
    other.persist("k").await.unwrap();
    assert_eq!(next(events).await, put("k", Some("b")));
    let options = SetOptions::from(Ttl::In(hour())).when(When::IfPresent);
    other.set_with("k", "c", options).await.unwrap();
    assert_eq!(next(events).await, put("k", Some("c")));
    other.set_many([("k", "d"), ("x", "y")]).await.unwrap();
    assert_eq!(next(events).await, put("k", Some("d")));
    other.delete("k").await.unwrap();
    assert_eq!(next(events).await, delete("k"));
    other.increment("k", 5).await.unwrap();
    assert_eq!(next(events).await, put("k", Some("5")));
    other.clear_prefixes("k").await.unwrap();
    assert_eq!(next(events).await, delete("k"));
    other.hset("k", "f", "v").await.unwrap();
    assert_eq!(next(events).await, put("k", None));
    other.hincrement("k", "n", 2).await.unwrap();
    assert_eq!(next(events).await, put("k", None));
    other.hdel("k", ["f", "n"]).await.unwrap();
    assert_eq!(next(events).await, delete("k"));
    other.zadd("k", [("m", 1)]).await.unwrap();
    assert_eq!(next(events).await, put("k", None));
    other.zadd("k", [("m", 2)]).await.unwrap();
    assert_eq!(next(events).await, put("k", None));
    other.zpopbyscore("k", Score::MAX).await.unwrap();
    assert_eq!(next(events).await, delete("k"));
    let _: redis::Value = site.ask("LPUSH k v").await;
    assert_eq!(next(events).await, put("k", None));
    let _: redis::Value = site.ask("RENAME k moved").await;
    assert_eq!(next(events).await, delete("k"));
    let mut both = redis::pipe();
    both.atomic().set("k", "e").set("x", "z").incr("n", 1);
    let () = both.query_async(&mut site.raw.clone()).await.unwrap();
    assert_eq!(next(events).await, put("k", Some("e")));
    nothing_but(events, other, "k").await;
}

#[tokio::test]
async fn each_gets_its_own_keys_and_no_neighbours() {
    let site = Site::start().await;
    let mut one = site.kv.watch(keys(["a", "a"])).await.unwrap();
    let mut two = site.kv.watch(keys(["a", "ab"])).await.unwrap();
    for neighbour in ["abc", "A", "", "b"] {
        let _: redis::Value = site.ask(&format!("SET {neighbour} v")).await;
    }
    site.other.set("a", "1").await.unwrap();
    assert_eq!(next(&mut one).await, put("a", Some("1")));
    assert_eq!(next(&mut two).await, put("a", Some("1")));
    site.other.set("ab", "2").await.unwrap();
    assert_eq!(next(&mut two).await, put("ab", Some("2")));
    drop(two);
    nothing_but(&mut one, &site.other, "a").await;
    nothing_but(&mut one, &site.other, "a").await;
}

#[tokio::test]
async fn no_write_is_lost_while_somebody_begins_to_watch() {
    let site = Site::start().await;
    for round in 0..1000 {
        let key = format!("race:{}", round % 7);
        let value = round.to_string();
        let write = async {
            for _ in 0..round % 4 {
                tokio::task::yield_now().await;
            }
            site.other.set(&key, &value).await.unwrap();
        };
        let watch = async {
            let mut events = site.kv.watch(keys([&key])).await.unwrap();
            // What is read behind the call, or else an event, tells the last state.
            if site
                .kv
                .get(&key)
                .await
                .unwrap()
                .is_some_and(|it| it == *value)
            {
                return;
            }
            assert_eq!(next(&mut events).await, put(&key, Some(&value)), "{round}");
        };
        tokio::join!(write, watch);
    }
}

#[tokio::test]
async fn a_storm_of_writes_ends_with_the_last_state() {
    let site = Site::start().await;
    let mut events = site.kv.watch(keys(["k"])).await.unwrap();
    let writes = async {
        for number in 0..5000 {
            site.other.set("k", number.to_string()).await.unwrap();
        }
    };
    let last = async {
        let mut told = 0;
        while next(&mut events).await != put("k", Some("4999")) {
            told += 1;
        }
        told
    };
    let ((), told) = tokio::join!(writes, last);
    assert!(told > 10, "{told} events");
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused() {
    let site = Site::start().await;
    for watch in [Watch::Keys(vec![]), Watch::Channels(vec![])] {
        let error = site.kv.watch(watch).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}

#[tokio::test]
async fn closing_ends_the_streams_and_dropping_frees_the_server() {
    let site = Site::start().await;
    let mut events = site.kv.watch(keys(["k"])).await.unwrap();
    let channel = Watch::Channels(vec![key("c")]);
    let messages = site.kv.watch(channel).await.unwrap();
    assert_eq!(site.watching().await.len(), 1);
    drop(messages);
    until("the channel is freed", async || {
        let told: (String, u64) = site.ask("PUBSUB NUMSUB c").await;
        told.1 == 0
    })
    .await;
    site.kv.close().await;
    let error = events.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(events.next().await.is_none());
    until("the connection is gone", async || {
        site.watching().await.is_empty()
    })
    .await;
    let dropped = site.other.watch(keys(["k"])).await.unwrap();
    assert_eq!(site.watching().await.len(), 1);
    drop(dropped);
    until("the last stream's connection is gone", async || {
        site.watching().await.is_empty()
    })
    .await;
    let mut again = site.other.watch(keys(["k"])).await.unwrap();
    site.other.set("k", "v").await.unwrap();
    assert!(matches!(next(&mut again).await, Event::Put { .. }));
}
