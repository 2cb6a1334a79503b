use super::{Fixture, fixture, limit, millis, next};
use crate::{MemoryConfig, OnFull};
use futures_util::{FutureExt, StreamExt};
use kv_core::{
    ErrorKind, Event, Events, Key, Kv, Notice, Op, Prefix, Prefixes, Ttl, Txn, Value, Watch, When,
};
use std::collections::HashSet;

fn key(name: &str) -> Key {
    Key::new(name.to_owned()).unwrap()
}

fn keys(names: &[&str]) -> Watch {
    Watch::Keys(names.iter().map(|it| key(it)).collect())
}

fn prefixes(names: &[&str]) -> Watch {
    Watch::Prefixes(names.iter().map(|it| Prefix::from(*it)).collect())
}

fn channels(names: &[&str]) -> Watch {
    Watch::Channels(names.iter().map(|it| key(it)).collect())
}

fn put(name: &str, value: &str) -> Event {
    let (key, value) = (key(name), Some(value.into()));
    Event::Put { key, value }
}

fn put_structure(name: &str) -> Event {
    let (key, value) = (key(name), None);
    Event::Put { key, value }
}

fn delete(name: &str) -> Event {
    Event::Delete { key: key(name) }
}

fn message(name: &str, payload: &str) -> Event {
    let (channel, payload) = (key(name), payload.into());
    Event::Message { channel, payload }
}

/// What there is to tell by now.
fn told(events: &mut Events) -> Vec<Event> {
    let mut told = Vec::new();
    while let Some(Some(event)) = events.next().now_or_never() {
        told.push(event.unwrap());
    }
    told
}

async fn store() -> Fixture {
    fixture(MemoryConfig::default()).await
}

#[tokio::test]
async fn every_change_is_told_and_nothing_else() {
    let it = store().await;
    let kv = &it.kv;
    let mut events = kv.watch(keys(&["s", "h", "z"])).await.unwrap();
    let mut expect = |change: &str, event: Option<Event>| {
        let expected: Vec<_> = event.into_iter().collect();
        assert_eq!(told(&mut events), expected, "{change}");
    };
    kv.set("s", "1").await.unwrap();
    expect("set", Some(put("s", "1")));
    kv.set_with("s", "2", When::IfAbsent).await.unwrap();
    kv.get("s").await.unwrap();
    expect("refused set", None);
    kv.increment("s", 1).await.unwrap();
    expect("increment", Some(put("s", "2")));
    kv.expire("s", millis(500)).await.unwrap();
    expect("expire", Some(put("s", "2")));
    kv.persist("s").await.unwrap();
    expect("persist", Some(put("s", "2")));
    kv.persist("s").await.unwrap();
    expect("persist for nothing", None);
    kv.delete("s").await.unwrap();
    expect("delete", Some(delete("s")));
    kv.delete("s").await.unwrap();
    expect("delete for nothing", None);
    kv.hset("h", "f", "v").await.unwrap();
    expect("hset", Some(put_structure("h")));
    kv.hincrement("h", "n", 1).await.unwrap();
    expect("hincrement", Some(put_structure("h")));
    kv.hdel("h", ["none"]).await.unwrap();
    expect("hdel for nothing", None);
    kv.hdel("h", ["n"]).await.unwrap();
    expect("hdel", Some(put_structure("h")));
    kv.hdel("h", ["f"]).await.unwrap();
    expect("drained hash", Some(delete("h")));
    kv.zadd("z", [("m", 1), ("n", 2)]).await.unwrap();
    expect("zadd", Some(put_structure("z")));
    kv.zadd("z", [("m", 2)]).await.unwrap();
    expect("moved", Some(put_structure("z")));
    kv.zrem("z", ["none"]).await.unwrap();
    expect("zrem for nothing", None);
    kv.zpopbyscore("z", 9).await.unwrap();
    expect("zpop", Some(put_structure("z")));
    kv.zpopbyscore("z", 9).await.unwrap();
    expect("drained zset", Some(delete("z")));
    kv.set("s", "1").await.unwrap();
    kv.set("other", "1").await.unwrap();
    kv.delete_prefix("s").await.unwrap();
    expect("clear", Some(delete("s")));
    let txn = Txn::new().then(Op::Set {
        key: key("s"),
        content: Value::from("9").into(),
        ttl: Ttl::Never,
    });
    kv.commit_one(txn).await.unwrap();
    expect("commit", Some(put("s", "9")));
}

#[tokio::test]
async fn changes_coalesce_to_the_last_state_in_the_order_of_the_first() {
    let it = store().await;
    let mut events = it.kv.watch(keys(&["a", "b", "a"])).await.unwrap();
    for round in 0..1000 {
        it.kv.set("a", round.to_string()).await.unwrap();
        it.kv.set("b", "x").await.unwrap();
    }
    it.kv.delete("b").await.unwrap();
    assert_eq!(told(&mut events), [put("a", "999"), delete("b")]);
}

#[tokio::test]
async fn a_prefix_is_told_of_its_own_keys_once() {
    let it = store().await;
    let watch = prefixes(&["jobs:", "{jobs:", "jobs:a"]);
    let mut events = it.kv.watch(watch).await.unwrap();
    let mut all = it
        .kv
        .watch(Watch::Prefixes(Prefixes::from(Prefix::ALL)))
        .await
        .unwrap();
    for name in [
        "jobs",
        "job:a",
        "jobs2:a",
        "xjobs:a",
        "{jobs",
        "jobs:a",
        "{jobs:a}b",
    ] {
        it.kv.set(name, "v").await.unwrap();
    }
    assert_eq!(
        told(&mut events),
        [put("jobs:a", "v"), put("{jobs:a}b", "v")]
    );
    assert_eq!(told(&mut all).len(), 7);
    let mut one = it.kv.watch(keys(&["jobs:a"])).await.unwrap();
    it.kv.set("jobs:ab", "v").await.unwrap();
    it.kv.set("jobs:", "v").await.unwrap();
    assert_eq!(told(&mut one), []);
}

#[tokio::test]
async fn messages_come_in_order_and_to_everyone() {
    let it = store().await;
    let mut one = it.kv.watch(channels(&["c", "c"])).await.unwrap();
    let mut two = it.kv.watch(channels(&["c", "d"])).await.unwrap();
    it.kv.notify("c", "1").await.unwrap();
    it.kv.notify("c", "1").await.unwrap();
    it.kv.notify("cc", "other").await.unwrap();
    let send = |payload: &str| Op::Notify(Notice::new(key("d"), payload));
    it.kv
        .commit_one(Txn::new().then(send("2")).then(send("3")))
        .await
        .unwrap();
    it.kv.set("c", "a key, not a channel").await.unwrap();
    assert_eq!(told(&mut one), [message("c", "1"), message("c", "1")]);
    let all = [
        message("c", "1"),
        message("c", "1"),
        message("d", "2"),
        message("d", "3"),
    ];
    assert_eq!(told(&mut two), all);
}

#[tokio::test]
async fn who_lags_is_told_so_in_the_place_of_what_is_lost() {
    use crate::watch::BUFFER;
    let it = store().await;
    let mut events = it.kv.watch(channels(&["c"])).await.unwrap();
    for index in 0..BUFFER {
        it.kv.notify("c", index.to_string()).await.unwrap();
    }
    let whole = told(&mut events);
    assert_eq!((whole.len(), &whole[0]), (BUFFER, &message("c", "0")));
    for index in 0..BUFFER + 10 {
        it.kv.notify("c", index.to_string()).await.unwrap();
    }
    let late = told(&mut events);
    let (half, last) = (BUFFER / 2, BUFFER + 9);
    assert_eq!(late[..2], [Event::Resync, message("c", &half.to_string())]);
    assert_eq!(late.last(), Some(&message("c", &last.to_string())));
    assert_eq!(late.len(), 1 + last + 1 - half);

    let mut events = it.kv.watch(prefixes(&["k"])).await.unwrap();
    for index in 0..BUFFER + 3 {
        it.kv.set(format!("k{index}"), "v").await.unwrap();
    }
    let late = told(&mut events);
    assert_eq!((late.len(), &late[0]), (4, &Event::Resync));
    it.kv.set("k0", "w").await.unwrap();
    assert_eq!(told(&mut events), [put("k0", "w")]);
}

#[tokio::test]
async fn eviction_is_a_delete() {
    let config = MemoryConfig::default()
        .max_entries(limit(1))
        .on_full(OnFull::Evict);
    let it = fixture(config).await;
    it.kv.set("old", "v").await.unwrap();
    let mut events = it.kv.watch(keys(&["old"])).await.unwrap();
    it.kv.set("new", "v").await.unwrap();
    assert_eq!(told(&mut events), [delete("old")]);
}

#[tokio::test]
async fn nothing_to_watch_is_an_error_and_a_dropped_watch_leaves_nothing() {
    let it = store().await;
    for watch in [keys(&[]), prefixes(&[]), channels(&[])] {
        let refused = it.kv.watch(watch).await.err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    }
    let hub = &it.store.inner().hub;
    let mut all = Vec::new();
    for watch in [
        keys(&["a", "b"]),
        prefixes(&["a", "b"]),
        channels(&["a", "c"]),
    ] {
        all.push(it.kv.watch(watch.clone()).await.unwrap());
        all.push(it.kv.watch(watch).await.unwrap());
    }
    assert_eq!(hub.size(), 2 + 2 + 2);
    drop(all.remove(0));
    it.kv.set("a", "v").await.unwrap();
    assert_eq!(told(&mut all[0]), [put("a", "v")]);
    drop(all);
    assert_eq!((hub.size(), hub.is_watched()), (0, false));
}

#[tokio::test]
async fn close_ends_the_watches_of_its_own_handle() {
    let it = store().await;
    let other = Kv::builder(it.store.clone()).connect().await.unwrap();
    let mut mine = it.kv.watch(keys(&["k", "l"])).await.unwrap();
    let mut theirs = other.watch(channels(&["c"])).await.unwrap();
    it.kv.set("k", "v").await.unwrap();
    it.kv.close().await;
    assert_eq!(next(&mut mine).await.unwrap().unwrap(), put("k", "v"));
    let error = next(&mut mine).await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.operation()),
        (ErrorKind::Closed, Some("watch"))
    );
    assert!(next(&mut mine).await.is_none() && next(&mut mine).await.is_none());
    other.notify("c", "still there").await.unwrap();
    assert_eq!(told(&mut theirs), [message("c", "still there")]);
    // Without any handle left there is nothing that could be told.
    drop((it, other));
    let error = next(&mut theirs).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(next(&mut theirs).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_receiver_sees_the_last_state_of_many_writers() {
    let it = store().await;
    let mut events = it.kv.watch(prefixes(&["k"])).await.unwrap();
    let writers = (0..4).map(|writer| {
        let kv = it.kv.clone();
        tokio::spawn(async move {
            for round in 0..=500 {
                kv.set(format!("k{writer}"), round.to_string())
                    .await
                    .unwrap();
                tokio::task::yield_now().await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    // A state can be told twice, but the last one is told in any case.
    let mut done = HashSet::new();
    while done.len() < 4 {
        let event = next(&mut events).await.unwrap().unwrap();
        if let Event::Put { key, value } = event
            && value.unwrap() == "500"
        {
            done.insert(key);
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
}
