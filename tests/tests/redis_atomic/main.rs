//! Transactions and moves on a real Redis, where the traps are.

#![allow(clippy::unwrap_used, reason = "a test")]

mod batches;
mod edges;
mod moves;
mod permissions;
mod steps;

use kv_core::{Key, KeyGroup, Kv, Op, RelativeScore, Ttl, Value};
use kv_tests::{patience, server::Redis};

async fn open() -> (Redis, Kv) {
    let server = Redis::start();
    let store = patience::redis(&server.url());
    let kv = Kv::builder(store).connect().await.unwrap();
    (server, kv)
}

fn key(suffix: &str) -> Key {
    KeyGroup::new("g").unwrap().key(suffix)
}

fn increment(name: &str, by: i64) -> Op {
    let (key, ttl_if_created) = (key(name), Ttl::Unset);
    Op::Increment {
        key,
        by,
        ttl_if_created,
    }
}

fn hincrement(name: &str, by: i64) -> Op {
    let (key, field) = (key(name), "f".into());
    Op::HIncrement { key, field, by }
}

fn zadd(name: &str, members: &[(&str, f64)]) -> Op {
    let members = members
        .iter()
        .map(|(member, score)| ((*member).into(), RelativeScore::try_from(*score).unwrap()));
    Op::ZAdd {
        key: key(name),
        members: members.collect(),
        notify_if_first: None,
    }
}

fn set(name: &str, value: &str) -> Op {
    Op::Set {
        key: key(name),
        content: Value::from(value).into(),
        ttl: Ttl::Unset,
    }
}
