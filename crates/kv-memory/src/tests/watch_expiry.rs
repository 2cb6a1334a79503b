use super::{connected, fixture, millis, next};
use crate::MemoryConfig;
use futures_util::{FutureExt, StreamExt};
use kv_core::{Event, Key, Timestamp, Watch};

fn key() -> Key {
    Key::new("k").unwrap()
}

fn put(value: &str) -> Event {
    let (key, value) = (key(), Some(value.into()));
    Event::Put { key, value }
}

fn delete() -> Event {
    Event::Delete { key: key() }
}

#[tokio::test]
async fn a_key_that_nobody_touches_is_told_at_its_deadline_and_once() {
    let it = connected(MemoryConfig::default()).await;
    let mut events = it.kv.watch(Watch::Keys(vec![key()])).await.unwrap();
    it.kv.set_for("k", "v", millis(100)).await.unwrap();
    assert_eq!(next(&mut events).await.unwrap().unwrap(), put("v"));
    it.clock.advance(millis(99));
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(events.next().now_or_never().is_none(), "early");
    }
    it.clock.advance(millis(1));
    assert_eq!(next(&mut events).await.unwrap().unwrap(), delete());
    it.clock.advance(millis(1000));
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(events.next().now_or_never().is_none(), "twice");
    }
}

#[tokio::test]
async fn whoever_looks_before_the_sweeper_hears_of_it_once_too() {
    let it = fixture(MemoryConfig::default()).await;
    let mut events = it.kv.watch(Watch::Keys(vec![key()])).await.unwrap();
    let mut second = it.kv.watch(Watch::Keys(vec![key()])).await.unwrap();
    it.kv.set_for("k", "v", millis(5)).await.unwrap();
    it.clock.advance(millis(5));
    assert!(!it.kv.exists("k").await.unwrap());
    // The change is told only now, when the key has ended but is not freed.
    assert_eq!(next(&mut events).await.unwrap().unwrap(), delete());
    assert!(events.next().now_or_never().is_none());
    it.store.inner().sweep();
    assert!(events.next().now_or_never().is_none());
    assert_eq!(next(&mut second).await.unwrap().unwrap(), delete());
    assert!(second.next().now_or_never().is_none());
    it.audit();
}

#[tokio::test]
async fn a_deadline_that_moves_is_told_when_it_comes() {
    let it = connected(MemoryConfig::default()).await;
    it.kv.set_for("k", "v", millis(10)).await.unwrap();
    let mut events = it.kv.watch(Watch::Keys(vec![key()])).await.unwrap();
    it.kv.expire("k", millis(50)).await.unwrap();
    assert_eq!(next(&mut events).await.unwrap().unwrap(), put("v"));
    it.clock.advance(millis(20));
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(events.next().now_or_never().is_none(), "the old deadline");
    }
    it.clock.advance(millis(30));
    assert_eq!(next(&mut events).await.unwrap().unwrap(), delete());
    // One in the past ends the key at once.
    it.kv.set("k", "v").await.unwrap();
    assert_eq!(next(&mut events).await.unwrap().unwrap(), put("v"));
    it.kv.expire("k", Timestamp::from_micros(1)).await.unwrap();
    assert_eq!(next(&mut events).await.unwrap().unwrap(), delete());
    assert!(events.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_write_over_what_ended_is_a_write() {
    let it = fixture(MemoryConfig::default()).await;
    it.kv.set_for("k", "v", millis(5)).await.unwrap();
    let mut events = it.kv.watch(Watch::Keys(vec![key()])).await.unwrap();
    it.clock.advance(millis(5));
    it.kv.set("k", "w").await.unwrap();
    assert_eq!(next(&mut events).await.unwrap().unwrap(), put("w"));
    assert!(events.next().now_or_never().is_none());
}
