//! Keys that end by themselves are told in time, never early, and once.

use crate::site::Site;
use kv_core::{Events, Lifetime, SetOptions, TimeToLive, Timestamp, Ttl};
use kv_tests::watching::{delete, keys, next, nothing_but, put, ranges};
use std::time::Duration;

/// How late the end of a key is told at most where nothing holds the machine up. It may be once and again:
/// the server's own sweep is late each time.
const LATE: Duration = Duration::from_millis(50);
/// So many ends are followed at most until one is told in time.
const ROUNDS: usize = 20;
/// Long enough for a busy machine to look at a key before it ends.
const SPAN: Duration = Duration::from_secs(1);

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

/// Follows keys to their ends, until one of them is told in time.
async fn end_in_time(site: &Site, events: &mut Events, key: &str) {
    for _ in 0..ROUNDS {
        let before = site.other.now().await.unwrap();
        site.other.set_with(key, "v", ttl(1000)).await.unwrap();
        let written = site.other.now().await.unwrap();
        assert!(matches!(next(events).await, kv_core::Event::Put { .. }));
        let at = gone(site, events, key).await;
        assert!(at >= before.saturating_add(SPAN), "early");
        if is_in_time(key, at, written) {
            return;
        }
    }
    panic!("each of {ROUNDS} ends was told late");
}

fn is_in_time(key: &str, at: Timestamp, written: Timestamp) -> bool {
    let late = at.saturating_since(written.saturating_add(SPAN));
    println!("{key}: told {late:?} after the deadline");
    late < LATE
}

#[tokio::test]
async fn the_end_of_a_key_is_told_in_time_and_once() {
    let site = Site::start().await;
    crowd(&site).await;
    let mut events = site.kv.watch(keys(["k"])).await.unwrap();
    end_in_time(&site, &mut events, "k").await;
    nothing_but(&mut events, &site.other, "k").await;
}

#[tokio::test]
async fn the_end_of_a_key_in_a_range_is_told_in_time_and_once() {
    let site = Site::start().await;
    crowd(&site).await;
    let mut events = site.kv.watch(ranges(["r:"])).await.unwrap();
    end_in_time(&site, &mut events, "r:k").await;
    nothing_but(&mut events, &site.other, "r:k").await;
}

#[tokio::test]
async fn a_key_that_was_there_before_ends_in_time_too() {
    let site = Site::start().await;
    crowd(&site).await;
    let mut in_time = false;
    for round in 0..ROUNDS {
        let key = format!("k{round}");
        site.other.set_with(&*key, "v", ttl(1000)).await.unwrap();
        let written = site.other.now().await.unwrap();
        let mut events = site.kv.watch(keys([&*key])).await.unwrap();
        // On a slow machine it can have ended before it is watched.
        if site.other.now().await.unwrap() >= written.saturating_add(SPAN) {
            continue;
        }
        let at = gone(&site, &mut events, &key).await;
        in_time = is_in_time(&key, at, written);
        if in_time {
            break;
        }
    }
    assert!(in_time, "each of {ROUNDS} ends was told late");
    // Watched by a second one whose look was not needed.
    let mut events = site.kv.watch(keys(["k"])).await.unwrap();
    site.other.set_with("k", "v", ttl(3000)).await.unwrap();
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
    site.other.set_with("k", "v", ttl(3000)).await.unwrap();
    assert_eq!(next(&mut events).await, put("k", Some("v")));
    let span = Lifetime::new(Duration::from_millis(4000)).unwrap();
    site.other.expire("k", span).await.unwrap();
    let moved = site.other.now().await.unwrap();
    assert_eq!(next(&mut events).await, put("k", Some("v")));
    let at = gone(&site, &mut events, "k").await;
    assert!(at.saturating_since(moved) >= Duration::from_millis(3998));
    assert!(matches!(
        site.other.time_to_live("k").await.unwrap(),
        TimeToLive::Missing
    ));
    nothing_but(&mut events, &site.other, "k").await;
}
