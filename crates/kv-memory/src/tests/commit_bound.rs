use super::{Fixture, fails, fixture, limit};
use crate::{MemoryConfig, OnFull, ShardCount};
use kv_core::{ErrorKind, Guard, Key, Op, Outcome, Ttl, Txn, Value, ZMove};

fn key(name: &str) -> Key {
    Key::new(format!("{{g}}{name}")).unwrap()
}

fn set(name: &str, value: impl Into<Value>) -> Op {
    Op::Set {
        key: key(name),
        content: value.into().into(),
        ttl: Ttl::Never,
    }
}

fn delete(name: &str) -> Op {
    Op::Delete { key: key(name) }
}

async fn entries(count: usize) -> Fixture {
    fixture(MemoryConfig::default().max_entries(limit(count))).await
}

#[tokio::test]
async fn what_does_not_fit_as_a_whole_is_refused_as_a_whole() {
    let it = entries(3).await;
    let kv = &it.kv;
    kv.set(key("a"), "1").await.unwrap();
    kv.set(key("b"), "1").await.unwrap();
    let two = Txn::new()
        .then(set("a", "2"))
        .then(set("c", "2"))
        .then(set("d", "2"));
    let error = kv.commit_one(two.clone()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (ErrorKind::Unavailable, Outcome::NotApplied)
    );
    fails(
        kv.commit_one(two.clone()).await,
        ErrorKind::Unavailable,
        "{g}c",
    );
    assert_eq!(kv.get(key("a")).await.unwrap().unwrap(), "1");
    assert_eq!(it.store.stats().entries, 2);
    it.audit();
    // What it frees counts, wherever in the list.
    assert!(kv.commit_one(two.then(delete("b"))).await.unwrap().applied);
    assert_eq!((it.store.stats().entries, it.store.stats().refused), (3, 2));
    it.audit();
    let many = Txn::new()
        .then(set("w", "1"))
        .then(set("x", "1"))
        .then(set("y", "1"));
    let many = many.then(set("z", "1"));
    fails(kv.commit_one(many).await, ErrorKind::TooLarge, "{g}w");
}

#[tokio::test]
async fn a_full_store_still_lets_work_move() {
    let it = entries(2).await;
    let kv = &it.kv;
    kv.zadd(key("due"), [("m", 1)]).await.unwrap();
    kv.set(key("other"), "v").await.unwrap();
    // The last member takes its set with it, which makes room for the new one.
    let step = ZMove::new(5).from(key("due"), 9).to(key("leased"), 20);
    assert_eq!(kv.zmove(step).await.unwrap().members.len(), 1);
    it.audit();
    let back = Txn::new()
        .then(Op::ZAdd {
            key: key("due"),
            members: vec![("m".into(), 5.into())],
            notify_if_first: None,
        })
        .then(Op::ZRem {
            key: key("leased"),
            members: vec!["m".into()],
        });
    assert!(kv.commit_one(back).await.unwrap().applied);
    assert_eq!(it.store.stats().entries, 2);
    it.audit();
}

#[tokio::test]
async fn eviction_spares_what_a_transaction_touches() {
    let config = MemoryConfig::default()
        .max_entries(limit(4))
        .on_full(OnFull::Evict)
        .shards(ShardCount::new(1).unwrap());
    let it = fixture(config).await;
    let kv = &it.kv;
    for name in ["guard", "counter", "x", "y"] {
        kv.set(key(name), "1").await.unwrap();
    }
    let count = Op::Increment {
        key: key("counter"),
        by: 1,
        ttl_if_created: Ttl::Never,
    };
    let txn = Txn::new()
        .when(Guard::exists(key("guard")))
        .then(count)
        .then(set("a", "1"))
        .then(set("b", "1"));
    assert!(kv.commit_one(txn).await.unwrap().applied);
    assert_eq!(kv.get(key("counter")).await.unwrap().unwrap(), "2");
    // Reading the guard would make it newer; that it was spared shows in `applied`.
    assert_eq!(it.store.stats().evicted, 2);
    it.audit();
    // What was written counts as used: `guard` is older, and goes first.
    kv.set(key("c"), "1").await.unwrap();
    assert!(!kv.exists(key("guard")).await.unwrap());
    assert_eq!(kv.exists_many([key("a"), key("b")]).await.unwrap(), 2);
    it.audit();
}

#[tokio::test]
async fn what_can_never_fit_evicts_nothing() {
    let config = MemoryConfig::default()
        .max_bytes(limit(2000))
        .on_full(OnFull::Evict);
    let it = fixture(config).await;
    it.kv.set("bystander", "v").await.unwrap();
    let txn = Txn::new()
        .then(set("a", vec![0; 1000]))
        .then(set("b", vec![0; 1000]));
    fails(it.kv.commit_one(txn).await, ErrorKind::TooLarge, "{g}a");
    assert!(it.kv.exists("bystander").await.unwrap());
    it.audit();
}

/// The estimate must never be too small, and what was not needed is given back.
#[tokio::test]
async fn the_books_stay_true_whatever_is_done() {
    let it = fixture(MemoryConfig::default().max_bytes(limit(100_000))).await;
    let kv = &it.kv;
    kv.hset_many(key("h"), [("a", "1"), ("b", "22")])
        .await
        .unwrap();
    kv.zadd(key("z"), [("a", 1), ("b", 2)]).await.unwrap();
    kv.set(key("s"), "a long text").await.unwrap();
    kv.set(key("n"), "9").await.unwrap();
    let fields = |names: &[&str]| -> Vec<_> {
        let field = |it: &&str| (kv_core::Field::from(*it), Value::from("333").into());
        names.iter().map(field).collect()
    };
    let members =
        |names: &[&str]| -> Vec<_> { names.iter().map(|it| ((*it).into(), 4.into())).collect() };
    let range = kv_core::RelativeRange::ALL;
    let txns = [
        Txn::new().then(set("s", "x")).then(delete("n")),
        Txn::new()
            .then(Op::HDel {
                key: key("h"),
                fields: vec!["a".into(), "b".into(), "c".into()],
            })
            .then(Op::HSet {
                key: key("h"),
                fields: fields(&["d"]),
            })
            .then(Op::HSet {
                key: key("new"),
                fields: fields(&["a"]),
            })
            .then(Op::HSet {
                key: key("new"),
                fields: fields(&["b"]),
            })
            .then(Op::HIncrement {
                key: key("new"),
                field: "n".into(),
                by: 1000,
            }),
        Txn::new()
            .then(Op::ZRem {
                key: key("z"),
                members: vec!["a".into()],
            })
            .then(Op::ZRemRange {
                key: key("z"),
                range,
                limit: 9,
            })
            .then(Op::ZAdd {
                key: key("z"),
                members: members(&["b", "c"]),
                notify_if_first: None,
            }),
        Txn::new()
            .then(Op::HDel {
                key: key("h"),
                fields: vec!["d".into()],
            })
            .then(Op::ZRem {
                key: key("z"),
                members: vec!["b".into(), "c".into()],
            })
            .then(Op::NextToken {
                key: key("t"),
                ttl: Ttl::Never,
            }),
        Txn::new()
            .then(Op::DeleteIf {
                key: key("s"),
                mark: "x".into(),
            })
            .then(Op::DeleteIf {
                key: key("t"),
                mark: "x".into(),
            })
            .then(Op::Expire {
                key: key("new"),
                expiry: kv_core::Expiry::At(super::START),
            }),
    ];
    for txn in txns {
        assert!(kv.commit_one(txn).await.unwrap().applied);
        it.audit();
    }
    assert_eq!(it.store.stats().entries, 1);
}
