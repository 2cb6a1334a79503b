//! What is told of what happens.

use crate::{
    SECOND, fails,
    fleet::{Fleet, get},
    near, settle, ttl,
};
use futures_util::FutureExt;
use kv_cache::{By, CacheEvent, CacheEvents, Instead};
use kv_conformance::faults::{Fault, FaultsLayer, Odds, Plan};

/// All that was told so far, in short.
async fn all(events: &mut CacheEvents) -> Vec<String> {
    settle().await;
    let mut all = Vec::new();
    while let Some(event) = events.next().now_or_never().flatten() {
        all.push(short(event));
    }
    all
}

fn short(event: CacheEvent) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let name = |tag: Option<std::sync::Arc<[u8]>>| tag.map_or("all".to_owned(), |it| text(&it));
    let who = |by| match by {
        By::Us => "us",
        By::Others => "others",
    };
    match event {
        CacheEvent::Loaded { key } => format!("loaded {}", text(&key)),
        CacheEvent::LoadFailed { key, instead } => {
            let instead = match instead {
                Instead::Stale => "stale",
                Instead::Error => "error",
            };
            format!("failed {}: {instead}", text(&key))
        }
        CacheEvent::Removed { key, by } => format!("removed {} by {}", text(&key), who(by)),
        CacheEvent::Expired { key, by } => format!("expired {} by {}", text(&key), who(by)),
        CacheEvent::TagRemoved { tag, by } => format!("{} removed by {}", name(tag), who(by)),
        CacheEvent::TagExpired { tag, by } => format!("{} expired by {}", name(tag), who(by)),
        CacheEvent::StoreTrouble { doing, .. } => format!("trouble {doing}"),
        CacheEvent::Missed(count) => format!("missed {count}"),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn what_happens_here_is_told() {
    let (cache, _) = near(ttl(60).stale(SECOND * 60));
    let mut events = cache.events();
    get(&cache, 1).await;
    get(&cache, 1).await;
    cache.expire("k").await.unwrap();
    cache.get_or_load("k", |_| fails()).await.unwrap();
    settle().await;
    cache.remove("k").await.unwrap();
    cache.get_or_load("k", |_| fails()).await.unwrap_err();
    cache.set("k", 2).await.unwrap();
    cache.remove_tag("red").await.unwrap();
    cache.expire_all().await.unwrap();
    let wanted = [
        "loaded {cache:c:k}",
        "expired {cache:c:k} by us",
        "failed {cache:c:k}: stale",
        "removed {cache:c:k} by us",
        "failed {cache:c:k}: error",
        "removed {cache:c:k} by us",
        "red removed by us",
        "all expired by us",
    ];
    assert_eq!(all(&mut events).await, wanted);
    drop(cache);
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn what_others_do_is_told() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.process(ttl(60)).await, fleet.process(ttl(60)).await);
    get(&one, 1).await;
    get(&other, 1).await;
    fleet.pass(SECOND).await;
    let mut events = one.events();
    other.remove("k").await.unwrap();
    other.expire("k").await.unwrap();
    other.remove_tag("red").await.unwrap();
    other.expire_tag("red").await.unwrap();
    other.clear().await.unwrap();
    // What nobody understands.
    let kv = fleet.kv().await;
    kv.notify("{cache:c}:news", "?").await.unwrap();
    settle().await;
    // It is noticed when it is looked at next.
    fleet.pass(SECOND / 10).await;
    let wanted = [
        "removed {cache:c:k} by others",
        "expired {cache:c:k} by others",
        "red removed by others",
        "red expired by others",
        "all removed by others",
        "Doubt",
    ];
    assert_eq!(all(&mut events).await[..6], wanted);
}

#[tokio::test]
async fn a_store_in_trouble_and_who_is_slow_are_told() {
    let fleet = Fleet::new();
    let odds = Odds::none().and(Fault::FailBefore, 1.0).unwrap();
    let faults = FaultsLayer::new(Plan::random(7, odds)).only(|it| it.name == "commit");
    let kv = fleet.builder().layer(faults).connect().await.unwrap();
    let one = fleet.on(&kv, ttl(60));
    let mut events = one.events();
    get(&one, 1).await;
    one.idle().await;
    let told = all(&mut events).await;
    assert_eq!(told[..2], ["trouble asking", "loaded {cache:c:k}"]);
    for _ in 0..1030 {
        one.remove("k").await.unwrap_err();
    }
    assert_eq!(all(&mut events).await[0], "missed 6");
}
