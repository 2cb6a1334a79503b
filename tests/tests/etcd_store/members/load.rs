//! Tasks that count, write and claim, and what they know at the end.

use crate::site::{key, millis};
use kv_core::{
    ClaimOrder, Error, ErrorKind, Key, KeyGroup, Kv, Outcome, RelativeScore, Stopwatch, ZMove,
};
use kv_tests::patience::pause;
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

const COUNTERS: usize = 4;
const CLAIMERS: usize = 4;
const JOBS: usize = 6_000;
/// How many are claimed at a time.
const BATCH: usize = 3;

/// What one task knows.
#[derive(Debug, Default)]
struct Known {
    /// Counted, written or claimed for sure.
    acknowledged: usize,
    /// Perhaps.
    unknown: usize,
    not_applied: usize,
    longest: Duration,
    /// What it wrote, or claimed.
    names: Vec<String>,
}

impl Known {
    /// Notes how a call ended; what it answered if it did.
    fn note<T>(&mut self, watch: Stopwatch, result: kv_core::Result<T>) -> Option<T> {
        self.longest = self.longest.max(watch.elapsed());
        let error: Error = match result {
            Ok(answer) => return Some(answer),
            Err(error) => error,
        };
        let outage = matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable);
        assert!(outage, "{error:?}");
        match error.outcome() {
            Outcome::Unknown => self.unknown += 1,
            _ => self.not_applied += 1,
        }
        None
    }
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    acknowledged: AtomicUsize,
}

pub(crate) struct Load {
    shared: Arc<Shared>,
    counters: JoinSet<Known>,
    writers: JoinSet<Known>,
    claimers: JoinSet<Known>,
}

impl Load {
    /// Each task has a store of its own, as if it were another process.
    pub(crate) async fn start(mut connect: impl AsyncFnMut() -> Kv, direct: &Kv) -> Self {
        for jobs in (0..JOBS).collect::<Vec<_>>().chunks(40) {
            let members = jobs.iter().map(|at| (format!("job{at}"), *at as f64));
            direct.zadd(jobs_key("ready"), members).await.unwrap();
        }
        let shared = Arc::new(Shared::default());
        let mut counters = JoinSet::new();
        let mut writers = JoinSet::new();
        let mut claimers = JoinSet::new();
        for _ in 0..COUNTERS {
            counters.spawn(count(connect().await, Arc::clone(&shared)));
        }
        for number in 0..COUNTERS {
            writers.spawn(write(connect().await, number, Arc::clone(&shared)));
        }
        for _ in 0..CLAIMERS {
            claimers.spawn(claim(connect().await, Arc::clone(&shared)));
        }
        Self {
            shared,
            counters,
            writers,
            claimers,
        }
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    pub(crate) async fn stop(self) -> Journal {
        self.shared.over.store(true, Ordering::Relaxed);
        Journal {
            counters: self.counters.join_all().await,
            writers: self.writers.join_all().await,
            claimers: self.claimers.join_all().await,
        }
    }
}

/// All share one counter, so that they also get in each other's way.
async fn count(kv: Kv, shared: Arc<Shared>) -> Known {
    let mut known = Known::default();
    while !shared.over.load(Ordering::Relaxed) {
        let watch = Stopwatch::start();
        if known
            .note(watch, kv.increment("counter", 1).await)
            .is_some()
        {
            known.acknowledged += 1;
            shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        pause(millis(10)).await;
    }
    known
}

async fn write(kv: Kv, number: usize, shared: Arc<Shared>) -> Known {
    let mut known = Known::default();
    let mut round = 0;
    while !shared.over.load(Ordering::Relaxed) {
        let name = format!("written:{number}:{round}");
        let watch = Stopwatch::start();
        if known.note(watch, kv.set(&*name, "v").await).is_some() {
            known.acknowledged += 1;
            known.names.push(name);
            shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        round += 1;
        pause(millis(5)).await;
    }
    known
}

async fn claim(kv: Kv, shared: Arc<Shared>) -> Known {
    let mut known = Known::default();
    let step = || {
        ZMove::new(BATCH as u32)
            .from(jobs_key("ready"), RelativeScore::NOW)
            .to(jobs_key("taken"), RelativeScore::NOW)
            .order(ClaimOrder::Relaxed)
    };
    while !shared.over.load(Ordering::Relaxed) {
        let watch = Stopwatch::start();
        if let Some(moved) = known.note(watch, kv.zmove(step()).await) {
            known.acknowledged += moved.members.len();
            let names = moved.members.iter().map(|it| text(it.member.as_bytes()));
            known.names.extend(names);
        }
        pause(millis(20)).await;
    }
    known
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn jobs_key(name: &str) -> Key {
    KeyGroup::new("jobs").unwrap().key(name)
}

/// What all tasks know.
pub(crate) struct Journal {
    counters: Vec<Known>,
    writers: Vec<Known>,
    claimers: Vec<Known>,
}

impl Journal {
    /// Holds what is on the store against what was acknowledged.
    pub(crate) async fn judge(&self, kv: &Kv, bound: Duration) {
        let all = [&self.counters, &self.writers, &self.claimers];
        let sums = all.map(|tasks| {
            let sum = |of: fn(&Known) -> usize| tasks.iter().map(of).sum::<usize>();
            (
                sum(|it| it.acknowledged),
                sum(|it| it.unknown),
                sum(|it| it.not_applied),
            )
        });
        let longest = all.into_iter().flatten().map(|it| it.longest).max();
        println!("acknowledged, unknown, not applied: {sums:?}; the longest call {longest:?}");
        assert!(longest < Some(bound), "a call took {longest:?}");
        let [counted, written, claimed] = sums;
        assert!(counted.0 > 50 && written.0 > 50 && claimed.0 > 50);

        let counter = kv.increment(key("counter"), 0).await.unwrap() as usize;
        let possible = counted.0..=counted.0 + counted.1;
        assert!(possible.contains(&counter), "{counter} of {possible:?}");

        for names in self.writers.iter().map(|it| &it.names) {
            for names in names.chunks(100) {
                let names = names.iter().map(String::as_str);
                let values = kv.get_many(names.clone()).await.unwrap();
                let lost: Vec<_> = names.zip(&values).filter(|it| it.1.is_none()).collect();
                assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
            }
        }
        self.judge_claims(kv, claimed.1).await;
    }

    async fn judge_claims(&self, kv: &Kv, unknown: usize) {
        let names = self.claimers.iter().flat_map(|it| &it.names);
        let mut claimed = HashSet::new();
        for name in names {
            assert!(claimed.insert(name.clone()), "{name} was claimed twice");
        }
        let ready = kv
            .zrangebyscore(jobs_key("ready"), 0, i32::MAX)
            .await
            .unwrap();
        for member in &ready {
            let name = text(member.as_bytes());
            assert!(!claimed.contains(&name), "{name} was claimed and is ready");
        }
        let ready = ready.len();
        let taken = kv.zcount(jobs_key("taken"), kv_core::ScoreRange::ALL).await;
        let taken = taken.unwrap() as usize;
        assert_eq!(ready + taken, JOBS, "jobs were lost or doubled");
        let nobodys = taken - claimed.len();
        let most = unknown * BATCH;
        assert!(nobodys <= most, "{nobodys} are nobody's, {most} at most");
    }
}
