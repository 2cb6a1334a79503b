//! Tasks that count while faults are injected.

use crate::{
    journal::{End, Entry, Journal, Totals, judge},
    site::{RESPONSE, SLACK, bounded},
};
use kv_core::{Kv, Stopwatch};
use kv_tests::patience::{pause, until};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

/// A running load. Each task adds to a counter of its own, so that every sum can be explained.
pub(crate) struct Load {
    tasks: JoinSet<(usize, Journal)>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    acknowledged: AtomicU64,
    failed: AtomicU64,
}

impl Load {
    pub(crate) fn start(kv: &Kv, tasks: usize) -> Self {
        let shared = Arc::<Shared>::default();
        let running = (0..tasks).map(|task| {
            let (kv, shared) = (kv.clone(), Arc::clone(&shared));
            async move { (task, count(kv, task, shared).await) }
        });
        Self {
            tasks: running.collect(),
            shared,
        }
    }

    /// Waits until this many more calls succeeded.
    pub(crate) async fn succeeds(&self, more: u64) {
        grow("calls succeed", &self.shared.acknowledged, more).await;
    }

    /// Waits until this many more calls failed.
    pub(crate) async fn fails(&self, more: u64) {
        grow("calls fail", &self.shared.failed, more).await;
    }

    /// Ends the load and judges every journal by what the counters hold.
    pub(crate) async fn verdict(mut self, direct: &Kv) -> Totals {
        self.shared.stop.store(true, Ordering::Release);
        let mut all = Totals::default();
        while let Some(ended) = self.tasks.join_next().await {
            let (task, journal) = ended.unwrap();
            let last = direct.increment(key(task), 0).await.unwrap();
            let totals = judge(&journal, last, RESPONSE + SLACK);
            let totals = totals.unwrap_or_else(|reason| panic!("task {task}: {reason}"));
            all.acknowledged += totals.acknowledged;
            all.unknown += totals.unknown;
            all.not_applied += totals.not_applied;
        }
        println!("load: {all:?}");
        all
    }
}

fn key(task: usize) -> String {
    format!("load:{task}")
}

async fn count(kv: Kv, task: usize, shared: Arc<Shared>) -> Journal {
    let mut journal = Journal::default();
    while !shared.stop.load(Ordering::Acquire) {
        let watch = Stopwatch::start();
        let end = End::from(bounded("an increment", kv.increment(key(task), 1)).await);
        let took = watch.elapsed();
        journal.entries.push(Entry { end, took });
        if matches!(end, End::Acknowledged(_)) {
            shared.acknowledged.fetch_add(1, Ordering::AcqRel);
            tokio::task::yield_now().await;
        } else {
            shared.failed.fetch_add(1, Ordering::AcqRel);
            // A store that fails at once would otherwise fill the journal.
            pause(Duration::from_millis(2)).await;
        }
    }
    journal
}

async fn grow(what: &str, counter: &AtomicU64, more: u64) {
    let goal = counter.load(Ordering::Acquire) + more;
    until(what, async || counter.load(Ordering::Acquire) >= goal).await;
}
