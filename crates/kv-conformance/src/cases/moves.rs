//! I: which members a move takes, and where they go.

use super::{cases, sorted_sets::members};
use crate::{
    bench::Bench,
    failure::{Verdict, ensure, ensure_eq},
};
use kv_core::{Moved, Score, ScoreRange, ZMove};

cases! {
    'I' 230 "a move takes the lowest up to its limit, ties by bytes" [SortedSets, Move] lowest;
    'I' 231 "several sources are drained in order, each member once" [SortedSets, Move] several;
    'I' 232 "a target that is a source has its members scored anew" [SortedSets, Move] claims_again;
    'I' 233 "a target never holds more than its capacity" [SortedSets, Move] capacity;
    'I' 236 "a move without a target takes members out" [SortedSets, Move] pops;
    'I' 237 "a move tells what is left" [SortedSets, Move] tells_rest;
}

/// Members with their sources and scores before, in the order in which they were taken.
fn taken(moved: &[Moved]) -> Vec<(String, usize, f64)> {
    moved
        .iter()
        .map(|it| {
            let member = it.member.as_bytes().escape_ascii().to_string();
            (member, it.source, it.before.get())
        })
        .collect()
}

fn expect<const N: usize>(moved: [(&str, usize, i32); N]) -> Vec<(String, usize, f64)> {
    moved
        .map(|(member, source, before)| (member.to_owned(), source, f64::from(before)))
        .into()
}

fn held<const N: usize>(members: [(&str, i32); N]) -> Vec<(String, f64)> {
    members
        .map(|(member, score)| (member.to_owned(), f64::from(score)))
        .into()
}

async fn lowest(b: Bench) -> Verdict {
    let (from, to) = (b.grouped("g", ":from"), b.grouped("g", ":to"));
    let none = b.kv.zmove(ZMove::new(5).from(&from, 9).to(&to, 0)).await?;
    ensure!(
        none.applied && none.members.is_empty(),
        "a move from a missing set: {none:?}"
    );
    ensure_eq!(
        b.kv.exists_many([&from, &to]).await?,
        0,
        "whether it created sets"
    );

    b.kv.zadd(
        &from,
        [
            ("c", 2),
            ("b", 2),
            ("B", 2),
            ("a", 3),
            ("z", 1),
            ("late", 10),
        ],
    )
    .await?;
    let step = |limit| ZMove::new(limit).from(&from, 3).to(&to, 100);
    let moved = b.kv.zmove(step(3)).await?;
    let first = expect([("z", 0, 1), ("B", 0, 2), ("b", 0, 2)]);
    ensure_eq!(taken(&moved.members), first, "the first three");
    let after: Vec<_> = moved.members.iter().map(|it| it.after).collect();
    ensure_eq!(
        after,
        [Some(Score::from(100)); 3],
        "their scores in the target"
    );
    let others = |it: &Moved| it.tally.is_some() || !it.bodies.is_empty();
    ensure!(
        !moved.members.iter().any(others),
        "tallies or bodies nobody asked for: {moved:?}"
    );
    ensure_eq!(
        members(&b, &to).await?,
        held([("B", 100), ("b", 100), ("z", 100)]),
        "the target"
    );

    let moved = b.kv.zmove(step(200)).await?;
    ensure_eq!(
        taken(&moved.members),
        expect([("c", 0, 2), ("a", 0, 3)]),
        "the rest up to 3"
    );
    ensure_eq!(
        members(&b, &from).await?,
        held([("late", 10)]),
        "what is left"
    );
    let moved = b.kv.zmove(step(200)).await?;
    ensure_eq!(moved.members.len(), 0, "members moved when none is due");
    // Its score is the one in the target also where the member was there before.
    b.kv.zadd(&from, [("z", 0)]).await?;
    let moved = b.kv.zmove(ZMove::new(1).from(&from, 0).to(&to, -5)).await?;
    ensure_eq!(
        taken(&moved.members),
        expect([("z", 0, 0)]),
        "one that the target holds"
    );
    ensure_eq!(
        b.kv.zscore(&to, "z").await?,
        Some(Score::from(-5)),
        "its score in the target"
    );

    let many = b.grouped("g", ":many");
    let numbered = (0..500_u32).map(|at| (format!("{at:03}"), at));
    b.kv.zadd(&many, numbered).await?;
    let moved =
        b.kv.zmove(ZMove::new(200).from(&many, 449).to(&to, 1))
            .await?;
    ensure!(moved.more, "250 are left and no more is told");
    let expected: Vec<_> = (0..200_u32)
        .map(|at| (format!("{at:03}"), 0, f64::from(at)))
        .collect();
    ensure_eq!(
        taken(&moved.members),
        expected,
        "the most that one step moves"
    );
    ensure_eq!(
        b.kv.zcount(&many, ScoreRange::ALL).await?,
        300,
        "how many are left of 500"
    );
    Ok(())
}

async fn several(b: Bench) -> Verdict {
    let key = |name| b.grouped("g", name);
    let (high, low, to) = (key(":high"), key(":low"), key(":to"));
    b.kv.zadd(&high, [("h2", 6), ("h1", 5), ("both", 5), ("later", 50)])
        .await?;
    b.kv.zadd(&low, [("l1", 1), ("both", 2), ("l3", 3)]).await?;
    let step = |limit| {
        ZMove::new(limit)
            .from(&high, 9)
            .from(key(":none"), 9)
            .from(&low, 2)
            .to(&to, 7)
    };
    let moved = b.kv.zmove(step(4)).await?;
    let expected = expect([("both", 0, 5), ("h1", 0, 5), ("h2", 0, 6), ("l1", 2, 1)]);
    ensure_eq!(taken(&moved.members), expected, "the first four");
    ensure_eq!(
        members(&b, &high).await?,
        held([("later", 50)]),
        "what is left in the first"
    );
    let left = held([("both", 2), ("l3", 3)]);
    ensure_eq!(
        members(&b, &low).await?,
        left,
        "a member that was due in both stays in the later one"
    );
    let moved = b.kv.zmove(step(4)).await?;
    ensure_eq!(
        taken(&moved.members),
        expect([("both", 2, 2)]),
        "the next four"
    );

    // Chosen already where it comes again within one call.
    b.kv.zadd(&high, [("x", 1), ("y", 2)]).await?;
    b.kv.zadd(&low, [("x", 1), ("z", 2)]).await?;
    let moved = b.kv.zmove(step(3)).await?;
    let expected = expect([("x", 0, 1), ("y", 0, 2), ("z", 2, 2)]);
    ensure_eq!(
        taken(&moved.members),
        expected,
        "three of four entries of three members"
    );
    ensure_eq!(
        b.kv.zscore(&low, "x").await?,
        Some(Score::from(1)),
        "the other entry"
    );
    Ok(())
}

async fn claims_again(b: Bench) -> Verdict {
    let (lease, due) = (b.grouped("g", ":lease"), b.grouped("g", ":due"));
    b.kv.zadd(&lease, [("lapsed", 3), ("also", 4), ("held", 90)])
        .await?;
    b.kv.zadd(&due, [("new", 1), ("later", 90)]).await?;
    let step = |limit| {
        ZMove::new(limit)
            .from(&lease, 10)
            .from(&due, 10)
            .to(&lease, 100)
    };
    let moved = b.kv.zmove(step(10)).await?;
    let expected = expect([("lapsed", 0, 3), ("also", 0, 4), ("new", 1, 1)]);
    ensure_eq!(
        taken(&moved.members),
        expected,
        "lapsed ones first, then new ones"
    );
    let expected = held([("held", 90), ("also", 100), ("lapsed", 100), ("new", 100)]);
    ensure_eq!(members(&b, &lease).await?, expected, "the leases");
    ensure_eq!(
        members(&b, &due).await?,
        held([("later", 90)]),
        "what is left due"
    );
    let moved = b.kv.zmove(step(10)).await?;
    ensure_eq!(moved.members.len(), 0, "members claimed twice");

    // All sources are read before anything moves: what comes into the target is not taken again.
    b.kv.zadd(&due, [("next", 1)]).await?;
    let onwards = ZMove::new(10).from(&due, 10).from(&lease, 10).to(&lease, 5);
    let moved = b.kv.zmove(onwards).await?;
    ensure_eq!(
        taken(&moved.members),
        expect([("next", 0, 1)]),
        "a member that lands among the due"
    );
    ensure!(
        moved.more,
        "its new score is due, but the answer says that no more is"
    );
    ensure_eq!(
        moved.next,
        Some(Score::from(5)),
        "the lowest score that is left"
    );
    Ok(())
}

async fn capacity(b: Bench) -> Verdict {
    let (lease, due) = (b.grouped("g", ":lease"), b.grouped("g", ":due"));
    b.kv.zadd(&lease, [("held", 90), ("lapsed", 1)]).await?;
    b.kv.zadd(&due, [("a", 1), ("b", 2), ("c", 3)]).await?;
    let step = |capacity| {
        ZMove::new(10)
            .from(&due, 10)
            .from(&lease, 10)
            .to(&lease, 100)
            .capacity(capacity)
    };
    for capacity in [0, 1, 2] {
        let moved = b.kv.zmove(step(capacity)).await?;
        // What holds a place already is scored anew, whatever the capacity.
        let expected = match capacity {
            0 => expect([("lapsed", 1, 1)]),
            _ => Vec::new(),
        };
        ensure_eq!(taken(&moved.members), expected, "with room for {capacity}");
        ensure!(
            moved.more,
            "with room for {capacity}: three are due, but the answer says none"
        );
        ensure_eq!(
            moved.next,
            Some(Score::from(1)),
            "the lowest score left, with room for {capacity}"
        );
    }
    let moved = b.kv.zmove(step(4)).await?;
    ensure_eq!(
        taken(&moved.members),
        expect([("a", 0, 1), ("b", 0, 2)]),
        "with room for two more"
    );
    ensure_eq!(
        b.kv.zcount(&lease, ScoreRange::ALL).await?,
        4,
        "how many the target holds"
    );
    b.kv.zrem(&lease, ["held"]).await?;
    let moved = b.kv.zmove(step(4)).await?;
    ensure_eq!(
        taken(&moved.members),
        expect([("c", 0, 3)]),
        "when a place is free again"
    );
    ensure!(!moved.more, "nothing is due any more");
    Ok(())
}

async fn pops(b: Bench) -> Verdict {
    let (one, other) = (b.grouped("g", ":one"), b.grouped("g", ":other"));
    b.kv.zadd(&one, [("a", 1), ("b", 2), ("c", 30)]).await?;
    b.kv.zadd(&other, [("d", 1)]).await?;
    let moved =
        b.kv.zmove(ZMove::new(9).from(&one, 9).from(&other, 9))
            .await?;
    let expected = expect([("a", 0, 1), ("b", 0, 2), ("d", 1, 1)]);
    ensure_eq!(taken(&moved.members), expected, "what was taken out");
    let after = moved.members.iter().any(|it| it.after.is_some());
    ensure!(!after, "a score in no target: {moved:?}");
    ensure_eq!(members(&b, &one).await?, held([("c", 30)]), "what is left");
    ensure_eq!(
        b.kv.exists(&other).await?,
        false,
        "whether a drained set is there"
    );
    Ok(())
}

async fn tells_rest(b: Bench) -> Verdict {
    let (one, other, to) = (
        b.grouped("g", ":one"),
        b.grouped("g", ":other"),
        b.grouped("g", ":to"),
    );
    b.kv.zadd(&one, [("a", 1), ("b", 5), ("c", 40)]).await?;
    b.kv.zadd(&other, [("d", 3), ("e", 30)]).await?;
    let step = |limit| ZMove::new(limit).from(&one, 9).from(&other, 9).to(&to, 0);
    for (limit, next, more) in [(1, Some(3), true), (1, Some(3), true), (9, Some(30), false)] {
        let moved = b.kv.zmove(step(limit)).await?;
        let told = (moved.next, moved.more);
        ensure_eq!(
            told,
            (next.map(Score::from), more),
            "what is left after {:?}",
            taken(&moved.members)
        );
    }
    let rest = ZMove::new(9).from(&one, 100).from(&other, 100).to(&to, 0);
    let moved = b.kv.zmove(rest).await?;
    ensure_eq!(
        (moved.next, moved.more),
        (None, false),
        "what is left in empty sources"
    );
    // The target counts as what it is, a source or not.
    let moved = b.kv.zmove(ZMove::new(1).from(&one, 1).to(&to, 0)).await?;
    ensure_eq!(
        (moved.next, moved.more),
        (None, false),
        "members of a target that is no source"
    );
    Ok(())
}
