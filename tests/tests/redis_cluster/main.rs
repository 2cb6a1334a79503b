//! The provider on a cluster of two primaries: what a server alone cannot show.

#![allow(clippy::unwrap_used, reason = "a test")]

mod batches;
mod coverage;
mod migration;
mod moves;
mod outage;
mod watches;
mod watching;

use kv_core::Kv;
use kv_redis::{RedisConfig, RedisStore, redis};
use kv_tests::{patience::PATIENCE, server::Cluster};
use redis::{Connection, FromRedisValue};

/// Keys of different slots; about half of them are on each server.
fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("k{number}")).collect()
}

fn config(url: String) -> RedisConfig {
    let mut config = RedisConfig::from_url(url);
    // What a busy machine does to deadlines is another test's matter.
    config.connect_timeout = PATIENCE;
    config.response_timeout = PATIENCE;
    config
}

async fn open(cluster: &Cluster) -> Kv {
    let store = RedisStore::new(config(cluster.url())).unwrap();
    Kv::builder(store).connect().await.unwrap()
}

/// A connection to one of the two servers, beside the store's.
fn server(cluster: &Cluster, node: usize) -> Connection {
    let address = cluster.addresses()[node];
    let client = redis::Client::open(format!("redis://{address}")).unwrap();
    client.get_connection().unwrap()
}

fn ask<T: FromRedisValue>(server: &mut Connection, words: &[&str]) -> T {
    let mut command = redis::Cmd::new();
    command.arg(words);
    command.query(server).unwrap()
}

fn tell(server: &mut Connection, words: &[&str]) {
    ask::<redis::Value>(server, words);
}

/// How often a server sent somebody on with this error.
fn redirections(server: &mut Connection, error: &str) -> u64 {
    let stats: String = ask(server, &["INFO", "errorstats"]);
    let name = format!("errorstat_{error}:count=");
    let count = stats.lines().find_map(|line| line.strip_prefix(&name));
    count.map_or(0, |count| count.trim().parse().unwrap())
}
