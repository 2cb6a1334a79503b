//! What both runs came to.

use kv_cache::Stats;
use std::{fmt::Write, time::Duration};

/// What readers saw.
#[derive(Default)]
pub(crate) struct Seen {
    reads: u64,
    failed: u64,
    old: u64,
    oldest: Duration,
}

pub(crate) struct Run {
    span: Duration,
    seen: Seen,
    changes: u64,
    loads: u64,
    stats: Vec<Stats>,
}

impl Seen {
    /// A price that had been replaced for so long when it was asked for.
    pub(crate) fn read(&mut self, age: Duration) {
        self.reads += 1;
        self.old += u64::from(!age.is_zero());
        self.oldest = self.oldest.max(age);
    }

    pub(crate) fn failed(&mut self) {
        self.failed += 1;
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.reads += other.reads;
        self.failed += other.failed;
        self.old += other.old;
        self.oldest = self.oldest.max(other.oldest);
    }
}

impl Run {
    pub(crate) fn new(
        span: Duration,
        seen: Seen,
        changes: u64,
        loads: u64,
        stats: Vec<Stats>,
    ) -> Self {
        Self {
            span,
            seen,
            changes,
            loads,
            stats,
        }
    }

    /// Whether nobody failed, nobody saw what had been replaced for longer than nodes trust what they have, and
    /// the origin had less to do.
    pub(crate) fn keeps_to(&self, max_stale: Duration) -> bool {
        self.seen.failed == 0 && self.seen.oldest <= max_stale && self.loads < self.seen.reads
    }

    fn sum(&self, of: impl Fn(&Stats) -> u64) -> u64 {
        self.stats.iter().map(of).sum()
    }
}

pub(crate) fn table(without: &Run, with: &Run) -> String {
    let mut text = String::new();
    let mut row = |name: &str, tell: &dyn Fn(&Run) -> String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<34}{:>14}{:>14}", tell(without), tell(with));
    };
    row("", &|it| {
        let name = if it.stats.is_empty() {
            "without"
        } else {
            "cached"
        };
        name.to_owned()
    });
    row("reads a second", &|it| {
        format!("{:.0}", it.seen.reads as f64 / it.span.as_secs_f64())
    });
    row("asked of the origin", &|it| it.loads.to_string());
    row("changes of prices", &|it| it.changes.to_string());
    row("found in the process", &|it| {
        share(it.sum(|it| it.near_hits), it)
    });
    row("found in the store", &|it| {
        share(it.sum(|it| it.far_hits), it)
    });
    row("replaced prices shown", &|it| it.seen.old.to_string());
    row("the oldest of them", &|it| {
        format!("{:.1?}", it.seen.oldest)
    });
    row("reads that failed", &|it| it.seen.failed.to_string());
    text
}

fn share(hits: u64, run: &Run) -> String {
    match run.stats.is_empty() {
        true => "-".to_owned(),
        false => format!(
            "{:.1} %",
            hits as f64 * 100.0 / run.seen.reads.max(1) as f64
        ),
    }
}
