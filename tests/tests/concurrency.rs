//! Case 160: several workers on one store, on both kinds of runtime, with futures dropped half-way.

#![allow(clippy::unwrap_used, reason = "a test")]

use kv_core::{BoxFuture, Kv, Value};
use kv_memory::MemoryStore;
use kv_tests::{patience, server::Redis};
use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

#[test]
fn case_160_workers_on_a_multi_thread_runtime() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    on_both_stores(builder.worker_threads(2).enable_all().build().unwrap());
}

#[test]
fn case_160_workers_on_a_current_thread_runtime() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    on_both_stores(builder.enable_all().build().unwrap());
}

fn on_both_stores(runtime: tokio::runtime::Runtime) {
    let server = Redis::start();
    runtime.block_on(async {
        let memory = Kv::builder(MemoryStore::default()).connect().await.unwrap();
        let redis = patience::redis(&server.url());
        let redis = Kv::builder(redis).connect().await.unwrap();
        for kv in [memory, redis] {
            workers(&kv).await;
            dropped_futures(&kv).await;
            kv.close().await;
        }
    });
}

/// Three workers with five keys each, at once: nobody sees another's values.
async fn workers(kv: &Kv) {
    let workers = (0..3).map(|worker| {
        let kv = kv.clone();
        tokio::spawn(async move {
            for round in 0..20 {
                for key in 0..5 {
                    let name = format!("worker-{worker}:{key}");
                    let first = Value::from(format!("{worker}-{key}-{round}"));
                    kv.set(&name, &first).await.unwrap();
                    assert_eq!(kv.get(&name).await.unwrap(), Some(first));
                    kv.set(&name, "again").await.unwrap();
                    assert_eq!(kv.get(&name).await.unwrap(), Some("again".into()));
                    assert!(kv.delete(&name).await.unwrap());
                    assert_eq!(kv.get(&name).await.unwrap(), None);
                }
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
}

/// Whatever is dropped after its first poll, the store goes on as if nothing had been.
async fn dropped_futures(kv: &Kv) {
    for round in 0..50 {
        let calls: [BoxFuture<'_, ()>; 5] = [
            Box::pin(async { drop(kv.set("dropped", "1").await) }),
            Box::pin(async { drop(kv.get("dropped").await) }),
            Box::pin(async { drop(kv.increment("counter", 1).await) }),
            Box::pin(async { drop(kv.zadd("set", [("a", round)]).await) }),
            Box::pin(async { drop(kv.zpopbyscore("set", f64::MAX).await) }),
        ];
        for call in calls {
            let _ended = poll_once(call);
        }
        let name = format!("after-{round}");
        kv.set(&name, "1").await.unwrap();
        assert_eq!(kv.get(&name).await.unwrap(), Some("1".into()));
    }
    let counted = kv.increment("counter", 0).await.unwrap();
    assert!((0..=50).contains(&counted), "{counted}: each at most once");
}

fn poll_once(future: impl Future) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(pin!(future).poll(&mut context), Poll::Ready(_))
}
