//! I: guards and tallies of moves, and what they refuse.

use super::{cases, ops, sorted_sets::members};
use crate::{
    bench::Bench,
    failure::{Verdict, ensure, ensure_eq, ensure_error},
};
use kv_core::{ErrorKind, Fate, Guard, Key, Outcome, Score, ScoreRange, Value, ZMove};

cases! {
    'I' 234 "a move counts in the tally of the source" [SortedSets, Hashes, HashCounters, Move] tally;
    'I' 238 "a move is made only if its guards hold" [SortedSets, Hashes, Strings, Move] guards;
    'I' 239 "a move that cannot be made changes nothing" [SortedSets, Hashes, HashCounters, Strings, Move] changes_nothing;
    'I' 242 "a move that contradicts itself is refused" [SortedSets, Hashes, Move] malformed;
}

/// The keys of a queue, nothing in them yet.
pub(super) struct Queue {
    pub(super) due: Key,
    pub(super) lease: Key,
    pub(super) body: Key,
    pub(super) state: Key,
    tally: Key,
}

impl Queue {
    pub(super) fn new(b: &Bench) -> Self {
        let key = |name| b.grouped("g", name);
        Self {
            due: key(":due"),
            lease: key(":lease"),
            body: key(":body"),
            state: key(":state"),
            tally: key(":tally"),
        }
    }

    fn all(&self) -> [&Key; 5] {
        [&self.due, &self.lease, &self.body, &self.state, &self.tally]
    }
}

async fn tally(b: Bench) -> Verdict {
    let q = Queue::new(&b);
    b.kv.zadd(&q.due, [("a", 1), ("b", 2), ("c", 3)]).await?;
    b.kv.hset(&q.tally, "b", "41").await?;
    let step = || {
        ZMove::new(2)
            .from_counted(&q.due, 9, &q.tally)
            .to(&q.lease, 5)
    };
    let moved = b.kv.zmove(step()).await?;
    let told: Vec<_> = moved.members.iter().map(|it| it.tally).collect();
    ensure_eq!(
        told,
        [Some(1), Some(42)],
        "the tallies of a new and of a known member"
    );
    for (field, expected) in [("a", Some("1")), ("b", Some("42")), ("c", None)] {
        let found = b.kv.hget(&q.tally, field).await?;
        ensure_eq!(found, expected.map(Value::from), "the field {field}");
    }
    // From the target it is counted as well, and from a source without one it is not.
    let again = ZMove::new(9)
        .from_counted(&q.lease, 5, &q.tally)
        .from(&q.due, 9)
        .to(&q.lease, 6);
    let moved = b.kv.zmove(again).await?;
    let told: Vec<_> = moved.members.iter().map(|it| it.tally).collect();
    ensure_eq!(
        told,
        [Some(2), Some(43), None],
        "the tallies in the second move"
    );
    ensure_eq!(
        b.kv.hget(&q.tally, "c").await?,
        None,
        "the field of a member that is not counted"
    );
    Ok(())
}

async fn guards(b: Bench) -> Verdict {
    let q = Queue::new(&b);
    let leader = b.grouped("g", ":leader");
    b.kv.zadd(&q.due, [("a", 1)]).await?;
    b.kv.hset(&q.state, "paused", "no").await?;
    b.kv.commit_one(kv_core::Txn::new().then(ops::mark(&leader, "me")))
        .await?;
    let before = ops::state(&b, q.all()).await?;
    let step = || {
        ZMove::new(9)
            .when(Guard::value_is(&leader, "me"))
            .from_counted(&q.due, 9, &q.tally)
            .to(&q.lease, 9)
    };
    for guard in [
        Guard::value_is(&leader, "you"),
        Guard::exists(&q.lease),
        Guard::absent(&q.due),
        Guard::count_below(&q.due, ScoreRange::ALL, 1),
        Guard::field_exists(&q.state, "stopped"),
    ] {
        let moved = b.kv.zmove(step().when(guard.clone())).await?;
        let told = (moved.applied, moved.members.len(), moved.next, moved.more);
        ensure_eq!(told, (false, 0, None, false), "a move with {guard:?}");
        ensure!(
            moved.now.as_micros() > 0,
            "a refused move does not tell the time"
        );
        ensure_eq!(
            ops::state(&b, q.all()).await?,
            before,
            "the state after {guard:?}"
        );
    }
    let wrong = step().when(Guard::member_exists(&leader, "m"));
    let error = ensure_error!(
        b.kv.zmove(wrong).await,
        WrongType,
        "a guard on another type"
    );
    ensure_eq!(
        error.key(),
        Some(leader.to_string().as_str()),
        "the key in {error}"
    );
    let skipped = step()
        .when(Guard::exists(&q.lease))
        .when(Guard::member_exists(&leader, "m"));
    ensure_eq!(
        b.kv.zmove(skipped).await?.applied,
        false,
        "a guard that refuses before one that fails"
    );
    let moved = b.kv.zmove(step().when(Guard::absent(&q.lease))).await?;
    ensure_eq!(
        (moved.applied, moved.members.len()),
        (true, 1),
        "a move whose guards hold"
    );
    Ok(())
}

async fn changes_nothing(b: Bench) -> Verdict {
    let q = Queue::new(&b);
    let (text, full) = (b.grouped("g", ":text"), b.grouped("g", ":full"));
    b.kv.zadd(&q.due, [("a", 1), ("b", 2)]).await?;
    b.kv.zadd(&q.lease, [("z", 1)]).await?;
    b.kv.hset(&q.body, "a", "body").await?;
    b.kv.hset_many(&q.tally, [("a", "1"), ("b", "abc")]).await?;
    b.kv.hset(&full, "b", i64::MAX.to_string()).await?;
    b.kv.set(&text, "v").await?;
    let keys = q.all().into_iter().chain([&text, &full]);
    let keys: Vec<Key> = keys.cloned().collect();
    let before = ops::state(&b, &keys).await?;
    let step = || ZMove::new(9).from(&q.due, 9);
    let taking = || step().with(&q.body, Fate::Take);
    let wrong = [
        (taking().to(&text, 1), &text, ErrorKind::WrongType),
        (
            taking().to(&q.state, 1).from(&text, 9),
            &text,
            ErrorKind::WrongType,
        ),
        (
            taking().to(&q.lease, 1).with(&text, Fate::Keep),
            &text,
            ErrorKind::WrongType,
        ),
        (
            taking().to(&q.lease, 1).with(&text, Fate::Drop),
            &text,
            ErrorKind::WrongType,
        ),
        (
            step().to(&q.lease, 1).with(q.lease.clone(), Fate::Keep),
            &q.lease,
            ErrorKind::InvalidArgument,
        ),
        (
            taking().from_counted(b.grouped("g", ":none"), 9, &text),
            &text,
            ErrorKind::WrongType,
        ),
        (
            taking().from(&q.tally, 9).to(&q.lease, 1),
            &q.tally,
            ErrorKind::WrongType,
        ),
        (
            ZMove::new(9)
                .from_counted(&q.due, 9, &q.tally)
                .to(&q.lease, 1)
                .with(&q.body, Fate::Take),
            &q.tally,
            ErrorKind::NotAnInteger,
        ),
        (
            ZMove::new(9)
                .from_counted(&q.due, 9, &full)
                .to(&q.lease, 1)
                .with(&q.body, Fate::Take),
            &full,
            ErrorKind::Overflow,
        ),
        // Types are judged even where nothing is due.
        (
            ZMove::new(1).from(&q.due, -9).to(&text, 1),
            &text,
            ErrorKind::WrongType,
        ),
        (
            ZMove::new(1).from(&q.due, -9).with(&text, Fate::Keep),
            &text,
            ErrorKind::WrongType,
        ),
        (
            ZMove::new(1).from(&q.due, -9).with(&text, Fate::Drop),
            &text,
            ErrorKind::WrongType,
        ),
    ];
    for (step, at, kind) in wrong {
        let answer = b.kv.zmove(step.clone()).await;
        let got = answer
            .as_ref()
            .err()
            .map(|error| (error.kind(), error.key(), error.outcome()));
        let name = at.to_string();
        ensure_eq!(
            got,
            Some((kind, Some(name.as_str()), Outcome::Final)),
            "{step:?}"
        );
        ensure_eq!(
            ops::state(&b, &keys).await?,
            before,
            "the state after {step:?}"
        );
    }
    // A tally that cannot be counted matters only for members that move.
    let first = ZMove::new(1)
        .from_counted(&q.due, 9, &q.tally)
        .to(&q.lease, 5);
    ensure_eq!(
        b.kv.zmove(first).await?.members.len(),
        1,
        "a move of one whose tally is sound"
    );
    let left = members(&b, &q.due).await?;
    ensure_eq!(left, [("b".to_owned(), 2.0)], "what is left");
    Ok(())
}

async fn malformed(b: Bench) -> Verdict {
    let q = Queue::new(&b);
    b.kv.zadd(&q.due, [("a", 1)]).await?;
    let step = || ZMove::new(1).from(&q.due, 9);
    let wrong = [
        ZMove::new(0).from(&q.due, 9),
        ZMove::new(kv_core::MAX_MEMBERS + 1).from(&q.due, 9),
        ZMove::new(1).to(&q.lease, 1),
        step().capacity(4),
        step().from(&q.due, 5),
        step().with(&q.body, Fate::Keep).with(&q.body, Fate::Take),
        step().with(&q.body, Fate::Take).with(&q.body, Fate::Drop),
        step().with(&q.due, Fate::Keep),
        ZMove::new(1)
            .from_counted(&q.due, 9, &q.tally)
            .with(&q.tally, Fate::Keep),
        ZMove::new(1)
            .from_counted(&q.due, 9, &q.lease)
            .to(&q.lease, 1),
    ];
    for step in wrong {
        ensure_error!(b.kv.zmove(step.clone()).await, InvalidArgument, "{step:?}");
    }
    let crossing = [
        step().from(b.grouped("other", ":due"), 9),
        step().to(b.grouped("other", ":lease"), 9),
        step().with(b.grouped("other", ":body"), Fate::Keep),
        step().when(Guard::absent(b.grouped("other", ":leader"))),
        ZMove::new(1).from_counted(&q.due, 9, b.grouped("other", ":tally")),
    ];
    for step in crossing {
        ensure_error!(b.kv.zmove(step.clone()).await, CrossGroup, "{step:?}");
    }
    ensure_eq!(
        b.kv.zscore(&q.due, "a").await?,
        Some(Score::from(1)),
        "what was never moved"
    );
    Ok(())
}
