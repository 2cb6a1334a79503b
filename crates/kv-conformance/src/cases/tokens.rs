//! I: tokens, which fence.

use super::{cases, ops};
use crate::{
    bench::{Bench, together},
    failure::{Verdict, ensure, ensure_eq, ensure_error},
};
use kv_core::{Capability, Guard, Op, OpReply, Ttl, Txn};
use std::{collections::BTreeSet, time::Duration};

cases! {
    'I' 217 "a token is above every one before, also if its record was lost" [Strings, Commit] grows;
    'I' 218 "the last token is read back, and is none without a record" [Strings, Commit] last;
    'I' 219 "concurrent takers get tokens of their own" [Strings, Commit] distinct;
}

async fn grows(b: Bench) -> Verdict {
    let fence = b.grouped("g", ":fence");
    let mut before = 0;
    for round in 0..60 {
        if round % 5 == 4 {
            b.kv.delete(&fence).await?;
        }
        let mut reply =
            b.kv.commit_one(Txn::new().then(ops::next_token(&fence)))
                .await?;
        let token = reply.token(0)?;
        ensure!(
            token > before,
            "the token {token} came after {before}, in round {round}"
        );
        before = token;
    }
    // Tokens of one list, and of one record in front of the clock.
    let take = || Txn::new().then(ops::next_token(&fence));
    for reply in b.kv.commit((0..20).map(|_| take())).await? {
        let token = reply?.token(0)?;
        ensure!(
            token > before,
            "the token {token} came after {before}, in one list"
        );
        before = token;
    }
    let ahead = 9_007_199_254_740_000_u64;
    b.kv.commit_one(Txn::new().then(ops::mark(&fence, &ahead.to_string())))
        .await?;
    for step in 1..4 {
        let token = b.kv.commit_one(take()).await?.token(0)?;
        ensure_eq!(
            token,
            ahead + step,
            "the token after a record ahead of the clock"
        );
    }
    Ok(())
}

async fn last(b: Bench) -> Verdict {
    let (fence, other) = (b.grouped("g", ":fence"), b.grouped("g", ":other"));
    let read = || Txn::new().then(ops::last_token(&fence));
    ensure_eq!(
        b.kv.commit_one(read()).await?.token(0)?,
        0,
        "the last token without a record"
    );
    let take = || Txn::new().then(ops::next_token(&fence));
    let token = b.kv.commit_one(take()).await?.token(0)?;
    ensure_eq!(
        b.kv.commit_one(read()).await?.token(0)?,
        token,
        "the last token"
    );
    ops::holds_mark(&b, &fence, &token.to_string()).await?;
    let refused = Txn::new()
        .when(Guard::absent(&fence))
        .then(ops::next_token(&fence))
        .otherwise(ops::last_token(&fence));
    let mut reply = b.kv.commit_one(refused).await?;
    ensure!(!reply.applied, "applied though the record is there");
    ensure_eq!(
        reply.token(0)?,
        token,
        "the last token, in the other branch"
    );
    let elsewhere = Txn::new()
        .then(ops::next_token(&other))
        .then(ops::last_token(&fence));
    ensure_eq!(
        b.kv.commit_one(elsewhere).await?.token(1)?,
        token,
        "the last token of another key"
    );

    for record in ["abc", "", "0", "-5", "1.5", "01"] {
        b.kv.commit_one(Txn::new().then(ops::mark(&fence, record)))
            .await?;
        let answer = b.kv.commit_one(take()).await;
        ensure_error!(answer, NotAnInteger, "the next token after {record:?}");
        ops::holds_mark(&b, &fence, record).await?;
    }
    if b.has(Capability::Hashes) {
        b.kv.delete(&fence).await?;
        b.kv.hset(&fence, "f", "v").await?;
        for txn in [take(), read()] {
            ensure_error!(b.kv.commit_one(txn).await, WrongType, "a token of a hash");
        }
    }
    b.kv.delete(&fence).await?;
    ensure_eq!(
        b.kv.commit_one(read()).await?.token(0)?,
        0,
        "the last token of a lost record"
    );
    if b.has(Capability::Expiry) {
        let long = Duration::from_secs(100);
        let timed = |ttl| {
            Txn::new().then(Op::NextToken {
                key: fence.clone(),
                ttl,
            })
        };
        b.kv.commit_one(timed(Ttl::after(long)?)).await?;
        ensure!(
            b.left(&fence).await? > long / 2,
            "the record has no deadline"
        );
        b.kv.commit_one(timed(Ttl::Keep)).await?;
        ensure!(
            b.left(&fence).await? > long / 2,
            "with Keep the record lost its deadline"
        );
        b.kv.commit_one(timed(Ttl::Never)).await?;
        b.lives_for_ever(&fence).await?;
        b.kv.commit_one(timed(Ttl::Unset)).await?;
        b.has_default_deadline(&fence).await?;
    }
    Ok(())
}

async fn distinct(b: Bench) -> Verdict {
    let fence = b.grouped("g", ":fence");
    let taker = |_| {
        let (kv, fence) = (b.kv.clone(), fence.clone());
        async move {
            let mut taken = Vec::new();
            for _ in 0..30 {
                let txn = Txn::new().then(ops::next_token(&fence));
                match kv.commit_one(txn).await?.answers.as_slice() {
                    [OpReply::Token(token)] => taken.push(*token),
                    other => ensure!(false, "the answer to a next token is {other:?}"),
                }
            }
            ensure!(
                taken.is_sorted(),
                "one taker's tokens do not grow: {taken:?}"
            );
            Ok(taken)
        }
    };
    let taken = together((0..10).map(taker)).await?.concat();
    let apart: BTreeSet<u64> = taken.iter().copied().collect();
    ensure_eq!(apart.len(), taken.len(), "distinct tokens");
    Ok(())
}
