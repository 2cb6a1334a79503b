//! I: what is not applied is not applied in part.

use super::{cases, ops};
use crate::{
    bench::Bench,
    failure::{Verdict, ensure, ensure_eq, ensure_error},
};
use kv_core::{ErrorKind, Guard, Key, OpReply, Outcome, Txn, TxnReply};

cases! {
    'I' 98 "deleting what is missing is part of a transaction" [Strings, Commit] deletes_missing;
    'I' 99 "a guard that does not hold applies nothing" [Strings, Hashes, SortedSets, Counters, Commit] refused_applies_nothing;
    'I' 100 "a step on another type applies nothing" [Strings, Hashes, SortedSets, Counters, Commit] wrong_type_applies_nothing;
    'I' 207 "a sum that cannot be applies nothing" [Strings, Hashes, Counters, Commit] no_sum_applies_nothing;
}

async fn deletes_missing(b: Bench) -> Verdict {
    let (a, missing) = (b.grouped("g", ":a"), b.grouped("g", ":x"));
    let txn = Txn::new()
        .then(ops::delete(&missing))
        .then(ops::set(&a, "v"));
    let reply = b.kv.commit_one(txn.clone()).await?;
    let expected = TxnReply::applied(vec![OpReply::Flag(false), OpReply::Done]);
    ensure_eq!(reply, expected, "a delete of a missing key, and a write");
    b.holds(&a, "v").await?;
    let reply = b.kv.commit_one(Txn::new().then(ops::delete(&a))).await?;
    ensure_eq!(
        reply,
        TxnReply::applied(vec![OpReply::Flag(true)]),
        "a delete of a key"
    );
    ensure_eq!(
        b.kv.exists(&a).await?,
        false,
        "whether it is there after that"
    );
    Ok(())
}

async fn refused_applies_nothing(b: Bench) -> Verdict {
    let keys = ops::stock(&b).await?;
    let before = ops::state(&b, &keys).await?;
    for guard in [
        Guard::exists(&keys[4]),
        Guard::value_is(&keys[0], "other"),
        Guard::score_is(&keys[3], "m", 2.into()),
        Guard::field_exists(&keys[2], "g"),
    ] {
        let txn = ops::writes(&keys)
            .when(Guard::exists(&keys[0]))
            .when(guard.clone());
        let reply = b.kv.commit_one(txn).await?;
        ensure_eq!(reply, TxnReply::refused(Vec::new()), "with {guard:?}");
        ensure_eq!(
            ops::state(&b, &keys).await?,
            before,
            "the state after {guard:?}"
        );
    }
    let reply = b.kv.commit_one(ops::writes(&keys)).await?;
    let expected = TxnReply::applied(vec![
        OpReply::Flag(true),
        OpReply::Integer(9_223_372_036_854_775_801),
        OpReply::Count(1),
        OpReply::Count(1),
        OpReply::Count(1),
        OpReply::Count(1),
        OpReply::Done,
    ]);
    ensure_eq!(reply, expected, "without a guard");
    ensure!(
        ops::state(&b, &keys).await? != before,
        "applied, but nothing changed"
    );
    Ok(())
}

async fn wrong_type_applies_nothing(b: Bench) -> Verdict {
    let keys = ops::stock(&b).await?;
    let before = ops::state(&b, &keys).await?;
    let [s, _, h, z, x] = &keys;
    let wrong: [(kv_core::Op, &Key); 9] = [
        (ops::hset(s, [("f", "v")]), s),
        (ops::hadd(z, "f", 1), z),
        (ops::hdel(z, ["f"]), z),
        (ops::zadd(h, [("m", 1)]), h),
        (ops::zrem(s, ["m"]), s),
        (ops::add(h, 1), h),
        (ops::get(z).into(), z),
        (ops::hget(s, "f").into(), s),
        (ops::zscore(h, "m").into(), h),
    ];
    for (step, at) in wrong {
        // The writes before and after it are on other keys, or the whole would contradict itself.
        let others = ops::writes(&keys)
            .then
            .into_iter()
            .filter(|op| op.key() != Some(at));
        let others: Vec<_> = others.collect();
        for place in [0, others.len() / 2, others.len()] {
            let mut txn = Txn::new();
            txn.then = others.clone();
            txn.then.insert(place, step.clone());
            let error = ensure_error!(b.kv.commit_one(txn).await, WrongType, "{step:?}");
            ensure_eq!(
                error.key(),
                Some(at.to_string().as_str()),
                "the key in the error of {step:?}"
            );
            ensure_eq!(error.outcome(), Outcome::Final, "the outcome of {step:?}");
            ensure_eq!(
                ops::state(&b, &keys).await?,
                before,
                "the state after {step:?} at {place}"
            );
        }
    }
    // Of several that cannot be done the first is told, also one that a step before it stands against.
    let txn = Txn::new().then(ops::zadd(x, [("m", 1)]));
    let txn = txn.then(ops::get(x)).then(ops::get(z));
    let error = ensure_error!(
        b.kv.commit_one(txn).await,
        WrongType,
        "a set made, and read"
    );
    let told = error.key().map(str::to_owned);
    ensure_eq!(told, Some(x.to_string()), "the key in the first error");
    ensure_eq!(ops::state(&b, &keys).await?, before, "the state after both");
    Ok(())
}

async fn no_sum_applies_nothing(b: Bench) -> Verdict {
    let keys = ops::stock(&b).await?;
    b.kv.commit_one(Txn::new().then(ops::hset_marks(&keys[2], [("most", "9223372036854775807")])))
        .await?;
    let before = ops::state(&b, &keys).await?;
    let [s, n, h, ..] = &keys;
    let wrong = [
        (ops::add(n, 8), n, ErrorKind::Overflow),
        (ops::add(s, 1), s, ErrorKind::NotAnInteger),
        (ops::hadd(h, "most", 1), h, ErrorKind::Overflow),
        (ops::hadd(h, "text", 1), h, ErrorKind::NotAnInteger),
        (ops::next_token(s), s, ErrorKind::NotAnInteger),
    ];
    for (step, at, kind) in wrong {
        let others = ops::writes(&keys)
            .then
            .into_iter()
            .filter(|op| op.key() != Some(at));
        let others: Vec<_> = others.collect();
        for place in [0, others.len()] {
            let mut txn = Txn::new();
            txn.then = others.clone();
            txn.then.insert(place, step.clone());
            let answer = b.kv.commit_one(txn).await;
            let got = answer
                .as_ref()
                .err()
                .map(|error| (error.kind(), error.key()));
            let name = at.to_string();
            ensure_eq!(
                got,
                Some((kind, Some(name.as_str()))),
                "{step:?} at {place}"
            );
            ensure_eq!(
                ops::state(&b, &keys).await?,
                before,
                "the state after {step:?} at {place}"
            );
        }
    }
    let both = Txn::new()
        .then(ops::add(n, 7))
        .then(ops::hadd(h, "most", -1));
    let expected = vec![OpReply::Integer(i64::MAX), OpReply::Integer(i64::MAX - 1)];
    ensure_eq!(
        b.kv.commit_one(both).await?,
        TxnReply::applied(expected),
        "sums that just fit"
    );
    Ok(())
}
