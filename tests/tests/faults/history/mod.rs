//! Linearizability: what concurrent clients saw must be explained by some order of the commands, each
//! at one moment between its call and its answer, on one thing that executes them one by one.

mod client;
mod model;
mod recorder;

use crate::site::{Backend, Site};
use client::run_clients;
use kv_conformance::proxy::Mode;
use kv_core::{
    Command, Guard, Key, KeyGroup, Kv, Op, OpReply, Reply, Service, SetOptions, Stopwatch,
    TxnReply, When, layer_fn,
};
use kv_memory::MemoryStore;
use kv_tests::patience::{PATIENCE, pause};
use kv_tests::server::{Etcd, Redis};
use kv_wrappers::{KeyResolver, KeySettings};
use recorder::{Recorder, Verdict};
use std::{sync::Arc, time::Duration};

/// How many histories are recorded on each store; each is short, so that the search for an order is.
const HISTORIES: usize = 32;
/// How many replies must be lost before a bad network has been one.
const LOST: usize = 20;

async fn judge(kv: &Kv, name: &str) -> Verdict {
    let mut all = Verdict::default();
    while all.histories < HISTORIES {
        all += record(kv, name, all.histories).await;
    }
    println!("{name}: {all:?}");
    all
}

/// One history of keys that no other has.
async fn record(kv: &Kv, name: &str, number: usize) -> Verdict {
    let group = KeyGroup::new(format!("{name}-{number}")).unwrap();
    let recorder = Arc::new(Recorder::default());
    run_clients(kv, &group, &recorder).await;
    recorder.judge()
}

fn expect_linearizable(verdict: Verdict) {
    assert_eq!(verdict.refuted, 0, "{verdict:?}");
    assert!(verdict.overlapping > 100, "hardly concurrent: {verdict:?}");
    assert!(verdict.applied > 1_000, "hardly anything done: {verdict:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_is_linearizable() {
    let kv = Kv::builder(MemoryStore::default());
    let kv = kv.connect().await.unwrap();
    expect_linearizable(judge(&kv, "memory").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn redis_is_linearizable_bare_and_below_a_tenant() {
    bare_and_below_a_tenant::<Redis>("redis").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn etcd_is_linearizable_bare_and_below_a_tenant() {
    bare_and_below_a_tenant::<Etcd>("etcd").await;
}

async fn bare_and_below_a_tenant<S: Backend>(name: &str) {
    let site = Site::<S>::start().await;
    expect_linearizable(judge(&site.direct, name).await);
    let tenants = KeyResolver::new(KeySettings::default()).unwrap();
    let kv = site.layered(tenants).await;
    expect_linearizable(judge(&kv, &format!("{name} with a prefix")).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn redis_is_linearizable_while_connections_break() {
    while_connections_break::<Redis>("redis").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn etcd_is_linearizable_while_connections_break() {
    while_connections_break::<Etcd>("etcd").await;
}

/// Replies are lost while clients run: what is unknown may have happened or not, once.
async fn while_connections_break<S: Backend>(name: &str) {
    let site = Arc::new(Site::<S>::start().await);
    let kv = site.through().await;
    let faults = {
        let (site, kv) = (Arc::clone(&site), kv.clone());
        tokio::spawn(async move {
            loop {
                // Longer than it takes to connect again, on a slow machine too.
                while kv.get("recovered").await.is_err() {
                    pause(Duration::from_millis(5)).await;
                }
                pause(Duration::from_millis(fastrand::u64(70..140))).await;
                match fastrand::bool() {
                    true => site.proxy.reset_all(),
                    false => {
                        site.proxy.set(Mode::HalfOpen);
                        pause(Duration::from_millis(2)).await;
                        site.proxy.set(Mode::Reset);
                        site.proxy.set(Mode::Pass);
                    }
                }
            }
        })
    };
    let mut verdict = judge(&kv, &format!("{name} through a bad network")).await;
    let watch = Stopwatch::start();
    while verdict.unknown < LOST && watch.elapsed() < PATIENCE {
        verdict += record(&kv, "more of it", verdict.histories).await;
    }
    faults.abort();
    println!("injected: {:?}", site.proxy.counts());
    assert_eq!(verdict.refuted, 0, "{verdict:?}");
    assert!(
        verdict.unknown >= LOST,
        "hardly a reply was lost: {verdict:?}"
    );
    assert!(verdict.applied > 200, "hardly anything done: {verdict:?}");
}

/// A commit that looks first and writes then, as programs without transactions do.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_that_is_not_atomic_is_found() {
    let torn = layer_fn("torn", |request, next: &dyn Service| {
        Box::pin(async move {
            let Command::Commit { txns } = &request.command else {
                return next.call(request).await;
            };
            let mut answers = Vec::new();
            for txn in txns {
                answers.push(Ok(tear(txn, &request, next).await?));
            }
            Ok(Reply::Commit(answers))
        })
    });
    let kv = Kv::builder(MemoryStore::default()).layer(torn);
    let verdict = judge(&kv.connect().await.unwrap(), "torn").await;
    assert!(verdict.refuted > 0, "{verdict:?}");
}

/// A read that is answered from a copy of a while ago.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stale_read_is_found() {
    let copies = parking_lot::Mutex::new(std::collections::HashMap::<Key, Option<_>>::new());
    let copies = Arc::new(copies);
    let stale = layer_fn("stale", move |request, next: &dyn Service| {
        let copies = Arc::clone(&copies);
        Box::pin(async move {
            let Command::Get { key } = &request.command else {
                return next.call(request).await;
            };
            let key = key.clone();
            let known = copies.lock().get(&key).cloned();
            if let (Some(known), true) = (known, fastrand::u8(..) < 64) {
                return Ok(Reply::Get(known));
            }
            let reply = next.call(request).await?;
            if let Reply::Get(value) = &reply {
                copies.lock().insert(key, value.clone());
            }
            Ok(reply)
        })
    });
    let kv = Kv::builder(MemoryStore::default()).layer(stale);
    let verdict = judge(&kv.connect().await.unwrap(), "stale").await;
    assert!(verdict.refuted > 0, "{verdict:?}");
}

/// Does what the transaction says, one command at a time.
async fn tear(
    txn: &kv_core::Txn,
    request: &kv_core::Request,
    next: &dyn Service,
) -> kv_core::Result<TxnReply> {
    let ask = async |command: Command| {
        tokio::task::yield_now().await;
        let mut part = request.clone();
        part.command = command;
        next.call(part).await
    };
    for guard in &txn.when {
        let Guard::ValueIs { key, mark } = guard else {
            continue;
        };
        let Reply::Get(found) = ask(Command::Get { key: key.clone() }).await? else {
            continue;
        };
        if found.as_ref().map(|it| it.as_bytes()) != mark.as_ref().map(|it| it.as_bytes()) {
            return Ok(TxnReply::refused(Vec::new()));
        }
    }
    let mut answers = Vec::new();
    for op in &txn.then {
        answers.push(match op.clone() {
            Op::Set { key, content, ttl } => {
                let value = content.as_bytes().to_vec().into();
                let options = SetOptions::from(When::Always).ttl(ttl);
                let command = Command::Set {
                    key,
                    value,
                    options,
                };
                ask(command).await?;
                OpReply::Done
            }
            Op::Increment {
                key,
                by,
                ttl_if_created,
            } => {
                let command = Command::Increment {
                    key,
                    by,
                    ttl_if_created,
                };
                match ask(command).await? {
                    Reply::Increment(sum) => OpReply::Integer(sum),
                    _ => OpReply::Done,
                }
            }
            Op::Read(kv_core::Read::GetMark { key }) => match ask(Command::Get { key }).await? {
                Reply::Get(value) => OpReply::Mark(value.map(|it| it.into_bytes().into())),
                _ => OpReply::Done,
            },
            Op::ZRem { key, members } => match ask(Command::ZRem { key, members }).await? {
                Reply::ZRem(count) => OpReply::Count(count),
                _ => OpReply::Done,
            },
            _ => OpReply::Done,
        });
    }
    Ok(TxnReply::applied(answers))
}
