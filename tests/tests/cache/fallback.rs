//! A server that is gone, and a second store that takes its place.

use kv_cache::{Cache, Fallback, Far, Near, Policy};
use kv_core::{Kv, KvBuilder};
use kv_tests::{
    patience::{self, PATIENCE, until},
    server::{Etcd, Redis, Server},
    stores::Site,
};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::Notify;

type Numbers = Cache<u32, u32>;

/// What the second store has does not end while a test looks at it.
const LIFE: Duration = Duration::from_secs(3600);

/// Two that ask a store each time.
async fn processes(first: impl Fn() -> KvBuilder, second: &Site) -> [Numbers; 2] {
    let on = async || {
        let first = first().connect().await.unwrap();
        let second = second.builder().connect().await.unwrap();
        let second = Fallback::new(&second).life(LIFE).deadline(PATIENCE);
        let first = Far::new(&first).deadline(Duration::from_millis(100));
        Cache::builder("c")
            .near(Near::megabytes(1).max_stale(Duration::ZERO))
            .far(first.fallback(second))
            .policy(Policy::ttl(LIFE).hard_timeout(PATIENCE))
            .build()
            .unwrap()
    };
    [on().await, on().await]
}

async fn get(cache: &Numbers, key: u32, value: u32) -> u32 {
    let load = cache.get_or_load(&key, move |_| async move { Ok::<_, Infallible>(value) });
    let got = *load.await.unwrap();
    cache.idle().await;
    got
}

/// Until an answer comes from there: a busy machine is as good as a store in trouble.
async fn is_used_again(cache: &Numbers) {
    until("the first store is used", async || {
        let hits = cache.stats().far_hits;
        get(cache, 0, 0).await;
        cache.stats().far_hits > hits
    })
    .await;
}

async fn a_second_store_takes_the_place_of_a_server_that_is_gone<S: Server>(
    open: impl Fn(&str) -> KvBuilder,
    second: Site,
) {
    let mut server = S::start();
    let url = server.url();
    let [one, other] = processes(|| open(&url), &second).await;
    for cache in [&one, &other] {
        is_used_again(cache).await;
    }
    tokio::task::block_in_place(|| server.kill());
    let loads = other.stats().loads;
    assert_eq!(get(&one, 1, 1).await, 1);
    assert_eq!(get(&other, 1, 2).await, 1, "loaded for both");
    assert_eq!(other.get(&1).await.unwrap().as_deref(), Some(&1));
    assert_eq!(other.stats().loads, loads);

    // What is removed stays so, though it was being loaded.
    let gate = Arc::new(Notify::new());
    let (cache, opened) = (one.clone(), gate.clone());
    let asking = tokio::spawn(async move {
        let load = cache.get_or_load(&2, move |_| async move {
            opened.notified().await;
            Ok::<_, Infallible>(1)
        });
        *load.await.unwrap()
    });
    let before = one.stats().loads;
    until("it is being loaded", async || one.stats().loads > before).await;
    other.remove(&2).await.unwrap_err();
    other.remove(&1).await.unwrap_err();
    gate.notify_one();
    assert_eq!(asking.await.unwrap(), 1);
    one.idle().await;
    for (key, value) in [(1, 3), (2, 4)] {
        assert_eq!(get(&other, key, value).await, value);
        assert_eq!(get(&one, key, 9).await, value);
    }
    let stats = [&one, &other].map(|it| it.stats());
    assert!(
        stats
            .iter()
            .all(|it| it.fallback_hits > 0 && it.fallback_errors == 0)
    );

    tokio::task::block_in_place(|| server.restart());
    for cache in [&one, &other] {
        is_used_again(cache).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_takes_the_place_of_a_redis_that_is_gone() {
    let open = |url: &str| Kv::builder(patience::redis(url));
    a_second_store_takes_the_place_of_a_server_that_is_gone::<Redis>(open, Site::etcd()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_takes_the_place_of_an_etcd_that_is_gone() {
    let open = |url: &str| Kv::builder(patience::etcd(url));
    a_second_store_takes_the_place_of_a_server_that_is_gone::<Etcd>(open, Site::redis()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_takes_the_place_of_a_redis_that_is_gone() {
    let open = |url: &str| Kv::builder(patience::redis(url));
    a_second_store_takes_the_place_of_a_server_that_is_gone::<Redis>(open, Site::memory()).await;
}
