//! E: batches of many and of large items.

use super::cases;
use crate::{
    bench::Bench,
    failure::{Failure, Verdict, ensure, ensure_eq},
};
use kv_core::{ErrorKind, Key, SetOptions};

cases! {
    'E' 61 "batches of ten thousand work" [Strings] many_keys;
    'E' 63 "an item that fails leaves the others alone" [Strings] one_too_large;
}

async fn many_keys(b: Bench) -> Verdict {
    for (prefix, count, bytes) in [
        ("thousand:", 1_000, 8),
        ("ten:", 10_000, 8),
        ("large:", 300, 20_000),
    ] {
        round_trip(&b, &b.keys(prefix, count), bytes).await?;
    }
    Ok(())
}

/// Writes, reads, counts and deletes all the keys, each in one call.
async fn round_trip(b: &Bench, keys: &[Key], bytes: usize) -> Verdict {
    let count = keys.len();
    let value = |at: usize| format!("{at:0>bytes$}");
    let items = keys.iter().enumerate().map(|(at, key)| (key, value(at)));
    let answers = b.kv.set_many_with(items, SetOptions::default()).await?;
    let written = answers.iter().filter(|it| matches!(it, Ok(true))).count();
    ensure_eq!(
        (answers.len(), written),
        (count, count),
        "answers and writes of {count}"
    );

    let values = b.kv.get_many(keys).await?;
    ensure_eq!(values.len(), count, "the answers of get_many");
    let is = |at: usize| {
        values[at]
            .as_ref()
            .is_some_and(|it| *it == value(at).as_str())
    };
    let wrong = (0..count).find(|&at| !is(at));
    ensure!(
        wrong.is_none(),
        "get_many of {count} is wrong, first at {wrong:?}"
    );

    let there = b.kv.exists_many(keys).await?;
    ensure_eq!(there, count as u64, "exists_many of {count}");
    let deleted = b.kv.delete_many(keys).await?;
    ensure_eq!(deleted, count as u64, "delete_many of {count}");
    ensure_eq!(
        b.kv.exists_many(keys).await?,
        0,
        "exists_many of deleted keys"
    );
    Ok(())
}

async fn one_too_large(b: Bench) -> Verdict {
    let limit = b.kv.capabilities().max_value_bytes;
    let cap = b.settings().max_value_test;
    if limit > cap {
        b.note(format!(
            "not applicable: the limit of a value is above {cap} bytes"
        ));
        return Ok(());
    }
    let keys = b.keys("k", 3);
    let large = "v".repeat(limit + 1);
    let items = [(&keys[0], "x"), (&keys[1], &large), (&keys[2], "x")];
    let answers = b.kv.set_many_with(items, SetOptions::default()).await?;
    let kinds: Vec<Result<bool, ErrorKind>> = answers
        .into_iter()
        .map(|it| it.map_err(|error| error.kind()))
        .collect();
    let expected = [Ok(true), Err(ErrorKind::TooLarge), Ok(true)];
    ensure_eq!(kinds, expected, "set_many_with one item above the limit");
    b.holds(&keys[0], "x").await?;
    b.lacks(&keys[1]).await?;
    b.holds(&keys[2], "x").await?;

    let all = b.kv.set_many(items).await;
    let Err(error) = all else {
        return Err(Failure::new("set_many swallowed the item that failed"));
    };
    ensure_eq!(error.kind(), ErrorKind::TooLarge, "the error of set_many");
    ensure_eq!(
        error.context("failed"),
        Some("1 of 3 items"),
        "what it says about the others"
    );
    Ok(())
}
