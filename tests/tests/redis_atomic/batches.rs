//! Lists of transactions: their order, and scripts that the server forgot.

use crate::{hincrement, increment, key, open, set, zadd};
use kv_core::{
    ErrorKind, Guard, Key, KeyGroup, Kv, Mark, Notice, Op, OpReply, Outcome, Read, RelativeRange,
    Ttl, Txn, Value,
};
use kv_redis::redis;
use kv_tests::patience;

/// Appends to a list, so that the order and the number of transactions show.
fn append(at: u32, other: bool) -> Txn {
    let txn = Txn::new().then(zadd("log", &[(&format!("{at:04}"), f64::from(at))]));
    let txn = txn
        .then(increment("count", 1))
        .then(Read::GetMark { key: key("last") });
    // The next one must see what this one wrote.
    let txn = match at {
        0 => txn,
        at => txn.when(Guard::value_is(key("turn"), format!("{}", at - 1))),
    };
    let txn = txn.then(Op::Set {
        key: key("turn"),
        content: Mark::from(at.to_string()).into(),
        ttl: Ttl::Unset,
    });
    match other {
        true => txn.then(hincrement("hash", 1)),
        false => txn,
    }
}

async fn script_flush(kv: &Kv) {
    let client = kv.native::<redis::Client>().unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let () = redis::cmd("SCRIPT")
        .arg("FLUSH")
        .query_async(&mut connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_mixed_batch_keeps_its_order_and_applies_once_whatever_scripts_are_known() {
    let (_server, kv) = open().await;
    for round in 0..3 {
        let _ = kv
            .delete_many([key("log"), key("count"), key("turn"), key("hash")])
            .await;
        let txns = (0..300).map(|at| append(at, at % 7 == 3));
        let replies = kv.commit(txns.collect::<Vec<_>>()).await.unwrap();
        for (at, reply) in replies.into_iter().enumerate() {
            let mut reply = reply.unwrap();
            assert!(reply.applied, "{at} in round {round}");
            assert_eq!(reply.integer(1).unwrap(), at as i64 + 1);
        }
        assert_eq!(kv.zcount(key("log"), (0, 1000)).await.unwrap(), 300);
        script_flush(&kv).await;
    }
}

#[tokio::test]
async fn a_batch_over_many_groups_survives_forgotten_scripts() {
    let (_server, kv) = open().await;
    for _ in 0..2 {
        let txns = (0..100).map(|at| {
            let key = KeyGroup::new(format!("g{at}")).unwrap().key("n");
            let ttl_if_created = Ttl::Unset;
            let step = Op::Increment {
                key,
                by: 1,
                ttl_if_created,
            };
            Txn::new().then(step)
        });
        let before = kv.get("{g7}n").await.unwrap();
        let replies = kv.commit(txns.collect::<Vec<_>>()).await.unwrap();
        assert!(replies.iter().all(|it| it.as_ref().unwrap().applied));
        let expected = if before.is_none() { "1" } else { "2" };
        assert_eq!(kv.get("{g7}n").await.unwrap(), Some(expected.into()));
        script_flush(&kv).await;
    }
}

#[tokio::test]
async fn a_thousand_transactions_at_once() {
    let (_server, kv) = open().await;
    let txns = (0..1000).map(|_| Txn::new().then(increment("n", 1)));
    let replies = kv.commit(txns.collect::<Vec<_>>()).await.unwrap();
    for (at, reply) in replies.into_iter().enumerate() {
        assert_eq!(reply.unwrap().integer(0).unwrap(), at as i64 + 1);
    }
}

#[tokio::test]
async fn many_steps_and_long_lists_fit() {
    let (_server, kv) = open().await;
    let names: Vec<String> = (0..500).map(|it| format!("n{it}")).collect();
    let txn = names.iter().fold(Txn::new(), |txn, name| {
        let txn = txn.when(Guard::absent(key(name)));
        txn.then(increment(name, 1))
            .then(hincrement(&format!("h{name}"), 2))
    });
    let reply = kv.commit_one(txn).await.unwrap();
    assert_eq!(reply.answers.len(), 1000);
    assert_eq!(reply.answers[999], OpReply::Integer(2));
    let members: Vec<(String, f64)> = (0..1000).map(|it| (it.to_string(), it.into())).collect();
    let members: Vec<(&str, f64)> = members
        .iter()
        .map(|(name, score)| (&**name, *score))
        .collect();
    let long = Txn::new().then(zadd("z", &members));
    let replies = kv.commit(vec![long; 50]).await.unwrap();
    assert!(replies.into_iter().all(|it| it.unwrap().applied));
    assert_eq!(kv.zcount(key("z"), (0, 1000)).await.unwrap(), 1000);
}

/// What one transaction of a batch showed of a key does not hold for the next if it was written.
#[tokio::test]
async fn types_that_change_within_a_batch_are_seen() {
    let (_server, kv) = open().await;
    // The places of the keys change from one transaction to the next; the shape is the same.
    let txn = |hash: &str, set: &str| {
        let fields = vec![
            ("f".into(), Value::from("v").into()),
            ("g".into(), Value::from("v").into()),
        ];
        Txn::new()
            .then(Op::HSet {
                key: key(hash),
                fields,
            })
            .then(Op::ZRem {
                key: key(set),
                members: vec!["m".into(), "n".into()],
            })
            .then(zadd(set, &[("o", 1.0), ("p", 1.0)]))
    };
    let replies = kv
        .commit([txn("a", "b"), txn("b", "c"), txn("a", "c"), txn("d", "a")])
        .await
        .unwrap();
    let kinds: Vec<_> = replies
        .iter()
        .map(|it| it.as_ref().err().map(kv_core::Error::kind))
        .collect();
    assert_eq!(
        kinds,
        [
            None,
            Some(ErrorKind::WrongType),
            None,
            Some(ErrorKind::WrongType)
        ]
    );
    assert!(!kv.exists(key("d")).await.unwrap());
}

/// The same where it is a condition that shows what the key holds that is then written.
#[tokio::test]
async fn a_key_that_comes_to_hold_another_type_is_looked_at_again() {
    let (_server, kv) = open().await;
    let txn = |hash: &str, set_key: &str, done: &str, fields: &[&str]| {
        let value = || Value::from("v").into();
        let fields = fields.iter().map(|it| ((*it).into(), value())).collect();
        Txn::new()
            .when(Guard::CountBelow {
                key: key(set_key),
                range: RelativeRange::ALL,
                limit: 100,
            })
            .then(set(done, "yes"))
            .then(Op::HSet {
                key: key(hash),
                fields,
            })
            .then(zadd(set_key, &[("m", 1.0)]))
    };
    let txns = [
        txn("a", "b", "first", &[]),
        txn("c", "a", "second", &["f", "g"]),
        txn("a", "d", "third", &["f", "g"]),
    ];
    let mut replies = kv.commit(txns).await.unwrap();
    let error = replies.remove(2).unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (ErrorKind::WrongType, Outcome::Final)
    );
    assert!(replies.into_iter().all(|it| it.unwrap().applied));
    assert!(!kv.exists(key("third")).await.unwrap());
}

/// A list that is too long to be sent at once: a call that is refused holds up none behind it.
#[tokio::test]
async fn what_is_refused_alone_does_not_stop_a_long_list() {
    let (server, kv) = open().await;
    let mut admin: redis::aio::MultiplexedConnection = kv.native().unwrap();
    let user = ["SETUSER", "ann", "on", "nopass", "~{g}*", "+@all"];
    let () = redis::cmd("ACL")
        .arg(&user)
        .query_async(&mut admin)
        .await
        .unwrap();
    let uri = format!("redis://ann:any@{}", server.address());
    let store = patience::redis(&uri);
    let ann = Kv::builder(store).connect().await.unwrap();
    let long = "x".repeat(2 << 20);
    let foreign = Op::Set {
        key: Key::new("foreign").unwrap(),
        content: Value::from(long.clone()).into(),
        ttl: Ttl::Unset,
    };
    let txns = [
        Txn::new().then(set("first", &long)),
        Txn::new().then(foreign),
        Txn::new().then(set("second", &long)),
        Txn::new().then(set("third", "short")),
    ];
    let mut replies = ann.commit(txns).await.unwrap();
    let error = replies.remove(1).unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome(), error.key()),
        (ErrorKind::Denied, Outcome::Final, Some("foreign"))
    );
    assert!(replies.into_iter().all(|it| it.unwrap().applied));
    let written = ["first", "second", "third"].map(key);
    assert_eq!(kv.exists_many(written).await.unwrap(), 3);
}

/// Also where the server knows the script of the later one only.
#[tokio::test]
async fn messages_of_several_groups_keep_the_order_of_their_list() {
    let (_server, kv) = open().await;
    let client = kv.native::<redis::Client>().unwrap();
    let (mut sink, mut messages) = client.get_async_pubsub().await.unwrap().split();
    sink.subscribe("news").await.unwrap();
    let tell = |group: &str, steps: usize| {
        let own = KeyGroup::new(group).unwrap();
        let step = |at: usize| Op::Increment {
            key: own.key(format!("n{at}")),
            by: 1,
            ttl_if_created: Ttl::Unset,
        };
        let txn = (0..steps).map(step).fold(Txn::new(), Txn::then);
        let notice = Notice::new(Key::new("news").unwrap(), group.to_owned());
        txn.then(Op::Notify(notice))
    };
    script_flush(&kv).await;
    kv.commit_one(tell("known", 2)).await.unwrap();
    let list = [tell("a", 1), tell("b", 2), tell("c", 3), tell("d", 2)];
    kv.commit(list).await.unwrap();
    let mut told = Vec::new();
    while told.last().is_none_or(|last| last != "d") {
        let message = futures_util::StreamExt::next(&mut messages).await.unwrap();
        told.push(message.get_payload::<String>().unwrap());
    }
    assert_eq!(told, ["known", "a", "b", "c", "d"]);
}
