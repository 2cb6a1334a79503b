//! Servers that are silent or gone: whoever asks gets a value.

use kv_cache::{Cache, Far, Near, Policy};
use kv_core::Kv;
use kv_tests::{
    patience::{self, until},
    server::{Etcd, Redis, Server},
};
use std::{convert::Infallible, time::Duration};

async fn a_server_that_does_not_answer_costs_a_load(mut server: impl Server, kv: Kv) {
    let cache = Cache::<u32, u32>::builder("c")
        .near(Near::megabytes(1).max_stale(Duration::ZERO))
        .far(Far::new(&kv).deadline(Duration::from_millis(100)))
        .policy(Policy::ttl(Duration::from_secs(3600)));
    let cache = cache.build().unwrap();
    for (key, gone) in [(1, false), (2, true)] {
        match gone {
            false => server.pause(),
            true => tokio::task::block_in_place(|| server.kill()),
        }
        let errors = cache.stats().far_errors;
        for value in [1, 2] {
            let load = cache.get_or_load(&key, move |_| async move { Ok::<_, Infallible>(value) });
            assert_eq!(*load.await.unwrap(), value);
            cache.idle().await;
        }
        assert!(cache.stats().far_errors >= errors + 2);
        match gone {
            false => server.resume(),
            true => tokio::task::block_in_place(|| server.restart()),
        }
        let mut value = 2;
        until("the store has it again", async || {
            value += 1;
            let load = cache.get_or_load(&key, move |_| async move { Ok::<_, Infallible>(value) });
            let hits = cache.stats().far_hits;
            load.await.unwrap();
            cache.idle().await;
            cache.stats().far_hits > hits
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_does_not_answer_costs_a_load() {
    let server = Redis::start();
    let store = patience::redis(&server.url());
    let kv = Kv::builder(store).connect().await.unwrap();
    a_server_that_does_not_answer_costs_a_load(server, kv).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_does_not_answer_costs_a_load() {
    let server = Etcd::start();
    let store = patience::etcd(&server.url());
    let kv = Kv::builder(store).connect().await.unwrap();
    a_server_that_does_not_answer_costs_a_load(server, kv).await;
}
