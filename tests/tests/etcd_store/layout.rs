//! Bytes that are not ours, and values that look as if they were.

use crate::site::{Site, for_span, key, record, secs};
use kv_core::{ErrorKind, Guard, Kv, Op, Outcome, SetOptions, Ttl, Txn, Value, When};
use std::fmt::Debug;

const MAGIC: &[u8] = b"\0kv";

fn is_codec<T: Debug>(result: kv_core::Result<T>) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Codec, "{error:?}");
    assert_eq!(error.outcome(), Outcome::Final, "{error:?}");
}

#[tokio::test]
async fn a_value_that_begins_like_a_header_is_a_value() {
    let site = Site::start().await;
    let kv = &site.kv;
    let header = [MAGIC, &[1, 1], &[0x7f; 8]].concat();
    let token = [MAGIC, &[1, 0x10], &[0; 8]].concat();
    let values = [MAGIC, b"\0kvv", b"\0k", b"\0", b"", &header, &token];
    for value in values {
        let value = Value::from(value.to_vec());
        kv.set("k", value.clone()).await.unwrap();
        assert_eq!(kv.get("k").await.unwrap(), Some(value.clone()));
        let raw = site.raw.get("k").await.unwrap();
        let plain = raw.value() == value.as_bytes();
        assert_eq!(plain, !value.as_bytes().starts_with(MAGIC), "{value:?}");
        for options in [for_span(secs(60)), SetOptions::from(When::IfPresent)] {
            kv.set_with("k", value.clone(), options).await.unwrap();
            assert_eq!(kv.get("k").await.unwrap(), Some(value.clone()));
        }
        kv.hset("h", "f", value.clone()).await.unwrap();
        assert_eq!(kv.hget("h", "f").await.unwrap(), Some(value.clone()));
        kv.set_many([("m", value.clone())]).await.unwrap();
        let many = kv.get_many(["m"]).await.unwrap();
        assert_eq!(many, [Some(value)]);
    }
}

#[tokio::test]
async fn a_header_that_is_none_is_an_error_and_can_be_deleted_and_overwritten() {
    let site = Site::start().await;
    let kv = &site.kv;
    let broken: [&[u8]; 8] = [
        b"",
        b"\x01",
        b"\x01\x01",
        b"\x01\x01\0\0\0\0\0\0\0",
        b"\x02\x00\0\0\0\0\0\0\0\0v",
        b"\x01\x03\0\0\0\0\0\0\0\0v",
        b"\x01\x00\0\0\0\0\0\0\0\x01v",
        b" is how it begins",
    ];
    for rest in broken {
        let raw = [MAGIC, rest].concat();
        let plant = async || site.raw.put("k", raw.clone()).await;
        plant().await;
        is_codec(kv.get("k").await);
        is_codec(kv.get_many(["k"]).await);
        is_codec(kv.increment("k", 1).await);
        is_codec(kv.hset("k", "f", "v").await);
        is_codec(
            kv.expire("k", kv_core::Expiry::In(crate::site::lifetime(secs(9))))
                .await,
        );
        let options = SetOptions::from(When::IfAbsent);
        is_codec(kv.set_with("k", "v", options).await);
        let guarded = Txn::new().when(Guard::absent(key("k")));
        is_codec(kv.commit_one(guarded.then(set("k"))).await);
        assert_eq!(site.raw.get("k").await.unwrap().value(), raw);

        assert!(kv.delete("k").await.unwrap());
        assert!(!kv.exists("k").await.unwrap());
        plant().await;
        kv.set("k", "v").await.unwrap();
        assert_eq!(kv.get("k").await.unwrap(), Some("v".into()));
        plant().await;
        kv.set_with("k", "v", for_span(secs(60))).await.unwrap();
        assert_eq!(kv.get("k").await.unwrap(), Some("v".into()));
        plant().await;
        kv.commit_one(Txn::new().then(set("k"))).await.unwrap();
        assert_eq!(kv.get("k").await.unwrap(), Some("v".into()));
        plant().await;
        assert_eq!(kv.delete_prefix("k").await.unwrap(), 1);
        assert!(site.raw.all().await.is_empty());
    }
}

fn set(name: &str) -> Op {
    Op::Set {
        key: key(name),
        content: Value::from("v").into(),
        ttl: Ttl::Unset,
    }
}

#[tokio::test]
async fn a_record_that_is_none_is_an_error_and_can_be_deleted_and_overwritten() {
    let site = Site::start().await;
    let kv = &site.kv;
    let broken: [&[u8]; 5] = [
        b"",
        b"\x01h",
        b"\x02h\0\0\0\0\0\0\0\0\0",
        b"\x01x\0\0\0\0\0\0\0\0\0",
        b"\x01h\x07\0\0\0\0\0\0\0\0",
    ];
    for raw in broken {
        let plant = async || {
            kv.hset("h", "f", "v").await.unwrap();
            site.raw.put(record("h"), raw).await;
        };
        plant().await;
        let other = crate::site::open(&site.server.url()).await;
        refused(&other).await;
        assert!(kv.delete("h").await.unwrap());
        assert!(site.raw.all().await.is_empty());
        plant().await;
        kv.set("h", "v").await.unwrap();
        assert_eq!(kv.get("h").await.unwrap(), Some("v".into()));
        assert!(kv.delete("h").await.unwrap());
        assert!(site.raw.all().await.is_empty());
    }
}

async fn refused(kv: &Kv) {
    is_codec(kv.get("h").await);
    is_codec(kv.hset("h", "g", "v").await);
    is_codec(kv.hgetall("h").await);
    is_codec(kv.zadd("h", [("m", 1.0)]).await);
    is_codec(kv.hdel("h", ["f"]).await);
    is_codec(kv.persist("h").await);
}
