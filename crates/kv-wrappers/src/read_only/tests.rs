use super::*;
use crate::script::Script;
use kv_core::{
    COMMANDS, Guard, Key, Kv, Notice, Read, Rule, SetOptions, Throttle, Ttl, Txn, ZMove,
};
use kv_memory::MemoryStore;
use std::time::Duration;

fn key(name: &'static str) -> Key {
    Key::new(name).unwrap()
}

/// The same store through the layer, and as it is.
async fn opened() -> (Kv, Kv) {
    let store = MemoryStore::default();
    let kv = Kv::builder(store.clone()).layer(ReadOnly::new());
    let raw = Kv::builder(store);
    (kv.connect().await.unwrap(), raw.connect().await.unwrap())
}

fn limit(mode: ThrottleMode) -> Throttle {
    let rule = Rule::fixed(1, Duration::from_secs(60)).unwrap();
    Throttle::new().limit(key("limit"), rule).mode(mode)
}

/// A command of every row of the table that writes.
fn every_write() -> Vec<Command> {
    let (k, ttl) = (|| key("a"), Ttl::Never);
    let expiry = kv_core::Lifetime::new(Duration::from_secs(9)).unwrap();
    let op = Op::Delete { key: k() };
    let commands = vec![
        Command::Set {
            key: k(),
            value: "1".into(),
            options: SetOptions::default(),
        },
        Command::SetMany {
            items: vec![(k(), "1".into())],
            options: SetOptions::default(),
        },
        Command::Delete { keys: vec![k()] },
        Command::Increment {
            key: k(),
            by: 1,
            ttl_if_created: ttl,
        },
        Command::Expire {
            key: k(),
            expiry: expiry.into(),
        },
        Command::Persist { key: k() },
        Command::Clear {
            prefixes: "a".into(),
        },
        Command::HSet {
            key: k(),
            fields: vec![("f".into(), "1".into())],
        },
        Command::HIncrement {
            key: k(),
            field: "f".into(),
            by: 1,
        },
        Command::HDel {
            key: k(),
            fields: vec!["f".into()],
        },
        Command::ZAdd {
            key: k(),
            members: vec![("m".into(), 1.into())],
        },
        Command::ZRem {
            key: k(),
            members: vec!["m".into()],
        },
        Command::ZPopByScore {
            key: k(),
            max: 1.into(),
            limit: 1,
            scores: kv_core::Scores::Omit,
        },
        Command::Commit {
            txns: vec![Txn::new().then(Read::Get { key: k() }), Txn::new().then(op)],
        },
        Command::ZMove {
            step: Box::new(ZMove::new(1).from(k(), 1)),
        },
        Command::Throttle {
            request: limit(ThrottleMode::Debit),
        },
        Command::Notify {
            channel: k(),
            payload: "1".into(),
        },
    ];
    let covered: Vec<_> = commands.iter().map(|it| it.spec().name).collect();
    let writes = COMMANDS.iter().filter(|it| it.access == Access::Write);
    let writes: Vec<_> = writes.map(|it| it.name).collect();
    assert_eq!(covered, writes);
    commands
}

#[tokio::test]
async fn case_138_every_write_is_refused_and_never_reaches_the_store() {
    let script = Script::default();
    let service = ReadOnly::new().wrap(Arc::new(script.clone()));
    for command in every_write() {
        let name = command.spec().name;
        let error = service.call(Request::new(command)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{name}");
        assert_eq!(error.operation(), Some(name));
    }
    assert_eq!(script.calls(), 0);
}

#[tokio::test]
async fn case_138_what_only_writes_need_is_not_claimed() {
    let (kv, raw) = opened().await;
    let (left, all) = (kv.capabilities(), raw.capabilities());
    let lost: Vec<_> = all.can.iter().filter(|&it| !left.has(it)).collect();
    assert_eq!(lost, WRITING.iter().collect::<Vec<_>>());
    let kinds = [
        kv.set("a", "1").await.unwrap_err().kind(),
        kv.set_if_absent("a", "1", Ttl::Never)
            .await
            .unwrap_err()
            .kind(),
        kv.increment("a", 1).await.unwrap_err().kind(),
        kv.delete("a").await.unwrap_err().kind(),
    ];
    use ErrorKind::{Denied, Unsupported};
    assert_eq!(kinds, [Denied, Unsupported, Unsupported, Denied]);
    assert_eq!(
        kv.set("a", "1").await.unwrap_err().to_string(),
        "set_with `a`: this store is for reading only; write through a stack without `read_only`"
    );
    assert!(!raw.exists("a").await.unwrap());
}

#[tokio::test]
async fn case_138_reads_pass() {
    let (kv, raw) = opened().await;
    raw.set("a", "1").await.unwrap();
    raw.hset("h", "f", "2").await.unwrap();
    raw.zadd("z", [("m", 3)]).await.unwrap();
    assert_eq!(kv.get("a").await.unwrap(), Some("1".into()));
    assert_eq!(kv.hget("h", "f").await.unwrap(), Some("2".into()));
    assert_eq!(kv.zscore("z", "m").await.unwrap(), Some(3.into()));
    assert_eq!(
        kv.scan_page("a", kv_core::ScanFrom::Start, 9_u32)
            .await
            .unwrap()
            .keys,
        [key("a")]
    );
    let read = Txn::new()
        .when(Guard::exists(key("a")))
        .then(Read::Get { key: key("a") });
    let mut answer = kv.commit_one(read).await.unwrap();
    assert_eq!(answer.value(0).unwrap(), Some("1".into()));
    assert!(
        kv.throttle(limit(ThrottleMode::Peek))
            .await
            .unwrap()
            .allowed
    );
    let denied = kv.throttle(limit(ThrottleMode::Refund)).await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Denied);
    let notice = Txn::new().then(Op::Notify(Notice::new(key("c"), "1")));
    assert!(kv.commit_one(notice).await.is_err());
    let watch = kv.watch(Watch::Channels(vec![key("c")])).await;
    assert!(watch.is_ok());
}
