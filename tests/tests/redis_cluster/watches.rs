//! Watches of what lies on both servers.

use crate::{
    ask, names, open, server,
    watching::{connections, is_live},
};
use futures_util::StreamExt;
use kv_core::{Capability, ErrorKind, Event, Notice, Op, Ttl, Txn, Watch};
use kv_tests::{
    patience::{pause, until},
    server::Cluster,
    watching::{channels, key, keys, message, next, put, ranges},
};
use std::{collections::BTreeSet, time::Duration};
use tokio::{runtime::Handle, task::JoinSet};

#[tokio::test]
async fn a_cluster_can_do_what_a_server_can() {
    let cluster = Cluster::start();
    let kv = open(&cluster).await;
    for capability in [
        Capability::Watch,
        Capability::Channels,
        Capability::PushedChanges,
    ] {
        assert!(kv.capabilities().has(capability), "{capability:?}");
    }
}

#[tokio::test]
async fn keys_and_ranges_of_both_servers_are_told_in_one_stream() {
    let cluster = Cluster::start();
    let (kv, other) = (open(&cluster).await, open(&cluster).await);
    // "bar" is on the first server, "foo" on the second.
    let mut both = kv.watch(keys(["bar", "foo", "bar"])).await.unwrap();
    let mut ranges = kv.watch(ranges(["k"])).await.unwrap();
    for name in ["bar", "foo", "bar", "foo"] {
        other.set(name, "v").await.unwrap();
        assert_eq!(next(&mut both).await, put(name, Some("v")));
        other.delete(name).await.unwrap();
        assert_eq!(next(&mut both).await, Event::Delete { key: key(name) });
    }
    let names = names(40);
    other
        .set_many(names.iter().map(|name| (name, "v")))
        .await
        .unwrap();
    let mut told = BTreeSet::new();
    while told.len() < names.len() {
        match next(&mut ranges).await {
            Event::Put { key, value: None } => drop(told.insert(key)),
            event => panic!("{event:?}"),
        }
    }
    assert_eq!(told, names.iter().map(|it| key(it)).collect());
}

/// A message is sent from the server of the transaction's keys, and the channel may be another's.
#[tokio::test]
async fn messages_come_from_any_server_to_any_channel() {
    let cluster = Cluster::start();
    let (kv, other) = (open(&cluster).await, open(&cluster).await);
    let mut events = kv.watch(channels(["bar", "foo"])).await.unwrap();
    for channel in ["bar", "foo"] {
        for name in ["bar", "foo"] {
            let payload = format!("by {name}");
            let txn = telling(name, channel, &payload);
            assert!(other.commit_one(txn).await.unwrap().applied);
            assert_eq!(next(&mut events).await, message(channel, &payload));
        }
        other.notify(channel, "alone").await.unwrap();
        assert_eq!(next(&mut events).await, message(channel, "alone"));
    }
    // Messages of one group, those of transactions too, come in their order.
    let mut events = kv.watch(channels(["{g}:news"])).await.unwrap();
    for number in 0..200 {
        let payload = number.to_string();
        if number % 2 == 0 {
            other.notify("{g}:news", payload).await.unwrap();
            continue;
        }
        let txn = telling("{g}:a", "{g}:news", &payload);
        other.commit_one(txn).await.unwrap();
    }
    for number in 0..200 {
        let wanted = message("{g}:news", &number.to_string());
        assert_eq!(next(&mut events).await, wanted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_watchers_share_two_connections_to_each_server_and_free_them() {
    let cluster = Cluster::start();
    let (kv, other) = (open(&cluster).await, open(&cluster).await);
    let mut servers = [server(&cluster, 0), server(&cluster, 1)];
    // What opening began has ended, so that it does not count.
    pause(Duration::from_millis(300)).await;
    let before = Handle::current().metrics().num_alive_tasks();
    let mut opening = JoinSet::new();
    for number in 0..500 {
        let kv = kv.clone();
        opening.spawn(async move {
            let name = format!("k{number}");
            let watch = match number % 10 {
                0 => ranges([&name]),
                1 => channels([&name]),
                _ => Watch::Keys(vec![key(&name), key("bar"), key("foo")]),
            };
            (number, kv.watch(watch).await.unwrap())
        });
    }
    let mut watchers = opening.join_all().await;
    assert_eq!(servers.each_mut().map(connections), [2, 2]);
    for (name, value) in [("bar", "1"), ("foo", "2")] {
        other.set(name, value).await.unwrap();
        for (_, events) in watchers.iter_mut().filter(|(number, _)| number % 10 > 1) {
            assert_eq!(next(events).await, put(name, Some(value)));
        }
    }
    assert_eq!(servers.each_mut().map(connections), [2, 2]);
    // The last one to stay is told still.
    let last = watchers.iter().position(|(number, _)| number % 10 > 1);
    let (_, mut last) = watchers.swap_remove(last.unwrap());
    drop(watchers);
    until("nobody has a channel", async || {
        let left = servers
            .each_mut()
            .map(|it| ask::<Vec<String>>(it, &["PUBSUB", "CHANNELS"]));
        left.iter().all(Vec::is_empty)
    })
    .await;
    is_live(&other, &mut last, "foo").await;
    drop(last);
    until("no connection watches", async || {
        servers.each_mut().map(connections) == [0, 0]
    })
    .await;
    until("no task is left of the watches", async || {
        Handle::current().metrics().num_alive_tasks() <= before
    })
    .await;
}

#[tokio::test]
async fn a_closed_store_ends_its_streams_and_a_dropped_one_leaves_no_task() {
    let cluster = Cluster::start();
    let mut servers = [server(&cluster, 0), server(&cluster, 1)];
    let before = Handle::current().metrics().num_alive_tasks();
    for closes in [true, false] {
        let kv = open(&cluster).await;
        let mut streams = Vec::new();
        for watch in [keys(["bar", "foo"]), ranges(["k"]), channels(["bar"])] {
            streams.push(kv.watch(watch).await.unwrap());
        }
        if closes {
            kv.close().await;
            let error = kv.watch(keys(["bar"])).await.err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Closed);
        }
        drop(kv);
        // Nobody has to read for it.
        until("no connection watches", async || {
            servers.each_mut().map(connections) == [0, 0]
        })
        .await;
        for events in &mut streams {
            let error = events.next().await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
            assert!(events.next().await.is_none());
        }
        until("no task is left", async || {
            Handle::current().metrics().num_alive_tasks() <= before
        })
        .await;
    }
}

/// Writes a key and sends a message.
fn telling(name: &str, channel: &str, payload: &str) -> Txn {
    let count = Op::Increment {
        key: key(name),
        by: 1,
        ttl_if_created: Ttl::Unset,
    };
    Txn::new()
        .then(count)
        .then(Op::Notify(Notice::new(key(channel), payload)))
}
