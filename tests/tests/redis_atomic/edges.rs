//! What cannot apply, and numbers at their edges.

use crate::{hincrement, increment, key, open, set, zadd};
use kv_core::{ErrorKind, Guard, Kv, Notice, Op, OpReply, Outcome, Read, Ttl, Txn};
use kv_redis::RedisStore;

#[tokio::test]
async fn what_cannot_apply_applies_nothing_and_names_its_step() {
    let (_server, kv) = open().await;
    kv.set(key("text"), "x").await.unwrap();
    kv.hset(key("hash"), "f", "x").await.unwrap();
    kv.hset(key("full"), "f", i64::MAX.to_string())
        .await
        .unwrap();
    kv.set(key("max"), i64::MAX.to_string()).await.unwrap();
    kv.set(key("min"), i64::MIN.to_string()).await.unwrap();
    let first = || Txn::new().then(set("a", "1")).then(hincrement("b", 1));
    let get = |name: &str| Op::from(Read::Get { key: key(name) });
    let many = |name: &str| zadd(name, &[("m", 1.0), ("n", 2.0)]);
    let cases: Vec<(Vec<Op>, ErrorKind, &str)> = vec![
        (vec![hincrement("text", 1)], ErrorKind::WrongType, "text"),
        (vec![hincrement("hash", 1)], ErrorKind::NotAnInteger, "hash"),
        (vec![hincrement("full", 1)], ErrorKind::Overflow, "full"),
        (vec![increment("hash", 1)], ErrorKind::WrongType, "hash"),
        (vec![increment("text", 1)], ErrorKind::NotAnInteger, "text"),
        (vec![increment("max", 1)], ErrorKind::Overflow, "max"),
        (vec![increment("min", -1)], ErrorKind::Overflow, "min"),
        (
            vec![zadd("text", &[("m", 1.0)])],
            ErrorKind::WrongType,
            "text",
        ),
        (vec![many("text")], ErrorKind::WrongType, "text"),
        (vec![zadd("text", &[])], ErrorKind::WrongType, "text"),
        (vec![get("hash")], ErrorKind::WrongType, "hash"),
        // The first of two that cannot apply, whichever is tried first.
        (
            vec![increment("max", 1), zadd("text", &[("m", 1.0)])],
            ErrorKind::Overflow,
            "max",
        ),
        (
            vec![zadd("text", &[("m", 1.0)]), increment("max", 1)],
            ErrorKind::WrongType,
            "text",
        ),
        (
            vec![increment("max", 1), increment("text", 1)],
            ErrorKind::Overflow,
            "max",
        ),
        (
            vec![increment("x", 1), increment("text", 1)],
            ErrorKind::NotAnInteger,
            "text",
        ),
        (vec![many("z"), get("z")], ErrorKind::WrongType, "z"),
    ];
    for (steps, kind, name) in cases {
        let told = format!("{steps:?}");
        let txn = steps.into_iter().fold(first(), Txn::then);
        let txn = txn.then(set("c", "1")).then(Op::Delete { key: key("d") });
        let around = [
            Txn::new().then(increment("n", 1)),
            txn,
            Txn::new().then(increment("n", 1)),
        ];
        let mut replies = kv.commit(around).await.unwrap();
        let error = replies.remove(1).unwrap_err();
        assert_eq!(
            (error.kind(), error.outcome()),
            (kind, Outcome::Final),
            "{told}: {error}"
        );
        assert_eq!(error.key(), Some(&*format!("{{g}}{name}")), "{told}");
        assert!(replies.into_iter().all(|it| it.unwrap().applied), "{told}");
        for name in ["a", "b", "c"] {
            assert!(!kv.exists(key(name)).await.unwrap(), "{told} left {name}");
        }
    }
    assert_eq!(
        kv.get(key("max")).await.unwrap(),
        Some(i64::MAX.to_string().into())
    );
}

#[tokio::test]
async fn integers_are_exact_to_the_last_unit() {
    let (_server, kv) = open().await;
    let edge = 1_i64 << 53;
    for (start, by) in [
        (edge - 1, 1),
        (edge, 1),
        (edge + 1, 1),
        (-edge, -1),
        (i64::MAX - 1, 1),
        (i64::MAX, -1),
        (i64::MIN, i64::MAX),
        (i64::MIN + 1, -1),
        (0, i64::MIN),
        (999_999_999_999_999, 1),
        (-1, i64::MIN + 1),
    ] {
        kv.set(key("n"), start.to_string()).await.unwrap();
        kv.hset(key("h"), "f", start.to_string()).await.unwrap();
        // Both ways: the one that is done first and the one that is checked before.
        let txn = Txn::new()
            .when(Guard::at_most(key("n"), start))
            .when(Guard::field_at_most(key("h"), "f", start))
            .then(increment("n", by))
            .then(hincrement("h", by));
        let reply = kv.commit_one(txn).await.unwrap();
        let sum = OpReply::Integer(start + by);
        assert_eq!(reply.answers, [sum.clone(), sum], "{start} + {by}");
    }
    for (value, limit, holds) in [
        (i64::MAX, i64::MAX - 1, false),
        (i64::MAX - 1, i64::MAX, true),
        (i64::MIN, i64::MIN, true),
        (i64::MIN + 1, i64::MIN, false),
        (edge + 1, edge, false),
        (edge, edge + 1, true),
        (-edge - 1, -edge, true),
        (-edge, -edge - 1, false),
    ] {
        kv.set(key("n"), value.to_string()).await.unwrap();
        let txn = Txn::new().when(Guard::at_most(key("n"), limit));
        assert_eq!(
            kv.commit_one(txn).await.unwrap().applied,
            holds,
            "{value} {limit}"
        );
    }
    for text in [
        "9223372036854775808",
        "-9223372036854775809",
        "01",
        "+1",
        "-0",
        " 1",
        "",
        "1.0",
    ] {
        kv.set(key("n"), text).await.unwrap();
        let both = Txn::new().then(increment("n", 1)).then(hincrement("h2", 1));
        for txn in [Txn::new().when(Guard::at_most(key("n"), 1)), both] {
            let error = kv.commit_one(txn).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotAnInteger, "{text:?}");
        }
    }
}

#[tokio::test]
async fn tokens_grow_past_what_floats_hold() {
    let (_server, kv) = open().await;
    let next = || Op::NextToken {
        key: key("t"),
        ttl: Ttl::Never,
    };
    let now = kv.now().await.unwrap().as_micros() as u64;
    let mut reply = kv.commit_one(Txn::new().then(next())).await.unwrap();
    let first = reply.token(0).unwrap();
    assert!(first >= now && reply.now.is_none(), "{first} {now}");
    for last in [
        (1_u64 << 53) - 1,
        1 << 53,
        9_999_999_999_999_999,
        1_999_999_999_999_999_999,
        i64::MAX as u64 - 1,
    ] {
        kv.set(key("t"), last.to_string()).await.unwrap();
        let read = Txn::new().then(Read::LastToken { key: key("t") });
        assert_eq!(
            kv.commit_one(read).await.unwrap().answers,
            [OpReply::Token(last)]
        );
        let mut reply = kv.commit_one(Txn::new().then(next())).await.unwrap();
        assert_eq!(reply.token(0).unwrap(), last + 1);
    }
    let error = kv.commit_one(Txn::new().then(next())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overflow);
    for text in ["0", "-1", "x", "01", "9223372036854775808"] {
        kv.set(key("t"), text).await.unwrap();
        let refused = Txn::new()
            .when(Guard::exists(key("no")))
            .otherwise(Read::LastToken { key: key("t") });
        for txn in [Txn::new().then(next()), refused] {
            let error = kv.commit_one(txn).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.key()),
                (ErrorKind::NotAnInteger, Some("{g}t")),
                "{text}"
            );
        }
    }
    let _ = kv.delete(key("t")).await.unwrap();
    let refused = Txn::new()
        .when(Guard::exists(key("no")))
        .otherwise(Read::LastToken { key: key("t") });
    assert_eq!(
        kv.commit_one(refused).await.unwrap().answers,
        [OpReply::Token(0)]
    );
}

/// A user may write keys and not send to channels: the default of a new one.
#[tokio::test]
async fn a_message_that_may_not_be_sent_leaves_nothing_written() {
    let (server, kv) = open().await;
    let mut admin: redis::aio::MultiplexedConnection = kv.native().unwrap();
    let _: redis::Value = redis::cmd("ACL")
        .arg(&[
            "SETUSER",
            "mute",
            "on",
            "nopass",
            "~*",
            "+@all",
            "resetchannels",
        ])
        .query_async(&mut admin)
        .await
        .unwrap();
    let store = RedisStore::from_url(&format!("redis://mute:any@{}", server.address()));
    let mute = Kv::builder(store.unwrap()).connect().await.unwrap();
    let notice = || Notice::new(key("news"), "news");
    let waking = Op::ZAdd {
        key: key("z"),
        members: vec![("m".into(), 1.into())],
        notify_if_first: Some(notice()),
    };
    for last in [Op::Notify(notice()), waking] {
        let txn = Txn::new().then(set("a", "1")).then(last);
        let error = mute.commit_one(txn).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert_eq!(error.outcome(), Outcome::Final, "{error}");
        assert_eq!(kv.exists_many([key("a"), key("z")]).await.unwrap(), 0);
    }
}
