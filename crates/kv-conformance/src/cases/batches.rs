//! E: batches.

use super::cases;
use crate::{
    bench::Bench,
    failure::{Verdict, ensure, ensure_eq, ensure_error},
};
use kv_core::{Capability, Field, Key, Member, SetOptions, Ttl, Value, When};
use std::time::Duration;

cases! {
    'E' 55 "get_many answers in order, duplicates too" [Strings] in_order;
    'E' 56 "empty batches do nothing" [Strings] empty;
    'E' 57 "set_many writes all, the last of duplicates wins" [Strings] set_many;
    'E' 58 "a conditional batch answers for each key" [Strings, ConditionalSet] conditional;
    'E' 59 "delete_many counts what was there, once" [Strings] delete_many;
    'E' 60 "get_many has none for a structure" [Strings] structures;
    'E' 65 "a batch with an invalid item is refused whole" [Strings] invalid_item;
}

async fn in_order(b: Bench) -> Verdict {
    for name in ["a", "b", "c", "d"] {
        b.kv.set(b.key(name), name).await?;
    }
    let asked = ["d", "missing", "a", "d", "b", "missing", "c", "a"];
    let answers = b.kv.get_many(asked.map(|name| b.key(name))).await?;
    let expected = asked.map(|name| (name != "missing").then(|| Value::from(name)));
    let text = |values: &[Option<Value>]| -> Vec<String> {
        let text = |it: &Option<Value>| {
            it.as_ref()
                .map(|it| it.as_bytes().escape_ascii().to_string())
        };
        values
            .iter()
            .map(|it| text(it).unwrap_or_else(|| "none".to_owned()))
            .collect()
    };
    ensure_eq!(text(&answers), text(&expected), "get_many of {asked:?}");
    Ok(())
}

async fn empty(b: Bench) -> Verdict {
    let key = b.key("a");
    let kv = &b.kv;
    ensure_eq!(
        kv.get_many(Vec::<Key>::new()).await?.len(),
        0,
        "get_many of nothing"
    );
    let none = Vec::<(Key, Value)>::new();
    let answers = kv.set_many_with(none, SetOptions::default()).await?;
    ensure!(
        answers.is_empty(),
        "set_many_with of nothing answers {answers:?}"
    );
    kv.set_many(Vec::<(Key, Value)>::new()).await?;
    ensure_eq!(
        kv.delete_many(Vec::<Key>::new()).await?,
        0,
        "delete_many of nothing"
    );
    ensure_eq!(
        kv.exists_many(Vec::<Key>::new()).await?,
        0,
        "exists_many of nothing"
    );
    if b.has(Capability::Hashes) {
        let none = Vec::<(Field, Value)>::new();
        ensure_eq!(kv.hset_many(&key, none).await?, 0, "hset_many of nothing");
        ensure_eq!(
            kv.hget_many(&key, Vec::<Field>::new()).await?.len(),
            0,
            "hget_many of nothing"
        );
        ensure_eq!(
            kv.hdel(&key, Vec::<Field>::new()).await?,
            0,
            "hdel of nothing"
        );
    }
    if b.has(Capability::SortedSets) {
        let none = Vec::<(Member, f64)>::new();
        ensure_eq!(kv.zadd(&key, none).await?, 0, "zadd of nothing");
        ensure_eq!(
            kv.zrem(&key, Vec::<Member>::new()).await?,
            0,
            "zrem of nothing"
        );
        ensure_eq!(
            kv.zpopbyscore_many(&key, 1, 0).await?.len(),
            0,
            "a pop of nothing"
        );
    }
    ensure_eq!(kv.exists(&key).await?, false, "exists after empty batches");
    Ok(())
}

async fn set_many(b: Bench) -> Verdict {
    let keys = b.keys("k", 10);
    b.kv.set(&keys[3], "old").await?;
    let items = keys
        .iter()
        .enumerate()
        .map(|(at, key)| (key, at.to_string()));
    let answers = b.kv.set_many_with(items, SetOptions::default()).await?;
    ensure_eq!(answers.len(), 10, "how many answers");
    ensure!(
        answers.iter().all(|it| matches!(it, Ok(true))),
        "set_many_with: {answers:?}"
    );
    for (at, key) in keys.iter().enumerate() {
        b.holds(key, at.to_string()).await?;
    }
    let twice = [(&keys[0], "first"), (&keys[1], "other"), (&keys[0], "last")];
    let answers = b.kv.set_many_with(twice, SetOptions::default()).await?;
    ensure_eq!(answers.len(), 3, "how many answers, with a duplicate");
    ensure!(
        answers.iter().all(|it| matches!(it, Ok(true))),
        "set_many_with: {answers:?}"
    );
    b.holds(&keys[0], "last").await?;
    b.holds(&keys[1], "other").await?;
    b.kv.set_many([(&keys[0], "again"), (&keys[9], "too")])
        .await?;
    b.holds(&keys[0], "again").await?;
    b.holds(&keys[9], "too").await
}

async fn conditional(b: Bench) -> Verdict {
    let keys = b.keys("k", 4);
    b.kv.set(&keys[1], "old").await?;
    // The last is a duplicate: items are applied in order, so it finds the first one's write.
    let items = [&keys[0], &keys[1], &keys[2], &keys[0]].map(|key| (key, "new"));
    let answers = b.kv.set_many_with(items, When::IfAbsent).await?;
    ensure_eq!(
        flags(answers),
        [Some(true), Some(false), Some(true), Some(false)],
        "if absent"
    );
    for (key, expected) in [(&keys[0], "new"), (&keys[1], "old"), (&keys[2], "new")] {
        b.holds(key, expected).await?;
    }
    let items = [&keys[3], &keys[1]].map(|key| (key, "newer"));
    let answers = b.kv.set_many_with(items, When::IfPresent).await?;
    ensure_eq!(flags(answers), [Some(false), Some(true)], "if present");
    b.lacks(&keys[3]).await?;
    b.holds(&keys[1], "newer").await?;
    if b.has(Capability::CompareValue) {
        let items = [&keys[0], &keys[1], &keys[3]].map(|key| (key, "newest"));
        let answers =
            b.kv.set_many_with(items, When::IfValue("newer".into()))
                .await?;
        ensure_eq!(
            flags(answers),
            [Some(false), Some(true), Some(false)],
            "if value"
        );
        b.holds(&keys[1], "newest").await?;
    }
    Ok(())
}

fn flags(answers: Vec<kv_core::Result<bool>>) -> Vec<Option<bool>> {
    answers.into_iter().map(Result::ok).collect()
}

async fn delete_many(b: Bench) -> Verdict {
    let (one, two, missing) = (b.key("1"), b.key("2"), b.key("missing"));
    b.kv.set_many([(&one, "x"), (&two, "x")]).await?;
    let keys = [&one, &missing, &two];
    ensure_eq!(
        b.kv.delete_many(keys).await?,
        2,
        "two that are there and one that is not"
    );
    ensure_eq!(b.kv.delete_many(keys).await?, 0, "the same again");
    b.kv.set(&one, "x").await?;
    ensure_eq!(
        b.kv.delete_many([&one, &one, &two]).await?,
        1,
        "one named twice"
    );
    b.lacks(&one).await
}

async fn structures(b: Bench) -> Verdict {
    let (hash, zset, string) = (b.key("hash"), b.key("zset"), b.key("string"));
    b.kv.set(&string, "x").await?;
    if b.has(Capability::Hashes) {
        b.kv.hset(&hash, "f", "v").await?;
    }
    if b.has(Capability::SortedSets) {
        b.kv.zadd(&zset, [("m", 1)]).await?;
    }
    let answers =
        b.kv.get_many([&hash, &string, &zset, &b.key("missing")])
            .await?;
    let present: Vec<_> = answers.iter().map(Option::is_some).collect();
    ensure_eq!(
        present,
        [false, true, false, false],
        "hash, string, sorted set, missing"
    );
    Ok(())
}

async fn invalid_item(b: Bench) -> Verdict {
    let key = b.key("a");
    let kv = &b.kv;
    let items = || [(key.clone().into_bytes(), "x"), (Default::default(), "x")];
    let refused = kv.set_many_with(items(), SetOptions::default()).await;
    ensure_error!(refused, InvalidArgument, "set_many_with an empty key");
    ensure_error!(
        kv.set_many(items()).await,
        InvalidArgument,
        "set_many with an empty key"
    );
    let refused = kv.set_many_with([(&key, "x")], Duration::ZERO).await;
    ensure_error!(refused, InvalidArgument, "set_many_with a ttl of zero");
    ensure_eq!(
        kv.exists(&key).await?,
        false,
        "exists after refused batches"
    );

    kv.set_for(&key, "x", Ttl::Never).await?;
    let keys = || [key.clone().into_bytes(), Default::default()];
    ensure_error!(
        kv.delete_many(keys()).await,
        InvalidArgument,
        "delete_many with an empty key"
    );
    b.holds(&key, "x").await?;
    let zset = b.key("zset");
    let refused = kv.zadd(&zset, [("a", 1.0), ("b", f64::NAN)]).await;
    ensure_error!(
        refused,
        InvalidArgument,
        "zadd with a score that is no number"
    );
    ensure_eq!(
        kv.exists(&zset).await?,
        false,
        "exists after a refused zadd"
    );
    Ok(())
}
