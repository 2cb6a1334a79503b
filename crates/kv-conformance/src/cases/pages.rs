//! F: scans page by page.

use super::cases;
use crate::{
    bench::Bench,
    failure::{Verdict, ensure, ensure_eq},
};
use kv_core::{Key, Prefixes, ScanFrom};
use std::collections::BTreeSet;

cases! {
    'F' 66 "a scan lists every key, whatever the page size" [Strings, Scan] every_key;
    'F' 70 "a cursor stays good while keys come and go" [Strings, Scan] come_and_go;
    'F' 71 "a scan goes on behind a key" [Strings, Scan, ScanAfter] after_a_key;
}

/// All keys from somewhere on, in the order they came, with the number of pages.
async fn pages(b: &Bench, prefixes: Prefixes, from: ScanFrom, limit: u32) -> Verdict<Vec<Key>> {
    /// A store may give short and empty pages, but must come to an end.
    const PAGES: usize = 100_000;
    let mut keys = Vec::new();
    let mut from = from;
    for _ in 0..PAGES {
        let page = b.kv.scan_page(prefixes.clone(), from, limit).await?;
        ensure!(
            page.keys.len() <= limit as usize,
            "a page of at most {limit} keys has {}",
            page.keys.len()
        );
        keys.extend(page.keys);
        match page.next {
            Some(next) => from = ScanFrom::Cursor(next),
            None => return Ok(keys),
        }
    }
    Err(crate::Failure::new(format!(
        "the scan has not ended after {PAGES} pages"
    )))
}

async fn every_key(b: Bench) -> Verdict {
    for limit in [1, 5, 1000] {
        let none = pages(&b, b.everything(), ScanFrom::Start, limit).await?;
        ensure_eq!(none, [], "a scan of an empty range with pages of {limit}");
    }
    let keys = b.keys("k", 1025);
    b.kv.set_many(keys.iter().map(|key| (key, "x"))).await?;
    let expected: BTreeSet<Key> = keys.into_iter().collect();
    for limit in [5, 100, 1000, u32::MAX] {
        let listed = pages(&b, b.everything(), ScanFrom::Start, limit).await?;
        let listed: BTreeSet<Key> = listed.into_iter().collect();
        let (lost, extra) = (expected.difference(&listed), listed.difference(&expected));
        let (lost, extra) = (lost.count(), extra.count());
        ensure_eq!(
            (lost, extra),
            (0, 0),
            "keys lost and added with pages of {limit}"
        );
    }
    ensure_eq!(
        b.scan(b.everything()).await?,
        expected,
        "the keys of the stream"
    );
    Ok(())
}

async fn come_and_go(b: Bench) -> Verdict {
    for count in [6, 5, 1] {
        let prefix = format!("{count}:");
        let keys = b.keys(&prefix, count);
        b.kv.set_many(keys.iter().map(|key| (key, "x"))).await?;
        let listed = pages(&b, b.prefix(&prefix).into(), ScanFrom::Start, 5).await?;
        let listed: BTreeSet<Key> = listed.into_iter().collect();
        ensure_eq!(
            listed,
            keys.into_iter().collect(),
            "pages of 5 over {count} keys"
        );
    }
    let (stay, go, come) = (b.keys("s:5", 60), b.keys("s:", 60), b.keys("s:9", 60));
    let stay: BTreeSet<Key> = stay.into_iter().filter(|key| !go.contains(key)).collect();
    b.kv.set_many(stay.iter().chain(&go).map(|key| (key, "x")))
        .await?;
    let mut seen = BTreeSet::new();
    let mut from = ScanFrom::Start;
    let mut steps = go.iter().zip(&come);
    loop {
        let page = b.kv.scan_page(b.prefix("s:"), from, 5_u32).await?;
        seen.extend(page.keys);
        if let Some((go, come)) = steps.next() {
            b.kv.delete(go).await?;
            if !stay.contains(come) {
                b.kv.set(come, "x").await?;
            }
        }
        match page.next {
            Some(next) => from = ScanFrom::Cursor(next),
            None => break,
        }
    }
    let lost: Vec<_> = stay.difference(&seen).collect();
    ensure!(
        lost.is_empty(),
        "keys that were there throughout did not come: {lost:?}"
    );
    let known: BTreeSet<Key> = stay.iter().chain(&go).chain(&come).cloned().collect();
    let never: Vec<_> = seen.difference(&known).collect();
    ensure!(
        never.is_empty(),
        "keys that were never there came: {never:?}"
    );
    Ok(())
}

async fn after_a_key(b: Bench) -> Verdict {
    let keys = b.keys("k", 12);
    b.kv.set_many(keys.iter().map(|key| (key, "x"))).await?;
    b.kv.set(b.key("other"), "x").await?;
    let range = || Prefixes::from(b.prefix("k"));
    let order = pages(&b, range(), ScanFrom::Start, 5).await?;
    ensure_eq!(order.len(), 12, "how many keys the whole scan lists");
    for (at, key) in order.iter().enumerate() {
        let behind = pages(&b, range(), ScanFrom::After(key.clone()), 5).await?;
        ensure_eq!(behind, order[at + 1..], "the keys behind `{key}`");
    }
    // Behind a key that is gone, the same keys follow.
    for at in [0, 5, 11] {
        b.kv.delete(&order[at]).await?;
        let behind = pages(&b, range(), ScanFrom::After(order[at].clone()), 5).await?;
        ensure_eq!(
            behind,
            order[at + 1..],
            "the keys behind the deleted `{}`",
            order[at]
        );
        b.kv.set(&order[at], "x").await?;
    }
    Ok(())
}
