//! The escape hatch: the driver's own handles through a full stack of layers.

#![allow(clippy::unwrap_used, reason = "a test")]

use kv_core::{ErrorKind, Kv};
use kv_memory::MemoryStore;
use kv_redis::redis;
use kv_tests::{patience, server::Redis};
use kv_wrappers::{DefaultTtl, KeyResolver, KeySettings};
use std::time::Duration;

async fn stacked(server: &Redis) -> Kv {
    Kv::builder(patience::redis(&server.url()))
        .layer(DefaultTtl::new(Duration::from_secs(60)).unwrap())
        .layer(KeyResolver::new(KeySettings::default()).unwrap())
        .connect()
        .await
        .unwrap()
}

#[tokio::test]
async fn case_159_the_asynchronous_client_sees_the_physical_key() {
    let server = Redis::start();
    let kv = stacked(&server).await;
    kv.set("a", "1").await.unwrap();
    let key = kv.resolve("a").unwrap();
    let mut driver: redis::aio::ConnectionManager = kv.get_final_client().unwrap();
    let found: Option<String> = redis::cmd("GET")
        .arg(key.as_bytes())
        .query_async(&mut driver)
        .await
        .unwrap();
    assert_eq!(found.as_deref(), Some("1"));
}

#[tokio::test]
async fn case_159_each_blocking_client_is_its_own_and_outlives_the_store() {
    let server = Redis::start();
    let kv = stacked(&server).await;
    kv.set("a", "1").await.unwrap();
    let key = kv.resolve("a").unwrap();
    let clients: [redis::Client; 2] =
        [kv.get_sync_client().unwrap(), kv.get_sync_client().unwrap()];
    kv.close().await;
    // From plain threads, which is where blocking belongs.
    let read = move |client: redis::Client| {
        let mut connection = client.get_connection().unwrap();
        let id: u64 = redis::cmd("CLIENT")
            .arg("ID")
            .query(&mut connection)
            .unwrap();
        let value = redis::cmd("GET").arg(key.as_bytes()).query(&mut connection);
        (id, value.unwrap())
    };
    let threads = clients.map(|client| {
        std::thread::spawn({
            let read = read.clone();
            move || read(client)
        })
    });
    let [one, two]: [(u64, String); 2] = threads.map(|it| it.join().unwrap());
    assert_eq!((&*one.1, &*two.1), ("1", "1"));
    assert_ne!(one.0, two.0, "two connections");
}

#[tokio::test]
async fn a_store_without_such_a_handle_says_so() {
    let kv = Kv::builder(MemoryStore::default()).connect().await.unwrap();
    let error = kv.native::<redis::Client>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.context("type").unwrap().ends_with("Client"));
}
