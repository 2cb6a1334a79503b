use super::{fixture, limit};
use crate::{MemoryConfig, MemoryStore, ShardCount};
use kv_core::{Cursor, ErrorKind, Key, Kv, Prefix, Prefixes, ScanFrom};
use std::collections::HashSet;

/// All pages; each must be full but the last.
async fn pages(kv: &Kv, prefix: &str, limit: u32) -> Vec<Vec<Key>> {
    let mut pages = Vec::new();
    let mut from = ScanFrom::Start;
    loop {
        let page = kv.scan_page(prefix, from, limit).await.unwrap();
        pages.push(page.keys);
        match page.next {
            Some(next) => from = ScanFrom::Cursor(next),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn every_key_comes_once_on_full_pages() {
    for shards in [1, 64] {
        let config = MemoryConfig::default().shards(ShardCount::new(shards).unwrap());
        let it = fixture(config).await;
        let expected: HashSet<_> = (0..1025)
            .map(|it| Key::new(format!("k{it}")).unwrap())
            .collect();
        for key in &expected {
            it.kv.set(key, "v").await.unwrap();
        }
        for limit in [1, 5, 100, 1000, 1024, 1025, 1026, u32::MAX] {
            let pages = pages(&it.kv, "k", limit).await;
            let (last, full) = pages.split_last().unwrap();
            assert!(full.iter().all(|page| page.len() as u32 == limit));
            assert!(!last.is_empty());
            let all: Vec<_> = pages.into_iter().flatten().collect();
            assert_eq!(all.len(), expected.len());
            assert_eq!(all.into_iter().collect::<HashSet<_>>(), expected);
        }
    }
}

#[tokio::test]
async fn a_page_that_ends_with_the_keys_is_the_last() {
    let it = fixture(MemoryConfig::default()).await;
    for (count, expected) in [(0, vec![0]), (1, vec![1]), (5, vec![5]), (6, vec![5, 1])] {
        for index in 0..count {
            it.kv.set(format!("k{index}"), "v").await.unwrap();
        }
        let sizes: Vec<_> = pages(&it.kv, "", 5).await.iter().map(Vec::len).collect();
        assert_eq!(sizes, expected);
    }
}

#[tokio::test]
async fn a_cursor_stays_good_while_keys_come_and_go() {
    let it = fixture(MemoryConfig::default()).await;
    for index in 0..500 {
        it.kv.set(format!("stays{index}"), "v").await.unwrap();
        it.kv.set(format!("goes{index}"), "v").await.unwrap();
    }
    let mut seen = Vec::new();
    let mut from = ScanFrom::Start;
    let mut round = 0;
    loop {
        let page = it.kv.scan_page("stays", from, 7).await.unwrap();
        // The key that the cursor names may be one that goes.
        for key in page.keys.iter().take(1) {
            it.kv.delete(key).await.unwrap();
            it.kv.set(key, "again").await.unwrap();
        }
        seen.extend(page.keys);
        for step in 0..20 {
            let index = round * 20 + step;
            it.kv.delete(format!("goes{index}")).await.unwrap();
            it.kv.set(format!("comes{index}"), "v").await.unwrap();
        }
        round += 1;
        match page.next {
            Some(next) => from = ScanFrom::Cursor(next),
            None => break,
        }
    }
    assert_eq!(seen.len(), 500);
    assert_eq!(seen.into_iter().collect::<HashSet<_>>().len(), 500);
}

#[tokio::test]
async fn after_a_key_follows_the_rest_whether_it_is_there_or_not() {
    let it = fixture(MemoryConfig::default()).await;
    for index in 0..50 {
        it.kv.set(format!("k{index}"), "v").await.unwrap();
    }
    let all = pages(&it.kv, "k", 100).await.remove(0);
    for (position, key) in all.iter().enumerate() {
        if position % 2 == 0 {
            it.kv.delete(key).await.unwrap();
        }
        let page = it
            .kv
            .scan_page("k", ScanFrom::After(key.clone()), 100)
            .await
            .unwrap();
        assert_eq!(page.keys, all[position + 1..]);
        it.kv.set(key, "v").await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_a_scan_is_refused() {
    let it = fixture(MemoryConfig::default()).await;
    let kind = async |from: ScanFrom, limit: u32| {
        let page = it.kv.scan_page("k", from, limit).await;
        page.unwrap_err().kind()
    };
    assert_eq!(kind(ScanFrom::Start, 0).await, ErrorKind::InvalidArgument);
    for token in [&b""[..], b"abc", b"garbage", &[0; 4], &[255; 20]] {
        let from = ScanFrom::Cursor(Cursor::new(token));
        assert_eq!(kind(from, 5).await, ErrorKind::InvalidArgument, "{token:?}");
    }
}

#[tokio::test]
async fn ranges_are_exact_prefixes_walked_in_one_pass() {
    let it = fixture(MemoryConfig::default()).await;
    for key in [
        "a", "a/", "a/1", "a.b/", "ab/x", "t[1]*x/k", "t1yx/k", "{a/}t", "{a/1}t",
    ] {
        it.kv.set(key, "v").await.unwrap();
    }
    let count = async |prefixes: Prefixes| {
        let page = it
            .kv
            .scan_page(prefixes, ScanFrom::Start, 100)
            .await
            .unwrap();
        page.keys.len()
    };
    assert_eq!(count("a/".into()).await, 2);
    assert_eq!(count("t[1]*x/".into()).await, 1);
    assert_eq!(
        count(["a/", "{a/", "a"].map(Prefix::from).into_iter().collect()).await,
        7
    );
    assert_eq!(count(Prefixes::from_iter([])).await, 0);
    let both: Prefixes = ["a/", "{a/"].map(Prefix::from).into_iter().collect();
    assert_eq!(it.kv.clear_prefixes(both).await.unwrap(), 4);
    assert_eq!(count(Prefix::ALL.into()).await, 5);
    it.audit();
}

#[tokio::test]
async fn clearing_everything_needs_permission() {
    let it = fixture(MemoryConfig::default()).await;
    it.kv.set("k", "v").await.unwrap();
    let error = it.kv.clear().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("allow_clear_all"), "{error}");
    assert!(it.kv.exists("k").await.unwrap());
    let it = fixture(
        MemoryConfig::default()
            .allow_clear_all()
            .max_entries(limit(5)),
    )
    .await;
    it.kv.set("k", "v").await.unwrap();
    it.kv.set_for("ends", "v", super::millis(1)).await.unwrap();
    it.clock.advance(super::millis(1));
    assert_eq!(it.kv.clear().await.unwrap(), 1);
    assert_eq!(it.kv.clear().await.unwrap(), 0);
    it.audit();
}

#[test]
fn a_group_is_in_one_shard_and_keys_are_spread() {
    let store = MemoryStore::default();
    let shard = |key: &str| store.inner().locate(&Key::new(key.to_owned()).unwrap()).0;
    let mut used = HashSet::new();
    for index in 0..1000 {
        let group = shard(&format!("{{a{index}}}x"));
        assert_eq!(group, shard(&format!("{{a{index}}}y")));
        assert_eq!(group, shard(&format!("{{a{index}}}")));
        used.insert(shard(&format!("plain{index}")));
    }
    assert_eq!(used.len(), 64);
}
