use super::*;
use crate::script::Script;
use kv_core::{Content, Key, Kv, Op, Read, SetOptions, Ttl, Txn};
use kv_memory::MemoryStore;

fn layer(limit: usize) -> SizeLimit {
    SizeLimit::new(SizeLimitConfig::new(limit)).unwrap()
}

async fn opened(limit: usize) -> (Kv, Kv) {
    let store = MemoryStore::default();
    let kv = Kv::builder(store.clone()).layer(layer(limit));
    let raw = Kv::builder(store);
    (kv.connect().await.unwrap(), raw.connect().await.unwrap())
}

fn key(name: &'static str) -> Key {
    Key::new(name).unwrap()
}

#[tokio::test]
async fn case_139_exactly_the_limit_passes_and_one_more_does_not() {
    let (kv, raw) = opened(8).await;
    kv.set("a", "8 bytes.").await.unwrap();
    let error = kv.set("a", "9 bytes..").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(
        error.to_string(),
        "set_with `a`: the value has 9 bytes; the size_limit of this store is 8"
    );
    assert_eq!(raw.get("a").await.unwrap(), Some("8 bytes.".into()));

    assert!(kv.hset("h", "8 bytes.", "8 bytes.").await.is_ok());
    assert!(kv.zadd("z", [("8 bytes.", 1)]).await.is_ok());
    let refused = [
        kv.hset("h", "f", "9 bytes..").await.unwrap_err(),
        kv.hset("h", "9 bytes..", "1").await.unwrap_err(),
        kv.zadd("z", [("9 bytes..", 1)]).await.unwrap_err(),
        kv.notify("c", "9 bytes..").await.unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
        assert!(error.key().is_some(), "{error}");
    }
    // What is there is there.
    raw.hset("h", "9 bytes..", "longer than that")
        .await
        .unwrap();
    let found = kv.hget("h", "9 bytes..").await.unwrap();
    assert_eq!(found, Some("longer than that".into()));
}

#[tokio::test]
async fn case_139_of_a_batch_only_what_is_too_long_is_refused() {
    let (kv, raw) = opened(8).await;
    let items = [
        ("a", "1"),
        ("b", "9 bytes.."),
        ("c", "8 bytes."),
        ("d", "longer still"),
    ];
    let answers = kv
        .set_many_with(items, SetOptions::default())
        .await
        .unwrap();
    let kinds: Vec<_> = answers
        .iter()
        .map(|it| it.as_ref().map_err(Error::kind).copied())
        .collect();
    let too_large = Err(ErrorKind::TooLarge);
    assert_eq!(kinds, [Ok(true), too_large, Ok(true), too_large]);
    let error = answers[1].as_ref().unwrap_err();
    assert_eq!(
        (error.operation(), error.key()),
        (Some("set_many_with"), Some("b"))
    );
    assert_eq!(raw.exists_many(["a", "b", "c", "d"]).await.unwrap(), 2);

    let set = |name, content: Content| Op::Set {
        key: key(name),
        content,
        ttl: Ttl::Never,
    };
    let txns = [
        Txn::new().then(set("x", Value::from("1").into())),
        Txn::new().then(set("y", Mark::from("9 bytes..").into())),
        Txn::new().then(Read::Get { key: key("x") }),
    ];
    let answers = kv.commit(txns).await.unwrap();
    assert!(
        matches!(&answers[..], [Ok(_), Err(error), Ok(_)] if error.kind() == ErrorKind::TooLarge)
    );
    assert_eq!(raw.exists_many(["x", "y"]).await.unwrap(), 1);

    let all = kv.set_many([("e", "9 bytes..")]).await.unwrap_err();
    assert_eq!(all.context("failed"), Some("1 of 1 items"));
}

#[tokio::test]
async fn what_is_refused_whole_is_never_sent_and_nothing_is_dropped() {
    let script = Script::default();
    let kv = script.under(layer(8));
    assert!(kv.set("a", "9 bytes..").await.is_err());
    assert_eq!(script.calls(), 0);
    kv.set("a", "8 bytes.").await.unwrap();
    assert_eq!(script.calls(), 1);
}

#[tokio::test]
async fn the_lower_limit_is_told() {
    let (kv, raw) = opened(8).await;
    assert_eq!(kv.capabilities().max_value_bytes, 8);
    assert_eq!(kv.capabilities().can, raw.capabilities().can);
    let (kv, raw) = opened(usize::MAX).await;
    assert_eq!(kv.capabilities(), raw.capabilities());
    let error = SizeLimit::new(SizeLimitConfig::new(0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}
