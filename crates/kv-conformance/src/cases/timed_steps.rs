//! I: deadlines in transactions.

use super::{cases, ops};
use crate::{
    bench::Bench,
    failure::{Verdict, ensure, ensure_eq, ensure_error},
};
use kv_core::{
    Capability, Content, Expiry, Guard, Lifetime, Op, OpReply, Read, RelativeRange, TimeToLive,
    Timestamp, Ttl, Txn,
};
use std::time::Duration;

cases! {
    'I' 212 "deadlines in a transaction are those of the commands" [Strings, Hashes, Counters, Expiry, Commit] deadlines;
    'I' 214 "a drained structure is gone with its deadline" [Hashes, SortedSets, Expiry, Commit] drained;
    'I' 220 "a transaction takes deadlines off" [Strings, Hashes, SortedSets, Expiry, Commit] persist;
}

const LONG: Duration = Duration::from_secs(100);

async fn deadlines(b: Bench) -> Verdict {
    let [s, n, h, _, x] = ops::stock(&b).await?;
    let write = |key: &kv_core::Key, ttl| Op::Set {
        key: key.clone(),
        content: Content::Value("v".into()),
        ttl,
    };
    let lifetime = Lifetime::new(LONG)?;
    let once = |op: Op| b.kv.commit_one(Txn::new().then(op));
    once(write(&s, Ttl::In(lifetime))).await?;
    ensure!(b.left(&s).await? > LONG / 2, "set dropped its ttl");
    once(write(&s, Ttl::Keep)).await?;
    ensure!(
        b.left(&s).await? > LONG / 2,
        "set with Keep dropped the ttl"
    );
    once(write(&s, Ttl::Unset)).await?;
    b.has_default_deadline(&s).await?;
    once(write(&s, Ttl::Never)).await?;
    b.lives_for_ever(&s).await?;
    if b.has(Capability::HeldExpiry) {
        once(write(&s, Ttl::Held(lifetime))).await?;
        ensure!(b.left(&s).await? > LONG / 2, "set dropped its held ttl");
    }
    let past = Timestamp::from_micros(b.now().await?.as_micros() - 100_000_000);
    let reply = once(write(&s, Ttl::At(past))).await?;
    ensure_eq!(
        reply.answers,
        [OpReply::Done],
        "a set that ends in the past"
    );
    ensure_eq!(b.kv.exists(&s).await?, false, "whether it left a key");

    let count = |key: &kv_core::Key, by, ttl_if_created| Op::Increment {
        key: key.clone(),
        by,
        ttl_if_created,
    };
    once(count(&x, 1, Ttl::In(lifetime))).await?;
    ensure!(
        b.left(&x).await? > LONG / 2,
        "a new counter has no deadline"
    );
    once(count(&x, 1, Ttl::In(Lifetime::new(LONG * 9)?))).await?;
    ensure!(b.left(&x).await? <= LONG, "counting on moved the deadline");
    once(count(&n, 1, Ttl::In(lifetime))).await?;
    b.lives_for_ever(&n).await?;

    let expire = |key: &kv_core::Key| Op::Expire {
        key: key.clone(),
        expiry: Expiry::In(lifetime),
    };
    let read = |key: &kv_core::Key| Read::Ttl { key: key.clone() };
    let txn = Txn::new()
        .then(expire(&h))
        .then(read(&h))
        .then(ops::hset(&h, [("f", "w")]))
        .then(expire(&s));
    let mut reply = b.kv.commit_one(txn).await?;
    ensure_eq!(reply.flag(0)?, true, "expire of a hash");
    let told = reply.ttl(1)?;
    ensure!(
        matches!(told, TimeToLive::In(left) if left <= LONG && left > LONG / 2),
        "the time to live in the same transaction is {told:?}"
    );
    ensure_eq!(reply.flag(3)?, false, "expire of a missing key");
    ensure!(
        b.left(&h).await? > LONG / 2,
        "hset dropped the deadline of its hash"
    );

    let ttl = b.granularity().max(Duration::from_millis(300));
    let brief = write(&s, Ttl::after(ttl)?);
    let (_, written) = b.written(once(brief)).await?;
    let gone = Guard::exists(&s);
    let present = || async {
        Ok(b.kv
            .commit_one(Txn::new().when(gone.clone()))
            .await?
            .applied)
    };
    b.ends_in_time("what a transaction wrote", written, ttl, present)
        .await
}

async fn drained(b: Bench) -> Verdict {
    let (h, z) = (b.grouped("g", ":h"), b.grouped("g", ":z"));
    let fill = || {
        Txn::new()
            .then(ops::hset(&h, [("f", "v")]))
            .then(ops::zadd(&z, [("m", 1)]))
    };
    b.kv.commit_one(fill()).await?;
    for key in [&h, &z] {
        b.kv.expire(key, LONG).await?;
    }
    let drain = Txn::new()
        .then(ops::hdel(&h, ["f"]))
        .then(ops::zrem(&z, ["m"]));
    b.kv.commit_one(drain).await?;
    ensure_eq!(
        b.kv.exists_many([&h, &z]).await?,
        0,
        "how many drained structures are there"
    );
    b.kv.commit_one(fill()).await?;
    for key in [&h, &z] {
        b.lives_for_ever(key).await?;
    }
    let range = Op::ZRemRange {
        key: z.clone(),
        range: RelativeRange::ALL,
        limit: 1,
    };
    b.kv.commit_one(Txn::new().then(range)).await?;
    ensure_eq!(
        b.kv.exists(&z).await?,
        false,
        "whether a set without its only range is there"
    );
    Ok(())
}

async fn persist(b: Bench) -> Verdict {
    let [s, _, h, z, x] = ops::stock(&b).await?;
    let read = |key: &kv_core::Key| Read::Ttl { key: key.clone() };
    let once = |op: Op| b.kv.commit_one(Txn::new().then(op));
    once(Op::Set {
        key: s.clone(),
        content: Content::Value("text".into()),
        ttl: Ttl::Never,
    })
    .await?;
    let before = ops::state(&b, [&s, &h, &z, &x]).await?;
    for key in [&s, &h, &z] {
        b.kv.expire(key, LONG).await?;
    }
    let all = || {
        Txn::new()
            .then(ops::persist(&s))
            .then(read(&s))
            .then(ops::persist(&h))
            .then(ops::persist(&z))
            .then(ops::persist(&x))
    };
    let refused = b.kv.commit_one(all().when(Guard::exists(&x))).await?;
    ensure_eq!(refused.applied, false, "whether the guard held");
    ensure!(
        b.left(&s).await? > LONG / 2,
        "what was refused took a deadline off"
    );
    let told = |had: bool| {
        let stays = OpReply::Ttl(TimeToLive::NoExpiry);
        let had = OpReply::Flag(had);
        [had.clone(), stays, had.clone(), had, OpReply::Flag(false)]
    };
    let reply = b.kv.commit_one(all()).await?;
    ensure_eq!(
        reply.answers,
        told(true),
        "persist of a string, a hash, a sorted set and a missing key"
    );
    ensure_eq!(
        ops::state(&b, [&s, &h, &z, &x]).await?,
        before,
        "the state without the deadlines"
    );
    let again = b.kv.commit_one(all()).await?;
    ensure_eq!(again.answers, told(false), "persist where no deadline is");

    // It sees what the steps before it made, which kept the deadline or came without one.
    b.kv.expire(&h, LONG).await?;
    let written = Txn::new()
        .then(ops::hset(&h, [("f", "w")]))
        .then(ops::persist(&h))
        .then(ops::hset(&x, [("f", "w")]))
        .then(ops::persist(&x));
    let mut reply = b.kv.commit_one(written).await?;
    ensure_eq!(reply.flag(1)?, true, "persist of a hash just written to");
    ensure_eq!(reply.flag(3)?, false, "persist of a hash just created");
    for key in [&h, &x] {
        b.lives_for_ever(key).await?;
    }
    b.kv.expire(&x, LONG).await?;
    let drain = Txn::new().then(ops::hdel(&x, ["f"])).then(ops::persist(&x));
    let mut reply = b.kv.commit_one(drain).await?;
    ensure_eq!(reply.flag(1)?, false, "persist of a hash just drained");

    if b.has(Capability::HeldExpiry) {
        let expiry = Expiry::Held(Lifetime::new(LONG)?);
        once(Op::Expire {
            key: s.clone(),
            expiry,
        })
        .await?;
        let mut reply = once(ops::persist(&s)).await?;
        ensure_eq!(reply.flag(0)?, true, "persist of a key that was held");
        b.lives_for_ever(&s).await?;
    }
    let twice = Txn::new().then(ops::persist(&s)).then(Op::Expire {
        key: s.clone(),
        expiry: Expiry::In(Lifetime::new(LONG)?),
    });
    ensure_error!(
        b.kv.commit_one(twice).await,
        InvalidArgument,
        "a deadline taken off and given in one transaction"
    );
    Ok(())
}
