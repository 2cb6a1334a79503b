//! How many leases there are, and what becomes of those that end too early.

use crate::site::{Raw, Site, for_span, key, lifetime, open_with, secs};
use etcd_client::{Client, LeaseTimeToLiveOptions};
use kv_conformance::proxy::{FaultProxy, Mode};
use kv_core::{
    Guard, KeyGroup, Kv, Op, Rule, SetOptions, Stopwatch, SystemClock, Throttle, Ttl, Txn, Value,
    When,
};
use kv_etcd::EtcdConfig;
use kv_tests::patience::pause;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;

const WRITES: u64 = 10_000;
const TASKS: u64 = 20;
/// The shortest and the longest time to live.
const SPANS: (u64, u64) = (5, 600);

/// How many buckets there are for times to live in [`SPANS`] while somebody writes for so long: those
/// of a power of two of seconds are for lifetimes from eight to sixteen times as long, the narrowest,
/// of two seconds, for all shorter ones. Half a second is for slow clocks.
fn buckets(written_for: Duration) -> u64 {
    let (shortest, longest) = (SPANS.0 as f64 + 0.5, SPANS.1 as f64 + 0.5);
    let widths = (1..).map(|power| f64::from(1 << power));
    let counts = widths
        .take_while(|width| 8.0 * width <= longest)
        .map(|width| {
            let ends = if width == 2.0 { shortest } else { 8.0 * width };
            let span = longest.min(16.0 * width) - ends + written_for.as_secs_f64();
            // One more, because the first and the last are cut.
            (span / width).ceil() as u64 + 1
        });
    counts.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_writes_leave_no_more_leases_than_buckets() {
    let site = Site::start().await;
    site.kv.set("there", "v").await.unwrap();
    let watch = Stopwatch::start();
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let kv = site.kv.clone();
        tasks.spawn(async move {
            for number in 0..WRITES / TASKS {
                write(&kv, task * 1_000_000 + number).await;
            }
        });
    }
    tasks.join_all().await;
    let took = watch.elapsed();
    let (leases, most) = (site.raw.leases().await.len() as u64, buckets(took));
    println!("{leases} leases for {WRITES} writes in {took:?}; {most} buckets at most");
    assert!(leases > 20, "the writes are too tame: {leases} leases");
    assert!(leases <= most, "{leases} leases, {most} buckets");
}

/// One write with a time to live; some take none because they fail.
async fn write(kv: &Kv, number: u64) {
    let ttl = Ttl::In(lifetime(Duration::from_millis(fastrand::u64(
        SPANS.0 * 1000..=SPANS.1 * 1000,
    ))));
    let own = format!("k{}", number % 500);
    let options = SetOptions::from(ttl);
    match number % 5 {
        0 => {
            let refused = kv
                .set_with("there", "w", options.when(When::IfAbsent))
                .await;
            assert!(!refused.unwrap().applied);
        }
        1 => {
            let guard = Guard::value_is(key("there"), "something else");
            let txn = Txn::new().when(guard).then(set("there", ttl));
            assert!(!kv.commit_one(txn).await.unwrap().applied);
        }
        2 => {
            let txn = Txn::new().then(set(&own, ttl));
            assert!(kv.commit_one(txn).await.unwrap().applied);
        }
        _ => assert!(kv.set_with(&*own, "v", options).await.unwrap().applied),
    }
}

fn set(name: &str, ttl: Ttl) -> Op {
    Op::Set {
        key: key(name),
        content: Value::from("v").into(),
        ttl,
    }
}

/// Far longer than a command is tried for is the bucket the same.
const HOUR: Duration = Duration::from_secs(3600);

/// All keys with times to live of an hour are on one lease or two; they are revoked before each way to
/// write.
#[tokio::test]
async fn a_lease_that_was_revoked_is_replaced_and_the_write_repeated() {
    let site = Site::start().await;
    let hour = Ttl::In(lifetime(HOUR));
    let kv = &site.kv;
    let group = KeyGroup::new("g").unwrap();
    for round in 0..7 {
        kv.set_with("first", "v", SetOptions::from(hour))
            .await
            .unwrap();
        for lease in site.raw.leases().await {
            site.raw.revoke(lease).await;
        }
        assert!(!kv.exists("first").await.unwrap());
        let name = group.key(format!("k{round}"));
        match round {
            0 => drop(
                kv.set_with(&name, "v", SetOptions::from(hour))
                    .await
                    .unwrap(),
            ),
            1 => {
                let options = SetOptions::from(hour).when(When::IfAbsent);
                assert!(kv.set_with(&name, "v", options).await.unwrap().applied);
            }
            2 => {
                let items = [(name.clone(), "v")];
                let set = kv.set_many_with(items, SetOptions::from(hour)).await;
                assert!(set.unwrap().remove(0).unwrap());
            }
            3 => {
                let set = Op::Set {
                    key: name.clone(),
                    content: Value::from("v").into(),
                    ttl: hour,
                };
                assert!(kv.commit_one(Txn::new().then(set)).await.unwrap().applied);
            }
            4 => assert_eq!(kv.increment_with(&name, 1, hour).await.unwrap(), 1),
            5 => {
                kv.hset(&name, "f", "v").await.unwrap();
                assert!(kv.expire(&name, lifetime(HOUR)).await.unwrap());
            }
            _ => {
                let rule = Rule::gcra(1, HOUR, 1).unwrap();
                let request = Throttle::new().limit(name.clone(), rule);
                assert!(kv.throttle(request).await.unwrap().allowed);
            }
        }
        assert!(kv.exists(&name).await.unwrap(), "round {round}");
        assert_eq!(site.raw.leases().await.len(), 1, "round {round}");
    }
}

/// A deadline is told when a write is tried the last time, and so must its lease be.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_tried_for_long_is_on_a_lease_that_lasts() {
    let site = Site::start().await;
    let proxy = FaultProxy::start(site.server.address()).await.unwrap();
    let mut config = EtcdConfig::from_url(format!("etcd://{}", proxy.address()));
    config.response_timeout = secs(20);
    config.conflict_timeout = secs(60);
    let slow = open_with(config, Arc::new(SystemClock)).await;
    site.kv.set("k", "0").await.unwrap();
    proxy.set(Mode::Delay(Duration::from_millis(300)));
    let span = secs(20);
    let writing = tokio::spawn(async move {
        let options = for_span(span).when(When::IfPresent);
        slow.set_with("k", "slow", options).await
    });
    let watch = Stopwatch::start();
    // A machine that stands still may let it through sooner.
    while watch.elapsed() < secs(8) && !writing.is_finished() {
        site.kv.set("k", "in the way").await.unwrap();
        pause(Duration::from_millis(20)).await;
    }
    let before = Stopwatch::start();
    assert!(writing.await.unwrap().unwrap().applied);
    let lease = site.raw.get("k").await.unwrap().lease();
    let left = site.raw.left(lease).await.unwrap();
    // The deadline lies the span after the last try; the lease is told in whole seconds.
    let needed = span.saturating_sub(before.elapsed() + secs(1));
    assert!(
        left >= needed,
        "the lease lives for {left:?}, the key for {needed:?}"
    );
}

/// What is overwritten leaves the lease it was on.
#[tokio::test]
async fn a_key_that_is_written_again_leaves_its_lease() {
    let site = Site::start().await;
    let kv = &site.kv;
    kv.set_with("k", "v", for_span(secs(10))).await.unwrap();
    let short = site.raw.get("k").await.unwrap().lease();
    for round in 0..4 {
        match round {
            0 => drop(kv.set_with("k", "v", for_span(secs(300))).await.unwrap()),
            1 => assert!(kv.expire("k", lifetime(secs(400))).await.unwrap()),
            2 => assert!(kv.persist("k").await.unwrap()),
            _ => kv.set("k", "v").await.unwrap(),
        }
        let written = site.raw.get("k").await.unwrap();
        assert_ne!(written.lease(), short, "round {round}");
        assert_eq!(written.lease() == 0, round >= 2, "round {round}");
        let keys = keys_of(&site.raw, short).await;
        assert!(keys.is_empty(), "round {round}: {keys:?}");
    }
}

async fn keys_of(raw: &Raw, lease: i64) -> Vec<Vec<u8>> {
    let options = LeaseTimeToLiveOptions::new().with_keys();
    let mut client: Client = raw.0.clone();
    let told = client.lease_time_to_live(lease, Some(options)).await;
    told.unwrap().keys().to_vec()
}
