//! Leases, shared by the keys that end at about the same time.
//!
//! A key with a deadline is on the lease of a *bucket*: the span of time in which its deadline lies.
//! The lease ends behind the bucket, never before a deadline in it, so it collects what nobody reads
//! any more; readers go by the deadline. Buckets are the wider the further away they are, so there
//! are at most a few dozen per process, however many keys are written.
//!
//! A key that is *held* ends with its lease and by nothing else. It is on the lease of a bucket, too,
//! and so ends late by up to the bucket's width, an eighth of its lifetime, and what etcd takes to
//! notice, half a second or so.

use crate::{error::Answer, link::Link};
use kv_core::{Stopwatch, Timestamp};
use parking_lot::Mutex;
use std::{collections::BTreeMap, time::Duration};

/// The narrowest bucket. etcd makes two seconds of shorter leases.
const NARROWEST: Duration = Duration::from_secs(2);
/// etcd takes no longer ones; what lives longer has no lease and is never collected.
const LONGEST: Duration = Duration::from_secs(9_000_000_000);

/// By how much the two clocks may drift apart before all leases are forgotten.
const DRIFT: Duration = Duration::from_secs(1);

/// The leases of one process.
pub(crate) struct Leases {
    started: Stopwatch,
    /// When that was, by a clock that goes on while the machine sleeps. A stopwatch stands still
    /// then, and leases would seem to last longer than they do.
    began: Mutex<Option<Timestamp>>,
    /// By the end of their buckets, as a span since the start.
    granted: Mutex<BTreeMap<Bucket, i64>>,
    /// One grant at a time: those who need the same lease then find it.
    granting: tokio::sync::Mutex<()>,
}

/// When a bucket ends, in seconds since the start, and how wide it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Bucket {
    ends: u64,
    width: u64,
}

impl Leases {
    pub(crate) fn new() -> Self {
        Self {
            started: Stopwatch::start(),
            began: Mutex::default(),
            granted: Mutex::default(),
            granting: tokio::sync::Mutex::default(),
        }
    }

    /// A lease that lives for at least this long from now; 0, which is none, for what lives longer
    /// than leases do.
    pub(crate) async fn lasting(&self, link: &Link, now: Timestamp, span: Duration) -> Answer<i64> {
        if span > LONGEST / 2 {
            return Ok(0);
        }
        self.notice_sleep(now, self.started.elapsed());
        if let Some(id) = self.find(span) {
            return Ok(id);
        }
        let _one_at_a_time = self.granting.lock().await;
        if let Some(id) = self.find(span) {
            return Ok(id);
        }
        let now = self.started.elapsed();
        let bucket = Bucket::of(now, span);
        // The server counts from when it grants, which is later than now.
        let seconds = bucket.ends.saturating_sub(now.as_secs());
        let id = link.grant(seconds as i64).await?;
        let mut granted = self.granted.lock();
        granted.retain(|bucket, _| Duration::from_secs(bucket.ends) > now);
        granted.insert(bucket, id);
        Ok(id)
    }

    /// A lease that the server does not know any more.
    pub(crate) fn forget(&self, id: i64) {
        self.granted.lock().retain(|_, granted| *granted != id);
    }

    /// How many leases are in use.
    #[cfg(test)]
    fn count(&self) -> usize {
        self.granted.lock().len()
    }

    /// Forgets all leases if the machine has slept, or its clock was set.
    fn notice_sleep(&self, now: Timestamp, elapsed: Duration) {
        let elapsed = i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX);
        let began = Timestamp::from_micros(now.as_micros().saturating_sub(elapsed));
        let mut known = self.began.lock();
        let drift = known.map(|it| it.as_micros().abs_diff(began.as_micros()));
        if drift.is_some_and(|drift| u128::from(drift) <= DRIFT.as_micros()) {
            return;
        }
        *known = Some(began);
        self.granted.lock().clear();
    }

    fn find(&self, span: Duration) -> Option<i64> {
        let bucket = Bucket::of(self.started.elapsed(), span);
        self.granted.lock().get(&bucket).copied()
    }
}

impl Bucket {
    /// The one in which something ends that ends after this span.
    fn of(now: Duration, span: Duration) -> Self {
        // A power of two, so that a bucket of twice the width covers two of this one.
        let eighth = (span / 8).max(NARROWEST).as_secs();
        let width = 1 << eighth.ilog2();
        let end = (now + span).as_secs() + 1;
        Self {
            ends: end.next_multiple_of(width),
            width,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_never_ends_before_what_is_in_it() {
        for now in [0, 1, 999, 1_000, 86_399_999] {
            for span in [1, 50, 1_999, 2_000, 60_000, 3_600_000, 86_400_000] {
                let (now, span) = (Duration::from_millis(now), Duration::from_millis(span));
                let bucket = Bucket::of(now, span);
                let ends = Duration::from_secs(bucket.ends);
                assert!(ends >= now + span, "{now:?} {span:?} {bucket:?}");
                let late = ends - (now + span);
                let allowed = (span / 8).max(NARROWEST) + Duration::from_secs(1);
                assert!(late <= allowed, "{now:?} {span:?} {bucket:?}");
            }
        }
    }

    #[test]
    fn leases_are_forgotten_when_the_machine_has_slept() {
        let leases = Leases::new();
        let second = |it: u64| Duration::from_secs(it);
        let wall = |it: i64| Timestamp::from_micros(it * 1_000_000);
        leases.notice_sleep(wall(1_000), second(10));
        let bucket = Bucket::of(second(10), second(60));
        leases.granted.lock().insert(bucket, 7);
        leases.notice_sleep(wall(1_050), second(60));
        assert_eq!(leases.count(), 1);
        leases.notice_sleep(wall(5_000), second(70));
        assert_eq!(leases.count(), 0);
    }

    #[test]
    fn a_minute_of_writes_needs_few_buckets() {
        let buckets = |span: u64| {
            let times = (0..10_000).map(|it| Duration::from_millis(it * 6));
            let buckets = times.map(|now| Bucket::of(now, Duration::from_secs(span)));
            buckets.collect::<std::collections::BTreeSet<_>>().len()
        };
        assert!(buckets(5) <= 31, "{}", buckets(5));
        assert!(buckets(300) <= 3, "{}", buckets(300));
        assert_eq!(Leases::new().count(), 0);
    }
}
