//! Ranges of keys.

use crate::site::Site;
use futures_util::StreamExt;
use kv_core::Event;
use kv_tests::{
    patience::{PATIENCE, until},
    watching::{delete, key, next, next_is, nothing_but, put, ranges},
};
use std::collections::HashMap;
use tokio::time::timeout;

#[tokio::test]
async fn a_range_tells_its_keys_and_not_its_siblings() {
    let site = Site::start().await;
    let mut events = site.kv.watch(ranges(["a:"])).await.unwrap();
    for sibling in ["a", "ab:1", "b:a:", "{a:x}"] {
        site.other.set(sibling, "v").await.unwrap();
    }
    site.other.set("a:1", "v").await.unwrap();
    assert_eq!(next(&mut events).await, put("a:1", None));
    site.kv.zadd("a:2", [("m", 1)]).await.unwrap();
    assert_eq!(next(&mut events).await, put("a:2", None));
    site.other.delete("a:1").await.unwrap();
    assert_eq!(next(&mut events).await, delete("a:1"));
    nothing_but(&mut events, &site.other, "a:").await;
}

#[tokio::test]
async fn ranges_may_overlap_come_and_go() {
    let site = Site::start().await;
    let mut inner = site.kv.watch(ranges(["a:b:"])).await.unwrap();
    let mut sibling = site.kv.watch(ranges(["c:", "c:d:"])).await.unwrap();
    // Nothing was lost by adding a range.
    nothing_but(&mut inner, &site.other, "a:b:").await;
    let mut outer = site.kv.watch(ranges(["a:"])).await.unwrap();
    assert_eq!(next(&mut inner).await, Event::Resync);
    assert_eq!(next(&mut sibling).await, Event::Resync);
    site.other.set("a:b:1", "v").await.unwrap();
    assert_eq!(next(&mut inner).await, put("a:b:1", None));
    assert_eq!(next(&mut outer).await, put("a:b:1", None));
    site.other.set("c:d:1", "v").await.unwrap();
    assert_eq!(next(&mut sibling).await, put("c:d:1", None));
    nothing_but(&mut outer, &site.other, "a:1").await;
    drop(outer);
    // Taking the outer range off makes it the inner's turn.
    assert_eq!(next(&mut inner).await, Event::Resync);
    nothing_but(&mut inner, &site.other, "a:b:1").await;
    assert_eq!(next(&mut sibling).await, Event::Resync);
    nothing_but(&mut sibling, &site.other, "c:d:1").await;
    assert_eq!(site.watching().await.len(), 1);
    drop((inner, sibling));
    until("the connection is gone", async || {
        site.watching().await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn the_whole_store_is_a_range() {
    let site = Site::start().await;
    let mut part = site.kv.watch(ranges(["x"])).await.unwrap();
    let mut all = site.kv.watch(ranges([""])).await.unwrap();
    assert_eq!(next(&mut part).await, Event::Resync);
    site.other.set("k", "v").await.unwrap();
    assert_eq!(next(&mut all).await, put("k", None));
    nothing_but(&mut part, &site.other, "xy").await;
}

#[tokio::test]
async fn a_burst_beyond_the_room_says_resync_and_goes_on() {
    let site = Site::start().await;
    let mut events = site.kv.watch(ranges(["burst:"])).await.unwrap();
    let items = (0..40_000).map(|it| (format!("burst:{it}"), "v"));
    site.other.set_many(items).await.unwrap();
    next_is(&mut events, &Event::Resync).await;
    let quiet = async {
        site.other.set("burst:end", "v").await.unwrap();
        next_is(&mut events, &put("burst:end", None)).await;
    };
    timeout(PATIENCE, quiet).await.unwrap();
}

#[tokio::test]
async fn a_mirror_of_a_range_ends_equal() {
    let site = Site::start().await;
    let mut events = site.kv.watch(ranges(["m:"])).await.unwrap();
    let write = async {
        for step in 0..3000 {
            let key = format!("m:{}", fastrand::u32(..50));
            match step % 3 {
                0 => drop(site.other.delete(&key).await.unwrap()),
                _ => site.other.set(&key, "v").await.unwrap(),
            }
        }
        site.other.set("m:end", "v").await.unwrap();
    };
    let mirror = async {
        let mut mirror = HashMap::new();
        while let Some(event) = events.next().await {
            match event.unwrap() {
                Event::Put { key: told, .. } if told == key("m:end") => break,
                Event::Put { key, .. } => drop(mirror.insert(key, true)),
                Event::Delete { key } => drop(mirror.insert(key, false)),
                event => panic!("{event:?}"),
            }
        }
        mirror
    };
    let ((), mirror) = tokio::join!(write, mirror);
    assert!(mirror.len() > 40);
    for (key, there) in mirror {
        assert_eq!(site.other.exists(&key).await.unwrap(), there, "{key}");
    }
}
