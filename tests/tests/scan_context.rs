//! A scan belongs to the tenant for whom it was begun, wherever it is read.

#![allow(clippy::unwrap_used, reason = "a test")]

use futures_util::{StreamExt, TryStreamExt};
use kv_core::{Context, Key, Kv};
use kv_memory::MemoryStore;
use kv_wrappers::{KeyResolver, KeySettings};

const KEYS: usize = 1_200;

async fn filled() -> Kv {
    let kv = Kv::builder(MemoryStore::default())
        .layer(KeyResolver::new(KeySettings::default()).unwrap())
        .connect()
        .await
        .unwrap();
    kv.set("nobody's", "0").await.unwrap();
    for tenant in ["a", "b"] {
        let items = (0..KEYS).map(|number| (format!("{tenant}{number}"), "1"));
        kv.bind(Context::tenant(tenant))
            .set_many(items)
            .await
            .unwrap();
    }
    kv
}

#[tokio::test]
async fn case_131_a_scan_stays_with_its_tenant() {
    let kv = filled().await;
    let mut stream = Context::tenant("a").scope(async { kv.scan("") }).await;
    let first: Vec<_> = stream.by_ref().take(300).collect().await;
    // The rest is read for somebody else, and then for nobody.
    let rest = Context::tenant("b").scope(stream.by_ref().take(300).collect::<Vec<_>>());
    let mut keys = first;
    keys.extend(rest.await);
    keys.extend(stream.collect::<Vec<_>>().await);
    let keys: Vec<Key> = keys.into_iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(keys.len(), KEYS);
    assert!(keys.iter().all(|key| key.as_bytes().starts_with(b"a")));
}

#[tokio::test]
async fn case_131_a_scan_begun_for_nobody_sees_nobodys_keys() {
    let kv = filled().await;
    let stream = kv.scan("");
    let keys = Context::tenant("a").scope(stream.try_collect::<Vec<_>>());
    assert_eq!(keys.await.unwrap(), [Key::new("nobody's").unwrap()]);
}
