//! I: the conditions of transactions.

use super::{cases, ops};
use crate::{
    bench::Bench,
    failure::{Failure, Verdict, ensure, ensure_eq, ensure_error},
};
use kv_core::{
    Error, Guard, Key, OpReply, RelativeRange, Score, ScoreBound, ScoreRange, Txn, TxnReply,
};

cases! {
    'I' 201 "each guard holds and fails by what is there" [Strings, Hashes, SortedSets, Counters, Commit] of_what_is_there;
    'I' 202 "to a guard, what is missing is none or zero" [Strings, Hashes, SortedSets, Counters, Commit] of_what_is_missing;
    'I' 203 "a guard on another type or no number refuses the whole" [Strings, Hashes, SortedSets, Counters, Commit] of_another_type;
    'I' 204 "the first guard that does not hold decides" [Strings, Hashes, SortedSets, Counters, Commit] in_order;
}

/// One of each type, in one group.
struct Stock {
    string: Key,
    counter: Key,
    debt: Key,
    largest: Key,
    hash: Key,
    zset: Key,
    missing: Key,
    /// How often a transaction was applied.
    ticks: Key,
}

async fn stock(b: &Bench) -> Verdict<Stock> {
    let key = |name| b.grouped("g", name);
    let it = Stock {
        string: key(":string"),
        counter: key(":counter"),
        debt: key(":debt"),
        largest: key(":largest"),
        hash: key(":hash"),
        zset: key(":zset"),
        missing: key(":missing"),
        ticks: key(":ticks"),
    };
    let fill = Txn::new()
        .then(ops::mark(&it.string, "v"))
        .then(ops::mark(&it.counter, "5"))
        .then(ops::mark(&it.debt, "-7"))
        .then(ops::mark(&it.largest, "9223372036854775807"))
        .then(ops::hset_marks(
            &it.hash,
            [("f", "v"), ("n", "5"), ("", "")],
        ))
        .then(ops::zadd(&it.zset, [("m", 1), ("n", 2), ("o", 3)]))
        .then(ops::mark(&it.ticks, "0"));
    let reply = b.kv.commit_one(fill).await?;
    ensure_eq!(reply.applied, true, "a transaction without guards");
    Ok(it)
}

/// Tries each guard in a call of its own, then all in one call.
async fn judge(b: &Bench, ticks: &Key, guards: &[(Guard, bool)]) -> Verdict {
    let guarded = |guard: &Guard| {
        Txn::new()
            .when(guard.clone())
            .then(ops::add(ticks, 1))
            .otherwise(ops::get_mark(ticks))
    };
    let mut applied = 0_i64;
    let mut expect = |holds: bool| {
        applied += i64::from(holds);
        match holds {
            true => TxnReply::applied(vec![OpReply::Integer(applied)]),
            false => {
                let ticks = ops::some_mark(&applied.to_string());
                TxnReply::refused(vec![OpReply::Mark(ticks)])
            }
        }
    };
    for (guard, holds) in guards {
        let reply = b.kv.commit_one(guarded(guard)).await?;
        ensure_eq!(reply, expect(*holds), "{guard:?}");
    }
    let all = guards.iter().map(|(guard, _)| guarded(guard));
    let replies = b.kv.commit(all).await?;
    ensure_eq!(replies.len(), guards.len(), "how many answers");
    for ((guard, holds), reply) in guards.iter().zip(replies) {
        ensure_eq!(reply?, expect(*holds), "{guard:?}, one of many");
    }
    Ok(())
}

async fn of_what_is_there(b: Bench) -> Verdict {
    let it = stock(&b).await?;
    let (s, h, z) = (&it.string, &it.hash, &it.zset);
    let value = |key: &Key, mark| Guard::ValueIs {
        key: key.clone(),
        mark,
    };
    let up_to = |score: i32| ScoreRange::up_to(Score::from(score));
    let below = |score: i32| {
        let end = ScoreBound::Excluded(Score::from(score));
        RelativeRange::from(ScoreRange::new(ScoreBound::Included(Score::MIN), end))
    };
    let guards = [
        (Guard::exists(s), true),
        (Guard::exists(h), true),
        (Guard::exists(z), true),
        (Guard::absent(s), false),
        (Guard::absent(h), false),
        (Guard::absent(z), false),
        (Guard::value_is(s, "v"), true),
        (Guard::value_is(s, "w"), false),
        (Guard::value_is(s, ""), false),
        (Guard::value_is(s, "v\0"), false),
        (value(s, None), false),
        (value(h, None), false),
        (value(z, None), false),
        (Guard::value_is(h, "v"), false),
        (Guard::value_is(z, ""), false),
        (Guard::field_is(h, "f", "v"), true),
        (Guard::field_is(h, "f", "5"), false),
        (Guard::field_is(h, "", ""), true),
        (Guard::field_absent(h, "f"), false),
        (Guard::field_absent(h, ""), false),
        (Guard::field_exists(h, "f"), true),
        (Guard::field_exists(h, ""), true),
        (Guard::field_exists(h, "g"), false),
        (Guard::score_is(z, "m", 1.into()), true),
        (Guard::score_is(z, "m", 2.into()), false),
        (Guard::member_absent(z, "m"), false),
        (Guard::score_within(z, "n", up_to(2)), true),
        (Guard::score_within(z, "n", up_to(1)), false),
        (Guard::score_within(z, "n", below(2)), false),
        (Guard::score_within(z, "n", RelativeRange::ALL), true),
        (Guard::member_exists(z, "o"), true),
        (Guard::count_below(z, RelativeRange::ALL, 4), true),
        (Guard::count_below(z, RelativeRange::ALL, 3), false),
        (Guard::count_below(z, up_to(2), 3), true),
        (Guard::count_below(z, up_to(2), 2), false),
        (Guard::count_below(z, below(1), 1), true),
        (Guard::count_below(z, below(1), 0), false),
        (Guard::count_below(z, RelativeRange::ALL, u64::MAX), true),
        (Guard::at_most(&it.counter, 5), true),
        (Guard::at_most(&it.counter, 4), false),
        (Guard::at_most(&it.counter, i64::MAX), true),
        (Guard::at_most(&it.debt, -7), true),
        (Guard::at_most(&it.debt, -8), false),
        (Guard::at_most(&it.debt, i64::MIN), false),
        (Guard::at_most(&it.largest, i64::MAX), true),
        (Guard::at_most(&it.largest, i64::MAX - 1), false),
        (Guard::field_at_most(h, "n", 5), true),
        (Guard::field_at_most(h, "n", 4), false),
    ];
    judge(&b, &it.ticks, &guards).await
}

async fn of_what_is_missing(b: Bench) -> Verdict {
    let it = stock(&b).await?;
    let (h, z, x) = (&it.hash, &it.zset, &it.missing);
    let value = |mark| Guard::ValueIs {
        key: x.clone(),
        mark,
    };
    let guards = [
        (Guard::exists(x), false),
        (Guard::absent(x), true),
        (value(None), true),
        (Guard::value_is(x, "v"), false),
        (Guard::value_is(x, ""), false),
        (Guard::field_absent(x, "f"), true),
        (Guard::field_absent(h, "g"), true),
        (Guard::field_is(x, "f", "v"), false),
        (Guard::field_is(h, "g", ""), false),
        (Guard::field_exists(x, "f"), false),
        (Guard::member_absent(x, "m"), true),
        (Guard::member_absent(z, "q"), true),
        (Guard::score_is(x, "m", 0.into()), false),
        (Guard::score_is(z, "q", 0.into()), false),
        (Guard::score_within(x, "m", RelativeRange::ALL), false),
        (Guard::score_within(z, "q", RelativeRange::ALL), false),
        (Guard::member_exists(x, "m"), false),
        (Guard::member_exists(z, "q"), false),
        (Guard::count_below(x, RelativeRange::ALL, 1), true),
        (Guard::count_below(x, RelativeRange::ALL, 0), false),
        (Guard::at_most(x, 0), true),
        (Guard::at_most(x, -1), false),
        (Guard::field_at_most(x, "n", 0), true),
        (Guard::field_at_most(x, "n", -1), false),
        (Guard::field_at_most(h, "g", 0), true),
        (Guard::field_at_most(h, "g", -1), false),
    ];
    judge(&b, &it.ticks, &guards).await?;
    ensure_eq!(
        b.kv.exists(x).await?,
        false,
        "whether a guard created a key"
    );
    Ok(())
}

fn names(error: &Error, key: &Key) -> Verdict {
    let named = error.key();
    match named == Some(key.to_string().as_str()) {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "the error must name `{key}`, but names {named:?}: {error}"
        ))),
    }
}

async fn of_another_type(b: Bench) -> Verdict {
    let it = stock(&b).await?;
    let (s, h, z) = (&it.string, &it.hash, &it.zset);
    let guarded = |guard: &Guard| {
        Txn::new()
            .when(guard.clone())
            .then(ops::add(&it.ticks, 1))
            .otherwise(ops::get_mark(&it.ticks))
    };
    let mut guards = Vec::new();
    for key in [s, h] {
        guards.extend([
            Guard::score_is(key, "m", 1.into()),
            Guard::member_absent(key, "m"),
            Guard::score_within(key, "m", RelativeRange::ALL),
            Guard::member_exists(key, "m"),
            Guard::count_below(key, RelativeRange::ALL, 5),
        ]);
    }
    for key in [s, z] {
        guards.extend([
            Guard::field_is(key, "f", "v"),
            Guard::field_absent(key, "f"),
            Guard::field_exists(key, "f"),
            Guard::field_at_most(key, "f", 5),
        ]);
    }
    guards.extend([Guard::at_most(h, 5), Guard::at_most(z, 5)]);
    for guard in &guards {
        let answer = b.kv.commit_one(guarded(guard)).await;
        let error = ensure_error!(answer, WrongType, "{guard:?}");
        names(&error, guard.key())?;
    }

    for text in [
        "",
        "abc",
        "1.5",
        "01",
        "+1",
        " 1",
        "-0",
        "9223372036854775808",
    ] {
        let fill = Txn::new()
            .then(ops::mark(s, text))
            .then(ops::hset_marks(h, [("text", text)]));
        b.kv.commit_one(fill).await?;
        for guard in [
            Guard::at_most(s, i64::MAX),
            Guard::field_at_most(h, "text", i64::MAX),
        ] {
            let answer = b.kv.commit_one(guarded(&guard)).await;
            let error = ensure_error!(answer, NotAnInteger, "{guard:?} of {text:?}");
            names(&error, guard.key())?;
        }
    }
    b.holds(&it.ticks, "0").await
}

async fn in_order(b: Bench) -> Verdict {
    let it = stock(&b).await?;
    let (refuses, fails) = (
        || Guard::absent(&it.string),
        || Guard::member_exists(&it.string, "m"),
    );
    let txn = |guards: Vec<Guard>| {
        let txn = guards.into_iter().fold(Txn::new(), Txn::when);
        txn.then(ops::add(&it.ticks, 1))
    };
    let holds = || Guard::exists(&it.string);
    let reply =
        b.kv.commit_one(txn(vec![holds(), refuses(), fails()]))
            .await?;
    ensure!(
        !reply.applied,
        "applied though the second guard does not hold"
    );
    let answer =
        b.kv.commit_one(txn(vec![holds(), fails(), refuses()]))
            .await;
    ensure_error!(
        answer,
        WrongType,
        "a guard that fails before one that refuses"
    );
    let reply =
        b.kv.commit_one(txn(vec![holds(), holds(), refuses()]))
            .await?;
    ensure!(
        !reply.applied,
        "applied though the last guard does not hold"
    );
    let reply = b.kv.commit_one(txn(vec![holds(), holds()])).await?;
    ensure!(reply.applied, "not applied though all guards hold");
    b.holds(&it.ticks, "1").await
}
