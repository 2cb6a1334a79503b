//! The atomic commands with everything that they can hold, and an answer to each.

use crate::samples::KEYS;
use kv_core::{
    Bodies, Command, Content, Expiry, Fate, Guard, Key, Lifetime, Mark, Moved, Notice, Op, OpReply,
    Read, RelativeRange, RelativeScore, Reply, Rule, Score, ScoreRange, ScoredMember, Throttle,
    Throttled, TimeToLive, Timestamp, Ttl, Txn, TxnReply, ZMove, ZMoved,
};
use std::time::Duration;

/// All keys of an atomic step share a group.
fn key(name: &str) -> Key {
    format!("{{mail}}:{name}").try_into().unwrap()
}

fn plain(position: usize) -> Key {
    KEYS[position].try_into().unwrap()
}

/// One sample for each command, and more of some.
pub(crate) fn commands() -> Vec<Command> {
    let txns = vec![every_guard(), every_op(), every_read(), on_a_plain_key()];
    vec![
        Command::Commit { txns },
        Command::Commit {
            txns: vec![on_a_plain_key()],
        },
        Command::ZMove {
            step: Box::new(full_move()),
        },
        Command::ZMove {
            step: Box::new(ZMove::new(1).from(plain(0), 5)),
        },
        Command::Throttle {
            request: Throttle::new()
                .limit(key("minute"), rule())
                .limit(key("hour"), rule())
                .cost(2),
        },
        Command::Notify {
            channel: plain(2),
            payload: "payload".into(),
        },
    ]
}

fn rule() -> Rule {
    Rule::gcra(9, Duration::from_secs(60), 9).unwrap()
}

fn every_guard() -> Txn {
    let range = || RelativeRange::up_to(RelativeScore::NOW);
    [
        Guard::exists(key("a")),
        Guard::absent(key("b")),
        Guard::value_is(key("c"), "mark"),
        Guard::field_is(key("d"), "f", "mark"),
        Guard::field_absent(key("e"), "f"),
        Guard::score_is(key("f"), "m", Score::from(1)),
        Guard::score_within(key("g"), "m", range()),
        Guard::member_exists(key("h"), "m"),
        Guard::field_exists(key("i"), "f"),
        Guard::count_below(key("j"), range(), 3),
        Guard::at_most(key("k"), 3),
        Guard::field_at_most(key("l"), "f", 3),
    ]
    .into_iter()
    .fold(Txn::new(), Txn::when)
    .otherwise(Read::Get { key: key("c") })
}

fn every_op() -> Txn {
    let lifetime = Lifetime::new(Duration::from_secs(9)).unwrap();
    let value = |text: &str| Content::Value(text.into());
    let mark = |text: &str| Content::Mark(Mark::from(text));
    let notice = || Notice::new(plain(0), "payload");
    Txn::new()
        .then(Op::Set {
            key: key("a"),
            content: value("value"),
            ttl: Ttl::Unset,
        })
        .then(Op::Set {
            key: key("b"),
            content: mark("mark"),
            ttl: Ttl::Held(lifetime),
        })
        .then(Op::Delete { key: key("c") })
        .then(Op::DeleteIf {
            key: key("d"),
            mark: "mark".into(),
        })
        .then(Op::Increment {
            key: key("e"),
            by: 3,
            ttl_if_created: Ttl::Unset,
        })
        .then(Op::HSet {
            key: key("f"),
            fields: vec![("f".into(), value("value")), ("g".into(), mark("mark"))],
        })
        .then(Op::HDel {
            key: key("f"),
            fields: vec!["h".into()],
        })
        .then(Op::HIncrement {
            key: key("f"),
            field: "i".into(),
            by: 2,
        })
        .then(Op::ZAdd {
            key: key("g"),
            members: vec![("m".into(), RelativeScore::Now(5))],
            notify_if_first: Some(notice()),
        })
        .then(Op::ZRem {
            key: key("g"),
            members: vec!["n".into()],
        })
        .then(Op::ZRemRange {
            key: key("h"),
            range: ScoreRange::ALL.into(),
            limit: 7,
        })
        .then(Op::Expire {
            key: key("h"),
            expiry: Expiry::Held(lifetime),
        })
        .then(Op::Persist { key: key("g") })
        .then(Op::Notify(notice()))
        .then(Op::NextToken {
            key: key("i"),
            ttl: Ttl::Unset,
        })
        .then(Read::Get { key: key("j") })
}

/// Refused by its guard, so that the other branch is read.
fn every_read() -> Txn {
    let range = RelativeRange::ALL;
    [
        Read::Get { key: key("a") },
        Read::GetMark { key: key("b") },
        Read::Ttl { key: key("c") },
        Read::HGet {
            key: key("d"),
            field: "f".into(),
        },
        Read::HGetMark {
            key: key("d"),
            field: "g".into(),
        },
        Read::ZScore {
            key: key("e"),
            member: "m".into(),
        },
        Read::ZCount {
            key: key("e"),
            range,
        },
        Read::ZRange {
            key: key("e"),
            range,
            limit: 5,
        },
        Read::LastToken { key: key("i") },
        Read::Now,
    ]
    .into_iter()
    .fold(Txn::new().when(Guard::exists(key("a"))), Txn::otherwise)
}

fn on_a_plain_key() -> Txn {
    Txn::new()
        .when(Guard::absent(plain(2)))
        .then(Op::Delete { key: plain(2) })
}

fn full_move() -> ZMove {
    ZMove::new(3)
        .when(Guard::value_is(key("leader"), "me"))
        .from_counted(key("lease"), RelativeScore::NOW, key("tally"))
        .from(key("due"), RelativeScore::NOW)
        .to(key("lease"), RelativeScore::after(Duration::from_secs(30)))
        .capacity(9)
        .with(key("body"), Fate::Keep)
        .with(key("state"), Fate::Take)
        .with(key("result"), Fate::Drop)
}

/// The answer of a store that holds one of everything; none to the other commands.
pub(crate) fn reply(command: &Command) -> Option<Reply> {
    let now = Timestamp::from_micros(1);
    Some(match command {
        Command::Commit { txns } => Reply::Commit(
            txns.iter()
                .map(|txn| match txn.when.as_slice() {
                    [Guard::Exists { .. }] => {
                        let answers = txn.otherwise.iter().map(answer).collect();
                        Ok(TxnReply::refused(answers).with_now(Some(now)))
                    }
                    _ => Ok(TxnReply::applied(txn.then.iter().map(done).collect())),
                })
                .collect(),
        ),
        Command::ZMove { step } => {
            let mut moved = Moved::new("m", 0, Score::from(1));
            let body = |it: &Bodies| (it.fate != Fate::Drop).then(|| "body".into());
            moved.bodies = step.hashes.iter().map(body).map(Ok).collect();
            Reply::ZMove(ZMoved::new(vec![moved], now, Some(Score::from(2)), true))
        }
        Command::Throttle { .. } => Reply::Throttle(Throttled::new(now, true, Vec::new())),
        Command::Notify { .. } => Reply::Notify(()),
        _ => return None,
    })
}

fn done(op: &Op) -> OpReply {
    match op {
        Op::Set { .. } | Op::Notify(_) => OpReply::Done,
        Op::Delete { .. } | Op::DeleteIf { .. } | Op::Expire { .. } | Op::Persist { .. } => {
            OpReply::Flag(true)
        }
        Op::Increment { .. } | Op::HIncrement { .. } => OpReply::Integer(3),
        Op::NextToken { .. } => OpReply::Token(8),
        Op::Read(read) => answer(read),
        _ => OpReply::Count(1),
    }
}

fn answer(read: &Read) -> OpReply {
    match read {
        Read::Get { .. } | Read::HGet { .. } => OpReply::Value(Some("value".into())),
        Read::GetMark { .. } | Read::HGetMark { .. } => OpReply::Mark(Some("mark".into())),
        Read::Ttl { .. } => OpReply::Ttl(TimeToLive::NoExpiry),
        Read::ZScore { .. } => OpReply::Score(Some(Score::from(1))),
        Read::ZRange { .. } => OpReply::Members(vec![ScoredMember::new("m", None)]),
        Read::LastToken { .. } => OpReply::Token(7),
        Read::Now => OpReply::Time(Timestamp::from_micros(1)),
        _ => OpReply::Count(1),
    }
}
