//! Two processes whose clocks differ by as much as they may.

use crate::site::{Raw, key, lifetime, millis, open_with, secs};
use etcd_client::Client;
use kv_core::{
    BoxFuture, Clock, DeadlineClock, Expiry, Key, KeyGroup, Kv, RelativeScore, Rule, Score,
    SetOptions, Stopwatch, SystemClock, Throttle, TimeToLive, Timestamp, Ttl, ZMove,
};
use kv_etcd::EtcdConfig;
use kv_tests::patience::{PATIENCE, pause, until};
use kv_tests::server::Etcd;
use std::{sync::Arc, time::Duration};

/// More than what buckets are rounded up by, so that they cannot hide that it was forgotten.
const SKEW: Duration = Duration::from_secs(4);

/// The machine's clock, fast or slow by a fixed span.
#[derive(Debug)]
struct Shifted {
    micros: i64,
}

impl Clock for Shifted {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(SystemClock.now().as_micros() + self.micros)
    }

    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        SystemClock.sleep_until(Timestamp::from_micros(deadline.as_micros() - self.micros))
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        SystemClock.sleep(span)
    }
}

/// A store and its clock.
struct Process {
    kv: Kv,
    clock: Arc<Shifted>,
}

impl Process {
    async fn start(server: &Etcd, fast_by: i64) -> Self {
        let mut config = EtcdConfig::from_url(server.url());
        config.max_clock_skew = SKEW;
        let clock = Arc::new(Shifted { micros: fast_by });
        let kv = open_with(config, clock.clone()).await;
        Self { kv, clock }
    }

    /// Whether a key is there, which must be as its own clock says.
    async fn sees(&self, name: &str, deadline: Timestamp) -> bool {
        let before = self.clock.now();
        let there = self.kv.get(name).await.unwrap().is_some();
        let after = self.clock.now();
        assert!(there || after >= deadline, "{name} is gone early");
        assert!(!there || before < deadline, "{name} is there for too long");
        there
    }
}

/// Two stores whose clocks differ by the skew: the first is fast.
async fn apart() -> (Etcd, Process, Process) {
    let server = Etcd::start();
    let fast = Process::start(&server, SKEW.as_micros() as i64).await;
    let slow = Process::start(&server, 0).await;
    (server, fast, slow)
}

#[tokio::test]
async fn the_skew_is_told() {
    let (_server, fast, _slow) = apart().await;
    let told = fast.kv.capabilities().deadline_clock;
    assert_eq!(told, DeadlineClock::Client { skew: SKEW });
    assert!(fast.kv.now().await.unwrap() > SystemClock.now());
}

#[tokio::test]
async fn each_reader_goes_by_its_own_clock_and_the_lease_outlasts_the_slower_one() {
    let (_server, fast, slow) = apart().await;
    let mut keys = Vec::new();
    for number in 0..20 {
        let name = format!("k{number}");
        let span = millis(300 + number * 100);
        // The fast one writes: to the slow one its deadlines are further away than it thinks.
        let since = Stopwatch::start();
        let deadline = fast.clock.now().saturating_add(span);
        let options = SetOptions::from(Ttl::At(deadline));
        fast.kv.set_with(&*name, "v", options).await.unwrap();
        let TimeToLive::In(left) = slow.kv.time_to_live(&*name).await.unwrap() else {
            panic!("no deadline");
        };
        let least = (span + SKEW).saturating_sub(since.elapsed() + millis(50));
        assert!(left >= least, "{left:?} left of {span:?}");
        keys.push((name, deadline));
    }
    let watch = Stopwatch::start();
    while !keys.is_empty() {
        let mut left = Vec::new();
        for (name, deadline) in keys {
            fast.sees(&name, deadline).await;
            if slow.sees(&name, deadline).await {
                left.push((name, deadline));
            }
        }
        keys = left;
        assert!(watch.elapsed() < PATIENCE);
        pause(millis(20)).await;
    }
}

#[tokio::test]
async fn a_structure_ends_by_the_clock_of_who_reads() {
    let (_server, fast, slow) = apart().await;
    fast.kv.hset("h", "f", "v").await.unwrap();
    fast.kv.expire("h", lifetime(secs(2))).await.unwrap();
    until("it ends for the fast one", async || {
        fast.kv.hlen("h").await.unwrap() == 0
    })
    .await;
    assert_eq!(slow.kv.hlen("h").await.unwrap(), 1);
    // To the fast one nothing is there, so it may begin anew; to all it is the new one then.
    fast.kv.hset("h", "g", "w").await.unwrap();
    let all = slow.kv.hgetall("h").await.unwrap();
    assert_eq!(all, [("g".into(), "w".into())]);
    let left = slow.kv.time_to_live("h").await.unwrap();
    assert_eq!(left, TimeToLive::NoExpiry);
}

#[tokio::test]
async fn what_is_held_ends_for_all_clocks_at_once() {
    let server = Etcd::start();
    let hour = 3_600_000_000;
    let fast = Process::start(&server, hour).await;
    let slow = Process::start(&server, -hour).await;
    let held = SetOptions::from(Ttl::Held(lifetime(secs(2))));
    let watch = Stopwatch::start();
    slow.kv.set_with("a", "v", held.clone()).await.unwrap();
    fast.kv.set_with("b", "v", held).await.unwrap();
    let raw = Raw(fast.kv.native::<Client>().unwrap());
    let mut seen = 0;
    loop {
        // All four looks are between two at what lies there.
        let before = raw.all().await.len();
        let mut there = Vec::new();
        for kv in [&fast.kv, &slow.kv] {
            for name in ["a", "b"] {
                there.push(kv.exists(name).await.unwrap());
            }
        }
        let after = raw.all().await.len();
        match (before, after) {
            (2, 2) => {
                assert_eq!(there, [true; 4]);
                seen += 1;
            }
            (0, 0) => {
                assert_eq!(there, [false; 4]);
                break;
            }
            _ => {}
        }
        assert!(watch.elapsed() < PATIENCE);
        pause(millis(20)).await;
    }
    assert!(seen > 0 && watch.elapsed() >= secs(2));
}

#[tokio::test]
async fn rates_and_relative_scores_go_by_the_callers_clock() {
    let (_server, fast, slow) = apart().await;
    let group = KeyGroup::new("g").unwrap();
    let rule = Rule::gcra(1, secs(60), 1).unwrap();
    let request = || Throttle::new().limit(group.key("rate"), rule);
    let granted = slow.kv.throttle(request()).await.unwrap();
    assert!(granted.allowed);
    let near =
        |one: Timestamp, other: Timestamp| one.as_micros().abs_diff(other.as_micros()) < 3_000_000;
    assert!(near(granted.now, slow.clock.now()));
    let refused = fast.kv.throttle(request()).await.unwrap();
    assert!(!refused.allowed && near(refused.now, fast.clock.now()));
    let wait = refused.limits[0].retry_after;
    let expected = secs(60) - SKEW;
    assert!(wait <= expected && wait > expected - secs(30), "{wait:?}");

    let (ready, taken) = (group.key("ready"), group.key("taken"));
    let due = slow.clock.now().saturating_add(SKEW / 2);
    slow.kv
        .zadd(&ready, [("m", Score::from(due))])
        .await
        .unwrap();
    let step = || {
        ZMove::new(1)
            .from(ready.clone(), RelativeScore::NOW)
            .to(taken.clone(), RelativeScore::after(secs(10)))
    };
    let moved = slow.kv.zmove(step()).await.unwrap();
    assert!(moved.members.is_empty(), "not due yet by the slow clock");
    let moved = fast.kv.zmove(step()).await.unwrap();
    assert_eq!(moved.members.len(), 1, "due by the fast clock");
    assert!(near(moved.now, fast.clock.now()));
    let later = RelativeScore::after(secs(10)).at(moved.now);
    assert_eq!(moved.members[0].after, Some(later));
    ended_at_once(&fast, &slow, key("past")).await;
}

/// A deadline that is past to who sets it deletes, whatever others' clocks say.
async fn ended_at_once(fast: &Process, slow: &Process, name: Key) {
    slow.kv.set(&name, "v").await.unwrap();
    let between = slow.clock.now().saturating_add(SKEW / 2);
    assert!(fast.kv.expire(&name, Expiry::At(between)).await.unwrap());
    assert!(!slow.kv.exists(&name).await.unwrap());
}
