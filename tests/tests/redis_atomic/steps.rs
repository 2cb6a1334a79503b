//! Every kind of condition and step.

use crate::{key, open, zadd};
use kv_core::{
    ErrorKind, Expiry, Guard, Key, Member, Notice, Op, Read, RelativeRange, RelativeScore, Score,
    ScoreBound, TimeToLive, Timestamp, Ttl, Txn, Value,
};
use kv_redis::redis;
use std::time::Duration;

#[tokio::test]
async fn guards_judge_every_kind() {
    let (_server, kv) = open().await;
    kv.set(key("s"), "v").await.unwrap();
    kv.hset(key("h"), "f\0\u{ff}", "v").await.unwrap();
    kv.zadd(
        key("z"),
        [
            ("m", 0.1),
            ("low", f64::NEG_INFINITY),
            ("high", f64::INFINITY),
        ],
    )
    .await
    .unwrap();
    let score = |it: f64| Score::new(it).unwrap();
    let within = |min: ScoreBound, max: ScoreBound| {
        Guard::score_within(key("z"), "m", RelativeRange::new(min, max))
    };
    let below = |limit| Guard::CountBelow {
        key: key("z"),
        range: RelativeRange::ALL,
        limit,
    };
    let (tenth, one) = (score(0.1), score(1.0));
    let cases = [
        (Guard::exists(key("h")), true),
        (Guard::exists(key("no")), false),
        (Guard::absent(key("no")), true),
        (Guard::absent(key("z")), false),
        (Guard::value_is(key("s"), "v"), true),
        (Guard::value_is(key("s"), "w"), false),
        (Guard::value_is(key("h"), "v"), false),
        (
            Guard::ValueIs {
                key: key("h"),
                mark: None,
            },
            false,
        ),
        (
            Guard::ValueIs {
                key: key("no"),
                mark: None,
            },
            true,
        ),
        (Guard::field_is(key("h"), "f\0\u{ff}", "v"), true),
        (Guard::field_is(key("h"), "g", "v"), false),
        (Guard::field_absent(key("h"), "g"), true),
        (Guard::field_absent(key("no"), "g"), true),
        (Guard::field_exists(key("h"), "f\0\u{ff}"), true),
        (Guard::score_is(key("z"), "m", tenth), true),
        (Guard::score_is(key("z"), "m", one), false),
        (Guard::score_is(key("z"), "low", Score::MIN), true),
        (Guard::score_is(key("z"), "high", Score::MAX), true),
        (Guard::score_is(key("z"), "no", one), false),
        (Guard::member_absent(key("z"), "no"), true),
        (Guard::member_exists(key("z"), "m"), true),
        (within(tenth.into(), one.into()), true),
        (within(ScoreBound::Excluded(tenth), one.into()), false),
        (
            within(Score::MIN.into(), ScoreBound::Excluded(tenth)),
            false,
        ),
        (
            Guard::score_within(key("z"), "m", RelativeRange::up_to(RelativeScore::NOW)),
            true,
        ),
        (
            Guard::score_within(key("z"), "high", RelativeRange::up_to(RelativeScore::NOW)),
            false,
        ),
        (below(0), false),
        (below(3), false),
        (below(4), true),
        (below(u64::MAX), true),
        (Guard::at_most(key("no"), 0), true),
        (Guard::at_most(key("no"), -1), false),
    ];
    for (guard, holds) in cases {
        let told = format!("{guard:?}");
        let reply = kv.commit_one(Txn::new().when(guard)).await.unwrap();
        assert_eq!(reply.applied, holds, "{told}");
    }
    for guard in [
        Guard::at_most(key("h"), 1),
        Guard::field_is(key("s"), "f", "v"),
        Guard::member_exists(key("h"), "m"),
    ] {
        let error = kv.commit_one(Txn::new().when(guard)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongType);
    }
}

#[tokio::test]
async fn steps_do_what_they_say_and_reads_see_them() {
    let (_server, kv) = open().await;
    kv.zadd(key("z"), [("a\0", 1.0), ("b", 2.0), ("c", 3.0)])
        .await
        .unwrap();
    kv.set(key("m"), "mark").await.unwrap();
    kv.hset(key("structure"), "f", "v").await.unwrap();
    let range = |limit| Read::ZRange {
        key: key("z"),
        range: RelativeRange::ALL,
        limit,
    };
    let txn = Txn::new()
        .then(Op::ZRemRange {
            key: key("z"),
            range: RelativeRange::up_to(2.into()),
            limit: 1,
        })
        .then(zadd("z", &[("d", f64::INFINITY), ("e", -0.5)]))
        .then(range(2))
        .then(Op::HSet {
            key: key("h"),
            fields: vec![],
        })
        .then(Op::ZRem {
            key: key("no"),
            members: vec![],
        })
        .then(Op::DeleteIf {
            key: key("m"),
            mark: "mark".into(),
        })
        .then(Op::DeleteIf {
            key: key("structure"),
            mark: "v".into(),
        })
        .then(Op::Expire {
            key: key("z"),
            expiry: Expiry::try_from(Duration::from_secs(9)).unwrap(),
        })
        .then(Read::Ttl { key: key("z") })
        .then(Op::Set {
            key: key("past"),
            content: Value::from("v").into(),
            ttl: Ttl::At(Timestamp::from_micros(1)),
        })
        .then(Op::Increment {
            key: key("lease"),
            by: 5,
            ttl_if_created: Ttl::after(Duration::from_secs(5)).unwrap(),
        })
        .then(Read::Now)
        .then(Read::HGet {
            key: key("h"),
            field: "f".into(),
        });
    let mut reply = kv.commit_one(txn).await.unwrap();
    assert_eq!(reply.count(0).unwrap(), 1);
    assert_eq!(reply.count(1).unwrap(), 2);
    let members = reply.members(2).unwrap();
    assert_eq!(members[0].member, Member::from("e"));
    assert_eq!(members[1].score, Some(Score::from(2)));
    assert_eq!((reply.count(3).unwrap(), reply.count(4).unwrap()), (0, 0));
    assert!(reply.flag(5).unwrap() && !reply.flag(6).unwrap() && reply.flag(7).unwrap());
    assert!(matches!(reply.ttl(8).unwrap(), TimeToLive::In(left) if left > Duration::from_secs(8)));
    assert_eq!(reply.integer(10).unwrap(), 5);
    assert_eq!(Some(reply.time(11).unwrap()), reply.now);
    assert_eq!(reply.value(12).unwrap(), None);
    let gone = [key("h"), key("no"), key("past"), key("m")];
    assert_eq!(kv.exists_many(gone).await.unwrap(), 0);
    assert!(matches!(
        kv.time_to_live(key("lease")).await.unwrap(),
        TimeToLive::In(_)
    ));
}

#[tokio::test]
async fn a_new_first_member_is_told() {
    let (_server, kv) = open().await;
    let client = kv.native::<redis::Client>().unwrap();
    let (sink, mut messages) = client.get_async_pubsub().await.unwrap().split();
    let mut sink = sink;
    sink.subscribe("wake").await.unwrap();
    let add = |members: &[(&str, f64)]| {
        let Op::ZAdd { key, members, .. } = zadd("z", members) else {
            unreachable!()
        };
        let notify_if_first = Some(Notice::new(Key::new("wake").unwrap(), "now"));
        Txn::new().then(Op::ZAdd {
            key,
            members,
            notify_if_first,
        })
    };
    let told = [true, false, true, false, true];
    let txns = [
        add(&[("b", 5.0)]),
        add(&[("c", 6.0), ("d", 7.0)]),
        add(&[("e", 9.0), ("a", 5.0)]),
        add(&[("a", 5.0)]),
        add(&[("a", 4.0)]),
    ];
    kv.commit(txns).await.unwrap();
    kv.notify(Key::new("wake").unwrap(), "end").await.unwrap();
    let mut count = 0;
    loop {
        let message = futures_util::StreamExt::next(&mut messages).await.unwrap();
        if message.get_payload_bytes() == b"end" {
            break;
        }
        count += 1;
    }
    assert_eq!(count, told.into_iter().filter(|it| *it).count());
}
