//! Slots that nobody has: what is about all keys must not end as if it had seen them.

use crate::{ask, names, open, server, tell};
use futures_util::StreamExt;
use kv_core::{ErrorKind, Kv, Outcome, Result, Stopwatch};
use kv_tests::{patience::PATIENCE, server::Cluster};

/// A slot of the first server that holds none of the keys.
const SLOT: &str = "1";

/// Waits until both servers say that so many slots have an owner.
fn agree(cluster: &Cluster, assigned: u16, command: &[&str]) {
    let expected = format!("cluster_slots_assigned:{assigned}\r");
    let watch = Stopwatch::start();
    loop {
        let mut told = (0..2).map(|node| {
            let mut server = server(cluster, node);
            let info: String = ask(&mut server, &["CLUSTER", "INFO"]);
            let is_there = info.lines().any(|line| format!("{line}\r") == expected);
            // What the other one said before it was told may come in later.
            if !is_there && node == 1 && !command.is_empty() {
                tell(&mut server, command);
            }
            is_there
        });
        if told.all(|it| it) {
            return;
        }
        assert!(watch.elapsed() < PATIENCE, "the servers do not agree");
        std::thread::yield_now();
    }
}

async fn listed(kv: &Kv) -> Result<usize> {
    let mut keys = kv.scan("k");
    let mut count = 0;
    while let Some(key) = keys.next().await {
        key?;
        count += 1;
    }
    Ok(count)
}

#[tokio::test]
async fn clear_and_scan_are_unavailable_while_nobody_has_some_of_the_slots() {
    let cluster = Cluster::start();
    for node in 0..2 {
        let words = ["CONFIG", "SET", "cluster-require-full-coverage", "no"];
        tell(&mut server(&cluster, node), &words);
    }
    let kv = open(&cluster).await;
    let names = names(200);
    kv.set_many(names.iter().map(|name| (name, "v")))
        .await
        .unwrap();
    assert_eq!(listed(&kv).await.unwrap(), 200);
    let delete = ["CLUSTER", "DELSLOTS", SLOT];
    tell(&mut server(&cluster, 0), &delete);
    agree(&cluster, 16_383, &delete);
    for error in [
        listed(&kv).await.unwrap_err(),
        kv.delete_prefix("k").await.unwrap_err(),
    ] {
        let told = (error.kind(), error.outcome());
        let expected = (ErrorKind::Unavailable, Outcome::NotApplied);
        assert_eq!(told, expected, "{error}");
        assert!(error.to_string().contains("slots"), "{error}");
    }
    // Keys whose slots have a server are served as before, and none of them is gone.
    assert_eq!(kv.exists_many(&names).await.unwrap(), 200);
    tell(&mut server(&cluster, 0), &["CLUSTER", "ADDSLOTS", SLOT]);
    agree(&cluster, 16_384, &[]);
    let watch = Stopwatch::start();
    let count = loop {
        match listed(&kv).await {
            Ok(count) => break count,
            Err(error) => assert!(watch.elapsed() < PATIENCE, "not served again: {error}"),
        }
    };
    assert_eq!(count, 200);
    assert_eq!(kv.delete_prefix("k").await.unwrap(), 200);
}
