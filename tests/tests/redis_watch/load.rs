//! Many watchers on few connections, quiet when nothing happens.

use crate::site::Site;
use kv_core::{Kv, Watch};
use kv_tests::{
    patience::{self, pause},
    watching::{key, keys, next, put, ranges},
};
use std::time::Duration;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_watchers_share_two_connections() {
    let site = Site::start().await;
    // One that a busy server does not make listen anew.
    let kv = Kv::builder(patience::redis(&site.server.url()));
    let kv = kv.connect().await.unwrap();
    let mut opening = JoinSet::new();
    for number in 0..10_000 {
        let kv = kv.clone();
        opening.spawn(async move {
            let name = format!("k{number}");
            let watch = Watch::Keys(vec![key(&name)]);
            (name, kv.watch(watch).await.unwrap())
        });
    }
    let mut watchers = opening.join_all().await;
    let mut range = kv.watch(ranges(["r:"])).await.unwrap();
    assert_eq!(site.watching().await.len(), 2);
    let items = watchers.iter().map(|(key, _)| (key.clone(), "v"));
    site.other.set_many(items).await.unwrap();
    for (key, events) in &mut watchers {
        assert_eq!(next(events).await, put(key, Some("v")));
    }
    site.other.set("r:1", "v").await.unwrap();
    assert_eq!(next(&mut range).await, put("r:1", None));
    assert_eq!(site.watching().await.len(), 2);
}

#[tokio::test]
async fn a_thousand_idle_watchers_cost_the_server_next_to_nothing() {
    let site = Site::start().await;
    let mut watchers = Vec::new();
    for number in 0..1000 {
        let key = format!("k{number}");
        watchers.push(site.kv.watch(keys([&key])).await.unwrap());
    }
    watchers.push(site.kv.watch(ranges(["r:"])).await.unwrap());
    let before = site.commands().await;
    pause(Duration::from_secs(6)).await;
    let commands = site.commands().await - before;
    println!("{commands} commands in 6 s");
    assert!(commands <= 60, "{commands} commands in 6 s");
    // One of them is the liveness check.
    assert!(commands > 1, "nobody looked whether the server is there");
}
