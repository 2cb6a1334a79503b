//! G: sorted sets, how they are written.

use super::cases;
use crate::{
    bench::Bench,
    failure::{Verdict, ensure, ensure_eq, ensure_error},
};
use kv_core::{Capability, Key, Member, RangeOptions, ScoreRange, Scores, TimeToLive, Ttl};
use std::time::Duration;

cases! {
    'G' 77 "zadd counts new members and moves old ones" [SortedSets] zadd;
    'G' 80 "a score that is no number is refused" [SortedSets] not_a_number;
    'G' 81 "scores keep every bit" [SortedSets] exact_scores;
    'G' 82 "of a member added twice the last score counts" [SortedSets] added_twice;
    'G' 83 "zrem counts what was there" [SortedSets] zrem;
    'G' 84 "a drained set is gone, its deadline too" [SortedSets, Strings] drained;
    'G' 85 "a set keeps its deadline and ends with it" [SortedSets, Expiry] deadline;
    'G' 89 "empty and binary members are legal" [SortedSets] any_member;
    'G' 90 "a sorted set is no string and no hash" [SortedSets] wrong_type;
}

const LONG: Duration = Duration::from_secs(100);

/// All members with their scores, lowest first.
pub(super) async fn members(b: &Bench, key: &Key) -> Verdict<Vec<(String, f64)>> {
    let options = RangeOptions::default().scores(Scores::Include);
    let found =
        b.kv.zrangebyscore_with(key, ScoreRange::ALL, options)
            .await?;
    let mut members = Vec::with_capacity(found.len());
    for it in found {
        let Some(score) = it.score else {
            return Err(crate::Failure::new(format!(
                "{:?} came without its score",
                it.member
            )));
        };
        members.push((it.member.as_bytes().escape_ascii().to_string(), score.get()));
    }
    Ok(members)
}

fn pairs(expected: &[(&str, f64)]) -> Vec<(String, f64)> {
    expected
        .iter()
        .map(|&(member, score)| (member.to_owned(), score))
        .collect()
}

async fn zadd(b: Bench) -> Verdict {
    let key = b.key("z");
    ensure_eq!(
        b.kv.zadd(&key, [("a", 1), ("b", 2)]).await?,
        2,
        "two new members"
    );
    ensure_eq!(b.kv.zadd(&key, [("a", 1)]).await?, 0, "the same again");
    ensure_eq!(b.kv.zadd(&key, [("a", 3)]).await?, 0, "one moved");
    ensure_eq!(
        b.kv.zadd(&key, [("a", 4), ("c", 1)]).await?,
        1,
        "one moved and one new"
    );
    let expected = pairs(&[("c", 1.0), ("b", 2.0), ("a", 4.0)]);
    ensure_eq!(members(&b, &key).await?, expected, "the members");
    let score = b.kv.zscore(&key, "a").await?;
    ensure_eq!(
        score.map(|it| it.get()),
        Some(4.0),
        "the score of a moved member"
    );
    ensure_eq!(
        b.kv.zscore(&key, "x").await?,
        None,
        "the score of a missing member"
    );
    ensure_eq!(
        b.kv.zscore(b.key("missing"), "x").await?,
        None,
        "a score in a missing set"
    );
    ensure_eq!(
        b.kv.zcount(&key, ScoreRange::ALL).await?,
        3,
        "how many members"
    );
    Ok(())
}

async fn not_a_number(b: Bench) -> Verdict {
    let key = b.key("z");
    let (kv, nan) = (&b.kv, f64::NAN);
    let refused = kv.zadd(&key, [("a", 1.0), ("b", nan), ("c", 2.0)]).await;
    ensure_error!(refused, InvalidArgument, "zadd with one bad score");
    ensure_eq!(
        members(&b, &key).await?,
        [],
        "the members after a refused zadd"
    );
    kv.zadd(&key, [("a", 1)]).await?;
    ensure_error!(
        kv.zrangebyscore(&key, nan, 1).await,
        InvalidArgument,
        "a range from NaN"
    );
    ensure_error!(
        kv.zrangebyscore(&key, 1, nan).await,
        InvalidArgument,
        "a range to NaN"
    );
    ensure_error!(
        kv.zcount(&key, (nan, 1.0)).await,
        InvalidArgument,
        "a count from NaN"
    );
    ensure_error!(
        kv.zpopbyscore(&key, nan).await,
        InvalidArgument,
        "a pop up to NaN"
    );
    ensure_eq!(
        members(&b, &key).await?,
        pairs(&[("a", 1.0)]),
        "the members"
    );
    Ok(())
}

async fn exact_scores(b: Bench) -> Verdict {
    let key = b.key("z");
    let scores = [
        f64::NEG_INFINITY,
        -1.797_693_134_862_315_7e308,
        -1_718_000_000_123.456,
        -5e-324,
        0.0,
        5e-324,
        0.1 + 0.2,
        1.0 / 3.0,
        1_718_000_000_123.456,
        1_763_765_432_123_456.0,
        9_007_199_254_740_991.0,
        9_007_199_254_740_992.0,
        1e17,
        1.797_693_134_862_315_7e308,
        f64::INFINITY,
    ];
    let named: Vec<(String, f64)> = scores
        .iter()
        .enumerate()
        .map(|(at, &score)| (format!("{at:02}"), score))
        .collect();
    b.kv.zadd(&key, named.iter().map(|(member, score)| (member, *score)))
        .await?;
    ensure_eq!(
        members(&b, &key).await?,
        named,
        "all members with their scores"
    );
    for (member, score) in &named {
        let read = b.kv.zscore(&key, member).await?.map(|it| it.get());
        ensure_eq!(read, Some(*score), "the score of {member}");
        let alone = b.kv.zrangebyscore(&key, *score, *score).await?;
        ensure_eq!(
            alone,
            [Member::from(member)],
            "the members with exactly {score:e}"
        );
    }
    let by_rank = b.kv.zrange(&key, 0, -1, Scores::Include).await?;
    let by_rank: Vec<_> = by_rank
        .iter()
        .filter_map(|it| it.score)
        .map(|it| it.get())
        .collect();
    ensure_eq!(by_rank, scores, "the scores by rank");
    let popped =
        b.kv.zpopbyscore_with(&key, f64::INFINITY, 100_u32, Scores::Include)
            .await?;
    let popped: Vec<_> = popped
        .iter()
        .filter_map(|it| it.score)
        .map(|it| it.get())
        .collect();
    ensure_eq!(popped, scores, "the scores of popped members");

    b.kv.zadd(&key, [("negative zero", -0.0)]).await?;
    let zero = b.kv.zscore(&key, "negative zero").await?.map(|it| it.get());
    ensure!(
        zero.is_some_and(|it| it == 0.0 && it.is_sign_positive()),
        "-0.0 reads as {zero:?}"
    );
    Ok(())
}

async fn added_twice(b: Bench) -> Verdict {
    let key = b.key("z");
    let added =
        b.kv.zadd(&key, [("a", 3), ("b", 9), ("a", 1), ("a", 2)])
            .await?;
    ensure_eq!(added, 2, "how many are new");
    let expected = pairs(&[("a", 2.0), ("b", 9.0)]);
    ensure_eq!(members(&b, &key).await?, expected, "the members");
    Ok(())
}

async fn zrem(b: Bench) -> Verdict {
    let key = b.key("z");
    ensure_eq!(b.kv.zrem(&key, ["a"]).await?, 0, "zrem from a missing set");
    b.kv.zadd(&key, [("a", 1), ("b", 2), ("c", 3), ("d", 4)])
        .await?;
    ensure_eq!(
        b.kv.zrem(&key, ["a", "x", "c"]).await?,
        2,
        "two that are there, one that is not"
    );
    ensure_eq!(b.kv.zrem(&key, ["a", "x"]).await?, 0, "none that is there");
    ensure_eq!(b.kv.zrem(&key, ["b", "b"]).await?, 1, "one named twice");
    ensure_eq!(
        members(&b, &key).await?,
        pairs(&[("d", 4.0)]),
        "what is left"
    );
    Ok(())
}

async fn drained(b: Bench) -> Verdict {
    for way in ["zrem", "pop", "pop many"] {
        let key = b.key(way);
        b.kv.zadd(&key, [("a", 1), ("b", 2)]).await?;
        if b.has(Capability::Expiry) {
            b.kv.expire(&key, LONG).await?;
        }
        match way {
            "zrem" => ensure_eq!(b.kv.zrem(&key, ["a", "b"]).await?, 2, "zrem of all"),
            "pop" => {
                b.kv.zpopbyscore(&key, 5).await?;
                ensure_eq!(
                    b.kv.exists(&key).await?,
                    true,
                    "exists with one member left"
                );
                b.kv.zpopbyscore(&key, 5).await?;
            }
            _ => ensure_eq!(
                b.kv.zpopbyscore_many(&key, 5, 9).await?.len(),
                2,
                "a pop of all"
            ),
        }
        ensure_eq!(
            b.kv.exists(&key).await?,
            false,
            "exists after draining by {way}"
        );
        if b.has(Capability::Expiry) {
            let left = b.kv.time_to_live(&key).await?;
            ensure_eq!(
                left,
                TimeToLive::Missing,
                "time to live after draining by {way}"
            );
            b.kv.zadd(&key, [("a", 1)]).await?;
            b.lives_for_ever(&key).await?;
        }
        b.kv.delete(&key).await?;
        b.kv.set(&key, "a string now").await?;
        b.holds(&key, "a string now").await?;
    }
    Ok(())
}

async fn deadline(b: Bench) -> Verdict {
    let (key, brief) = (b.key("z"), b.key("brief"));
    b.kv.zadd(&key, [("a", 1), ("b", 2), ("c", 3)]).await?;
    b.lives_for_ever(&key).await?;
    ensure_eq!(b.kv.expire(&key, LONG).await?, true, "expire of a set");
    b.kv.zadd(&key, [("d", 4), ("a", 5)]).await?;
    b.kv.zrem(&key, ["b"]).await?;
    b.kv.zpopbyscore(&key, 3).await?;
    let left = b.left(&key).await?;
    ensure!(
        left <= LONG && left > LONG / 2,
        "the set has {left:?} left of {LONG:?}"
    );
    let expected = pairs(&[("d", 4.0), ("a", 5.0)]);
    ensure_eq!(members(&b, &key).await?, expected, "the members");

    let ttl = b.granularity().max(Duration::from_millis(200));
    b.kv.zadd(&brief, [("a", 1)]).await?;
    let (_, written) = b.written(b.kv.expire(&brief, ttl)).await?;
    let present = || async { Ok(b.kv.zscore(&brief, "a").await?.is_some()) };
    b.ends_in_time("the set", written, ttl, present).await?;
    ensure_eq!(
        members(&b, &brief).await?,
        [],
        "the members of an expired set"
    );
    ensure_eq!(
        b.kv.zpopbyscore(&brief, 9).await?,
        None,
        "a pop from an expired set"
    );
    ensure_eq!(
        b.kv.zadd(&brief, [("a", 2)]).await?,
        1,
        "zadd to an expired set"
    );
    b.lives_for_ever(&brief).await
}

async fn any_member(b: Bench) -> Verdict {
    let key = b.key("z");
    let every_byte: Vec<u8> = (0..=255).collect();
    let members: [&[u8]; 5] = [b"", b"\0", b" ", b"\xff\xfe", &every_byte];
    let added = b.kv.zadd(&key, members.iter().map(|&it| (it, 1.0))).await?;
    ensure_eq!(added, 5, "how many are new");
    for member in members {
        let score = b.kv.zscore(&key, member).await?.map(|it| it.get());
        ensure_eq!(score, Some(1.0), "the score of {}", member.escape_ascii());
    }
    let popped = b.kv.zpopbyscore(&key, 1).await?;
    ensure_eq!(popped, Some(Member::from("")), "the lowest member");
    ensure_eq!(
        b.kv.zrem(&key, members[1..].to_vec()).await?,
        4,
        "zrem of all others"
    );
    Ok(())
}

async fn wrong_type(b: Bench) -> Verdict {
    let (key, kv) = (b.key("z"), &b.kv);
    kv.zadd(&key, [("a", 1)]).await?;
    if b.has(Capability::Counters) {
        ensure_error!(
            kv.increment(&key, 1).await,
            WrongType,
            "increment of a sorted set"
        );
    }
    if b.has(Capability::Hashes) {
        ensure_error!(
            kv.hset(&key, "f", "v").await,
            WrongType,
            "hset on a sorted set"
        );
        ensure_error!(kv.hget(&key, "f").await, WrongType, "hget of a sorted set");
        ensure_error!(kv.hgetall(&key).await, WrongType, "hgetall of a sorted set");
    }
    ensure_eq!(
        members(&b, &key).await?,
        pairs(&[("a", 1.0)]),
        "the members"
    );
    if !b.has(Capability::Strings) {
        return Ok(());
    }
    ensure_error!(kv.get(&key).await, WrongType, "get of a sorted set");
    if b.has(Capability::Expiry) {
        kv.expire(&key, LONG).await?;
    }
    kv.set_for(&key, "a string", Ttl::Unset).await?;
    b.holds(&key, "a string").await?;
    if b.has(Capability::Expiry) {
        b.has_default_deadline(&key).await?;
    }
    ensure_error!(
        kv.zadd(&key, [("a", 1)]).await,
        WrongType,
        "zadd to a string"
    );
    ensure_error!(kv.zrem(&key, ["a"]).await, WrongType, "zrem from a string");
    ensure_error!(kv.zscore(&key, "a").await, WrongType, "zscore of a string");
    ensure_error!(
        kv.zcount(&key, ScoreRange::ALL).await,
        WrongType,
        "zcount of a string"
    );
    ensure_error!(
        kv.zrange(&key, 0, -1, Scores::Omit).await,
        WrongType,
        "zrange of a string"
    );
    ensure_error!(
        kv.zrangebyscore(&key, 0, 1).await,
        WrongType,
        "zrangebyscore of a string"
    );
    ensure_error!(
        kv.zpopbyscore(&key, 1).await,
        WrongType,
        "a pop from a string"
    );
    b.holds(&key, "a string").await
}
