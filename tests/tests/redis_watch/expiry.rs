//! Keys that end by themselves are told in time, never early, and once.

use crate::site::Site;
use kv_core::{Events, Lifetime, SetOptions, TimeToLive, Timestamp, Ttl};
use kv_tests::watching::{delete, keys, next, nothing_but, put, ranges};
use std::time::Duration;

/// How late the end of a key may be told.
const LATE: Duration = Duration::from_millis(50);

fn ttl(millis: u64) -> SetOptions {
    Ttl::In(Lifetime::new(Duration::from_millis(millis)).unwrap()).into()
}

/// Keys among which the server's own sweep finds one of ours late.
async fn crowd(site: &Site) {
    let items = (0..2000).map(|it| (format!("crowd:{it}"), "v"));
    site.other.set_many_with(items, ttl(600_000)).await.unwrap();
}

/// The store's time when the key is told to be gone.
async fn gone(site: &Site, events: &mut Events, key: &str) -> Timestamp {
    assert_eq!(next(events).await, delete(key));
    site.other.now().await.unwrap()
}

async fn ends_in_time(site: &Site, events: &mut Events, key: &str, writes: bool) {
    let before = site.other.now().await.unwrap();
    let span = Duration::from_millis(300);
    if writes {
        site.other.set_with(key, "v", ttl(300)).await.unwrap();
    }
    let written = site.other.now().await.unwrap();
    assert!(matches!(next(events).await, kv_core::Event::Put { .. }));
    let at = gone(site, events, key).await;
    assert!(at >= before.saturating_add(span), "early");
    let late = at.saturating_since(written.saturating_add(span));
    println!("{key}: told {late:?} after the deadline");
    assert!(late < LATE, "{late:?} late");
}

#[tokio::test]
async fn the_end_of_a_key_is_told_in_time_and_once() {
    let site = Site::start().await;
    crowd(&site).await;
    let mut events = site.kv.watch(keys(["k"])).await.unwrap();
    for _ in 0..5 {
        ends_in_time(&site, &mut events, "k", true).await;
    }
    nothing_but(&mut events, &site.other, "k").await;
}

#[tokio::test]
async fn the_end_of_a_key_in_a_range_is_told_in_time_and_once() {
    let site = Site::start().await;
    crowd(&site).await;
    let mut events = site.kv.watch(ranges(["r:"])).await.unwrap();
    for _ in 0..5 {
        ends_in_time(&site, &mut events, "r:k", true).await;
    }
    nothing_but(&mut events, &site.other, "r:k").await;
}

#[tokio::test]
async fn a_key_that_was_there_before_ends_in_time_too() {
    let site = Site::start().await;
    crowd(&site).await;
    site.other.set_with("k", "v", ttl(300)).await.unwrap();
    let written = site.other.now().await.unwrap();
    let mut events = site.kv.watch(keys(["k"])).await.unwrap();
    let at = gone(&site, &mut events, "k").await;
    let late = at.saturating_since(written.saturating_add(Duration::from_millis(300)));
    assert!(late < LATE, "{late:?} late");
    // Watched by a second one whose look was not needed.
    site.other.set_with("k", "v", ttl(200)).await.unwrap();
    let mut second = site.kv.watch(keys(["k"])).await.unwrap();
    assert_eq!(next(&mut events).await, put("k", Some("v")));
    assert_eq!(next(&mut events).await, delete("k"));
    while next(&mut second).await != delete("k") {}
}

#[tokio::test]
async fn a_deadline_that_moves_is_followed() {
    let site = Site::start().await;
    crowd(&site).await;
    let mut events = site.kv.watch(keys(["k"])).await.unwrap();
    site.other.set_with("k", "v", ttl(100)).await.unwrap();
    assert_eq!(next(&mut events).await, put("k", Some("v")));
    let span = Lifetime::new(Duration::from_millis(400)).unwrap();
    site.other.expire("k", span).await.unwrap();
    let moved = site.other.now().await.unwrap();
    assert_eq!(next(&mut events).await, put("k", Some("v")));
    let at = gone(&site, &mut events, "k").await;
    assert!(at.saturating_since(moved) >= Duration::from_millis(398));
    assert!(matches!(
        site.other.time_to_live("k").await.unwrap(),
        TimeToLive::Missing
    ));
    nothing_but(&mut events, &site.other, "k").await;
}
