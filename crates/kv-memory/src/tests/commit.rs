use super::{START, fails, fixture, millis};
use crate::MemoryConfig;
use kv_core::{
    ErrorKind, Expiry, Guard, Key, Kv, Notice, Op, OpReply, Read, RelativeRange, RelativeScore,
    Scores, TimeToLive, Timestamp, Ttl, Txn, TxnReply, Value,
};

pub(super) fn key(name: &str) -> Key {
    Key::new(format!("{{g}}{name}")).unwrap()
}

pub(super) fn set(name: &str, value: &str) -> Op {
    Op::Set {
        key: key(name),
        content: Value::from(value).into(),
        ttl: Ttl::Never,
    }
}

fn hset(name: &str, fields: &[(&str, &str)]) -> Op {
    let fields = fields.iter();
    Op::HSet {
        key: key(name),
        fields: fields
            .map(|(field, value)| ((*field).into(), Value::from(*value).into()))
            .collect(),
    }
}

fn zadd(name: &str, members: &[(&str, i32)], notify_if_first: Option<Notice>) -> Op {
    let members = members.iter();
    Op::ZAdd {
        key: key(name),
        members: members
            .map(|(member, score)| ((*member).into(), (*score).into()))
            .collect(),
        notify_if_first,
    }
}

fn token(name: &str) -> Op {
    Op::NextToken {
        key: key(name),
        ttl: Ttl::Never,
    }
}

async fn then(kv: &Kv, op: impl Into<Op>) -> kv_core::Result<TxnReply> {
    kv.commit_one(Txn::new().then(op)).await
}

#[tokio::test]
async fn a_step_of_the_wrong_type_applies_nothing() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    kv.set(key("s"), "1").await.unwrap();
    kv.zadd(key("z"), [("m", 1)]).await.unwrap();
    let before = || {
        Txn::new()
            .then(set("new", "v"))
            .then(hset("h", &[("f", "v")]))
    };
    let wrong: [(Op, &str); 8] = [
        (hset("z", &[("f", "v")]), "z"),
        (hset("z", &[]), "z"),
        (zadd("s", &[], None), "s"),
        (
            Op::HDel {
                key: key("s"),
                fields: vec![],
            },
            "s",
        ),
        (
            Op::ZRem {
                key: key("s"),
                members: vec![],
            },
            "s",
        ),
        (
            Op::Increment {
                key: key("z"),
                by: 1,
                ttl_if_created: Ttl::Never,
            },
            "z",
        ),
        (Read::Get { key: key("z") }.into(), "z"),
        // What an earlier step makes counts too.
        (
            Read::ZScore {
                key: key("h"),
                member: "m".into(),
            }
            .into(),
            "h",
        ),
    ];
    for (op, name) in wrong {
        let answer = kv.commit_one(before().then(op)).await;
        fails(answer, ErrorKind::WrongType, &format!("{{g}}{name}"));
    }
    kv.set(key("text"), "one").await.unwrap();
    kv.hset(key("full"), "f", i64::MAX.to_string())
        .await
        .unwrap();
    kv.set(key("negative"), "-1").await.unwrap();
    kv.set(key("last"), i64::MAX.to_string()).await.unwrap();
    let full = Op::HIncrement {
        key: key("full"),
        field: "f".into(),
        by: 1,
    };
    let text = Op::Increment {
        key: key("text"),
        by: 1,
        ttl_if_created: Ttl::Never,
    };
    let others = [
        (full, "full", ErrorKind::Overflow),
        (text, "text", ErrorKind::NotAnInteger),
        (token("negative"), "negative", ErrorKind::NotAnInteger),
        (token("last"), "last", ErrorKind::Overflow),
        (
            Read::LastToken { key: key("text") }.into(),
            "text",
            ErrorKind::NotAnInteger,
        ),
    ];
    for (op, name, kind) in others {
        let answer = kv.commit_one(before().then(op)).await;
        fails(answer, kind, &format!("{{g}}{name}"));
    }
    assert_eq!(kv.exists_many([key("new"), key("h")]).await.unwrap(), 0);
    it.audit();
}

#[tokio::test]
async fn a_transaction_that_fails_leaves_the_others_alone() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    let seen = Txn::new()
        .when(Guard::value_is(key("a"), "1"))
        .then(set("b", "2"));
    let txns = [
        Txn::new().then(set("a", "1")),
        Txn::new().then(hset("a", &[("f", "v")])),
        seen,
    ];
    let answers = kv.commit(txns).await.unwrap();
    let [first, second, third] = &answers[..] else {
        panic!("three transactions, three answers");
    };
    let error = second.as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongType);
    assert_eq!(
        (error.operation(), error.provider()),
        (Some("commit"), Some("memory"))
    );
    assert!(first.as_ref().unwrap().applied && third.as_ref().unwrap().applied);
    assert_eq!(kv.get(key("b")).await.unwrap().unwrap(), "2");
}

#[tokio::test]
async fn steps_run_in_order_and_reads_see_them() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    kv.zadd(key("z"), [("a", 1), ("b", 2)]).await.unwrap();
    kv.expire(key("z"), millis(50)).await.unwrap();
    let txn = Txn::new()
        .then(Op::ZRemRange {
            key: key("z"),
            range: RelativeRange::ALL,
            limit: 200,
        })
        .then(Read::Ttl { key: key("z") })
        .then(zadd("z", &[("a", 7)], None))
        .then(Read::Ttl { key: key("z") })
        .then(Read::ZRange {
            key: key("z"),
            range: RelativeRange::ALL,
            limit: 5,
        })
        .then(Op::HIncrement {
            key: key("h"),
            field: "f".into(),
            by: 3,
        })
        .then(Read::HGetMark {
            key: key("h"),
            field: "f".into(),
        });
    let mut reply = kv.commit_one(txn).await.unwrap();
    assert_eq!(
        reply.answers[..2],
        [OpReply::Count(2), OpReply::Ttl(TimeToLive::Missing)]
    );
    assert_eq!(reply.ttl(3).unwrap(), TimeToLive::NoExpiry);
    let left = reply.members(4).unwrap();
    assert_eq!(
        (left[0].member.as_bytes(), left[0].score),
        (&b"a"[..], Some(7.into()))
    );
    assert_eq!(
        (reply.integer(5).unwrap(), reply.mark(6).unwrap()),
        (3, Some("3".into()))
    );
    assert_eq!(reply.now, None);
    it.audit();
}

#[tokio::test]
async fn a_set_or_an_expiry_in_the_past_leaves_no_key() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    kv.set(key("s"), "old").await.unwrap();
    kv.hset(key("h"), "f", "v").await.unwrap();
    let past = Op::Set {
        key: key("s"),
        content: Value::from("v").into(),
        ttl: Ttl::At(START),
    };
    let ends = Op::Expire {
        key: key("h"),
        expiry: Expiry::At(START),
    };
    let txn = Txn::new()
        .then(past)
        .then(ends)
        .then(hset("h", &[("g", "w")]));
    let reply = kv.commit_one(txn).await.unwrap();
    assert_eq!(
        reply.answers,
        [OpReply::Done, OpReply::Flag(true), OpReply::Count(1)]
    );
    assert!(!kv.exists(key("s")).await.unwrap());
    assert_eq!(kv.hlen(key("h")).await.unwrap(), 1);
    it.audit();
}

#[tokio::test]
async fn a_deadline_is_taken_off_in_a_transaction() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    kv.hset(key("h"), "f", "v").await.unwrap();
    kv.expire(key("h"), millis(500)).await.unwrap();
    let persist = |name: &str| Op::Persist { key: key(name) };
    let txn = || Txn::new().then(persist("h")).then(persist("none"));
    for had in [true, false] {
        let reply = kv.commit_one(txn()).await.unwrap();
        let expected = [OpReply::Flag(had), OpReply::Flag(false)];
        assert_eq!(reply.answers, expected);
    }
    it.clock
        .set(Timestamp::from_micros(START.as_micros() + 600_000));
    assert_eq!(kv.hlen(key("h")).await.unwrap(), 1);
    it.audit();
}

#[tokio::test]
async fn tokens_rise_with_the_clock_and_without() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    let start = START.as_micros().unsigned_abs();
    assert_eq!(then(kv, token("t")).await.unwrap().token(0).unwrap(), start);
    assert_eq!(
        then(kv, token("t")).await.unwrap().token(0).unwrap(),
        start + 1
    );
    it.clock.set(Timestamp::from_micros(5));
    let reply = then(kv, token("t")).await.unwrap();
    assert_eq!(
        (reply.now, reply.answers),
        (None, vec![OpReply::Token(start + 2)])
    );
    let last = |name: &str| Read::LastToken { key: key(name) };
    assert_eq!(
        then(kv, last("t")).await.unwrap().token(0).unwrap(),
        start + 2
    );
    assert_eq!(then(kv, last("none")).await.unwrap().token(0).unwrap(), 0);
}

#[tokio::test]
async fn delete_if_compares_strings_only() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    kv.set(key("s"), "x").await.unwrap();
    kv.hset(key("h"), "f", "x").await.unwrap();
    let delete = |name: &str, mark: &str| Op::DeleteIf {
        key: key(name),
        mark: mark.into(),
    };
    for (name, mark, deleted) in [("s", "y", false), ("h", "x", false), ("s", "x", true)] {
        let mut reply = then(kv, delete(name, mark)).await.unwrap();
        assert_eq!(reply.flag(0).unwrap(), deleted, "{name} {mark}");
    }
    assert!(kv.exists(key("h")).await.unwrap());
}

#[tokio::test]
async fn all_of_a_call_agree_on_the_time() {
    let it = fixture(MemoryConfig::default()).await;
    let add = Op::ZAdd {
        key: key("z"),
        members: vec![("m".into(), RelativeScore::after(millis(5)))],
        notify_if_first: None,
    };
    let txn = Txn::new()
        .when(Guard::absent(key("none")))
        .then(add)
        .then(Read::Now);
    let mut reply = it.kv.commit_one(txn).await.unwrap();
    assert_eq!((reply.now, reply.time(1).unwrap()), (Some(START), START));
    let found = it
        .kv
        .zrange(key("z"), 0, -1, Scores::Include)
        .await
        .unwrap();
    assert_eq!(found[0].score, Some(START.saturating_add(millis(5)).into()));
    // The branch that was not taken counts as well.
    let held = Txn::new()
        .when(Guard::exists(key("z")))
        .otherwise(Read::Now);
    assert_eq!(it.kv.commit_one(held).await.unwrap().now, Some(START));
}

#[tokio::test]
async fn a_message_goes_out_if_the_head_is_new_and_given() {
    use futures_util::{FutureExt, StreamExt};
    let it = fixture(MemoryConfig::default()).await;
    let channel = Key::new("wake").unwrap();
    let mut events = it
        .kv
        .watch(kv_core::Watch::Channels(vec![channel.clone()]))
        .await
        .unwrap();
    let notice = || Some(Notice::new(&channel, "now"));
    it.kv.zadd(key("z"), [("m", 10)]).await.unwrap();
    let cases: [(&[(&str, i32)], bool); 7] = [
        (&[("n", 20)], false),
        (&[("m", 10)], false),
        (&[("n", 5)], true),
        (&[("n", 5), ("o", 7)], false),
        (&[("a", 5)], true),
        // The head changes, but to one that was not given.
        (&[("a", 30)], false),
        (&[("n", 6)], true),
    ];
    for (members, sent) in cases {
        then(&it.kv, zadd("z", members, notice())).await.unwrap();
        assert_eq!(events.next().now_or_never().is_some(), sent, "{members:?}");
    }
    let refused = Txn::new()
        .then(Op::Notify(notice().unwrap()))
        .then(hset("z", &[]));
    fails(
        it.kv.commit_one(refused).await,
        ErrorKind::WrongType,
        "{g}z",
    );
    assert!(events.next().now_or_never().is_none());
    then(&it.kv, Op::Notify(notice().unwrap())).await.unwrap();
    assert!(events.next().now_or_never().is_some());
}
