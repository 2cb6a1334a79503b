//! C: writing on condition that a key is absent or present.

use super::cases;
use crate::{
    bench::{Bench, together},
    failure::{Verdict, ensure, ensure_eq},
};
use kv_core::{Capability, Key, SetOptions, SetReply, Ttl, Value, When};
use std::time::Duration;

cases! {
    'C' 31 "set if absent writes once and leaves the first alone" [Strings, ConditionalSet] if_absent;
    'C' 32 "set if absent gives its deadline, and writes again after it" [Strings, ConditionalSet, Expiry] if_absent_with_ttl;
    'C' 33 "a conditional set on a structure is refused" [Strings, ConditionalSet] on_a_structure;
    'C' 34 "set if present creates nothing" [Strings, ConditionalSet] if_present;
    'C' 35 "of ten concurrent creators one wins" [Strings, ConditionalSet] one_winner;
    'C' 36 "a refused create tells what is there" [Strings, ConditionalSet] refused_create;
    'C' 42 "an empty value is no absence" [Strings, ConditionalSet] empty_is_no_absence;
}

const LONG: Duration = Duration::from_secs(100);

async fn if_absent(b: Bench) -> Verdict {
    let (key, timed) = (b.key("a"), b.key("timed"));
    let kv = &b.kv;
    ensure_eq!(
        kv.set_if_absent(&key, "first", Ttl::Never).await?,
        true,
        "the first"
    );
    ensure_eq!(
        kv.set_if_absent(&key, "second", Ttl::Never).await?,
        false,
        "the second"
    );
    b.holds(&key, "first").await?;
    if !b.has(Capability::Expiry) {
        return Ok(());
    }
    ensure_eq!(
        kv.set_if_absent(&key, "third", LONG).await?,
        false,
        "the third"
    );
    b.lives_for_ever(&key).await?;
    kv.set_for(&timed, "first", LONG).await?;
    for ttl in [Ttl::Never, Ttl::Unset, Ttl::Keep, Ttl::after(LONG * 100)?] {
        ensure_eq!(
            kv.set_if_absent(&timed, "second", ttl).await?,
            false,
            "with {ttl:?}"
        );
        let left = b.left(&timed).await?;
        ensure!(
            left <= LONG && left > LONG / 2,
            "a refused write with {ttl:?} left {left:?}"
        );
    }
    b.holds(&timed, "first").await
}

async fn if_absent_with_ttl(b: Bench) -> Verdict {
    let ttl = b.granularity().max(Duration::from_millis(300));
    let key = b.key("a");
    let (won, written) = b.written(b.kv.set_if_absent(&key, "first", ttl)).await?;
    ensure_eq!(won, true, "the first");
    // So long that it is there when we look, however late.
    let taken = || async { Ok(!b.kv.set_if_absent(&key, "second", LONG).await?) };
    b.ends_in_time("the first value", written, ttl, taken)
        .await?;
    b.holds(&key, "second").await?;
    let left = b.left(&key).await?;
    ensure!(
        left <= LONG && left > LONG / 2,
        "the second has {left:?} left of {LONG:?}"
    );
    Ok(())
}

async fn on_a_structure(b: Bench) -> Verdict {
    let kv = &b.kv;
    let mut conditions = vec![When::IfAbsent, When::IfPresent];
    if b.has(Capability::CompareValue) {
        conditions.extend([When::IfValue("".into()), When::IfValue("v".into())]);
    }
    let (hash, zset) = (b.key("hash"), b.key("zset"));
    if b.has(Capability::Hashes) {
        kv.hset(&hash, "f", "v").await?;
        for when in &conditions {
            refused(&b, &hash, when).await?;
        }
        let field = kv.hget(&hash, "f").await?;
        ensure_eq!(field, Some(Value::from("v")), "the field of the hash");
    }
    if b.has(Capability::SortedSets) {
        kv.zadd(&zset, [("m", 7)]).await?;
        for when in &conditions {
            refused(&b, &zset, when).await?;
        }
        let score = kv.zscore(&zset, "m").await?;
        ensure_eq!(score.map(|it| it.get()), Some(7.0), "the score in the set");
    }
    if !b.has(Capability::Hashes) && !b.has(Capability::SortedSets) {
        b.note("the store has no structures");
    }
    Ok(())
}

async fn refused(b: &Bench, key: &Key, when: &When) -> Verdict {
    let reply = b.kv.set_with(key, "x", when.clone()).await?;
    ensure_eq!(reply, SetReply::refused(None), "{when:?} on a structure");
    Ok(())
}

async fn if_present(b: Bench) -> Verdict {
    let key = b.key("a");
    let present = SetOptions::from(When::IfPresent);
    let reply = b.kv.set_with(&key, "x", present.clone()).await?;
    ensure_eq!(
        reply,
        SetReply::refused(None),
        "set if present on a missing key"
    );
    ensure_eq!(
        b.kv.exists(&key).await?,
        false,
        "exists after a refused write"
    );
    b.kv.set(&key, "old").await?;
    let reply = b.kv.set_with(&key, "new", present).await?;
    ensure_eq!(reply.applied, true, "set if present on a key that is there");
    b.holds(&key, "new").await
}

async fn one_winner(b: Bench) -> Verdict {
    for round in 0..20 {
        let key = b.key(round.to_string());
        let creators = (0..10).map(|me| {
            let (kv, key) = (b.kv.clone(), key.clone());
            async move { Ok(kv.set_if_absent(key, me.to_string(), Ttl::Unset).await?) }
        });
        let won = together(creators).await?;
        let winners: Vec<usize> = (0..won.len()).filter(|&me| won[me]).collect();
        ensure_eq!(
            winners.len(),
            1,
            "how many of ten creators won: {winners:?}"
        );
        b.holds(&key, winners[0].to_string()).await?;
    }
    Ok(())
}

async fn refused_create(b: Bench) -> Verdict {
    let key = b.key("a");
    let absent = SetOptions::from(When::IfAbsent);
    let reply = b.kv.set_with(&key, "first", absent.clone()).await?;
    ensure_eq!(reply, SetReply::applied(), "a create on a missing key");
    let reply = b.kv.set_with(&key, "second", absent.clone()).await?;
    ensure_eq!(
        reply,
        SetReply::refused(Some("first".into())),
        "a create on an existing key"
    );
    b.kv.set(&key, "").await?;
    let reply = b.kv.set_with(&key, "third", absent).await?;
    ensure_eq!(
        reply,
        SetReply::refused(Some("".into())),
        "a create on an empty value"
    );
    b.holds(&key, "").await
}

async fn empty_is_no_absence(b: Bench) -> Verdict {
    let (key, missing) = (b.key("a"), b.key("missing"));
    ensure_eq!(
        b.kv.set_if_absent(&key, "", Ttl::Unset).await?,
        true,
        "the first create"
    );
    ensure_eq!(
        b.kv.set_if_absent(&key, "", Ttl::Unset).await?,
        false,
        "the second create"
    );
    if !b.has(Capability::CompareValue) {
        return Ok(());
    }
    let empty = || When::IfValue("".into());
    let reply = b.kv.set_with(&missing, "x", empty()).await?;
    ensure_eq!(
        reply,
        SetReply::refused(None),
        "comparing with nothing written there"
    );
    ensure_eq!(
        b.kv.exists(&missing).await?,
        false,
        "exists after a refused write"
    );
    let reply = b.kv.set_with(&key, "x", empty()).await?;
    ensure_eq!(
        reply.applied,
        true,
        "comparing with an empty value that is there"
    );
    b.holds(&key, "x").await
}
