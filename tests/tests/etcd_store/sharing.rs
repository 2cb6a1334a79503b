//! Keys that share leases end neither early nor much too late.

use crate::site::{Raw, Site, lifetime, millis};
use kv_core::{SetOptions, Stopwatch, Ttl};
use kv_tests::patience::{PATIENCE, pause};
use std::{collections::HashMap, time::Duration};

const KEYS: u64 = 100;
/// For clocks that are slow; the usual one.
const SKEW: Duration = Duration::from_millis(500);
/// The narrowest bucket, and what its end is rounded up by.
const BUCKET: Duration = Duration::from_secs(3);
/// By when etcd has noticed the end of a lease, on a busy machine, too.
const NOTICED: Duration = Duration::from_secs(20);

/// When each key was still there, and when it was gone, since the start.
struct Seen {
    from: Duration,
    span: Duration,
    gone: Option<Duration>,
}

/// Looks at what lies on the server until all is gone.
async fn ends(raw: &Raw, watch: Stopwatch, mut keys: HashMap<Vec<u8>, Seen>) -> Vec<Seen> {
    while keys.values().any(|it| it.gone.is_none()) {
        let before = watch.elapsed();
        assert!(before < PATIENCE, "some are never gone");
        let there = raw.list("k:").await;
        for (key, seen) in &mut keys {
            let gone = !there.iter().any(|it| it.key() == key);
            if gone && seen.gone.is_none() {
                // No later than now.
                seen.gone = Some(watch.elapsed());
            }
        }
        pause(millis(20)).await;
    }
    keys.into_values().collect()
}

async fn written(site: &Site, watch: Stopwatch, ttl: impl Fn(Duration) -> Ttl) -> Vec<Seen> {
    let mut keys = HashMap::new();
    for number in 0..KEYS {
        let (name, span) = (format!("k:{number}"), millis(2_000 + number * 40));
        let from = watch.elapsed();
        let options = SetOptions::from(ttl(span));
        site.kv.set_with(&*name, "v", options).await.unwrap();
        let gone = None;
        keys.insert(name.into_bytes(), Seen { from, span, gone });
    }
    let leases = site.raw.leases().await.len();
    // Each second of writing can begin another bucket.
    let most = 8 + watch.elapsed().as_secs();
    assert!(leases as u64 <= most, "{leases} leases for {KEYS} keys");
    ends(&site.raw, watch, keys).await
}

#[tokio::test]
async fn what_shares_a_lease_is_there_until_each_deadline_and_collected_soon_after() {
    let site = Site::start().await;
    let watch = Stopwatch::start();
    let seen = written(&site, watch, |span| Ttl::In(lifetime(span))).await;
    judge(&seen, SKEW);
}

#[tokio::test]
async fn what_is_held_is_never_gone_early_and_no_later_than_documented() {
    let site = Site::start().await;
    let watch = Stopwatch::start();
    let seen = written(&site, watch, |span| Ttl::Held(lifetime(span))).await;
    judge(&seen, Duration::ZERO);
}

/// On the server a key is there for as long as it lives, for slow clocks even longer.
fn judge(seen: &[Seen], longer: Duration) {
    let mut latest = Duration::ZERO;
    for it in seen {
        let (lived, span) = (it.gone.unwrap() - it.from, it.span);
        assert!(lived >= span + longer, "gone after {lived:?} of {span:?}");
        let most = span + SKEW + BUCKET + NOTICED;
        assert!(lived <= most, "there for {lived:?} with {span:?} to live");
        latest = latest.max(lived - span);
    }
    println!("late by {latest:?} at most");
}
