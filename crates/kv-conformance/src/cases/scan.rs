//! F: which keys a scan or a clear reaches.

use super::cases;
use crate::{
    bench::{Bench, pause, together},
    failure::{Failure, Verdict, ensure, ensure_eq, ensure_error},
    fixture::Tenancy,
};
use kv_core::{BoxFuture, Capability, Context, Key, Kv, Prefix, Prefixes, Ttl};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

cases! {
    'F' 67 "scanned keys are the caller's own" [Strings, Scan] own_keys;
    'F' 68 "a prefix reaches its own keys and no sibling" [Strings, Scan] siblings;
    'F' 69 "a prefix is no pattern" [Strings, Scan] no_pattern;
    'F' 72 "a scan lists every type, nothing expired, nothing internal" [Strings, Scan] every_type;
    'F' 73 "clear empties its own range, twice too" [Strings, Scan] clear;
    'F' 74 "clearing a store without a prefix is refused" [Strings, Scan] clear_all;
    'F' 75 "delete_prefix counts, and refuses an empty prefix" [Strings, Scan] delete_prefix;
    'F' 76 "clearing many keys stalls nobody" [Strings, Scan] stalls_nobody;
}

async fn fill(kv: &Kv, keys: &[Key]) -> Verdict {
    Ok(kv.set_many(keys.iter().map(|key| (key, "x"))).await?)
}

fn set(keys: &[Key]) -> BTreeSet<Key> {
    keys.iter().cloned().collect()
}

async fn own_keys(b: Bench) -> Verdict {
    let mut keys = b.keys("a:", 5);
    keys.extend([
        b.grouped("g", ":1"),
        b.grouped("g", ":2"),
        b.grouped("h", ""),
    ]);
    fill(&b.kv, &keys).await?;
    let listed = b.scan(b.everything()).await?;
    ensure_eq!(listed, set(&keys), "the keys of a scan");
    for key in &listed {
        b.holds(key, "x").await?;
        ensure_eq!(
            b.kv.resolve(key)?,
            b.kv.resolve(key.clone().into_bytes())?,
            "the physical key"
        );
    }
    let group = Prefix::new(b.grouped("g", "").into_bytes());
    ensure_eq!(
        b.scan(group).await?,
        set(&keys[5..7]),
        "the keys of one group"
    );
    Ok(())
}

async fn siblings(b: Bench) -> Verdict {
    let own = [b.key("a/"), b.key("a/1"), b.key("a/2/3"), b.key("a//")];
    let others = [
        b.key("a"),
        b.key("ab/x"),
        b.key("a.b/"),
        b.key("b/1"),
        b.key("A/1"),
        b.key("xa/1"),
        b.key("a\u{ff0f}1"),
        b.key("a0"),
        b.key("a."),
        b.grouped("a/", ""),
    ];
    fill(&b.kv, &own).await?;
    fill(&b.kv, &others).await?;
    ensure_eq!(
        b.scan(b.prefix("a/")).await?,
        set(&own),
        "the keys below \"a/\""
    );
    let both: Prefixes = [b.prefix("a/"), b.prefix("b/")].into_iter().collect();
    let mut expected = set(&own);
    expected.insert(b.key("b/1"));
    ensure_eq!(
        b.scan(both).await?,
        expected,
        "the keys below \"a/\" and \"b/\""
    );
    let overlapping: Prefixes = [b.prefix("a/"), b.prefix("a/2")].into_iter().collect();
    ensure_eq!(
        b.scan(overlapping).await?,
        set(&own),
        "the keys below \"a/\" and \"a/2\""
    );
    ensure_eq!(
        b.scan(b.prefix("c/")).await?,
        set(&[]),
        "the keys below a prefix of none"
    );

    let cleared = b.kv.clear_prefixes(b.prefix("a/")).await?;
    ensure_eq!(cleared, 4, "how many keys were cleared");
    ensure_eq!(b.scan(b.everything()).await?, set(&others), "what is left");
    Ok(())
}

async fn no_pattern(b: Bench) -> Verdict {
    // A prefix, and a key outside its range that a pattern of the same spelling would reach.
    let traps = [
        ("t[1]*x/", "t1yx/k"),
        ("q?", "qqk"),
        ("s*", "sk"),
        ("b\\", "bk"),
        ("b\\*", "b*k"),
        ("n[^a]", "nbk"),
        ("r[a-z]", "rbk"),
        ("p%", "pxk"),
        ("u_", "uxk"),
        ("d.", "dxk"),
        ("c{a,b}", "cak"),
        ("e[", "ek"),
    ];
    let mut left = BTreeSet::new();
    for (prefix, outside) in traps {
        let inside = b.key(format!("{prefix}k"));
        fill(&b.kv, &[inside, b.key(outside)]).await?;
    }
    for (prefix, outside) in traps {
        let inside = b.key(format!("{prefix}k"));
        let listed = b.scan(b.prefix(prefix)).await?;
        // Only "b\" also starts "b\*".
        let expected: BTreeSet<Key> = match prefix {
            "b\\" => [inside, b.key("b\\*k")].into(),
            _ => [inside].into(),
        };
        ensure_eq!(listed, expected, "the keys below {prefix:?}");
        left.insert(b.key(outside));
    }
    for (prefix, _) in traps {
        b.kv.clear_prefixes(b.prefix(prefix)).await?;
    }
    ensure_eq!(
        b.scan(b.everything()).await?,
        left,
        "what is left after clearing each prefix"
    );
    Ok(())
}

async fn every_type(b: Bench) -> Verdict {
    let mut keys = vec![b.key("string"), b.key("empty"), b.key("timed")];
    b.kv.set(&keys[0], "x").await?;
    b.kv.set(&keys[1], "").await?;
    if b.has(Capability::Expiry) {
        b.kv.set_for(&keys[2], "x", Duration::from_secs(100))
            .await?;
    } else {
        b.kv.set(&keys[2], "x").await?;
    }
    if b.has(Capability::Hashes) {
        let hash = b.key("hash");
        b.kv.hset_many(&hash, [("f", "v"), ("g", "w")]).await?;
        keys.push(hash);
    }
    if b.has(Capability::SortedSets) {
        let zset = b.key("zset");
        b.kv.zadd(&zset, [("m", 1), ("n", 2)]).await?;
        keys.push(zset);
    }
    if b.has(Capability::Counters) {
        let counter = b.key("counter");
        b.kv.increment(&counter, 1).await?;
        keys.push(counter);
    }
    if b.has(Capability::Expiry) {
        let ttl = b.granularity().max(Duration::from_millis(200));
        let ((), written) = b.written(b.kv.set_for(b.key("brief"), "x", ttl)).await?;
        b.wait_out(written, ttl).await?;
    }
    ensure_eq!(
        b.scan(b.everything()).await?,
        set(&keys),
        "the keys of a scan"
    );
    let cleared = b.kv.clear_prefixes(b.everything()).await?;
    ensure_eq!(cleared, keys.len() as u64, "how many keys were cleared");
    ensure_eq!(
        b.scan(b.everything()).await?,
        set(&[]),
        "the keys after clearing"
    );
    Ok(())
}

async fn clear(b: Bench) -> Verdict {
    let nothing = b.kv.clear_prefixes(b.prefix("a:")).await?;
    ensure_eq!(nothing, 0, "clearing an empty range");
    let own = b.keys("a:", 3);
    let others = [
        b.key("ab:1"),
        b.key("a"),
        b.key("b:1"),
        b.grouped("a:", "1"),
    ];
    fill(&b.kv, &own).await?;
    fill(&b.kv, &others).await?;
    ensure_eq!(
        b.kv.clear_prefixes(b.prefix("a:")).await?,
        3,
        "clearing three keys"
    );
    ensure_eq!(
        b.kv.clear_prefixes(b.prefix("a:")).await?,
        0,
        "clearing them again"
    );
    ensure_eq!(b.scan(b.everything()).await?, set(&others), "what is left");
    if b.settings().tenancy == Tenancy::InKeys {
        clear_one_tenant(&b, &["a", "ab", "a:b", "a:", "{a}", "a%3A"]).await?;
    }
    Ok(())
}

/// Clears each tenant in turn, by its own handle; the others keep what is theirs.
async fn clear_one_tenant(b: &Bench, names: &[&str]) -> Verdict {
    let tenants: Vec<Kv> = names
        .iter()
        .map(|name| b.kv.bind(Context::tenant(format!("{}{name}", b.root()))))
        .collect();
    let keys = [b.key("1"), b.key("2"), b.grouped("g", ":3")];
    for tenant in &tenants {
        fill(tenant, &keys).await?;
    }
    for (at, tenant) in tenants.iter().enumerate() {
        ensure_eq!(
            tenant.clear().await?,
            3,
            "clearing the tenant {:?}",
            names[at]
        );
        ensure_eq!(
            tenant.clear().await?,
            0,
            "clearing the tenant {:?} again",
            names[at]
        );
        for (other, kv) in tenants.iter().enumerate().skip(at + 1) {
            let left = kv.exists_many(&keys).await?;
            ensure_eq!(
                left,
                3,
                "keys of {:?} after clearing {:?}",
                names[other],
                names[at]
            );
        }
    }
    Ok(())
}

async fn clear_all(b: Bench) -> Verdict {
    let key = b.key("a");
    b.kv.set(&key, "x").await?;
    if b.settings().tenancy == Tenancy::Shared {
        ensure_error!(
            b.kv.clear().await,
            Denied,
            "clear of a store without a prefix"
        );
        let all = Prefixes::from_iter([b.prefix("a"), Prefix::ALL]);
        ensure_error!(
            b.kv.clear_prefixes(all).await,
            Denied,
            "a range of all keys among others"
        );
        return b.holds(&key, "x").await;
    }
    let tenant = b.kv.bind(Context::tenant(format!("{}t", b.root())));
    let keys = b.keys("own", 3);
    fill(&tenant, &keys).await?;
    ensure_eq!(tenant.clear().await?, 3, "clear below a prefix");
    ensure_eq!(
        tenant.exists_many(&keys).await?,
        0,
        "the tenant's keys after clear"
    );
    b.holds(&key, "x").await
}

async fn delete_prefix(b: Bench) -> Verdict {
    let keys = b.keys("a:", 7);
    fill(&b.kv, &keys).await?;
    b.kv.set(b.key("b"), "x").await?;
    ensure_eq!(
        b.kv.delete_prefix(b.prefix("a:")).await?,
        7,
        "delete_prefix"
    );
    ensure_eq!(
        b.kv.delete_prefix(b.prefix("a:")).await?,
        0,
        "delete_prefix again"
    );
    for prefix in ["", ":", "/", "::", ":/", " "] {
        let refused = b.kv.delete_prefix(prefix).await;
        ensure_error!(refused, InvalidArgument, "delete_prefix of {prefix:?}");
    }
    b.holds(&b.key("b"), "x").await
}

async fn stalls_nobody(b: Bench) -> Verdict {
    /// One that a busy machine spoils says nothing; a store that stalls others does it in each.
    const CLEARINGS: usize = 5;
    let other = b.key("other");
    b.kv.set_for(&other, "x", Ttl::Never).await?;
    let (mut reads, mut ticks) = (0, 0);
    for _ in 0..CLEARINGS {
        [reads, ticks] = beside_a_clear(&b, &other).await?;
        // One read may have been under way at the start, and one be answered at the end. Where the
        // machine let nobody run, or clearing took no time, there is nothing to tell.
        if reads > 2 || ticks < 50 {
            return b.holds(&other, "x").await;
        }
    }
    Err(Failure::new(format!(
        "in each of {CLEARINGS} clearings another client was held up: in the last it read {reads} times \
         while a bystander ran {ticks} times"
    )))
}

/// How often another client read a key while many were cleared, and how often a bystander ran.
async fn beside_a_clear(b: &Bench, other: &Key) -> Verdict<[u64; 2]> {
    const KEYS: usize = 50_000;
    for chunk in b.keys("many:", KEYS).chunks(5_000) {
        fill(&b.kv, chunk).await?;
    }
    let counts = Arc::new(Counts::default());
    let tasks: [BoxFuture<'static, Verdict>; 3] = [
        Box::pin(read_on(b.open().await?, other.clone(), Arc::clone(&counts))),
        Box::pin(tick_on(Arc::clone(&counts))),
        Box::pin(clear_meanwhile(b.clone(), Arc::clone(&counts))),
    ];
    together(tasks).await?;
    let left = b.scan(b.prefix("many:")).await?;
    ensure_eq!(left.len(), 0, "how many keys are left");
    Ok([&counts.reads, &counts.ticks].map(|count| count.load(Relaxed)))
}

/// What happened while the keys were cleared.
#[derive(Default)]
struct Counts {
    reads: AtomicU64,
    ticks: AtomicU64,
    done: AtomicBool,
}

async fn read_on(kv: Kv, key: Key, counts: Arc<Counts>) -> Verdict {
    while !counts.done.load(Relaxed) {
        ensure!(kv.get(&key).await?.is_some(), "another key is gone");
        counts.reads.fetch_add(1, Relaxed);
        pause(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Does the same without the store, to tell a stalled store from a busy machine.
async fn tick_on(counts: Arc<Counts>) -> Verdict {
    while !counts.done.load(Relaxed) {
        counts.ticks.fetch_add(1, Relaxed);
        pause(Duration::from_millis(1)).await;
    }
    Ok(())
}

async fn clear_meanwhile(b: Bench, counts: Arc<Counts>) -> Verdict {
    let read = || async { Ok(counts.reads.load(Relaxed) > 0) };
    b.eventually("a first read by the other client", read)
        .await?;
    counts.reads.store(0, Relaxed);
    counts.ticks.store(0, Relaxed);
    // A layer that repeats a part of it counts less.
    let cleared = b.kv.delete_prefix(b.prefix("many:")).await;
    counts.done.store(true, Relaxed);
    cleared?;
    Ok(())
}
