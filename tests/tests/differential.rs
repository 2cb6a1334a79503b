//! The same random commands on memory, on Redis and on etcd give the same replies; and the differ
//! that says so finds planted bugs.
//!
//! `KV_SEED` repeats a trace, `KV_MATRIX=full` runs the long one, `KV_REDIS_URL` and `KV_ETCD_URL` name
//! servers to use in place of our own.

#![allow(clippy::unwrap_used, reason = "all of it is test code")]

use kv_conformance::differential::{Differential, Failure, Floors, Mismatch, Summary};
use kv_core::{
    Command, ErrorKind, Expiry, Fate, Guard, Key, Kv, Layer, Lifetime, Op, OpReply, Reply, Request,
    Ttl, Txn, layer_fn,
};
use kv_etcd::{EtcdConfig, EtcdStore};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_redis::{RedisConfig, RedisStore};
use kv_tests::server::{Etcd, Redis};
use std::{env, sync::Arc, time::Duration};

const USUAL: usize = 100_000;
const FULL: usize = 1_000_000;

async fn memory() -> Kv {
    let store = MemoryStore::new(MemoryConfig::default());
    Kv::builder(store).connect().await.unwrap()
}

async fn sabotaged(layer: impl Layer) -> Kv {
    let store = MemoryStore::new(MemoryConfig::default());
    Kv::builder(store).layer(layer).connect().await.unwrap()
}

/// A handle, and the server that it needs to live as long.
async fn redis() -> (Kv, Option<Redis>) {
    let (url, server) = match env::var("KV_REDIS_URL") {
        Ok(url) => (url, None),
        Err(_) => {
            let server = Redis::start();
            (server.url(), Some(server))
        }
    };
    let mut config = RedisConfig::from_url(url);
    // A slow machine is no mismatch.
    config.response_timeout = Duration::from_secs(30);
    let store = RedisStore::new(config).unwrap();
    (Kv::builder(store).connect().await.unwrap(), server)
}

/// The same on etcd, below a root of its own.
async fn etcd() -> (Kv, Option<Etcd>) {
    let (url, server) = match env::var("KV_ETCD_URL") {
        Ok(url) => (url, None),
        Err(_) => {
            let server = Etcd::start();
            (server.url(), Some(server))
        }
    };
    let mut config = EtcdConfig::from_url(url);
    config.root = Some(format!("differential-{:016x}/", fastrand::u64(..)));
    config.response_timeout = Duration::from_secs(30);
    config.conflict_timeout = Duration::from_secs(30);
    let store = EtcdStore::new(config).unwrap();
    (Kv::builder(store).connect().await.unwrap(), server)
}

fn seed() -> u64 {
    match env::var("KV_SEED") {
        Ok(seed) => seed.parse().expect("KV_SEED is not a number"),
        Err(_) => fastrand::u64(..),
    }
}

fn commands() -> usize {
    match env::var("KV_MATRIX").as_deref() {
        Ok("full") => FULL,
        _ => USUAL,
    }
}

async fn agree(test: Differential, reference: &Kv, others: &[Kv]) -> Summary {
    let summary = test.run(reference, others).await;
    let summary = summary.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{summary}");
    if let Err(reason) = summary.check(Floors::default()) {
        panic!("{reason}\n{summary}");
    }
    summary
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_redis_give_the_same_replies() {
    let (redis, server) = redis().await;
    let seed = seed();
    println!("seed {seed}: KV_SEED={seed} repeats it");
    let test = Differential::new(seed).commands(commands());
    let summary = agree(test, &memory().await, &[redis]).await;
    drop(server);
    assert!(summary.commands >= USUAL as u64);
    for kind in [
        ErrorKind::WrongType,
        ErrorKind::NotAnInteger,
        ErrorKind::Overflow,
    ] {
        assert!(summary.saw(kind), "no {kind:?} among the replies");
    }
}

/// Shorter: each write waits for etcd's log, and most take two exchanges.
#[tokio::test(flavor = "multi_thread")]
async fn memory_redis_and_etcd_give_the_same_replies() {
    let ((redis, redis_server), (etcd, etcd_server)) = (redis().await, etcd().await);
    let seed = seed();
    println!("seed {seed}: KV_SEED={seed} repeats it");
    let test = Differential::new(seed)
        .commands(commands() / 5)
        // What is held ends with its lease, up to an eighth of its lifetime late: of six hours at most.
        .tolerance(Duration::from_secs(45 * 60));
    agree(test, &memory().await, &[redis, etcd]).await;
    drop((redis_server, etcd_server));
}

#[tokio::test(flavor = "multi_thread")]
async fn three_stores_are_compared_as_two_are() {
    let others = [memory().await, memory().await];
    let test = Differential::new(seed()).commands(10_000);
    agree(test, &memory().await, &others).await;
}

async fn find(bug: impl Layer) -> Mismatch {
    // A fixed seed: whether a bug shows must not be a matter of luck.
    let test = Differential::new(7).commands(20_000);
    match test.run(&memory().await, &[sabotaged(bug).await]).await {
        Err(Failure::Mismatch(mismatch)) => {
            println!("{mismatch}");
            *mismatch
        }
        other => panic!("the planted bug was not found: {other:?}"),
    }
}

/// A bug that spoils replies.
fn spoil(change: impl Fn(Reply) -> Reply + Send + Sync + 'static) -> impl Layer {
    let change = Arc::new(change);
    layer_fn("spoiler", move |request, next| {
        let change = Arc::clone(&change);
        Box::pin(async move { next.call(request).await.map(|reply| change(reply)) })
    })
}

/// A bug that spoils commands on their way.
fn mislead(change: impl Fn(&mut Command) + Send + Sync + 'static) -> impl Layer {
    layer_fn("misleader", move |mut request: Request, next| {
        change(&mut request.command);
        next.call(request)
    })
}

#[tokio::test]
async fn a_count_off_by_one_is_found() {
    let bug = spoil(|reply| match reply {
        Reply::ZCount(count @ 2..) => Reply::ZCount(count - 1),
        other => other,
    });
    let found = find(bug).await;
    assert_eq!(found.operation, "zcount");
    assert!(found.shortest.is_some_and(|steps| steps.len() <= 4));
}

#[tokio::test]
async fn a_wrong_order_is_found() {
    let bug = spoil(|reply| match reply {
        Reply::ZRange(mut members) => {
            members.reverse();
            Reply::ZRange(members)
        }
        other => other,
    });
    assert_eq!(find(bug).await.operation, "zrange");
}

#[tokio::test]
async fn a_deadline_that_is_wrong_by_an_hour_is_found() {
    let bug = mislead(|command| {
        if let Command::Expire { expiry, .. } = command
            && let Expiry::In(lifetime) = *expiry
        {
            let longer = lifetime.as_duration() + Duration::from_secs(3600);
            *expiry = Expiry::In(Lifetime::new(longer).unwrap_or(lifetime));
        }
    });
    let found = find(bug).await;
    assert_eq!(found.operation, "time_to_live");
    assert!(found.shortest.is_some_and(|steps| steps.len() <= 4));
}

#[tokio::test]
async fn a_forgotten_deadline_is_found() {
    let bug = mislead(|command| {
        if let Command::Increment { ttl_if_created, .. } = command {
            *ttl_if_created = Ttl::Never;
        }
    });
    let found = find(bug).await;
    assert!(found.shortest.is_some_and(|steps| steps.len() <= 4));
}

#[tokio::test]
async fn a_guard_taken_for_granted_is_found() {
    let bug = mislead(|command| {
        if let Command::Commit { txns } = command {
            for txn in txns {
                txn.when
                    .retain(|it| !matches!(it, Guard::CountBelow { .. }));
            }
        }
    });
    let found = find(bug).await;
    assert!(found.shortest.is_some_and(|steps| steps.len() <= 4));
}

#[tokio::test]
async fn a_transaction_done_in_part_is_found() {
    let bug = layer_fn("torn", |request: Request, next| {
        Box::pin(async move {
            let Command::Commit { txns } = request.command.clone() else {
                return next.call(request).await;
            };
            let reply = next.call(request).await?;
            let Reply::Commit(answers) = &reply else {
                return Ok(reply);
            };
            for (txn, answer) in txns.into_iter().zip(answers) {
                // The first step of what was refused as a whole.
                if let (true, Err(_), Some(first)) = (txn.when.is_empty(), answer, txn.then.first())
                {
                    let part = Txn::new().then(first.clone());
                    let command = Command::Commit { txns: vec![part] };
                    next.call(Request::new(command)).await?;
                }
            }
            Ok(reply)
        })
    });
    find(bug).await;
}

#[tokio::test]
async fn a_list_that_runs_from_its_end_is_found() {
    let bug = layer_fn("backwards", |mut request: Request, next| {
        if let Command::Commit { txns } = &mut request.command {
            txns.reverse();
        }
        Box::pin(async move {
            Ok(match next.call(request).await? {
                Reply::Commit(mut answers) => {
                    answers.reverse();
                    Reply::Commit(answers)
                }
                other => other,
            })
        })
    });
    assert_eq!(find(bug).await.operation, "commit");
}

#[tokio::test]
async fn a_token_that_comes_again_is_found() {
    let bug = spoil(|reply| match reply {
        Reply::Commit(mut answers) => {
            for answer in answers.iter_mut().flatten().flat_map(|it| &mut it.answers) {
                if let OpReply::Token(token @ 1..) = answer {
                    *token = 42;
                }
            }
            Reply::Commit(answers)
        }
        other => other,
    });
    let found = find(bug).await;
    assert!(found.said[1].reply.contains("token 42"), "{found}");
}

#[tokio::test]
async fn a_move_beyond_its_capacity_is_found() {
    let bug = mislead(|command| {
        if let Command::ZMove { step } = command
            && let Some(capacity) = &mut step.capacity
        {
            *capacity += 1;
        }
    });
    let found = find(bug).await;
    assert_eq!(found.operation, "zmove");
    assert!(found.shortest.is_some_and(|steps| steps.len() <= 5));
}

#[tokio::test]
async fn bodies_that_stay_are_found() {
    let bug = mislead(|command| {
        if let Command::ZMove { step } = command {
            step.hashes.iter_mut().for_each(|it| it.fate = Fate::Keep);
        }
    });
    find(bug).await;
}

#[tokio::test]
async fn dropped_bodies_that_are_sent_are_found() {
    let bug = mislead(|command| {
        if let Command::ZMove { step } = command {
            let dropped = step.hashes.iter_mut().filter(|it| it.fate == Fate::Drop);
            dropped.for_each(|it| it.fate = Fate::Take);
        }
    });
    assert_eq!(find(bug).await.operation, "zmove");
}

#[tokio::test]
async fn a_transaction_that_leaves_a_deadline_is_found() {
    let bug = mislead(|command| {
        if let Command::Commit { txns } = command {
            for op in txns.iter_mut().flat_map(|it| &mut it.then) {
                if let Op::Persist { key } = op {
                    let expiry = Duration::from_secs(3600).try_into().unwrap();
                    let key = key.clone();
                    *op = Op::Expire { key, expiry };
                }
            }
        }
    });
    find(bug).await;
}

#[tokio::test]
async fn a_write_to_a_wrong_key_is_found() {
    let bug = mislead(|command| {
        if let Command::HSet { key, .. } = command
            && key.as_bytes().ends_with(b"a//b")
        {
            let shorter = &key.as_bytes()[..key.as_bytes().len() - 3];
            *key = Key::new([shorter, b"/b"].concat()).unwrap();
        }
    });
    find(bug).await;
}
