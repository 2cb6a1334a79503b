//! Reading what was listed a moment ago: as ranges, whatever has become of it meanwhile.

use crate::site::{Site, millis, open, open_with, secs};
use etcd_client::{Client, Permission};
use kv_core::{ErrorKind, Key, Kv, Prefix, Prefixes, ScanFrom, Scope, SystemClock, Value};
use kv_etcd::EtcdConfig;
use kv_tests::patience::until;
use std::sync::Arc;

/// More than etcd takes for one after the other in a transaction: two ranges.
const KEYS: usize = 200;
/// How many of them are the first range, ...
const FIRST: usize = 128;
/// ... and how many others it may hold.
const STRANGERS: usize = FIRST / 4 + 8;

fn name(number: usize) -> String {
    format!("k:{number:03}")
}

/// Writes so many keys and lists them.
async fn list(site: &Site, count: usize) -> Vec<Key> {
    let items = (0..count).map(|it| (name(it), "1"));
    site.kv.set_many(items).await.unwrap();
    list_below(&site.kv, Prefix::new("k:")).await
}

async fn list_below(kv: &Kv, prefixes: impl Into<Prefixes>) -> Vec<Key> {
    let page = kv.scan_page(prefixes, ScanFrom::Start, 500_u32);
    let page = page.await.unwrap();
    assert_eq!(page.next, None);
    page.keys
}

/// How the keys were read.
#[derive(Debug, PartialEq)]
struct Exchanges {
    ranges: u64,
    one_by_one: u64,
}

impl Exchanges {
    async fn of(site: &Site) -> Self {
        Self {
            ranges: site.exchanges_of("Range").await,
            one_by_one: site.exchanges_of("Txn").await,
        }
    }
}

fn ranges(ranges: u64) -> Exchanges {
    let one_by_one = 0;
    Exchanges { ranges, one_by_one }
}

fn one_by_one(one_by_one: u64) -> Exchanges {
    let ranges = 0;
    Exchanges { ranges, one_by_one }
}

/// What something answers, and how it was read.
async fn seen<T>(site: &Site, what: impl Future<Output = kv_core::Result<T>>) -> (T, Exchanges) {
    let before = Exchanges::of(site).await;
    let answer = what.await.unwrap();
    let after = Exchanges::of(site).await;
    let exchanges = Exchanges {
        ranges: after.ranges - before.ranges,
        one_by_one: after.one_by_one - before.one_by_one,
    };
    (answer, exchanges)
}

async fn read(site: &Site, keys: &[Key]) -> (Vec<Option<Value>>, Exchanges) {
    seen(site, site.kv.get_many(keys)).await
}

fn ones(count: usize) -> Vec<Option<Value>> {
    vec![Some(Value::from("1")); count]
}

#[tokio::test]
async fn what_was_listed_is_read_as_ranges() {
    let site = Site::start().await;
    let mut keys = list(&site, KEYS).await;
    assert_eq!(read(&site, &keys).await, (ones(KEYS), ranges(2)));
    // In another order, or others, they are read one after the other.
    keys.reverse();
    assert_eq!(read(&site, &keys).await, (ones(KEYS), one_by_one(2)));
    assert_eq!(read(&site, &keys[..20]).await.1, one_by_one(1));
}

#[tokio::test]
async fn a_wait_for_keys_that_are_there_lists_them_and_reads_them() {
    let site = Site::start().await;
    list(&site, 64).await;
    let scope = Scope::whole(&site.kv);
    let waited = scope.wait_for_keys("k:*", 64).timeout(secs(9));
    let (found, exchanges) = seen(&site, async { waited.await }).await;
    assert_eq!(found.len(), 64);
    // One lists them.
    let listing = one_by_one(1);
    assert_eq!(
        exchanges,
        Exchanges {
            ranges: 1,
            ..listing
        }
    );
    assert_eq!(site.watches().await, 0);
}

#[tokio::test]
async fn what_has_changed_since_is_read_as_it_is() {
    let site = Site::start().await;
    let (kv, keys) = (&site.kv, list(&site, KEYS).await);
    let mut expected = ones(KEYS);
    let gone = [0, 7, FIRST - 1];
    for gone in gone.into_iter().chain([KEYS - 1]) {
        kv.delete(name(gone)).await.unwrap();
        expected[gone] = None;
    }
    // A structure has no value.
    kv.zadd(name(7), [("m", 1.0)]).await.unwrap();
    site.raw.put(name(8), "other").await;
    expected[8] = Some("other".into());
    has_ended(&site, 9).await;
    expected[9] = None;
    assert_eq!(read(&site, &keys).await, (expected.clone(), ranges(2)));

    // As many as are taken, and then one more.
    for new in 0..STRANGERS + gone.len() {
        site.raw.put(format!("k:100-{new}"), "new").await;
    }
    assert_eq!(read(&site, &keys).await, (expected.clone(), ranges(2)));
    site.raw.put("k:100-more", "new").await;
    let both = Exchanges {
        ranges: 1,
        ..one_by_one(2)
    };
    assert_eq!(read(&site, &keys).await, (expected.clone(), both));
    // That is known from now on.
    assert_eq!(read(&site, &keys).await, (expected, one_by_one(2)));
}

#[tokio::test]
async fn what_has_ended_and_is_not_collected_is_no_hindrance() {
    let site = Site::start().await;
    list(&site, 64).await;
    for ended in [3, 30, 31] {
        has_ended(&site, ended).await;
    }
    let keys = list_below(&site.kv, Prefix::new("k:")).await;
    assert_eq!(keys.len(), 61);
    assert_eq!(read(&site, &keys).await, (ones(61), ranges(1)));
}

/// A key that has ended long before it is collected.
async fn has_ended(site: &Site, number: usize) {
    let soon = site.kv.set_for(name(number), "soon over", millis(20));
    soon.await.unwrap();
    until("a key has ended", async || {
        site.kv.get(name(number)).await.unwrap().is_none()
    })
    .await;
    assert!(site.raw.get(name(number)).await.is_some());
}

/// What lies between two prefixes is somebody else's.
#[tokio::test]
async fn no_range_goes_from_one_prefix_to_another() {
    let site = Site::start().await;
    let items = (0..30).map(|it| (format!("{}:{it}", ["a", "b", "c"][it % 3]), "1"));
    site.kv.set_many(items).await.unwrap();
    let both: Prefixes = ["a:", "c:"].map(Prefix::new).into_iter().collect();
    let keys = list_below(&site.kv, both).await;
    assert_eq!(read(&site, &keys).await, (ones(20), one_by_one(1)));
    // All of them below one of several.
    let wider: Prefixes = ["a:", "b", "d"].map(Prefix::new).into_iter().collect();
    site.kv.delete_prefix("a:").await.unwrap();
    let keys = list_below(&site.kv, wider).await;
    assert_eq!(read(&site, &keys).await, (ones(10), ranges(1)));
}

/// A server with users, and a store of `app`, who may have these ranges and their structures.
async fn with_grants(site: &Site, prefixes: &[&str]) -> (Kv, Client) {
    let mut raw = site.raw.0.clone();
    for user in ["root", "app"] {
        raw.user_add(user, "s3cret", None).await.unwrap();
        raw.role_add(user).await.unwrap();
        raw.user_grant_role(user, user).await.unwrap();
    }
    for prefix in prefixes {
        for table in ["", "\0\x01"] {
            let permission = Permission::read(format!("{table}{prefix}")).with_prefix();
            raw.role_grant_permission("app", permission).await.unwrap();
        }
    }
    raw.auth_enable().await.unwrap();
    let url = |user| format!("etcd://{user}:s3cret@{}", site.server.address());
    let root = open(&url("root")).await.native::<Client>().unwrap();
    (open(&url("app")).await, root)
}

#[tokio::test]
async fn who_may_read_two_prefixes_reads_what_he_lists() {
    let site = Site::start().await;
    let items = (0..30).map(|it| (format!("{}:{it}", ["a", "b", "c"][it % 3]), "1"));
    site.kv.set_many(items).await.unwrap();
    let (app, _) = with_grants(&site, &["a:", "c:"]).await;
    let both: Prefixes = ["a:", "c:"].map(Prefix::new).into_iter().collect();
    let keys = list_below(&app, both).await;
    assert_eq!(app.get_many(&keys).await.unwrap(), ones(20));
}

#[tokio::test]
async fn who_may_read_the_keys_and_not_the_range_reads_them_one_by_one() {
    let site = Site::start().await;
    let keys = list(&site, 64).await;
    let (app, mut root) = with_grants(&site, &["k:"]).await;
    assert_eq!(list_below(&app, Prefix::new("k:")).await, keys);
    for (from, to) in [("k:000", "k:029a"), ("k:030", "k:1")] {
        let permission = Permission::read(from).with_range_end(to);
        root.role_grant_permission("app", permission).await.unwrap();
    }
    let whole = etcd_client::RoleRevokePermissionOptions::new().with_prefix();
    root.role_revoke_permission("app", "k:", Some(whole))
        .await
        .unwrap();
    let read = async || seen(&site, app.get_many(&keys)).await;
    let (values, exchanges) = read().await;
    assert_eq!((values, exchanges.one_by_one), (ones(64), 1));
    assert_eq!(read().await, (ones(64), one_by_one(1)));
}

#[tokio::test]
async fn a_range_that_comes_too_late_is_not_tried_again() {
    let site = Site::start().await;
    list(&site, 64).await;
    let mut config = EtcdConfig::from_url(site.server.url());
    config.response_timeout = secs(2);
    let kv = open_with(config, Arc::new(SystemClock)).await;
    let keys = list_below(&kv, Prefix::new("k:")).await;
    site.server.pause();
    let late = kv.get_many(&keys).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout, "{late:?}");
    site.server.resume();
    // The first ones may come too late as well.
    until("it answers", async || kv.get("k:000").await.is_ok()).await;
    let (values, exchanges) = seen(&site, kv.get_many(&keys)).await;
    assert_eq!((values, exchanges.one_by_one), (ones(64), 1));
}
