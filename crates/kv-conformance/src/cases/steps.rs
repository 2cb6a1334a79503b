//! I: each step and each read of a transaction.

use super::{cases, ops};
use crate::{
    bench::Bench,
    failure::{Verdict, ensure, ensure_eq, ensure_error},
};
use kv_core::{
    Content, Guard, Member, Op, OpReply, Read, RelativeRange, RelativeScore, Score, ScoreRange,
    ScoredMember, TimeToLive, Ttl, Txn, TxnReply,
};
use std::time::Duration;

cases! {
    'I' 205 "each step does and answers what its command would" [Strings, Hashes, SortedSets, Counters, Commit] each_step;
    'I' 206 "reads in a transaction see the steps before them" [Strings, Hashes, SortedSets, Counters, Commit] reads_see_steps;
    'I' 213 "steps without elements create nothing" [Strings, Hashes, SortedSets, Commit] no_elements;
    'I' 215 "what is relative is told by the store's clock" [SortedSets, StoreTime, Commit] relative;
    'I' 216 "marks and values come back as what they were written" [Strings, Hashes, Commit] contents;
}

async fn each_step(b: Bench) -> Verdict {
    let [s, n, h, z, x] = ops::stock(&b).await?;
    let z2 = b.grouped("g", ":z2");
    let range = |key: &kv_core::Key, limit| Op::ZRemRange {
        key: key.clone(),
        range: ScoreRange::up_to(Score::from(5)).into(),
        limit,
    };
    let txn = Txn::new()
        .then(ops::set(&s, "replaced"))
        .then(ops::add(&x, -3))
        .then(ops::delete(&n))
        .then(ops::hset(&h, [("f", "w"), ("g", "new")]))
        .then(ops::hdel(&h, ["text", "none"]))
        .then(ops::hadd(&h, "n", 4))
        .then(ops::zadd(&z, [("m", 9), ("o", 3), ("p", 4)]))
        .then(ops::zrem(&z, ["n", "none"]))
        .then(range(&z, 1))
        .then(ops::zadd(&z2, [("a", 1)]));
    let expected = vec![
        OpReply::Done,
        OpReply::Integer(-3),
        OpReply::Flag(true),
        OpReply::Count(1),
        OpReply::Count(1),
        OpReply::Integer(4),
        OpReply::Count(2),
        OpReply::Count(1),
        OpReply::Count(1),
        OpReply::Count(1),
    ];
    let reply = b.kv.commit_one(txn).await?;
    ensure_eq!(reply, TxnReply::applied(expected), "the answers");
    b.holds(&s, "replaced").await?;
    b.holds(&x, "-3").await?;
    b.lacks(&n).await?;
    let mut fields: Vec<_> = b.kv.hgetall(&h).await?.into_iter().collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [("f", "w"), ("g", "new"), ("n", "4")];
    let expected = expected.map(|(field, value)| (field.into(), value.into()));
    ensure_eq!(fields, expected, "the fields");
    let left = super::sorted_sets::members(&b, &z).await?;
    let expected = [("p".to_owned(), 4.0), ("m".to_owned(), 9.0)];
    ensure_eq!(left, expected, "the members");

    // A range is removed before members are added to it, in the order of the steps.
    let swap = Txn::new()
        .then(range(&z, 200))
        .then(ops::zadd(&z, [("q", 2)]))
        .then(ops::zscore(&z, "p"));
    let expected = vec![OpReply::Count(1), OpReply::Count(1), OpReply::Score(None)];
    let reply = b.kv.commit_one(swap).await?;
    ensure_eq!(
        reply,
        TxnReply::applied(expected),
        "remove a range, then add"
    );
    let added_first = Txn::new()
        .then(ops::zadd(&z, [("r", 1), ("s", 1)]))
        .then(range(&z, 2));
    b.kv.commit_one(added_first).await?;
    let left = super::sorted_sets::members(&b, &z).await?;
    let expected = [("q".to_owned(), 2.0), ("m".to_owned(), 9.0)];
    ensure_eq!(left, expected, "add, then remove the lowest two of a range");
    Ok(())
}

async fn reads_see_steps(b: Bench) -> Verdict {
    let [s, n, h, z, x] = ops::stock(&b).await?;
    let all = RelativeRange::ALL;
    let count = || Read::ZCount {
        key: z.clone(),
        range: all,
    };
    let range = |limit| Read::ZRange {
        key: z.clone(),
        range: all,
        limit,
    };
    let ttl = |key: &kv_core::Key| Read::Ttl { key: key.clone() };
    let scored = |member: &str, score: i32| ScoredMember::new(member, Some(score.into()));
    let txn = Txn::new()
        .then(ops::get(&s))
        .then(ops::get_mark(&n))
        .then(ops::hget(&h, "f"))
        .then(ops::hset(&h, [("f", "w")]))
        .then(ops::hget(&h, "f"))
        .then(ops::hget_mark(&h, "none"))
        .then(count())
        .then(ops::zadd(&z, [("l", 1), ("n", 7)]))
        .then(count())
        .then(ops::zscore(&z, "n"))
        .then(range(2))
        .then(ops::get(&x))
        .then(ttl(&x));
    let expected = vec![
        OpReply::Value(Some("text".into())),
        OpReply::Mark(ops::some_mark("9223372036854775800")),
        OpReply::Value(Some("v".into())),
        OpReply::Count(0),
        OpReply::Value(Some("w".into())),
        OpReply::Mark(None),
        OpReply::Count(2),
        OpReply::Count(1),
        OpReply::Count(3),
        OpReply::Score(ops::some_score(7)),
        OpReply::Members(vec![scored("l", 1), scored("m", 1)]),
        OpReply::Value(None),
        OpReply::Ttl(TimeToLive::Missing),
    ];
    let reply = b.kv.commit_one(txn).await?;
    ensure_eq!(reply, TxnReply::applied(expected), "the answers");
    let bounded = Read::ZRange {
        key: z.clone(),
        range: ScoreRange::up_to(Score::from(1)).into(),
        limit: 200,
    };
    let reply = b.kv.commit_one(Txn::new().then(bounded)).await?;
    let expected = OpReply::Members(vec![scored("l", 1), scored("m", 1)]);
    ensure_eq!(reply.answers, [expected], "a range up to 1");
    Ok(())
}

async fn no_elements(b: Bench) -> Verdict {
    let [s, _, h, z, x] = ops::stock(&b).await?;
    let steps = |hash: &kv_core::Key, zset: &kv_core::Key| {
        [
            ops::hset(hash, []),
            ops::hdel(hash, []),
            ops::zadd(zset, []),
            ops::zrem(zset, []),
        ]
    };
    for op in steps(&h, &z).into_iter().chain(steps(&x, &x)) {
        let reply = b.kv.commit_one(Txn::new().then(op.clone())).await?;
        ensure_eq!(reply.answers, [OpReply::Count(0)], "{op:?}");
    }
    ensure_eq!(b.kv.exists(&x).await?, false, "whether nothing was created");
    for op in steps(&s, &s).into_iter().chain(steps(&z, &h)) {
        let answer = b.kv.commit_one(Txn::new().then(op.clone())).await;
        ensure_error!(answer, WrongType, "{op:?} on another type");
    }
    let reply = b.kv.commit_one(Txn::new()).await?;
    ensure_eq!(reply, TxnReply::applied(Vec::new()), "an empty transaction");
    Ok(())
}

async fn relative(b: Bench) -> Verdict {
    let (z, other) = (b.grouped("g", ":z"), b.grouped("g", ":other"));
    let second = 1_000_000_i64;
    let at = |offset: i64| RelativeScore::Now(offset);
    let add = Op::ZAdd {
        key: z.clone(),
        members: [("late", 90), ("now", 0), ("past", -90)]
            .map(|(member, seconds)| (member.into(), at(seconds * second)))
            .into(),
        notify_if_first: None,
    };
    let txn = Txn::new()
        .then(add)
        .then(ops::zscore(&z, "now"))
        .then(Read::Now);
    let (mut reply, written) = b.written(b.kv.commit_one(txn)).await?;
    let now = reply.now;
    let Some(now) = now else {
        return Err(crate::failure::Failure::new(
            "the reply does not tell the store's time",
        ));
    };
    ensure!(
        written.before <= now && now <= written.after,
        "the reply tells {now:?}, between {written:?}"
    );
    ensure_eq!(reply.time(2)?, now, "the time read in the same call");
    ensure_eq!(reply.score(1)?, Some(Score::from(now)), "the score of now");
    for (member, seconds) in [("late", 90), ("past", -90)] {
        let expected = at(seconds * second).at(now);
        ensure_eq!(
            b.kv.zscore(&z, member).await?,
            Some(expected),
            "the score of {member}"
        );
    }

    let due = RelativeRange::up_to(RelativeScore::NOW);
    let count = Read::ZCount {
        key: z.clone(),
        range: due,
    };
    let later = Read::ZRange {
        key: z.clone(),
        range: RelativeRange::above(RelativeScore::after(Duration::from_secs(60))),
        limit: 9,
    };
    let look = Txn::new()
        .when(Guard::score_within(&z, "past", due))
        .when(Guard::count_below(&z, due, 3))
        .then(count)
        .then(later);
    let mut reply = b.kv.commit_one(look).await?;
    ensure!(
        reply.applied && reply.now.is_some(),
        "guards by the clock: {reply:?}"
    );
    ensure_eq!(reply.count(0)?, 2, "how many are due");
    let members: Vec<_> = reply.members(1)?.into_iter().map(|it| it.member).collect();
    ensure_eq!(
        members,
        [Member::from("late")],
        "what is later than in a minute"
    );
    // Each kind of bound alone, as nothing else in the step needs the clock then.
    let after = RelativeRange::above(RelativeScore::NOW);
    for (range, expected) in [(due, 2), (after, 1)] {
        let key = z.clone();
        let mut reply =
            b.kv.commit_one(Txn::new().then(Read::ZCount { key, range }))
                .await?;
        ensure_eq!(reply.count(0)?, expected, "how many are in {range:?}");
        let (key, limit) = (z.clone(), 9);
        let range = Read::ZRange { key, range, limit };
        let mut reply = b.kv.commit_one(Txn::new().then(range.clone())).await?;
        ensure_eq!(
            reply.members(0)?.len(),
            expected as usize,
            "members of {range:?}"
        );
    }
    let refused = Txn::new()
        .when(Guard::score_within(&z, "late", due))
        .otherwise(ops::zscore(&z, "late"));
    let reply = b.kv.commit_one(refused).await?;
    ensure!(!reply.applied, "a later member counts as due");
    ensure!(
        reply.now.is_some(),
        "a refusal by the clock does not tell the time"
    );
    let timeless =
        b.kv.commit_one(Txn::new().then(ops::zadd(&other, [("m", 1)])))
            .await?;
    ensure_eq!(timeless.now, None, "the time where nothing is relative");

    let removed = Op::ZRemRange {
        key: z.clone(),
        range: due,
        limit: 200,
    };
    let mut reply = b.kv.commit_one(Txn::new().then(removed)).await?;
    ensure_eq!(reply.count(0)?, 2, "how many due ones were removed");
    Ok(())
}

async fn contents(b: Bench) -> Verdict {
    let (v, m, h) = (
        b.grouped("g", ":v"),
        b.grouped("g", ":m"),
        b.grouped("g", ":h"),
    );
    let bytes: Vec<u8> = (0..=255).collect();
    let value = Content::Value(bytes.as_slice().into());
    let mark = Content::Mark(bytes.as_slice().into());
    let set = |key: &kv_core::Key, content: &Content| Op::Set {
        key: key.clone(),
        content: content.clone(),
        ttl: Ttl::Never,
    };
    let fields = Op::HSet {
        key: h.clone(),
        fields: vec![("v".into(), value.clone()), ("m".into(), mark.clone())],
    };
    let write = Txn::new()
        .then(set(&v, &value))
        .then(set(&m, &mark))
        .then(fields);
    b.kv.commit_one(write).await?;
    let bytes = bytes.as_slice();
    let read = Txn::new()
        .when(Guard::value_is(&m, bytes))
        .when(Guard::field_is(&h, "m", bytes))
        .then(ops::get(&v))
        .then(ops::get_mark(&m))
        .then(ops::hget(&h, "v"))
        .then(ops::hget_mark(&h, "m"));
    let expected = vec![
        OpReply::Value(Some(bytes.into())),
        OpReply::Mark(Some(bytes.into())),
        OpReply::Value(Some(bytes.into())),
        OpReply::Mark(Some(bytes.into())),
    ];
    let reply = b.kv.commit_one(read).await?;
    ensure_eq!(
        reply,
        TxnReply::applied(expected),
        "all bytes, written and read back"
    );
    b.holds(&v, bytes).await?;
    let field = b.kv.hget(&h, "v").await?;
    ensure_eq!(field, Some(bytes.into()), "the value of the field");
    Ok(())
}
