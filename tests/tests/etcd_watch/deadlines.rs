//! Keys that end by themselves.

use crate::site::Site;
use kv_core::{Clock, Event, Expiry, Lifetime, SetOptions, SystemClock, Timestamp, Ttl};
use kv_tests::{
    patience::pause,
    watching::{delete, key, keys, next, next_is, nothing_but, put, ranges},
};
use std::time::Duration;

fn span(millis: u64) -> Ttl {
    Ttl::In(Lifetime::new(Duration::from_millis(millis)).unwrap())
}

#[tokio::test]
async fn the_end_of_a_key_is_told_at_its_deadline_and_once() {
    let site = Site::start().await;
    let deadline = |millis| {
        SystemClock
            .now()
            .saturating_add(Duration::from_millis(millis))
    };
    let at = |deadline: Timestamp| SetOptions::from(Ttl::At(deadline));
    // Some are written before they are watched, some later; far enough ahead for a slow machine.
    let before = deadline(4000);
    site.other
        .set_with("a:before", "v", at(before))
        .await
        .unwrap();
    let names = ["a:before", "a:later", "a:moved", "a:kept"];
    let mut events = site.kv.watch(keys(names)).await.unwrap();
    let mut range = site.kv.watch(ranges(["a:"])).await.unwrap();
    let later = deadline(3000);
    site.other
        .set_with("a:later", "v", at(later))
        .await
        .unwrap();
    site.other
        .set_with("a:moved", "v", at(later))
        .await
        .unwrap();
    site.other.set_with("a:kept", "v", at(later)).await.unwrap();
    let moved = deadline(5000);
    site.other
        .expire("a:moved", Expiry::At(moved))
        .await
        .unwrap();
    site.other.persist("a:kept").await.unwrap();
    let mut due = vec![("a:later", later), ("a:before", before), ("a:moved", moved)];
    while !due.is_empty() {
        let event = next(&mut events).await;
        let now = SystemClock.now();
        if matches!(event, Event::Put { .. }) {
            continue;
        }
        let ended = due.iter().position(|(name, _)| event == delete(name));
        let (name, due) = due.remove(ended.unwrap_or_else(|| panic!("{event:?}")));
        assert!(now >= due, "{name} ended too early");
        let late = now.saturating_since(due);
        println!("{name}: told {late:?} after the deadline");
    }
    // The leases collect what is left of them, which nobody is told.
    let mut raw = site.raw.clone();
    loop {
        let left = raw.get("a:moved", None).await.unwrap();
        if left.kvs().is_empty() {
            break;
        }
        pause(Duration::from_millis(50)).await;
    }
    nothing_but(&mut events, &site.other, "a:kept").await;
    // The range learned of those that were written while it was watched.
    let mut ended = Vec::new();
    loop {
        match next(&mut range).await {
            Event::Delete { key } => ended.push(key),
            Event::Put { key: it, value } if it == key("a:kept") && value != Some("v".into()) => {
                break;
            }
            _ => {}
        }
    }
    ended.retain(|it| *it != key("a:before"));
    assert_eq!(ended, [key("a:later"), key("a:moved")]);
}

#[tokio::test]
async fn a_held_key_ends_with_its_lease() {
    let site = Site::start().await;
    let held = Ttl::Held(Lifetime::new(Duration::from_secs(3)).unwrap());
    site.other
        .set_with("k", "v", SetOptions::from(held))
        .await
        .unwrap();
    let mut events = site.kv.watch(keys(["k"])).await.unwrap();
    assert_eq!(next(&mut events).await, delete("k"));
    assert!(!site.other.exists("k").await.unwrap());
    nothing_but(&mut events, &site.other, "k").await;
}

#[tokio::test]
async fn a_key_that_is_written_again_is_news_again() {
    let site = Site::start().await;
    let mut events = site.kv.watch(keys(["k"])).await.unwrap();
    for _ in 0..5 {
        site.other
            .set_with("k", "v", SetOptions::from(span(1500)))
            .await
            .unwrap();
        assert_eq!(next(&mut events).await, put("k", Some("v")));
        assert_eq!(next(&mut events).await, delete("k"));
    }
    site.other
        .set_with("k", "w", SetOptions::from(span(1500)))
        .await
        .unwrap();
    site.other.set("k", "x").await.unwrap();
    next_is(&mut events, &put("k", Some("x"))).await;
    pause(Duration::from_millis(1600)).await;
    nothing_but(&mut events, &site.other, "k").await;
}
