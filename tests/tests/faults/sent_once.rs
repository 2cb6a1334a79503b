//! Case 54 on etcd, where a call may take several exchanges: the network fails before each of them and
//! after, and the store's own count of changes tells what was sent. A write is sent once, whatever
//! becomes of its answer; one that is reported as not applied was not sent.

use crate::site::{Site, bounded, expect_outage, open, recovers};
use etcd_client::Client;
use kv_conformance::proxy::Mode;
use kv_core::{
    BoxFuture, Expiry, Guard, KeyGroup, Kv, Lifetime, Op, Outcome, RelativeScore, Result, Rule,
    Throttle, Ttl, Txn, ZMove,
};
use kv_tests::server::Etcd;
use std::{ops::AddAssign, time::Duration};

/// The most pieces that the answers of one call come in. Only a broken test gets there.
const MOST: u32 = 100;

/// How often a write is hit everywhere until an answer to it was lost.
const ROUNDS: usize = 20;

type Write = fn(Kv) -> BoxFuture<'static, Result<()>>;

/// Each changes something whenever it is done, in one transaction.
const WRITES: [(&str, Write); 12] = [
    ("set", |kv| {
        Box::pin(async move { kv.set("text", "v").await })
    }),
    ("set for a while", |kv| {
        Box::pin(async move { kv.set_for("ends", "v", HOUR).await })
    }),
    ("set several", |kv| {
        Box::pin(async move {
            let items = [("one", "v"), ("two", "v")];
            kv.set_many(items).await
        })
    }),
    ("increment", |kv| {
        Box::pin(async move { kv.increment("count", 1).await.map(drop) })
    }),
    ("hset", |kv| {
        Box::pin(async move { kv.hset("hash", "f", "v").await.map(drop) })
    }),
    ("hincrement", |kv| {
        Box::pin(async move { kv.hincrement("hash", "n", 1).await.map(drop) })
    }),
    ("zadd", |kv| {
        Box::pin(async move {
            let score = f64::from(fastrand::u32(..));
            kv.zadd("zset", [("m", score)]).await.map(drop)
        })
    }),
    ("pop", |kv| {
        Box::pin(async move { kv.zpopbyscore("many", 1e9).await.map(drop) })
    }),
    ("expire", |kv| {
        Box::pin(async move {
            let expiry = Expiry::In(Lifetime::new(HOUR).unwrap());
            kv.expire("ends", expiry).await.map(drop)
        })
    }),
    ("commit", |kv| {
        Box::pin(async move {
            let group = KeyGroup::new("g").unwrap();
            let txn = Txn::new()
                .when(Guard::absent(group.key(":gone")))
                .then(Op::Increment {
                    key: group.key(":count"),
                    by: 1,
                    ttl_if_created: Ttl::Never,
                })
                .then(Op::ZAdd {
                    key: group.key(":due"),
                    members: vec![("m".into(), RelativeScore::NOW)],
                    notify_if_first: None,
                });
            kv.commit_one(txn).await.map(drop)
        })
    }),
    ("zmove", |kv| {
        Box::pin(async move {
            let group = KeyGroup::new("q").unwrap();
            let step = ZMove::new(2).from(group.key(":due"), RelativeScore::NOW);
            let step = step.to(group.key(":lease"), RelativeScore::NOW);
            kv.zmove(step).await.map(drop)
        })
    }),
    ("throttle", |kv| {
        Box::pin(async move {
            // An hour for each, so that the record does not end, and be collected, in the meantime.
            let rule = Rule::gcra(1_000, 1_000 * HOUR, 1_000).unwrap();
            let limit = KeyGroup::new("l").unwrap().key(":limit");
            kv.throttle(Throttle::new().limit(limit, rule))
                .await
                .map(drop)
        })
    }),
];

const HOUR: Duration = Duration::from_secs(3600);

/// Enough members for all takers.
async fn fill(kv: &Kv) {
    let members = || (0..500).map(|at| (format!("m{at}"), f64::from(at)));
    kv.zadd("many", members()).await.unwrap();
    let due = KeyGroup::new("q").unwrap().key(":due");
    kv.zadd(due, members()).await.unwrap();
}

/// How many transactions have changed anything, so far.
async fn changes(site: &Site<Etcd>) -> i64 {
    let mut driver: Client = site.direct.native().unwrap();
    let answer = driver.get("barrier", None).await.unwrap();
    answer.header().unwrap().revision()
}

/// What became of a write, over all the places where it was hit.
#[derive(Clone, Copy, Debug, Default)]
struct Fates {
    not_applied: u32,
    /// Unknown, and not done.
    lost: u32,
    /// Unknown, and done once.
    done: u32,
}

impl AddAssign for Fates {
    fn add_assign(&mut self, other: Self) {
        self.not_applied += other.not_applied;
        self.lost += other.lost;
        self.done += other.done;
    }
}

/// Hits a write before its first answer, after that, and so on, until it gets to its end.
async fn hit_everywhere(site: &Site<Etcd>, name: &str, write: Write, mode: Mode) -> Fates {
    let kv = site.through().await;
    // What it needs, leases and records, is there then.
    write(kv.clone()).await.unwrap();
    let mut fates = Fates::default();
    for replies in 0..MOST {
        let before = changes(site).await;
        site.proxy.set_after(replies, mode);
        let result = bounded(name, write(kv.clone())).await;
        site.proxy.set(Mode::Pass);
        recovers(&kv).await;
        // Whatever would have been sent once more has been by now.
        let changed = changes(site).await - before;
        let place = format!("{name}, {mode:?} after {replies} pieces, {changed} changes");
        let Err(error) = result else {
            assert_eq!(changed, 1, "{place}");
            assert!(replies > 0, "{place}: it needed no answer");
            return fates;
        };
        let error = expect_outage(name, Err::<(), _>(error));
        match (error.outcome(), changed) {
            (Outcome::NotApplied, 0) => fates.not_applied += 1,
            (Outcome::Unknown, 0) => fates.lost += 1,
            (Outcome::Unknown, 1) => fates.done += 1,
            _ => panic!("{place}: {error:?}"),
        }
    }
    panic!("{name} never gets to its end");
}

async fn hit_all(mode: Mode) -> Fates {
    let site = Site::<Etcd>::start().await;
    let mut all = Fates::default();
    fill(&site.direct).await;
    for (name, write) in WRITES {
        let mut fates = Fates::default();
        // An answer may come in so few pieces that it was not hit right before its end.
        for _ in 0..ROUNDS {
            fates += hit_everywhere(&site, name, write, mode).await;
            if fates.done > 0 || mode != Mode::HalfOpen {
                break;
            }
        }
        println!("case 54: {mode:?}: {name}: {fates:?}");
        if mode == Mode::HalfOpen {
            assert!(fates.done > 0, "no answer to {name} was lost");
        }
        all += fates;
    }
    println!("case 54: {mode:?}: {all:?}; {}", site.proxy.counts());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn case_54_a_write_whose_answer_is_lost_is_unknown_and_done_once() {
    let fates = hit_all(Mode::HalfOpen).await;
    // Where a read comes first, its answer was lost, too.
    assert!(fates.not_applied > 0, "{fates:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_54_a_write_that_is_lost_is_not_done_later() {
    let fates = hit_all(Mode::BlackHole).await;
    assert!(fates.lost > 0 && fates.not_applied > 0, "{fates:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_54_a_write_on_a_connection_that_ends_is_done_once_or_not() {
    let fates = hit_all(Mode::Reset).await;
    assert!(fates.not_applied > 0, "{fates:?}");
}

/// Nobody listens, so nothing can have been sent.
#[tokio::test(flavor = "multi_thread")]
async fn case_54_a_write_that_finds_no_server_is_not_done() {
    let mut site = Site::<Etcd>::start().await;
    fill(&site.direct).await;
    let kv = open::<Etcd>(site.server.address()).await;
    for (_, write) in WRITES {
        write(kv.clone()).await.unwrap();
    }
    let before = changes(&site).await;
    site.server.kill();
    // It learns of that by the first call.
    expect_outage("a call", bounded("a call", kv.get("k")).await);
    for (name, write) in WRITES {
        let error = expect_outage(name, bounded(name, write(kv.clone())).await);
        assert_eq!(error.outcome(), Outcome::NotApplied, "{name}: {error:?}");
    }
    site.server.restart();
    recovers(&kv).await;
    recovers(&site.direct).await;
    assert_eq!(changes(&site).await, before);
}
