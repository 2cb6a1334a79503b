//! Deadlines of structures: their elements follow to other leases, and a process that ends in between
//! loses nothing.

use crate::site::{Raw, Site, lifetime, millis, now, open_with, secs};
use kv_conformance::proxy::{FaultProxy, Mode};
use kv_core::{Expiry, Kv, Op, SystemClock, TimeToLive, Timestamp, Txn};
use kv_etcd::EtcdConfig;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;

/// What etcd rounds a lease's time down by, and the machine takes.
const ROUNDING: Duration = Duration::from_secs(2);

async fn fill(kv: &Kv, elements: usize) {
    kv.delete_many(["h", "z"]).await.unwrap();
    let fields = (0..elements).map(|at| (format!("f{at}"), "v"));
    kv.hset_many("h", fields).await.unwrap();
    let members = (0..elements).map(|at| (format!("m{at}"), at as f64));
    kv.zadd("z", members).await.unwrap();
}

async fn count(kv: &Kv) -> (u64, u64) {
    let hash = kv.hlen("h").await.unwrap();
    (hash, kv.zcount("z", (0, 1000)).await.unwrap())
}

/// The end in a record; `None` if it never comes.
fn end(record: &[u8]) -> Option<Timestamp> {
    assert!(record[2] < 2, "held");
    let end = i64::from_be_bytes(record[3..].try_into().unwrap());
    (record[2] == 1).then(|| Timestamp::from_micros(end))
}

/// Nothing is on a lease that ends before the structure does; one that never ends is on none.
async fn nothing_ends_early(raw: &Raw, key: &str) -> Option<Timestamp> {
    let record = raw.record(key).await.unwrap();
    let end = end(record.value());
    let mut leases = BTreeMap::from([(record.lease(), 1)]);
    for element in raw.elements(key).await {
        *leases.entry(element.lease()).or_insert(0) += 1;
    }
    leases.remove(&0);
    for (lease, keys) in leases {
        let Some(end) = end else {
            panic!("{keys} keys of {key}, which never ends, are on a lease");
        };
        let needed = end.saturating_since(now()).saturating_sub(ROUNDING);
        let left = raw.left(lease).await;
        assert!(
            left.is_some_and(|left| left >= needed),
            "{keys} keys of {key} end in {left:?}, {key} in {needed:?}"
        );
    }
    end
}

async fn all_follow(raw: &Raw, key: &str) {
    let lease = raw.record(key).await.unwrap().lease();
    let elements = raw.elements(key).await;
    assert!(elements.iter().all(|it| it.lease() == lease), "{key}");
}

#[tokio::test]
async fn the_elements_follow_to_the_lease_of_their_record() {
    let site = Site::start().await;
    let kv = &site.kv;
    for elements in [5, 500] {
        fill(kv, elements).await;
        let all = (elements as u64, elements as u64);
        for span in [secs(60), secs(600), secs(5), secs(300)] {
            let since = kv_core::Stopwatch::start();
            let mut left_behind = BTreeSet::new();
            for name in ["h", "z"] {
                let before = site.raw.record(name).await.unwrap().lease();
                assert!(kv.expire(name, lifetime(span)).await.unwrap());
                assert!(nothing_ends_early(&site.raw, name).await.is_some());
                all_follow(&site.raw, name).await;
                let after = site.raw.record(name).await.unwrap().lease();
                // What ends sooner just stays on its lease.
                assert_eq!(after == before, span == secs(5));
                if before != 0 && after != before {
                    left_behind.insert(before);
                }
            }
            for lease in left_behind {
                site.raw.revoke(lease).await;
            }
            // Nothing was on the leases before.
            if span != secs(5) {
                assert_eq!(count(kv).await, all, "{span:?}");
            }
            let left = kv.time_to_live("h").await.unwrap();
            let least = span.saturating_sub(since.elapsed() + secs(1));
            assert!(matches!(left, TimeToLive::In(left) if left <= span && left >= least));
        }
        for name in ["h", "z"] {
            assert!(kv.persist(name).await.unwrap());
            assert!(!kv.persist(name).await.unwrap());
            assert_eq!(nothing_ends_early(&site.raw, name).await, None);
        }
        for lease in site.raw.leases().await {
            site.raw.revoke(lease).await;
        }
        assert_eq!(count(kv).await, all);
    }
}

/// However many there are: a transaction is all or nothing.
#[tokio::test]
async fn all_elements_follow_within_a_transaction() {
    let site = Site::start().await;
    let kv = &site.kv;
    fill(kv, 500).await;
    let key = |name| kv_core::Key::new(name).unwrap();
    for name in ["h", "z"] {
        let expiry = Expiry::Held(lifetime(secs(60)));
        assert!(kv.expire(name, expiry).await.unwrap());
        let key = key(name);
        let expiry = Expiry::In(lifetime(secs(3600)));
        let expire = Op::Expire {
            key: key.clone(),
            expiry,
        };
        kv.commit_one(Txn::new().then(expire)).await.unwrap();
        assert!(nothing_ends_early(&site.raw, name).await.is_some());
        all_follow(&site.raw, name).await;
        let persist = Op::Persist { key };
        kv.commit_one(Txn::new().then(persist)).await.unwrap();
        assert_eq!(nothing_ends_early(&site.raw, name).await, None);
        all_follow(&site.raw, name).await;
        assert_eq!(count(kv).await, (500, 500), "{name}");
    }
}

/// What the deadline is before, and what it is to be.
#[derive(Clone, Copy, Debug)]
struct Change {
    before: Option<Duration>,
    after: Option<Duration>,
}

const MINUTE: Option<Duration> = Some(Duration::from_secs(60));
const HOUR: Option<Duration> = Some(Duration::from_secs(3600));
const CHANGES: [Change; 4] = [
    Change {
        before: None,
        after: MINUTE,
    },
    Change {
        before: MINUTE,
        after: HOUR,
    },
    Change {
        before: HOUR,
        after: MINUTE,
    },
    Change {
        before: MINUTE,
        after: None,
    },
];

async fn give(kv: &Kv, name: &str, end: Option<Duration>) -> kv_core::Result<bool> {
    match end {
        Some(span) => kv.expire(name, Expiry::In(lifetime(span))).await,
        None => kv.persist(name).await,
    }
}

/// A store whose exchanges take a while, so that it can be cut off between two of them.
async fn slow(site: &Site, by: Duration) -> (FaultProxy, Kv) {
    let proxy = FaultProxy::start(site.server.address()).await.unwrap();
    let config = EtcdConfig::from_url(format!("etcd://{}", proxy.address()));
    let kv = open_with(config, Arc::new(SystemClock)).await;
    proxy.set(Mode::Delay(by));
    (proxy, kv)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_cut_off_between_two_steps_loses_nothing() {
    let site = Site::start().await;
    for change in CHANGES {
        let mut finished = 0;
        let mut in_between = 0;
        for cut in (0..).map(|step| millis(step * 15)) {
            fill(&site.kv, 120).await;
            let mut records = Vec::new();
            for name in ["h", "z"] {
                give(&site.kv, name, change.before).await.unwrap();
                records.push(site.raw.record(name).await.unwrap().mod_revision());
            }
            let (proxy, slow) = slow(&site, millis(5)).await;
            let mut done = 0;
            for name in ["h", "z"] {
                let changing = timeout(cut, give(&slow, name, change.after));
                done += u32::from(changing.await.is_ok());
            }
            // What was sent already still arrives.
            proxy.set(Mode::Pass);
            slow.get("barrier").await.unwrap();
            drop((slow, proxy));
            for (name, before) in ["h", "z"].into_iter().zip(records) {
                nothing_ends_early(&site.raw, name).await;
                let record = site.raw.record(name).await.unwrap();
                let elements = site.raw.elements(name).await;
                let behind = elements.iter().any(|it| it.lease() != record.lease());
                in_between += u32::from(behind && record.mod_revision() != before);
            }
            assert_eq!(count(&site.kv).await, (120, 120), "{change:?} {cut:?}");
            // Whoever tries again comes to the end, also as part of a transaction.
            for name in ["h", "z"] {
                give(&site.kv, name, MINUTE).await.unwrap();
                nothing_ends_early(&site.raw, name).await;
                give(&site.kv, name, None).await.unwrap();
                assert_eq!(nothing_ends_early(&site.raw, name).await, None);
            }
            finished += u32::from(done == 2);
            if finished == 2 {
                break;
            }
            assert!(cut < secs(5), "it never comes to an end");
        }
        println!("{change:?}: {in_between} times cut off between two steps");
        // Only what is to live longer, or begins to end, takes several.
        let several = change.before != HOUR;
        assert_eq!(in_between > 0, several, "{change:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_after_a_cut_takes_all_elements_along() {
    let site = Site::start().await;
    let key = |name| kv_core::Key::new(name).unwrap();
    let mut cut_in_between = 0;
    for cut in (0..14).map(|step| millis(20 + step * 10)) {
        let fields = (0..60).map(|at| (format!("f{at}"), "v"));
        site.kv.delete("h").await.unwrap();
        site.kv.hset_many("h", fields).await.unwrap();
        give(&site.kv, "h", MINUTE).await.unwrap();
        let (proxy, slow) = slow(&site, millis(5)).await;
        let _cut_off = timeout(cut, give(&slow, "h", None)).await;
        proxy.set(Mode::Pass);
        slow.get("barrier").await.unwrap();
        let record = site.raw.record("h").await.unwrap();
        cut_in_between += u32::from(record.lease() == 0 && end(record.value()).is_some());
        let expiry = Expiry::In(lifetime(secs(3600)));
        let expire = Op::Expire {
            key: key("h"),
            expiry,
        };
        site.kv.commit_one(Txn::new().then(expire)).await.unwrap();
        assert!(
            nothing_ends_early(&site.raw, "h").await.is_some(),
            "{cut:?}"
        );
        assert_eq!(site.kv.hlen("h").await.unwrap(), 60);
    }
    assert!(cut_in_between > 0, "it was never cut off in between");
}
