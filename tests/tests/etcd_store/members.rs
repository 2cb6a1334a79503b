//! Three members, of which the leader ends, freezes, or is cut off while others write.

mod load;

use crate::site::{Raw, for_span, millis, now, open_with, secs};
use etcd_client::Client;
use kv_core::{Kv, Stopwatch, SystemClock, Timestamp};
use kv_etcd::{EtcdConfig, EtcdStore};
use kv_tests::patience::{PATIENCE, pause, until};
use kv_tests::server::EtcdCluster;
use load::Load;
use std::{sync::Arc, time::Duration};

/// One exchange.
const EXCHANGE: Duration = Duration::from_secs(1);
/// A command of several exchanges, on a busy machine.
const CALL: Duration = PATIENCE;

async fn connect(url: String) -> Kv {
    let mut config = EtcdConfig::from_url(url);
    config.response_timeout = EXCHANGE;
    config.conflict_timeout = PATIENCE;
    open_with(config, Arc::new(SystemClock)).await
}

/// Who comes back with a higher term has the others elect anew, which can take longer than an exchange.
async fn connect_between_elections(url: String) -> Kv {
    let mut config = EtcdConfig::from_url(url);
    config.response_timeout = EXCHANGE;
    config.conflict_timeout = PATIENCE;
    let mut connected = None;
    until("the cluster takes callers", async || {
        let store = EtcdStore::new(config.clone()).unwrap();
        connected = Kv::builder(store).connect().await.ok();
        connected.is_some()
    })
    .await;
    connected.unwrap()
}

/// Keys with deadlines, before the leader changes.
async fn write_ending(kv: &Kv) -> Vec<(String, Timestamp)> {
    let mut keys = Vec::new();
    for number in 0..20 {
        let (name, span) = (format!("ends:{number}"), millis(6_000 + number * 500));
        let deadline = now().saturating_add(span);
        kv.set_with(&*name, "v", for_span(span)).await.unwrap();
        keys.push((name, deadline));
    }
    keys
}

/// All are there until their deadlines, and gone from the store some time later.
async fn end_in_time(kv: &Kv, keys: Vec<(String, Timestamp)>) {
    let raw = Raw(kv.native::<Client>().unwrap());
    for (name, deadline) in keys {
        loop {
            let found = kv.get(&*name).await;
            let ended = now() >= deadline;
            match found {
                Ok(Some(_)) => {}
                Ok(None) => {
                    assert!(ended, "{name} ended early");
                    break;
                }
                // Of the member that is gone.
                Err(error) => println!("{name}: {error}"),
            }
            if ended {
                break;
            }
            pause(millis(50)).await;
        }
    }
    until("all are collected", async || {
        raw.list("ends:").await.is_empty()
    })
    .await;
}

/// Has tasks write while something happens to the leader, and judges what they saw.
async fn under_load(
    mut cluster: EtcdCluster,
    strike: impl FnOnce(&mut EtcdCluster, usize),
    heal: impl FnOnce(&mut EtcdCluster, usize),
) {
    let direct = connect(cluster.direct_url()).await;
    let keys = write_ending(&direct).await;
    let leader = cluster.leader().unwrap();
    let load = Load::start(async || connect(cluster.url()).await, &direct).await;
    pause(secs(1)).await;
    strike(&mut cluster, leader);
    let watch = Stopwatch::start();
    // Whoever is not connected to that member alone goes on.
    let at_strike = load.acknowledged();
    until("the others go on", async || {
        let other = cluster.leader().is_some_and(|it| it != leader);
        other && load.acknowledged() > at_strike + 100
    })
    .await;
    println!("a new leader and 100 writes after {:?}", watch.elapsed());
    pause(secs(2)).await;
    heal(&mut cluster, leader);
    pause(secs(2)).await;
    let journal = load.stop().await;
    let reader = connect_between_elections(cluster.direct_url()).await;
    until("the cluster answers", async || {
        reader.get("barrier").await.is_ok() && cluster.leader().is_some()
    })
    .await;
    journal.judge(&reader, CALL).await;
    end_in_time(&reader, keys).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_leader_is_killed() {
    under_load(
        EtcdCluster::start(),
        |it, leader| it.kill(leader),
        |it, leader| {
            it.restart(leader);
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_leader_freezes() {
    under_load(
        EtcdCluster::start(),
        |it, leader| it.pause(leader),
        |it, leader| {
            it.resume(leader);
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_leader_is_cut_off() {
    let cluster = EtcdCluster::start_behind_proxies().await;
    under_load(
        cluster,
        |it, leader| it.peers().isolate(leader),
        |it, leader| it.peers().rejoin(leader),
    )
    .await;
}
