//! H: hashes.

use super::cases;
use crate::{
    bench::{Bench, together},
    failure::{Verdict, ensure, ensure_eq, ensure_error},
};
use kv_core::{Capability, Key, TimeToLive, Value};
use std::{collections::BTreeMap, time::Duration};

cases! {
    'H' 91 "hset tells whether a field is new, a missing hash is empty" [Hashes] hset;
    'H' 92 "hdel counts, and a hash without fields is gone" [Hashes] hdel;
    'H' 93 "a hash keeps its deadline and ends as a whole" [Hashes, Expiry] deadline;
    'H' 94 "empty and binary fields and values are legal" [Hashes] any_field;
    'H' 95 "a hash is no string and no sorted set" [Hashes] wrong_type;
    'H' 96 "concurrent writers of one hash lose nothing" [Hashes] concurrent;
}

const LONG: Duration = Duration::from_secs(100);

/// The fields, escaped, with their values.
async fn fields(b: &Bench, key: &Key) -> Verdict<BTreeMap<String, String>> {
    let all = b.kv.hgetall(key).await?;
    let count = all.len();
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let fields: BTreeMap<_, _> = all
        .iter()
        .map(|(field, value)| (text(field.as_bytes()), text(value.as_bytes())))
        .collect();
    ensure_eq!(
        fields.len(),
        count,
        "hgetall has a field twice: distinct ones"
    );
    Ok(fields)
}

fn map<const N: usize>(expected: [(&str, &str); N]) -> BTreeMap<String, String> {
    expected
        .into_iter()
        .map(|(field, value)| (field.to_owned(), value.to_owned()))
        .collect()
}

async fn hset(b: Bench) -> Verdict {
    let (key, missing, kv) = (b.key("h"), b.key("missing"), &b.kv);
    ensure_eq!(
        fields(&b, &missing).await?,
        map([]),
        "the fields of a missing hash"
    );
    ensure_eq!(
        kv.hgetall_map(&missing).await?.len(),
        0,
        "the map of a missing hash"
    );
    ensure_eq!(
        kv.hget(&missing, "f").await?,
        None,
        "a field of a missing hash"
    );
    ensure_eq!(kv.hlen(&missing).await?, 0, "the length of a missing hash");
    ensure_eq!(
        kv.hget_many(&missing, ["f"]).await?,
        [None],
        "many of a missing hash"
    );

    ensure_eq!(kv.hset(&key, "f", "1").await?, true, "hset of a new field");
    ensure_eq!(
        kv.hset(&key, "f", "2").await?,
        false,
        "hset of an old field"
    );
    let new = kv
        .hset_many(&key, [("f", "3"), ("g", "4"), ("h", "5")])
        .await?;
    ensure_eq!(new, 2, "hset_many of one old and two new fields");
    ensure_eq!(
        fields(&b, &key).await?,
        map([("f", "3"), ("g", "4"), ("h", "5")]),
        "all"
    );
    ensure_eq!(kv.hget(&key, "g").await?, Some(Value::from("4")), "a field");
    ensure_eq!(kv.hget(&key, "x").await?, None, "a missing field");
    ensure_eq!(kv.hlen(&key).await?, 3, "the length");
    let many = kv.hget_many(&key, ["h", "x", "f", "h"]).await?;
    let expected = [
        Some(Value::from("5")),
        None,
        Some("3".into()),
        Some("5".into()),
    ];
    ensure_eq!(many.len(), expected.len(), "how many answers of hget_many");
    ensure!(many == expected, "hget_many is out of order: {many:?}");
    let twice = kv.hset_many(&key, [("t", "first"), ("t", "last")]).await?;
    ensure_eq!(twice, 1, "hset_many of a new field given twice");
    ensure_eq!(
        kv.hget(&key, "t").await?,
        Some(Value::from("last")),
        "the last of them"
    );
    counts(&b).await
}

async fn counts(b: &Bench) -> Verdict {
    if !b.has(Capability::HashCounters) {
        return Ok(());
    }
    let (key, kv) = (b.key("counts"), &b.kv);
    for (by, sum) in [(5, 5), (-7, -2), (0, -2)] {
        ensure_eq!(
            kv.hincrement(&key, "n", by).await?,
            sum,
            "the sum after adding {by}"
        );
    }
    ensure_eq!(
        kv.hget(&key, "n").await?,
        Some(Value::from("-2")),
        "the counter's text"
    );
    for text in ["abc", "1.5", " 1", "01", "", "9223372036854775808"] {
        kv.hset(&key, "bad", text).await?;
        ensure_error!(
            kv.hincrement(&key, "bad", 1).await,
            NotAnInteger,
            "adding to {text:?}"
        );
        ensure_eq!(
            kv.hget(&key, "bad").await?,
            Some(Value::from(text)),
            "what stays"
        );
    }
    kv.hset(&key, "most", i64::MAX.to_string()).await?;
    ensure_error!(
        kv.hincrement(&key, "most", 1).await,
        Overflow,
        "adding to the largest"
    );
    let most = kv.hget(&key, "most").await?;
    ensure_eq!(most, Some(Value::from(i64::MAX.to_string())), "what stays");
    Ok(())
}

async fn hdel(b: Bench) -> Verdict {
    let (key, kv) = (b.key("h"), &b.kv);
    ensure_eq!(kv.hdel(&key, ["f"]).await?, 0, "hdel from a missing hash");
    kv.hset_many(&key, [("f", "1"), ("g", "2"), ("h", "3")])
        .await?;
    ensure_eq!(
        kv.hdel(&key, ["f", "x"]).await?,
        1,
        "one that is there, one that is not"
    );
    ensure_eq!(kv.hdel(&key, ["f"]).await?, 0, "one that is gone");
    ensure_eq!(kv.hdel(&key, ["g", "g"]).await?, 1, "one named twice");
    ensure_eq!(fields(&b, &key).await?, map([("h", "3")]), "what is left");
    if b.has(Capability::Expiry) {
        kv.expire(&key, LONG).await?;
    }
    ensure_eq!(kv.hdel(&key, ["h"]).await?, 1, "the last field");
    ensure_eq!(kv.hlen(&key).await?, 0, "the length of a drained hash");
    if b.has(Capability::Strings) {
        ensure_eq!(kv.exists(&key).await?, false, "exists of a drained hash");
    }
    if b.has(Capability::Expiry) {
        let left = kv.time_to_live(&key).await?;
        ensure_eq!(left, TimeToLive::Missing, "time to live of a drained hash");
        kv.hset(&key, "f", "1").await?;
        b.lives_for_ever(&key).await?;
    }
    Ok(())
}

async fn deadline(b: Bench) -> Verdict {
    let (key, brief, kv) = (b.key("h"), b.key("brief"), &b.kv);
    kv.hset(&key, "f", "1").await?;
    b.lives_for_ever(&key).await?;
    ensure_eq!(kv.expire(&key, LONG).await?, true, "expire of a hash");
    kv.hset_many(&key, [("f", "2"), ("g", "3")]).await?;
    if b.has(Capability::HashCounters) {
        kv.hincrement(&key, "n", 1).await?;
    }
    kv.hdel(&key, ["g"]).await?;
    let left = b.left(&key).await?;
    ensure!(
        left <= LONG && left > LONG / 2,
        "the hash has {left:?} left of {LONG:?}"
    );

    let ttl = b.granularity().max(Duration::from_millis(200));
    kv.hset_many(&brief, [("f", "1"), ("g", "2")]).await?;
    let (_, written) = b.written(kv.expire(&brief, ttl)).await?;
    let present = || async { Ok(kv.hget(&brief, "f").await?.is_some()) };
    b.ends_in_time("the hash", written, ttl, present).await?;
    ensure_eq!(
        fields(&b, &brief).await?,
        map([]),
        "the fields of an expired hash"
    );
    if b.has(Capability::HashCounters) {
        let sum = kv.hincrement(&brief, "f", 1).await?;
        ensure_eq!(sum, 1, "a counter in an expired hash");
    } else {
        kv.hset(&brief, "f", "1").await?;
    }
    ensure_eq!(kv.hlen(&brief).await?, 1, "the length of its successor");
    b.lives_for_ever(&brief).await
}

async fn any_field(b: Bench) -> Verdict {
    let (key, kv) = (b.key("h"), &b.kv);
    let every_byte: Vec<u8> = (0..=255).collect();
    let shapes: [&[u8]; 5] = [b"", b"\0", b" ", b"\xff\xfe", &every_byte];
    let new = kv
        .hset_many(&key, shapes.iter().map(|&it| (it, it)))
        .await?;
    ensure_eq!(new, 5, "how many fields are new");
    for shape in shapes {
        let value = kv.hget(&key, shape).await?;
        let same = value.is_some_and(|it| it.as_bytes() == shape);
        ensure!(
            same,
            "the field \"{}\" has another value",
            shape.escape_ascii()
        );
    }
    ensure_eq!(
        fields(&b, &key).await?.len(),
        5,
        "how many fields hgetall has"
    );
    ensure_eq!(
        kv.hdel(&key, shapes).await?,
        5,
        "how many fields hdel removed"
    );
    Ok(())
}

async fn wrong_type(b: Bench) -> Verdict {
    let (key, kv) = (b.key("h"), &b.kv);
    kv.hset(&key, "f", "1").await?;
    if b.has(Capability::SortedSets) {
        ensure_error!(kv.zadd(&key, [("a", 1)]).await, WrongType, "zadd to a hash");
        ensure_error!(kv.zscore(&key, "a").await, WrongType, "zscore of a hash");
        ensure_error!(
            kv.zpopbyscore(&key, 1).await,
            WrongType,
            "a pop from a hash"
        );
        ensure_error!(
            kv.zrangebyscore(&key, 0, 1).await,
            WrongType,
            "a range of a hash"
        );
    }
    if b.has(Capability::Counters) {
        ensure_error!(
            kv.increment(&key, 1).await,
            WrongType,
            "increment of a hash"
        );
    }
    ensure_eq!(fields(&b, &key).await?, map([("f", "1")]), "the fields");
    if !b.has(Capability::Strings) {
        return Ok(());
    }
    ensure_error!(kv.get(&key).await, WrongType, "get of a hash");
    kv.set(&key, "a string").await?;
    b.holds(&key, "a string").await?;
    ensure_error!(kv.hset(&key, "f", "1").await, WrongType, "hset on a string");
    ensure_error!(kv.hget(&key, "f").await, WrongType, "hget of a string");
    ensure_error!(
        kv.hget_many(&key, ["f"]).await,
        WrongType,
        "hget_many of a string"
    );
    ensure_error!(kv.hgetall(&key).await, WrongType, "hgetall of a string");
    if b.has(Capability::HashCounters) {
        let answer = kv.hincrement(&key, "f", 1).await;
        ensure_error!(answer, WrongType, "hincrement in a string");
    }
    ensure_error!(kv.hdel(&key, ["f"]).await, WrongType, "hdel from a string");
    ensure_error!(kv.hlen(&key).await, WrongType, "hlen of a string");
    b.holds(&key, "a string").await
}

async fn concurrent(b: Bench) -> Verdict {
    let key = b.key("h");
    let counts = b.has(Capability::HashCounters);
    let writers = (0..20).map(|me| {
        let (kv, key) = (b.kv.clone(), key.clone());
        async move {
            for round in 0..10 {
                let new = kv
                    .hset(&key, format!("{me}:{round}"), me.to_string())
                    .await?;
                ensure!(new, "the field {me}:{round} is not new");
                if counts {
                    kv.hincrement(&key, "all", 1).await?;
                }
            }
            Ok(())
        }
    });
    together(writers).await?;
    let fields = fields(&b, &key).await?;
    let others = 200 + usize::from(counts);
    ensure_eq!(fields.len(), others, "how many fields there are");
    ensure_eq!(
        fields.get("all").map(String::as_str),
        counts.then_some("200"),
        "the counter of all writers"
    );
    let wrong = fields.iter().find(|(field, value)| {
        field
            .split_once(':')
            .is_some_and(|(me, _)| me != value.as_str())
    });
    ensure!(
        wrong.is_none(),
        "a field has another writer's value: {wrong:?}"
    );
    Ok(())
}
