//! I: transactions that are refused before they are sent.

use super::{cases, ops};
use crate::{
    bench::Bench,
    failure::{Verdict, ensure, ensure_eq, ensure_error},
};
use kv_core::{Guard, Key, Outcome, Txn};

cases! {
    'I' 97 "a transaction that writes a key twice is refused" [Strings, Hashes, SortedSets, Commit] twice;
    'I' 101 "the longest transaction works, and one step more is refused" [Strings, Commit] longest;
    'I' 102 "keys of two groups are refused before anything is sent" [Strings, Commit] two_groups;
}

/// Refused before it is sent: with steps of one key that a store could not all do in one step.
async fn twice(b: Bench) -> Verdict {
    let (a, h, z) = (
        b.grouped("g", ":a"),
        b.grouped("g", ":h"),
        b.grouped("g", ":z"),
    );
    let contradictions = [
        Txn::new().then(ops::set(&a, "1")).then(ops::set(&a, "2")),
        Txn::new().then(ops::set(&a, "1")).then(ops::delete(&a)),
        Txn::new()
            .then(ops::delete(&h))
            .then(ops::hset(&h, [("f", "v")])),
        Txn::new()
            .then(ops::hset(&h, [("f", "v")]))
            .then(ops::hdel(&h, ["f"])),
        Txn::new().then(ops::hset(&h, [("f", "v"), ("f", "w")])),
        Txn::new()
            .then(ops::zadd(&z, [("m", 1)]))
            .then(ops::zrem(&z, ["m"])),
        Txn::new()
            .then(ops::zadd(&z, [("m", 1)]))
            .then(ops::hset(&z, [("f", "v")])),
        Txn::new().then(ops::set(&a, "1")).then(ops::get(&a)),
    ];
    for txn in contradictions {
        let sound = Txn::new().then(ops::set(&b.grouped("g", ":sound"), "v"));
        let answer = b.kv.commit([sound, txn.clone()]).await;
        ensure_error!(answer, InvalidArgument, "{txn:?}");
    }
    ensure_eq!(
        b.scan(b.everything()).await?.len(),
        0,
        "how many keys were written"
    );
    // Different elements of one structure are no contradiction.
    let apart = Txn::new()
        .then(ops::hset(&h, [("f", "v")]))
        .then(ops::hdel(&h, ["g"]))
        .then(ops::zadd(&z, [("m", 1)]))
        .then(ops::zrem(&z, ["n"]))
        .then(ops::hget(&h, "f"));
    ensure_eq!(
        b.kv.commit_one(apart).await?.applied,
        true,
        "different elements"
    );
    Ok(())
}

async fn longest(b: Bench) -> Verdict {
    let most = b.kv.capabilities().max_txn_ops;
    ensure!(
        most >= 16,
        "a transaction of {most} steps is too short to be of use"
    );
    if most > 10_000 {
        b.note(format!("transactions of {most} steps are not tried"));
        return Ok(());
    }
    let write = |count: usize| {
        let keys = (0..count).map(|at| b.grouped("g", &format!(":{at}")));
        keys.fold(Txn::new(), |txn, key| txn.then(ops::set(&key, "v")))
    };
    let error = ensure_error!(
        b.kv.commit_one(write(most + 1)).await,
        TooLarge,
        "{} steps",
        most + 1
    );
    ensure!(
        error.to_string().contains(&most.to_string()),
        "the error must name the limit: {error}"
    );
    ensure_eq!(
        b.scan(b.everything()).await?.len(),
        0,
        "how many keys were written"
    );
    let reply = b.kv.commit_one(write(most)).await?;
    ensure_eq!(
        reply.answers.len(),
        most,
        "how many answers to {most} steps"
    );
    ensure_eq!(
        b.scan(b.everything()).await?.len(),
        most,
        "how many keys were written"
    );
    let guards = (0..most).map(|at| Guard::exists(b.grouped("g", &format!(":{at}"))));
    let txn = guards.fold(Txn::new(), Txn::when);
    ensure_eq!(b.kv.commit_one(txn).await?.applied, true, "{most} guards");
    Ok(())
}

async fn two_groups(b: Bench) -> Verdict {
    let (one, other) = (b.grouped("one", ":a"), b.grouped("other", ":a"));
    let (plain, later) = (b.key("plain"), b.key("x{one}"));
    let write = |key: &Key| Txn::new().then(ops::set(key, "v"));
    let crossing = [
        write(&one).then(ops::set(&other, "v")),
        write(&one).when(Guard::absent(&other)),
        write(&one).otherwise(ops::get(&other)),
        write(&one).then(ops::set(&plain, "v")),
        write(&plain).then(ops::set(&later, "v")),
    ];
    for txn in crossing {
        let answer = b.kv.commit([write(&one), txn.clone()]).await;
        let error = ensure_error!(answer, CrossGroup, "{txn:?}");
        ensure_eq!(error.outcome(), Outcome::Final, "the outcome of {txn:?}");
    }
    ensure_eq!(
        b.scan(b.everything()).await?.len(),
        0,
        "how many keys were written"
    );
    // Each transaction has its own group.
    let replies =
        b.kv.commit([write(&one), write(&other), write(&plain)])
            .await?;
    let applied = replies
        .iter()
        .filter(|it| it.as_ref().is_ok_and(|it| it.applied));
    ensure_eq!(
        applied.count(),
        3,
        "how many of three groups' transactions were applied"
    );
    Ok(())
}
