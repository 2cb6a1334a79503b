//! Cases 26, 148 and 149: before opening, after closing, and what stays.

use crate::site::{Backend, RESPONSE, Site, bounded, on_each_server, open};
use futures_util::TryStreamExt;
use kv_conformance::proxy::Mode;
use kv_core::{Clock, ErrorKind, Key, Kv, SystemClock, TimeToLive};
use kv_tests::{
    patience::{pause, until},
    server::Redis,
};
use std::time::Duration;
use tokio::task::JoinSet;

on_each_server! {
    case_148_before_opening_and_after_closing_every_call_is_refused
    case_148_calls_under_way_end_when_the_store_is_closed
    case_149_closing_deletes_nothing
    case_26_an_expired_key_does_not_come_back_with_a_new_handle
}

async fn case_148_before_opening_and_after_closing_every_call_is_refused<S: Backend>() {
    let site = Site::<S>::start().await;
    let kv = Kv::builder(S::store_at(site.proxy.address())).build();
    let refused = async |kv: &Kv| {
        for result in [
            kv.get("k").await.map(drop),
            kv.set("k", "v").await,
            kv.now().await.map(drop),
        ] {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Closed);
        }
        assert!(!kv.is_available().await);
    };
    refused(&kv).await;
    assert_eq!(site.proxy.counts().accepted, 0, "nothing was sent");

    kv.connect().await.unwrap();
    kv.connect().await.unwrap();
    kv.set("k", "v").await.unwrap();
    assert!(kv.is_available().await);
    let clone = kv.clone();
    kv.close().await;
    clone.close().await;
    refused(&clone).await;
    assert_eq!(kv.connect().await.unwrap_err().kind(), ErrorKind::Closed);
}

async fn case_148_calls_under_way_end_when_the_store_is_closed<S: Backend>() {
    let site = Site::<S>::start().await;
    let kv = site.through().await;
    site.server.pause();
    let mut calls = JoinSet::new();
    for number in 0..50 {
        let kv = kv.clone();
        calls.spawn(async move { bounded("a call", kv.increment(format!("n{number}"), 1)).await });
    }
    until("the calls are under way", async || {
        site.proxy.counts().forwarded > 2
    })
    .await;
    bounded("close", kv.close()).await;
    let mut failed = 0;
    while let Some(ended) = calls.join_next().await {
        let error = ended.unwrap().expect_err("the server is paused");
        let kinds = [
            ErrorKind::Closed,
            ErrorKind::Timeout,
            ErrorKind::Unavailable,
        ];
        assert!(kinds.contains(&error.kind()), "{error:?}");
        failed += 1;
    }
    site.server.resume();
    println!("case 148: 1 pause, {failed} calls under way ended");
    assert_eq!(failed, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_148_closing_leaves_no_connection_also_while_it_is_being_restored() {
    let site = Site::<Redis>::start().await;
    let own = site.connections().await;
    let kv = site.through().await;
    assert!(site.connections().await > own, "the store has one");
    site.proxy.set(Mode::Reset);
    bounded("a call", kv.get("k")).await.unwrap_err();
    bounded("close", kv.close()).await;
    site.proxy.set(Mode::Pass);
    let before = site.proxy.counts();
    // A task that went on would be back within a few of its pauses.
    pause(RESPONSE * 2).await;
    let after = site.proxy.counts();
    println!("case 148: {after}");
    assert!(
        after.accepted <= before.accepted + 1,
        "it went on connecting after it was closed; the attempt under way may still arrive"
    );
    until("no connection is left but the test's own", async || {
        site.connections().await == own
    })
    .await;
    assert!(after.reset > 0, "{after}");
}

async fn case_149_closing_deletes_nothing<S: Backend>() {
    let site = Site::<S>::start().await;
    let kv = site.through().await;
    kv.set("text", "v").await.unwrap();
    kv.hset("hash", "f", "v").await.unwrap();
    kv.set_for("short", "v", Duration::from_secs(3600))
        .await
        .unwrap();
    kv.close().await;
    drop(kv);
    let other = open::<S>(site.proxy.address()).await;
    assert_eq!(other.get("text").await.unwrap().unwrap(), "v");
    assert_eq!(other.hget("hash", "f").await.unwrap().unwrap(), "v");
    let left = other.time_to_live("short").await.unwrap();
    assert!(matches!(left, TimeToLive::In(_)), "{left:?}");
}

async fn case_26_an_expired_key_does_not_come_back_with_a_new_handle<S: Backend>() {
    const TTL: Duration = Duration::from_millis(200);
    let site = Site::<S>::start().await;
    let kv = site.through().await;
    kv.set_for("short", "v", TTL).await.unwrap();
    kv.increment_with("count", 5, TTL).await.unwrap();
    kv.set("stays", "v").await.unwrap();
    let end = SystemClock.now().saturating_add(TTL);
    kv.close().await;
    site.direct.close().await;
    // Nobody is connected while the time runs out.
    SystemClock.sleep_until(end.saturating_add(TTL / 4)).await;

    let kv = open::<S>(site.proxy.address()).await;
    assert_eq!(kv.get("short").await.unwrap(), None);
    assert!(!kv.exists("short").await.unwrap());
    assert_eq!(kv.time_to_live("short").await.unwrap(), TimeToLive::Missing);
    let keys: Vec<Key> = kv.scan("").try_collect().await.unwrap();
    assert_eq!(keys, [Key::new("stays").unwrap()]);
    assert_eq!(kv.increment("count", 1).await.unwrap(), 1);
}
