//! What the tests' own etcd can be made to do, alone and as a cluster.

#![allow(clippy::unwrap_used, reason = "a test")]

use kv_conformance::proxy::Mode;
use kv_core::{Kv, Stopwatch};
use kv_etcd::{EtcdConfig, EtcdStore};
use kv_tests::{
    patience::{PATIENCE, until},
    server::{Etcd, EtcdCluster},
};
use std::{path::Path, time::Duration};

async fn connect(url: String) -> Kv {
    let mut config = EtcdConfig::from_url(url);
    config.response_timeout = Duration::from_secs(1);
    let store = EtcdStore::new(config).unwrap();
    Kv::builder(store).connect().await.unwrap()
}

async fn holds(kv: &Kv, key: &str, value: &str) -> bool {
    kv.get(key)
        .await
        .is_ok_and(|found| found.is_some_and(|it| it == value))
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_kill() {
    let mut server = Etcd::start();
    let kv = connect(server.url()).await;
    kv.set("a", "1").await.unwrap();
    let (url, pid) = (server.url(), server.pid());
    server.kill();
    assert!(kv.get("a").await.is_err(), "a killed server answers");
    server.restart();
    assert_eq!(server.url(), url);
    assert_ne!(server.pid(), pid);
    until("the value is there", async || holds(&kv, "a", "1").await).await;
    // Also if it ends in an orderly way.
    server.stop();
    server.restart();
    until("it is still there", async || holds(&kv, "a", "1").await).await;
}

#[tokio::test]
async fn a_paused_server_is_silent_until_it_goes_on() {
    let server = Etcd::start();
    let kv = connect(server.url()).await;
    kv.set("a", "1").await.unwrap();
    server.pause();
    assert!(kv.get("a").await.is_err(), "a paused server answers");
    server.resume();
    until("it answers", async || holds(&kv, "a", "1").await).await;
}

#[tokio::test]
async fn dropping_it_ends_the_process() {
    let server = Etcd::start_with(&[("quota-backend-bytes", "16777216")]);
    let process = format!("/proc/{}", server.pid());
    if !Path::new("/proc/self").exists() {
        return;
    }
    assert!(Path::new(&process).exists());
    drop(server);
    assert!(!Path::new(&process).exists(), "{process} lives on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_goes_on_without_one_member() {
    let mut cluster = EtcdCluster::start();
    let kv = connect(cluster.url()).await;
    kv.set("a", "1").await.unwrap();
    let leader = cluster.leader().unwrap();
    cluster.kill(leader);
    until("the two others write", async || {
        kv.set("a", "2").await.is_ok()
    })
    .await;
    assert_ne!(cluster.leader(), Some(leader));
    cluster.restart(leader);
    let own = cluster.direct_addresses()[leader];
    let kv = connect_in_time(format!("etcd://{own}")).await;
    until("it has caught up", async || holds(&kv, "a", "2").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_is_replaced() {
    let cluster = EtcdCluster::start_behind_proxies().await;
    let leader = cluster.leader().unwrap();
    let rest = [(leader + 1) % 3, (leader + 2) % 3];
    let addresses = cluster.addresses();
    let alone = connect(format!("etcd://{}", addresses[leader])).await;
    let others = rest.map(|node| addresses[node].to_string());
    let others = connect(format!("etcd://{}", others.join(","))).await;
    alone.set("a", "1").await.unwrap();

    cluster.peers().isolate(leader);
    assert!(
        alone.set("a", "lost").await.is_err(),
        "a leader without followers acknowledges"
    );
    until("the others write", async || {
        others.set("a", "2").await.is_ok()
    })
    .await;
    assert!(alone.get("a").await.is_err(), "it tells what is not so");

    cluster.peers().rejoin(leader);
    until("it has caught up", async || holds(&alone, "a", "2").await).await;
    let proxy = cluster.peers().proxy(rest[0], leader);
    assert!(proxy.counts().accepted > 0, "nothing went by {proxy:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_can_be_cut_off_from_a_member() {
    let cluster = EtcdCluster::start_behind_proxies().await;
    let kv = connect(format!("etcd://{}", cluster.addresses()[0])).await;
    kv.set("a", "1").await.unwrap();
    cluster.client_proxy(0).set(Mode::BlackHole);
    assert!(kv.get("a").await.is_err(), "an answer out of a black hole");
    let direct = connect(cluster.direct_url()).await;
    assert!(holds(&direct, "a", "1").await);
    cluster.client_proxy(0).set(Mode::Pass);
    until("it answers again", async || holds(&kv, "a", "1").await).await;
}

async fn connect_in_time(url: String) -> Kv {
    let store = || EtcdStore::from_url(&url).unwrap();
    let watch = Stopwatch::start();
    loop {
        match Kv::builder(store()).connect().await {
            Ok(kv) => return kv,
            Err(error) => assert!(watch.elapsed() < PATIENCE, "{error}"),
        }
    }
}
