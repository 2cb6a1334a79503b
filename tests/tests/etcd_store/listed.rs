//! Reading what was listed a moment ago: as one range, whatever has become of it meanwhile.

use crate::site::{Site, millis, secs};
use kv_core::{Key, Prefix, ScanFrom, Scope, Value};
use kv_tests::patience::until;

/// More than etcd takes for one after the other in a transaction.
const KEYS: usize = 200;

fn name(number: usize) -> String {
    format!("k:{number:03}")
}

/// Writes the keys and lists them.
async fn list(site: &Site) -> Vec<Key> {
    let items = (0..KEYS).map(|it| (name(it), "1"));
    site.kv.set_many(items).await.unwrap();
    let page = site
        .kv
        .scan_page(Prefix::new("k:"), ScanFrom::Start, 500_u32);
    let page = page.await.unwrap();
    assert_eq!((page.keys.len(), page.next), (KEYS, None));
    page.keys
}

/// What the keys hold, and how many exchanges it took.
async fn read(site: &Site, keys: &[Key]) -> (Vec<Option<Value>>, u64) {
    let before = site.exchanges().await;
    let values = site.kv.get_many(keys).await.unwrap();
    (values, site.exchanges().await - before)
}

fn ones() -> Vec<Option<Value>> {
    vec![Some(Value::from("1")); KEYS]
}

#[tokio::test]
async fn what_was_listed_is_read_in_one_exchange() {
    let site = Site::start().await;
    let mut keys = list(&site).await;
    assert_eq!(read(&site, &keys).await, (ones(), 1));
    // In another order, or others, they are read one after the other.
    keys.reverse();
    assert_eq!(read(&site, &keys).await, (ones(), 2));
    assert_eq!(read(&site, &keys[..20]).await.1, 1);
}

#[tokio::test]
async fn a_wait_for_keys_that_are_there_lists_them_and_reads_them() {
    let site = Site::start().await;
    list(&site).await;
    let scope = Scope::whole(&site.kv);
    let before = site.exchanges().await;
    let found = scope.wait_for_keys("k:*", KEYS).timeout(secs(9)).await;
    assert_eq!(found.unwrap().len(), KEYS);
    assert_eq!(site.exchanges().await - before, 2);
    assert_eq!(site.watches().await, 0);
}

#[tokio::test]
async fn what_has_changed_since_is_read_as_it_is() {
    let site = Site::start().await;
    let (kv, keys) = (&site.kv, list(&site).await);
    let mut expected = ones();
    for gone in [0, 7, KEYS - 1] {
        kv.delete(name(gone)).await.unwrap();
        expected[gone] = None;
    }
    // A structure has no value.
    kv.zadd(name(7), [("m", 1.0)]).await.unwrap();
    site.raw.put(name(8), "other").await;
    expected[8] = Some("other".into());
    kv.set_for(name(9), "soon over", millis(20)).await.unwrap();
    expected[9] = None;
    until("a key has ended", async || {
        kv.get(name(9)).await.unwrap().is_none()
    })
    .await;
    // Long before it is collected.
    assert!(site.raw.get(name(9)).await.is_some());
    assert_eq!(read(&site, &keys).await, (expected.clone(), 1));

    // As many as were asked for, but not all of them those.
    for new in 0..3 {
        site.raw.put(format!("k:100-{new}"), "new").await;
    }
    assert_eq!(read(&site, &keys).await, (expected.clone(), 1));
    site.raw.put("k:100-3", "new").await;
    assert_eq!(read(&site, &keys).await, (expected.clone(), 3));
    // That is known from now on.
    assert_eq!(read(&site, &keys).await, (expected, 2));
}
