//! I: transactions as a whole, and what 38 and 64 ask of them.

use super::{cases, ops};
use crate::{
    bench::{Bench, together},
    failure::{Verdict, ensure_eq, ensure_error},
};
use kv_core::{ErrorKind, Guard, Key, OpReply, Outcome, Txn, TxnReply};

cases! {
    'C' 38 "delete-if deletes equal bytes only" [Strings, Commit] delete_if;
    'E' 64 "of three compared writes one is stale, and only that is refused" [Strings, Commit] one_is_stale;
    'I' 208 "transactions run in order, and later ones see earlier ones" [Strings, Commit] in_order;
    'I' 209 "a transaction that fails is an error in its place" [Strings, Hashes, Commit] error_in_its_place;
    'I' 210 "the other branch reads what is there" [Strings, Hashes, SortedSets, Commit] otherwise;
    'I' 211 "nobody sees a part of a transaction" [Strings, Counters, Commit] isolated;
}

async fn delete_if(b: Bench) -> Verdict {
    let (key, missing, hash) = (
        b.grouped("g", ":a"),
        b.grouped("g", ":x"),
        b.grouped("g", ":h"),
    );
    b.kv.commit_one(Txn::new().then(ops::mark(&key, "mine")))
        .await?;
    let with_structure = b.has(kv_core::Capability::Hashes);
    if with_structure {
        b.kv.hset(&hash, "f", "v").await?;
    }
    let try_it =
        |key: &Key, mark: &str| b.kv.commit_one(Txn::new().then(ops::delete_if(key, mark)));
    for wrong in ["", "min", "mine ", "MINE"] {
        ensure_eq!(
            try_it(&key, wrong).await?.flag(0)?,
            false,
            "comparing \"mine\" with {wrong:?}"
        );
        ops::holds_mark(&b, &key, "mine").await?;
    }
    ensure_eq!(
        try_it(&missing, "").await?.flag(0)?,
        false,
        "of a missing key"
    );
    if with_structure {
        ensure_eq!(try_it(&hash, "v").await?.flag(0)?, false, "of a hash");
        ensure_eq!(b.kv.exists(&hash).await?, true, "whether the hash is there");
    }
    ensure_eq!(try_it(&key, "mine").await?.flag(0)?, true, "of equal bytes");
    ensure_eq!(
        b.kv.exists(&key).await?,
        false,
        "whether it is there after that"
    );
    ensure_eq!(try_it(&key, "mine").await?.flag(0)?, false, "once more");
    Ok(())
}

async fn one_is_stale(b: Bench) -> Verdict {
    let keys = [
        b.grouped("one", ":a"),
        b.grouped("two", ":a"),
        b.grouped("one", ":b"),
    ];
    let fill = keys
        .iter()
        .map(|key| Txn::new().then(ops::mark(key, "old")));
    b.kv.commit(fill).await?;
    let write = |(key, seen): (&Key, &str)| {
        Txn::new()
            .when(Guard::value_is(key, seen))
            .then(ops::mark(key, "new"))
            .otherwise(ops::get_mark(key))
    };
    let batch = keys.iter().zip(["old", "stale", "old"]).map(write);
    let replies = b.kv.commit(batch).await?;
    let expected = [
        TxnReply::applied(vec![OpReply::Done]),
        TxnReply::refused(vec![OpReply::Mark(ops::some_mark("old"))]),
        TxnReply::applied(vec![OpReply::Done]),
    ];
    ensure_eq!(replies.len(), expected.len(), "how many answers");
    for (at, (reply, expected)) in replies.into_iter().zip(expected).enumerate() {
        ensure_eq!(reply?, expected, "the write number {at}");
    }
    for (key, expected) in keys.iter().zip(["new", "old", "new"]) {
        ops::holds_mark(&b, key, expected).await?;
    }
    Ok(())
}

async fn in_order(b: Bench) -> Verdict {
    let (a, c) = (b.grouped("g", ":a"), b.grouped("g", ":b"));
    let step = |from: &str, to: &str| {
        Txn::new()
            .when(Guard::value_is(&a, from))
            .then(ops::mark(&a, to))
            .then(ops::get_mark(&c))
            .otherwise(ops::get_mark(&a))
    };
    let batch = [
        Txn::new().when(Guard::absent(&a)).then(ops::mark(&a, "0")),
        step("0", "1"),
        Txn::new().then(ops::mark(&c, "seen")),
        step("0", "never"),
        step("1", "2"),
        Txn::new().then(ops::delete(&a)),
        Txn::new()
            .when(Guard::absent(&a))
            .then(ops::mark(&a, "again")),
    ];
    let replies = b.kv.commit(batch).await?;
    let expected = [
        TxnReply::applied(vec![OpReply::Done]),
        TxnReply::applied(vec![OpReply::Done, OpReply::Mark(None)]),
        TxnReply::applied(vec![OpReply::Done]),
        TxnReply::refused(vec![OpReply::Mark(ops::some_mark("1"))]),
        TxnReply::applied(vec![OpReply::Done, OpReply::Mark(ops::some_mark("seen"))]),
        TxnReply::applied(vec![OpReply::Flag(true)]),
        TxnReply::applied(vec![OpReply::Done]),
    ];
    ensure_eq!(replies.len(), expected.len(), "how many answers");
    for (at, (reply, expected)) in replies.into_iter().zip(expected).enumerate() {
        ensure_eq!(reply?, expected, "transaction {at}");
    }
    ops::holds_mark(&b, &a, "again").await?;
    ensure_eq!(
        b.kv.commit(Vec::<Txn>::new()).await?.len(),
        0,
        "answers to no transaction"
    );

    // Of many shapes and groups, each answer is in its place.
    let many = (0..150_i64).map(|at| {
        let key = b.grouped(&format!("g{}", at % 7), ":n");
        match at % 3 {
            0 => Txn::new()
                .then(ops::get_mark(&key))
                .then(ops::last_token(&key)),
            _ => Txn::new().then(ops::set(&b.grouped(&format!("many{at}"), ""), "v")),
        }
    });
    let replies = b.kv.commit(many).await?;
    ensure_eq!(replies.len(), 150, "how many answers to 150");
    for (at, reply) in replies.into_iter().enumerate() {
        let expected = match at % 3 {
            0 => vec![OpReply::Mark(None), OpReply::Token(0)],
            _ => vec![OpReply::Done],
        };
        ensure_eq!(
            reply?.answers,
            expected,
            "the answers to transaction {at} of 150"
        );
    }
    Ok(())
}

async fn error_in_its_place(b: Bench) -> Verdict {
    let (a, h) = (b.grouped("g", ":a"), b.grouped("g", ":h"));
    b.kv.hset(&h, "f", "v").await?;
    let fails = || Txn::new().then(ops::get(&h)).then(ops::set(&a, "never"));
    let batch = [
        fails(),
        Txn::new().then(ops::mark(&a, "one")),
        Txn::new().when(Guard::member_exists(&h, "m")),
        Txn::new()
            .when(Guard::value_is(&a, "one"))
            .then(ops::mark(&a, "two")),
        fails(),
    ];
    let replies = b.kv.commit(batch).await?;
    let kinds: Vec<_> = replies
        .iter()
        .map(|it| match it {
            Ok(reply) => Ok(reply.applied),
            Err(error) => Err(error.kind()),
        })
        .collect();
    let wrong = Err(ErrorKind::WrongType);
    ensure_eq!(
        kinds,
        [wrong, Ok(true), wrong, Ok(true), wrong],
        "what became of five"
    );
    for error in replies.iter().filter_map(|it| it.as_ref().err()) {
        ensure_eq!(
            error.key(),
            Some(h.to_string().as_str()),
            "the key in {error}"
        );
        ensure_eq!(error.outcome(), Outcome::Final, "the outcome of {error}");
    }
    ops::holds_mark(&b, &a, "two").await
}

async fn otherwise(b: Bench) -> Verdict {
    let keys = ops::stock(&b).await?;
    let before = ops::state(&b, &keys).await?;
    let [s, n, h, z, x] = &keys;
    let txn = ops::writes(&keys)
        .when(Guard::exists(x))
        .otherwise(ops::get(s))
        .otherwise(ops::get_mark(n))
        .otherwise(ops::hget(h, "f"))
        .otherwise(ops::zscore(z, "m"))
        .otherwise(ops::get(x))
        .otherwise(ops::get(s));
    let text = || OpReply::Value(Some("text".into()));
    let expected = TxnReply::refused(vec![
        text(),
        OpReply::Mark(ops::some_mark("9223372036854775800")),
        OpReply::Value(Some("v".into())),
        OpReply::Score(ops::some_score(1)),
        OpReply::Value(None),
        text(),
    ]);
    ensure_eq!(b.kv.commit_one(txn).await?, expected, "the other branch");
    ensure_eq!(ops::state(&b, &keys).await?, before, "the state after it");
    let wrong = Txn::new()
        .when(Guard::exists(x))
        .otherwise(ops::get(s))
        .otherwise(ops::get(h));
    let error = ensure_error!(
        b.kv.commit_one(wrong).await,
        WrongType,
        "a read of another type"
    );
    ensure_eq!(
        error.key(),
        Some(h.to_string().as_str()),
        "the key in {error}"
    );
    let unread = Txn::new().when(Guard::exists(s)).otherwise(ops::get(h));
    ensure_eq!(
        b.kv.commit_one(unread).await?.applied,
        true,
        "a branch that is not taken"
    );
    Ok(())
}

/// Two accounts between which money moves: their sum is the same to whoever looks.
async fn isolated(b: Bench) -> Verdict {
    const TOTAL: i64 = 1_000;
    let (here, there) = (b.grouped("g", ":here"), b.grouped("g", ":there"));
    let fill = Txn::new()
        .then(ops::mark(&here, "600"))
        .then(ops::mark(&there, "400"));
    b.kv.commit_one(fill).await?;
    let worker = |me: i64| {
        let (kv, here, there) = (b.kv.clone(), here.clone(), there.clone());
        async move {
            for round in 0..40 {
                let amount = (me * 7 + round) % 11 - 5;
                let transfer = Txn::new()
                    .then(ops::add(&here, -amount))
                    .then(ops::add(&there, amount));
                let mut reply = kv.commit_one(transfer).await?;
                let sum = reply.integer(0)? + reply.integer(1)?;
                ensure_eq!(sum, TOTAL, "the sum of both accounts after a transfer");
                let look = Txn::new()
                    .then(ops::get_mark(&here))
                    .then(ops::get_mark(&there));
                let mut reply = kv.commit_one(look).await?;
                let mut sum = 0;
                for step in 0..2 {
                    let text = reply.mark(step)?.unwrap_or_default();
                    sum += text.to_str()?.parse::<i64>().unwrap_or(i64::MIN / 2);
                }
                ensure_eq!(sum, TOTAL, "the sum of both accounts to a reader");
            }
            Ok(())
        }
    };
    together((0..8).map(worker)).await.map(drop)
}
