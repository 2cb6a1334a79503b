//! I: bodies that moves bring along or delete.

use super::{cases, moving::Queue};
use crate::{
    bench::Bench,
    failure::{Verdict, ensure_eq},
};
use kv_core::{Fate, Field, Guard, Moved, Result, Value, ZMove, ZMoved};

cases! {
    'I' 235 "a move brings bodies along, kept or taken" [SortedSets, Hashes, Move] bodies;
    'I' 244 "a move deletes bodies that it does not bring along" [SortedSets, Hashes, Move] dropped;
}

async fn bodies(b: Bench) -> Verdict {
    let q = Queue::new(&b);
    b.kv.zadd(&q.due, [("a", 1), ("b", 2), ("", 3), ("later", 50)])
        .await?;
    b.kv.hset_many(
        &q.body,
        [("a", "body a"), ("", ""), ("later", "body later")],
    )
    .await?;
    b.kv.hset_many(
        &q.state,
        [("a", "state a"), ("b", "state b"), ("other", "o")],
    )
    .await?;
    let step = ZMove::new(9)
        .from(&q.due, 9)
        .to(&q.lease, 99)
        .with(&q.state, Fate::Take)
        .with(&q.body, Fate::Keep)
        .with(b.grouped("g", ":missing"), Fate::Take);
    let moved = b.kv.zmove(step).await?;
    let told = texts(&moved)?;
    let some = |text: &str| Some(text.to_owned());
    let expected = [
        vec![some("state a"), some("body a"), None],
        vec![some("state b"), None, None],
        vec![None, some(""), None],
    ];
    ensure_eq!(
        told,
        expected,
        "the bodies of each member, in the order of the hashes"
    );
    let left = b.kv.hgetall(&q.state).await?;
    let left: Vec<_> = left.into_iter().map(|(field, _)| field).collect();
    ensure_eq!(
        left,
        [Field::from("other")],
        "the fields left where they are taken"
    );
    ensure_eq!(
        b.kv.hlen(&q.body).await?,
        3,
        "how many fields are left where they are kept"
    );
    Ok(())
}

async fn dropped(b: Bench) -> Verdict {
    let q = Queue::new(&b);
    b.kv.zadd(&q.due, [("a", 1), ("b", 2), ("later", 50)])
        .await?;
    for hash in [&q.state, &q.body] {
        b.kv.hset_many(hash, [("a", "of a"), ("later", "of later")])
            .await?;
    }
    let step = || {
        ZMove::new(9)
            .from(&q.due, 9)
            .with(b.grouped("g", ":missing"), Fate::Drop)
            .with(&q.body, Fate::Keep)
            .with(&q.state, Fate::Drop)
    };
    let refused = b.kv.zmove(step().when(Guard::exists(&q.lease))).await?;
    ensure_eq!(refused.applied, false, "whether the guard held");
    ensure_eq!(b.kv.hlen(&q.state).await?, 2, "fields after a refusal");
    let moved = b.kv.zmove(step()).await?;
    let expected = [
        vec![None, Some("of a".to_owned()), None],
        vec![None, None, None],
    ];
    ensure_eq!(
        texts(&moved)?,
        expected,
        "the bodies of each member, none where they are dropped"
    );
    for (key, fields, what) in [(&q.state, 1, "dropped"), (&q.body, 2, "kept")] {
        let left = b.kv.hlen(key).await?;
        ensure_eq!(
            left,
            fields,
            "how many fields are left where they are {what}"
        );
    }
    ensure_eq!(
        b.kv.hget(&q.state, "later").await?,
        Some(Value::from("of later")),
        "the field of a member that was not due"
    );
    // With nothing due there is nothing to drop.
    let none = b.kv.zmove(step()).await?;
    ensure_eq!(none.members.len(), 0, "how many are due later");
    ensure_eq!(b.kv.hlen(&q.state).await?, 1, "fields with nothing due");
    Ok(())
}

/// The bodies of each member.
fn texts(moved: &ZMoved) -> Result<Vec<Vec<Option<String>>>> {
    let text = |body: Option<Value>| Some(body?.as_bytes().escape_ascii().to_string());
    let members = moved.members.iter().map(Moved::all_bodies);
    members
        .map(|it| Ok(it?.into_iter().map(text).collect()))
        .collect()
}
