//! A: keys and limits.

use super::cases;
use crate::{
    bench::Bench,
    failure::{Verdict, ensure, ensure_eq, ensure_error},
};
use kv_core::{Capability, Key};
use std::collections::BTreeSet;

cases! {
    'A' 7 "special keys keep their spelling" [Strings] special_keys;
    'A' 8 "a key may be as long as the store says" [Strings] long_keys;
    'A' 9 "an empty key is refused" [Strings] empty_key;
    'A' 11 "a value may be as long as the store says" [Strings] long_values;
}

async fn special_keys(b: Bench) -> Verdict {
    let single = b"!@#$%^&*()[]{}?\\'\" \t\n\r\0,;:/|.-_+=<>~`\xff\x80";
    let mut names: Vec<Vec<u8>> = single.iter().map(|&byte| vec![byte]).collect();
    let texts = [
        "%20",
        "%2F",
        "%",
        "%%",
        "\u{1f980}",
        "e\u{301}",
        "\u{e9}",
        "a/b",
        "a//b",
        "a/",
        "/a",
        "a",
        "A",
        "a:b",
        "::",
        "a::b",
        "a?b=c",
        "..",
        ".",
        "a/../a",
        "a*",
        "{a}",
        "{a}b",
        "a{b}",
        "{}",
        "{}a",
        "{a",
        "a}",
        "{{a}}",
        " a",
        "a ",
        "*",
        "?",
        "[a]",
        "\\*",
        "'; drop",
        "null",
    ];
    names.extend(texts.iter().map(|text| text.as_bytes().to_vec()));
    let names: BTreeSet<Vec<u8>> = names.into_iter().collect();
    let mut keys: Vec<Key> = names.into_iter().map(|name| b.key(name)).collect();
    // Keys of a group, and one that looks like a group's and is not.
    keys.extend([
        b.grouped("t", ""),
        b.grouped("t", ":a"),
        b.grouped("t", "}"),
    ]);
    keys.push(Key::new(format!("{{{}t", b.root()))?);

    for (at, key) in keys.iter().enumerate() {
        ensure_eq!(
            b.kv.exists(key).await?,
            false,
            "`{key}` exists before it was set"
        );
        b.kv.set(key, at.to_string()).await?;
    }
    for (at, key) in keys.iter().enumerate() {
        b.holds(key, at.to_string()).await?;
        ensure_eq!(b.kv.exists(key).await?, true, "`{key}` exists");
    }
    if b.has(Capability::Scan) {
        let listed = b.scan(b.everything()).await?;
        let expected: BTreeSet<Key> = keys.iter().cloned().collect();
        ensure_eq!(listed, expected, "the keys that a scan lists");
    }
    for key in &keys {
        ensure_eq!(b.kv.delete(key).await?, true, "delete of `{key}`");
        b.lacks(key).await?;
    }
    Ok(())
}

async fn long_keys(b: Bench) -> Verdict {
    /// Longer keys make no sense to anybody, so no store is asked for more.
    const ENOUGH: usize = 64 << 10;
    let limit = b.kv.capabilities().max_key_bytes;
    // The limit counts bytes on the store, where layers may have put something in front.
    let added = b.kv.resolve(b.key("k"))?.as_bytes().len() - 1;
    let length = limit.min(ENOUGH).saturating_sub(added);
    ensure!(
        length > 0,
        "the limit of {limit} bytes leaves no room for a key"
    );
    let longest = b.key("k".repeat(length));
    let twin = b.key(["k".repeat(length - 1), "K".to_owned()].concat());
    b.kv.set(&longest, "x").await?;
    b.kv.set(&twin, "y").await?;
    b.holds(&longest, "x").await?;
    b.holds(&twin, "y").await?;
    ensure_eq!(
        b.kv.delete(&longest).await?,
        true,
        "delete of the longest key"
    );
    if limit > ENOUGH {
        b.note(beyond(limit, "key", ENOUGH));
        return Ok(());
    }
    let longer = b.key("k".repeat(length + 1));
    let error = ensure_error!(
        b.kv.set(&longer, "x").await,
        TooLarge,
        "a key above the limit"
    );
    ensure!(
        error.to_string().contains(&limit.to_string()),
        "the error does not name the limit of {limit}: {error}"
    );
    ensure_error!(
        b.kv.get(&longer).await,
        TooLarge,
        "a read of a key above the limit"
    );
    Ok(())
}

async fn empty_key(b: Bench) -> Verdict {
    let kv = &b.kv;
    ensure_error!(kv.get("").await, InvalidArgument, "get of the empty key");
    ensure_error!(
        kv.set("", "x").await,
        InvalidArgument,
        "set of the empty key"
    );
    ensure_error!(
        kv.delete("").await,
        InvalidArgument,
        "delete of the empty key"
    );
    ensure_error!(
        kv.exists("").await,
        InvalidArgument,
        "exists of the empty key"
    );
    ensure_error!(
        kv.get_many(["a", ""]).await,
        InvalidArgument,
        "get_many with the empty key"
    );
    ensure_error!(
        kv.increment("", 1).await,
        InvalidArgument,
        "increment of the empty key"
    );
    ensure_error!(
        kv.hset("", "f", "v").await,
        InvalidArgument,
        "hset of the empty key"
    );
    ensure_error!(
        kv.zadd("", [("m", 1)]).await,
        InvalidArgument,
        "zadd of the empty key"
    );
    Ok(())
}

async fn long_values(b: Bench) -> Verdict {
    let limit = b.kv.capabilities().max_value_bytes;
    let cap = b.settings().max_value_test;
    let key = b.key("long");
    let longest = vec![b'v'; limit.min(cap)];
    b.kv.set(&key, &*longest).await?;
    b.holds(&key, &longest).await?;
    if limit > cap {
        b.note(beyond(limit, "value", cap));
        return Ok(());
    }
    let longer = vec![b'w'; limit + 1];
    let refused = b.kv.set(&key, &*longer).await;
    let error = ensure_error!(refused, TooLarge, "a value above the limit");
    ensure!(
        error.to_string().contains(&limit.to_string()),
        "the error does not name the limit of {limit}: {error}"
    );
    b.holds(&key, &longest).await
}

fn beyond(limit: usize, what: &str, tried: usize) -> String {
    match limit {
        usize::MAX => format!("no {what} is too long, so only {tried} bytes were tried"),
        _ => format!(
            "the limit of {limit} bytes a {what} is above {tried}, so no longer one was tried"
        ),
    }
}
