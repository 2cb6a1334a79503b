//! What there is to say of a queue as a whole.

use super::Admin;
use crate::queue::PAUSED;
use kv_core::{Key, Op, OpReply, Read, RelativeRange, RelativeScore, Result, Timestamp, Txn};
use std::time::Duration;

/// How many tasks of a queue are where, of all tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Waiting, due or not.
    pub pending: u64,
    /// Waiting, and due by now.
    pub due: u64,
    /// Claimed by a worker.
    pub running: u64,
    /// Succeeded, and kept.
    pub done: u64,
    /// Failed for good, and kept.
    pub dead: u64,
}

/// What there is to say of a queue as a whole, of all tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overview {
    /// How many tasks are where.
    pub counts: Counts,
    /// Whether nothing is claimed.
    pub is_paused: bool,
    /// When the first task that waits is or was due.
    pub next_due: Option<Timestamp>,
    /// The store's time when it was asked.
    pub now: Timestamp,
}

impl Overview {
    /// How long the oldest task that is due has waited for a worker; `None` if none is due.
    pub fn lateness(&self) -> Option<Duration> {
        let due = self.next_due.filter(|&due| due <= self.now)?;
        Some(self.now.saturating_since(due))
    }
}

/// Errors are the store's throughout.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
impl Admin {
    /// Whether the queue is paused.
    pub async fn is_paused(&self) -> Result<bool> {
        let read = Read::HGetMark {
            key: self.queue.control.clone(),
            field: PAUSED.into(),
        };
        let txn = Txn::new().then(Op::Read(read));
        let mut reply = self.scheduler.store().commit(txn).await?;
        Ok(reply.mark(0)?.is_some())
    }

    /// How many tasks are where.
    pub async fn counts(&self) -> Result<Counts> {
        Ok(self.overview().await?.counts)
    }

    /// What there is to say of the queue as a whole. One round trip.
    pub async fn overview(&self) -> Result<Overview> {
        let queue = &self.queue;
        let all = |key: &Key| Read::ZCount {
            key: key.clone(),
            range: RelativeRange::ALL,
        };
        let mut txn = Txn::new();
        for set in &queue.due {
            let (key, range) = (set.clone(), RelativeRange::up_to(RelativeScore::NOW));
            let first = Read::ZRange {
                key: set.clone(),
                range: RelativeRange::ALL,
                limit: 1,
            };
            let due = Read::ZCount { key, range };
            txn = txn.then(all(set)).then(due).then(first);
        }
        for set in [&queue.lease, &queue.done, &queue.dead] {
            txn = txn.then(all(set));
        }
        let paused = Read::HGetMark {
            key: queue.control.clone(),
            field: PAUSED.into(),
        };
        let reply = self.scheduler.store().commit(txn.then(paused)).await?;
        let count = |step: usize| match reply.answers.get(step) {
            Some(OpReply::Count(count)) => *count,
            _ => 0,
        };
        let first = |step: usize| match reply.answers.get(step) {
            Some(OpReply::Members(members)) => members.first().and_then(|it| it.score),
            _ => None,
        };
        let next = [2, 5, 8].into_iter().filter_map(first).min();
        Ok(Overview {
            counts: Counts {
                pending: count(0) + count(3) + count(6),
                due: count(1) + count(4) + count(7),
                running: count(9),
                done: count(10),
                dead: count(11),
            },
            is_paused: matches!(reply.answers.get(12), Some(OpReply::Mark(Some(_)))),
            next_due: next.map(|it| Timestamp::from_micros(it.get() as i64)),
            now: reply.now.unwrap_or_default(),
        })
    }
}
