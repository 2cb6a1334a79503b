//! What a Redis server gets to see of encrypted values, and a rotation of keys on it.

#![allow(clippy::unwrap_used, reason = "a test")]

use futures_util::StreamExt;
use kv_core::{Context, ErrorKind, Event, Kv, KvBuilder, Notice, Op, Read, Ttl, Txn, Value, Watch};
use kv_redis::redis;
use kv_tests::{patience, server::Redis};
use kv_wrappers::{
    Compress, CompressConfig, Encrypt, EncryptConfig, EncryptionKey, KeyResolver, KeySettings,
};
use std::collections::HashMap;

const SECRET: &str = "card 4111 1111 1111 1111";

fn secret(byte: u8) -> EncryptionKey {
    EncryptionKey::new([byte; 32])
}

/// As documented: encryption first, compression around it, tenants outside.
fn stack(server: &Redis, keys: EncryptConfig) -> KvBuilder {
    let packed = CompressConfig::default().threshold_bytes(256);
    Kv::builder(patience::redis(&server.url()))
        .layer(Encrypt::new(keys).unwrap())
        .layer(Compress::new(packed).unwrap())
        .layer(KeyResolver::new(KeySettings::default()).unwrap())
}

async fn open(server: &Redis, keys: EncryptConfig) -> Kv {
    let kv = stack(server, keys).connect().await.unwrap();
    kv.bind(Context::tenant("ann"))
}

/// All bytes that the server holds in strings and in fields, by its own commands.
async fn held(driver: &mut redis::aio::MultiplexedConnection) -> Vec<Vec<u8>> {
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS")
        .arg("*")
        .query_async(driver)
        .await
        .unwrap();
    let mut held = Vec::new();
    for key in keys {
        let kind: String = redis::cmd("TYPE")
            .arg(&key)
            .query_async(driver)
            .await
            .unwrap();
        if kind == "hash" {
            let fields: HashMap<Vec<u8>, Vec<u8>> = redis::cmd("HGETALL")
                .arg(&key)
                .query_async(driver)
                .await
                .unwrap();
            held.extend(fields.into_values());
        } else {
            held.push(
                redis::cmd("GET")
                    .arg(&key)
                    .query_async(driver)
                    .await
                    .unwrap(),
            );
        }
    }
    held
}

#[tokio::test]
async fn case_141_the_server_sees_no_plain_text() {
    let server = Redis::start();
    let kv = open(&server, EncryptConfig::new("k1", secret(1))).await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut driver = client.get_multiplexed_async_connection().await.unwrap();
    let channel = || kv_core::Key::new("news").unwrap();
    let mut news = kv.watch(Watch::Channels(vec![channel()])).await.unwrap();
    // Redis tells everything that it is asked to whoever monitors it.
    let monitor = client.get_async_monitor().await.unwrap();
    let mut monitored = monitor.into_on_message::<String>();

    let long = SECRET.repeat(50);
    kv.set("a", SECRET).await.unwrap();
    kv.set("long", &*long).await.unwrap();
    kv.set_many([("b", SECRET), ("c", SECRET)]).await.unwrap();
    kv.hset("h", "f", SECRET).await.unwrap();
    let group = kv_core::KeyGroup::new("t").unwrap();
    let (s, h) = (group.key(":s"), group.key(":h"));
    let txn = Txn::new()
        .then(Op::Set {
            key: s.clone(),
            content: Value::from(SECRET).into(),
            ttl: Ttl::Never,
        })
        .then(Op::HSet {
            key: h.clone(),
            fields: vec![("f".into(), Value::from(SECRET).into())],
        })
        .then(Op::Notify(Notice::new(channel(), SECRET)));
    kv.commit_one(txn).await.unwrap();
    kv.notify("news", SECRET).await.unwrap();

    let held = held(&mut driver).await;
    assert_eq!(held.len(), 7);
    let shows = |bytes: &[u8]| bytes.windows(4).any(|it| it == b"4111" || it == b"card");
    for bytes in &held {
        assert!(bytes.starts_with(b"\xC1\x10\x02k1") && !shows(bytes));
    }
    assert!(
        held.iter().all(|it| it.len() < 200),
        "packed before it was encrypted"
    );

    redis::cmd("PING")
        .arg("the end")
        .exec_async(&mut driver)
        .await
        .unwrap();
    let mut commands = 0;
    while let Some(line) = monitored.next().await {
        assert!(!shows(line.as_bytes()), "{line}");
        commands += 1;
        if line.contains("the end") {
            break;
        }
    }
    assert!(commands > 7, "{commands} commands were told");

    assert_eq!(kv.get("a").await.unwrap(), Some(SECRET.into()));
    assert_eq!(kv.get("long").await.unwrap(), Some(long.into()));
    let found = kv.get_many(["b", "none", "c"]).await.unwrap();
    assert_eq!(found, [Some(SECRET.into()), None, Some(SECRET.into())]);
    assert_eq!(kv.hget("h", "f").await.unwrap(), Some(SECRET.into()));
    let read = Txn::new().then(Read::Get { key: s }).then(Read::HGet {
        key: h,
        field: "f".into(),
    });
    let mut read = kv.commit_one(read).await.unwrap();
    assert_eq!(read.value(0).unwrap(), Some(SECRET.into()));
    assert_eq!(read.value(1).unwrap(), Some(SECRET.into()));
    for _ in 0..2 {
        let told = news.next().await.unwrap().unwrap();
        assert!(matches!(told, Event::Message { payload, .. } if payload == SECRET));
    }
}

#[tokio::test]
async fn case_141_keys_rotate_on_a_server_in_use() {
    let server = Redis::start();
    let old = open(&server, EncryptConfig::new("k1", secret(1))).await;
    let both = EncryptConfig::new("k2", secret(2)).key("k1", secret(1));
    let both = open(&server, both).await;
    let new = open(&server, EncryptConfig::new("k2", secret(2))).await;

    let names: Vec<_> = (0..20).map(|at| format!("a{at}")).collect();
    old.set_many(names.iter().map(|it| (it, SECRET)))
        .await
        .unwrap();
    old.hset("h", "f", SECRET).await.unwrap();
    assert_eq!(new.get("a0").await.unwrap_err().kind(), ErrorKind::Codec);
    for name in &names {
        let value = both.get(name).await.unwrap().unwrap();
        assert_eq!(value, SECRET);
        both.set(name, value).await.unwrap();
    }
    let field = both.hget("h", "f").await.unwrap().unwrap();
    both.hset("h", "f", field).await.unwrap();
    // Once all is written anew, the old key can go.
    let found = new.get_many(&names).await.unwrap();
    assert!(found.into_iter().all(|it| it == Some(SECRET.into())));
    assert_eq!(new.hget("h", "f").await.unwrap(), Some(SECRET.into()));
    assert_eq!(old.get("a0").await.unwrap_err().kind(), ErrorKind::Codec);
}

#[tokio::test]
async fn case_141_a_value_copied_on_the_server_does_not_open() {
    let server = Redis::start();
    let ann = open(&server, EncryptConfig::new("k1", secret(1))).await;
    let bob = ann.bind(Context::tenant("bob"));
    ann.set("a", SECRET).await.unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let mut driver = client.get_multiplexed_async_connection().await.unwrap();
    let [from, to] = [&ann, &bob].map(|kv| kv.resolve("a").unwrap());
    let copied: bool = redis::cmd("COPY")
        .arg(from.as_bytes())
        .arg(to.as_bytes())
        .query_async(&mut driver)
        .await
        .unwrap();
    assert!(copied);
    assert_eq!(bob.get("a").await.unwrap_err().kind(), ErrorKind::Codec);
    assert_eq!(ann.get("a").await.unwrap(), Some(SECRET.into()));
}
