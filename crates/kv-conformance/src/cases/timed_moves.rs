//! I: deadlines and the clock in moves.

use super::cases;
use crate::{
    bench::Bench,
    failure::{Verdict, ensure, ensure_eq},
};
use kv_core::{Fate, Key, RelativeScore, Score, TimeToLive, ZMove};
use std::time::Duration;

cases! {
    'I' 241 "a move leaves deadlines alone, and nothing empty" [SortedSets, Hashes, HashCounters, Expiry, Move] deadlines;
    'I' 243 "a move by the clock uses the time it tells" [SortedSets, StoreTime, Move] by_the_clock;
}

async fn deadlines(b: Bench) -> Verdict {
    let key = |name| b.grouped("g", name);
    let (from, to, hash, tally) = (key(":from"), key(":to"), key(":hash"), key(":tally"));
    let long = Duration::from_secs(100);
    b.kv.zadd(&from, [("a", 1), ("b", 2)]).await?;
    b.kv.zadd(&to, [("z", 1)]).await?;
    b.kv.hset(&hash, "a", "body").await?;
    b.kv.hset(&tally, "a", "1").await?;
    for key in [&from, &to, &hash, &tally] {
        b.kv.expire(key, long).await?;
    }
    let step = || {
        ZMove::new(1)
            .from_counted(&from, 9, &tally)
            .to(&to, 5)
            .with(&hash, Fate::Take)
    };
    b.kv.zmove(step()).await?;
    for key in [&from, &to, &tally] {
        ensure!(b.left(key).await? > long / 2, "`{key}` lost its deadline");
    }
    ensure_eq!(
        b.kv.exists(&hash).await?,
        false,
        "whether a drained hash is there"
    );
    b.kv.hset(&hash, "b", "body").await?;
    let mut dropping = step();
    dropping.hashes[0].fate = Fate::Drop;
    b.kv.zmove(dropping).await?;
    for (key, what) in [(&from, "set"), (&hash, "hash without its last field")] {
        let there = b.kv.exists(key).await?;
        ensure_eq!(there, false, "whether a drained {what} is there");
    }
    b.kv.zadd(&from, [("c", 1)]).await?;
    let left = b.kv.time_to_live(&from).await?;
    ensure_eq!(
        left,
        TimeToLive::NoExpiry,
        "the deadline of a set that was drained and filled again"
    );
    Ok(())
}

async fn by_the_clock(b: Bench) -> Verdict {
    let (due, lease): (Key, Key) = (b.grouped("g", ":due"), b.grouped("g", ":lease"));
    let minute = Duration::from_secs(60);
    let start = b.now().await?;
    let soon = start.saturating_add(minute);
    b.kv.zadd(
        &due,
        [("ready", Score::from(start)), ("soon", Score::from(soon))],
    )
    .await?;
    let step = ZMove::new(9)
        .from(&lease, RelativeScore::NOW)
        .from(&due, RelativeScore::NOW)
        .to(&lease, RelativeScore::after(minute));
    let (moved, written) = b.written(b.kv.zmove(step.clone())).await?;
    let now = moved.now;
    ensure!(
        written.before <= now && now <= written.after,
        "the move tells {now:?}, between {written:?}"
    );
    let expected = Score::from(now.saturating_add(minute));
    let told: Vec<_> = moved
        .members
        .iter()
        .map(|it| (it.before, it.after))
        .collect();
    ensure_eq!(
        told,
        [(Score::from(start), Some(expected))],
        "the scores of what was due"
    );
    ensure_eq!(
        b.kv.zscore(&lease, "ready").await?,
        Some(expected),
        "the score in the target"
    );
    ensure_eq!(
        moved.next,
        Some(Score::from(soon).min(expected)),
        "when to ask again"
    );
    ensure!(!moved.more, "what is due in a minute counts as due");
    let again = b.kv.zmove(step).await?;
    ensure_eq!(again.members.len(), 0, "members claimed before their time");
    ensure!(again.now >= now, "the store's time went back");
    Ok(())
}
