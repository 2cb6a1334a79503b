//! A primary that goes and comes back.

use crate::{ask, config, names, open, server, tell};
use kv_core::{ErrorKind, Kv, Outcome, Stopwatch};
use kv_redis::RedisStore;
use kv_tests::{patience::PATIENCE, server::Cluster};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

/// How long a primary that is away is asked for; one that is there answers sooner on any machine.
const RESPONSE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn keys_of_a_lost_primary_are_unavailable_and_others_are_served_until_it_is_back() {
    let mut cluster = Cluster::start();
    for node in 0..2 {
        let words = ["CONFIG", "SET", "cluster-require-full-coverage", "no"];
        tell(&mut server(&cluster, node), &words);
    }
    let mut config = config(cluster.url());
    config.response_timeout = RESPONSE;
    let kv = Kv::builder(RedisStore::new(config).unwrap());
    let kv = kv.connect().await.unwrap();
    let names = names(40);
    kv.set_many(names.iter().map(|name| (name, "v")))
        .await
        .unwrap();
    // "bar" is on the first server, "foo" on the second.
    kv.set("bar", "1").await.unwrap();
    kv.set("foo", "1").await.unwrap();
    cluster.kill(1);
    // The first call may still meet the connection's end.
    let _ = kv.set("foo", "2").await;
    for _ in 0..3 {
        let error = kv.set("foo", "2").await.unwrap_err();
        let told = (error.kind(), error.outcome());
        assert_eq!(
            told,
            (ErrorKind::Unavailable, Outcome::NotApplied),
            "{error}"
        );
        kv.set("bar", "2").await.unwrap();
        assert_eq!(kv.get("bar").await.unwrap(), Some("2".into()));
    }
    // A batch says which of its items were written.
    let items = names.iter().map(|name| (name, "w"));
    let set = kv
        .set_many_with(items, kv_core::SetOptions::default())
        .await
        .unwrap();
    let written = set.iter().filter(|it| it.is_ok()).count();
    assert!((5..35).contains(&written), "{written}");
    let mut failures = set.iter().filter_map(|it| it.as_ref().err());
    assert!(failures.all(|it| it.outcome() == Outcome::NotApplied));
    // What is about all keys fails as a whole, and what counted already is known in part.
    for error in [
        kv.get_many(&names).await.unwrap_err(),
        kv.delete_prefix("k").await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    assert!(!kv.health().await.available);
    cluster.restart(1);
    let watch = Stopwatch::start();
    while let Err(error) = kv.set("foo", "3").await {
        assert!(watch.elapsed() < PATIENCE, "not served again: {error}");
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    }
    println!("served again {:?} after the restart", watch.elapsed());
    assert!(kv.health().await.available);
    assert_eq!(kv.get("foo").await.unwrap(), Some("3".into()));
}

/// A write that is sent again after its answer was lost would be counted twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_under_load_repeat_nothing() {
    let cluster = Cluster::start();
    let kv = open(&cluster).await;
    let names = names(16);
    let mut load = JoinSet::new();
    let over = Arc::new(AtomicBool::new(false));
    let all = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    for task in 0..16 {
        let (kv, over, names) = (kv.clone(), Arc::clone(&over), names.clone());
        let all = Arc::clone(&all);
        load.spawn(async move {
            let (mut done, mut unknown) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                match kv.increment(&names[task], 1).await {
                    Ok(_) => done += 1,
                    Err(error) if error.outcome() == Outcome::Unknown => unknown += 1,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
                }
                all[0].fetch_max(done as u64, Ordering::Relaxed);
                all[1].fetch_max(unknown as u64, Ordering::Relaxed);
                // A failure may come at once, and others must run all the same.
                tokio::task::yield_now().await;
            }
            (task, done, unknown)
        });
    }
    let mut servers = [server(&cluster, 0), server(&cluster, 1)];
    let watch = Stopwatch::start();
    let mut killed: u64 = 0;
    let both = || all.iter().all(|it| it.load(Ordering::Relaxed) > 0);
    // However slow the machine: until some were done and some lost their answer.
    while killed < 40 || !both() {
        assert!(
            watch.elapsed() < PATIENCE,
            "{killed} connections were killed, {all:?} done and unknown"
        );
        for server in &mut servers {
            killed += ask::<u64>(
                server,
                &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"],
            );
        }
        tokio::task::yield_now().await;
    }
    over.store(true, Ordering::Relaxed);
    let (mut all_done, mut all_unknown) = (0, 0);
    while let Some(ended) = load.join_next().await {
        let (task, done, unknown) = ended.unwrap();
        // The last of the broken connections may not be known to be one.
        let counted = loop {
            match kv.increment(&names[task], 0).await {
                Ok(counted) => break counted,
                Err(error) => assert!(watch.elapsed() < 2 * PATIENCE, "not served again: {error}"),
            }
        };
        assert!(
            (done..=done + unknown).contains(&counted),
            "{done} {unknown} {counted}"
        );
        all_done += done;
        all_unknown += unknown;
    }
    println!("{killed} connections broken: {all_done} increments done, {all_unknown} unknown");
}

#[tokio::test]
async fn a_cluster_is_opened_while_one_of_its_servers_is_away() {
    let mut cluster = Cluster::start();
    for node in 0..2 {
        let words = ["CONFIG", "SET", "cluster-require-full-coverage", "no"];
        tell(&mut server(&cluster, node), &words);
    }
    cluster.kill(0);
    let mut config = config(cluster.url());
    config.response_timeout = RESPONSE;
    let kv = Kv::builder(RedisStore::new(config).unwrap());
    let kv = kv.connect().await.unwrap();
    kv.set("foo", "1").await.unwrap();
    let error = kv.set("bar", "1").await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied);
    cluster.restart(0);
    let watch = Stopwatch::start();
    while let Err(error) = kv.set("bar", "1").await {
        assert!(watch.elapsed() < PATIENCE, "not served: {error}");
    }
    kv.close().await;
    assert_eq!(kv.get("bar").await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn what_is_no_cluster_is_told_how_to_be_opened() {
    let lone = kv_tests::server::Redis::start();
    let url = format!("redis-cluster://{}", lone.address());
    let kv = Kv::builder(RedisStore::from_url(&url).unwrap());
    let error = kv.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("redis://"), "{error}");
    let cluster = Cluster::start();
    let url = format!("redis://{}", cluster.addresses()[0]);
    let kv = Kv::builder(RedisStore::from_url(&url).unwrap());
    let kv = kv.connect().await.unwrap();
    let error = kv.get("foo").await.unwrap_err();
    assert!(error.to_string().contains("redis-cluster://"), "{error}");
}
