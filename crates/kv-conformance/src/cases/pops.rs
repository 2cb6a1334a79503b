//! G: taking members off a sorted set.

use super::cases;
use super::sorted_sets::members;
use crate::{
    bench::{Bench, together},
    failure::{Verdict, ensure, ensure_eq},
};
use kv_core::{Member, Score, ScoreRange, Scores};
use std::collections::BTreeSet;

cases! {
    'G' 86 "a pop takes the lowest members up to a score" [SortedSets] lowest;
    'G' 87 "eight workers take a thousand members, each once" [SortedSets] each_once;
}

async fn lowest(b: Bench) -> Verdict {
    let (key, kv) = (b.key("z"), &b.kv);
    ensure_eq!(
        kv.zpopbyscore(&key, 10).await?,
        None,
        "a pop from a missing set"
    );
    kv.zadd(&key, [("c", 3), ("a", 1), ("b", 2), ("d", 10)])
        .await?;
    ensure_eq!(
        kv.zpopbyscore(&key, 0.5).await?,
        None,
        "a pop below every score"
    );
    ensure_eq!(
        members(&b, &key).await?.len(),
        4,
        "how many are left after a pop of none"
    );
    ensure_eq!(
        kv.zpopbyscore(&key, 5).await?,
        Some(Member::from("a")),
        "the first pop"
    );
    ensure_eq!(
        kv.zscore(&key, "a").await?,
        None,
        "the score of a popped member"
    );
    ensure_eq!(
        kv.zpopbyscore(&key, 2).await?,
        Some(Member::from("b")),
        "a pop up to 2"
    );
    ensure_eq!(kv.zpopbyscore(&key, 2).await?, None, "another one");
    let popped = kv.zpopbyscore_with(&key, 5, 9_u32, Scores::Include).await?;
    let popped: Vec<_> = popped.into_iter().map(|it| (it.member, it.score)).collect();
    ensure_eq!(
        popped,
        [(Member::from("c"), Some(Score::from(3)))],
        "the rest up to 5"
    );
    let left = members(&b, &key).await?;
    ensure_eq!(left, [("d".to_owned(), 10.0)], "what is left");
    ensure_eq!(
        kv.zpopbyscore(&key, f64::INFINITY).await?,
        Some(Member::from("d")),
        "the last"
    );

    let many = b.key("many");
    let numbered = (0..500_u32).map(|at| (format!("{at:03}"), at));
    kv.zadd(&many, numbered).await?;
    let popped = kv.zpopbyscore_many(&many, 449, 450).await?;
    let expected: Vec<_> = (0..450)
        .map(|at| Member::from(format!("{at:03}")))
        .collect();
    let wrong = (0..popped.len().max(450)).find(|&at| popped.get(at) != expected.get(at));
    ensure!(wrong.is_none(), "a pop of 450 is wrong, first at {wrong:?}");
    ensure_eq!(
        kv.zcount(&many, ScoreRange::ALL).await?,
        50,
        "how many are left of 500"
    );
    ensure_eq!(
        kv.zpopbyscore_many(&many, 449, 450).await?.len(),
        0,
        "another pop up to 449"
    );
    let popped = kv
        .zpopbyscore_with(&many, 1000, 1_u32, Scores::Omit)
        .await?;
    let popped: Vec<_> = popped.into_iter().map(|it| (it.member, it.score)).collect();
    ensure_eq!(
        popped,
        [(Member::from("450"), None)],
        "the next one, without its score"
    );
    Ok(())
}

async fn each_once(b: Bench) -> Verdict {
    const MEMBERS: u32 = 1000;
    for limit in [1, 7] {
        let key = b.key(format!("by{limit}"));
        let numbered = (0..MEMBERS).map(|at| (format!("{at:04}"), at / 3));
        b.kv.zadd(&key, numbered).await?;
        let workers = (0..8).map(|_| {
            let (kv, key) = (b.kv.clone(), key.clone());
            async move {
                let mut taken = Vec::new();
                loop {
                    let popped = kv.zpopbyscore_many(&key, MEMBERS, limit).await?;
                    ensure!(
                        popped.len() <= limit as usize,
                        "a pop of {limit} took {}",
                        popped.len()
                    );
                    if popped.is_empty() {
                        return Ok(taken);
                    }
                    taken.extend(popped);
                    // Members that come back would come for ever.
                    let once = taken.len() <= MEMBERS as usize;
                    ensure!(
                        once,
                        "one worker took more than the {MEMBERS} members there are"
                    );
                }
            }
        });
        let taken = together(workers).await?;
        for (worker, taken) in taken.iter().enumerate() {
            ensure!(
                taken.is_sorted(),
                "worker {worker} took members out of order: {taken:?}"
            );
        }
        let all = taken.concat();
        let distinct: BTreeSet<&Member> = all.iter().collect();
        let counts = (all.len(), distinct.len());
        let expected = (MEMBERS as usize, MEMBERS as usize);
        ensure_eq!(
            counts,
            expected,
            "members taken, and distinct ones, by {limit} at a time"
        );
        ensure_eq!(members(&b, &key).await?, [], "what is left");
    }
    Ok(())
}
