//! Lost connections, flushes, and servers that restart or refuse.

use crate::site::{Site, open};
use futures_util::StreamExt;
use kv_core::{ErrorKind, Event, Lifetime, SetOptions, Ttl};
use kv_tests::{
    patience::pause,
    watching::{channels, key, keys, message, next, next_is, nothing_but, put, ranges},
};
use std::time::Duration;

#[tokio::test]
async fn a_lost_connection_is_restored_and_says_resync() {
    let site = Site::start().await;
    let mut key = site.kv.watch(keys(["k"])).await.unwrap();
    let mut range = site.kv.watch(ranges(["r:"])).await.unwrap();
    let mut channel = site.kv.watch(channels(["c"])).await.unwrap();
    for round in 0..5 {
        assert_eq!(site.watching().await.len(), 2, "{round}");
        site.kill_watching().await;
        // A write that nobody is told of.
        site.other.set("k", "unseen").await.unwrap();
        for events in [&mut key, &mut range, &mut channel] {
            let event = next(events).await;
            // The write may have come before the end of the connection was known.
            if event != Event::Resync {
                assert_eq!(event, put("k", Some("unseen")));
                assert_eq!(next(events).await, Event::Resync);
            }
        }
        nothing_but(&mut key, &site.other, "k").await;
        nothing_but(&mut range, &site.other, "r:k").await;
        site.other.notify("c", "m").await.unwrap();
        assert_eq!(next(&mut channel).await, message("c", "m"));
    }
}

#[tokio::test]
async fn a_restarted_server_says_resync_and_is_live_again() {
    let mut site = Site::start().await;
    let mut key = site.kv.watch(keys(["k"])).await.unwrap();
    let mut range = site.kv.watch(ranges(["r:"])).await.unwrap();
    site.server.restart();
    assert_eq!(next(&mut key).await, Event::Resync);
    assert_eq!(next(&mut range).await, Event::Resync);
    let other = open(&site.server.url()).await;
    nothing_but(&mut key, &other, "k").await;
    nothing_but(&mut range, &other, "r:k").await;
}

#[tokio::test]
async fn a_flush_says_resync_and_arms_the_keys_again() {
    let site = Site::start().await;
    let ttl = Ttl::In(Lifetime::new(Duration::from_secs(100)).unwrap());
    site.other
        .set_with("k", "v", SetOptions::from(ttl))
        .await
        .unwrap();
    let mut key = site.kv.watch(keys(["k", "l"])).await.unwrap();
    let mut range = site.kv.watch(ranges(["r:"])).await.unwrap();
    let mut channel = site.kv.watch(channels(["c"])).await.unwrap();
    for _ in 0..3 {
        let () = site.ask("FLUSHDB").await;
        assert_eq!(next(&mut key).await, Event::Resync);
        assert_eq!(next(&mut range).await, Event::Resync);
        nothing_but(&mut key, &site.other, "l").await;
        nothing_but(&mut key, &site.other, "k").await;
        nothing_but(&mut range, &site.other, "r:k").await;
    }
    site.other.notify("c", "m").await.unwrap();
    assert_eq!(next(&mut channel).await, message("c", "m"));
}

#[tokio::test]
async fn keys_that_the_server_stops_tracking_are_looked_at_again() {
    let site = Site::start().await;
    let () = site.ask("CONFIG SET tracking-table-max-keys 10").await;
    let names: Vec<_> = (0..100).map(|it| key(&format!("k{it}"))).collect();
    let watch = kv_core::Watch::Keys(names.clone());
    let mut events = site.kv.watch(watch).await.unwrap();
    for name in &names {
        site.other.set(name, "v").await.unwrap();
        let wanted = Event::Put {
            key: name.clone(),
            value: Some("v".into()),
        };
        next_is(&mut events, &wanted).await;
    }
}

#[tokio::test]
async fn a_paused_server_is_noticed() {
    let site = Site::start().await;
    let mut key = site.kv.watch(keys(["k"])).await.unwrap();
    site.server.pause();
    // Longer than the silence after which we ask, and the answer's deadline.
    pause(Duration::from_secs(7)).await;
    site.server.resume();
    assert_eq!(next(&mut key).await, Event::Resync);
    nothing_but(&mut key, &site.other, "k").await;
}

#[tokio::test]
async fn an_unreachable_server_is_an_error_in_time() {
    let site = Site::start().await;
    site.server.kill();
    let error = site.kv.watch(keys(["k"])).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
}

#[tokio::test]
async fn who_loses_the_permission_is_told() {
    let site = Site::start().await;
    let kv = site.user("+@all ~*").await;
    let mut key = kv.watch(keys(["k"])).await.unwrap();
    let () = site.ask("ACL SETUSER ann resetkeys ~x").await;
    site.other.set("k", "v").await.unwrap();
    let told = key.next().await.unwrap().unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Denied);
}
