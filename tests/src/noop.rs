//! Tasks that do nothing, for benchmarks: what they cost is the scheduler's.

use crate::bench::Outcome;
use kv_core::{Kv, Timestamp};
use kv_scheduler::{Data, Enqueue, Scheduler, Task, TaskError, Worker};
use serde::{Deserialize, Serialize};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::Notify;

/// How many tasks a worker does at once.
pub const CONCURRENCY: usize = 100;

/// A task with a payload of 120 bytes.
#[derive(Debug, Serialize, Deserialize)]
pub struct Noop {
    pad: String,
}

impl Task for Noop {
    const KIND: &'static str = "noop";
    type Output = ();
}

impl Default for Noop {
    fn default() -> Self {
        Self {
            // Ten bytes go to the braces, the name and the quotes.
            pad: "x".repeat(110),
        }
    }
}

async fn noop(_: Noop, done: Data<Done>) -> Result<(), TaskError> {
    let before = done.count.fetch_add(1, Ordering::Relaxed);
    if before + 1 == done.enough {
        done.reached.notify_one();
    }
    Ok(())
}

struct Done {
    count: AtomicU64,
    enough: u64,
    reached: Notify,
}

/// A queue of such tasks.
#[derive(Clone, Debug)]
pub struct Backlog {
    scheduler: Scheduler,
    queue: String,
}

impl Backlog {
    /// A queue of this name.
    ///
    /// # Errors
    /// If the store cannot do what is needed.
    pub fn new(kv: &Kv, queue: impl Into<String>) -> Outcome<Self> {
        Ok(Self {
            scheduler: Scheduler::new(kv)?,
            queue: queue.into(),
        })
    }

    /// The scheduler.
    pub fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// One task for the queue.
    pub fn task(&self) -> Enqueue<Noop> {
        self.scheduler
            .enqueue(Noop::default())
            .queue(self.queue.clone())
    }

    /// Schedules so many, 500 a call.
    ///
    /// # Errors
    /// The first that is not scheduled.
    pub async fn fill(&self, tasks: u64) -> Outcome {
        self.fill_with(tasks, |task| task).await
    }

    /// The same, due at an instant.
    ///
    /// # Errors
    /// As [`fill`](Self::fill).
    pub async fn fill_at(&self, tasks: u64, at: Timestamp) -> Outcome {
        self.fill_with(tasks, |task| task.at(at)).await
    }

    async fn fill_with(&self, tasks: u64, of: impl Fn(Enqueue<Noop>) -> Enqueue<Noop>) -> Outcome {
        let mut left = tasks;
        while left > 0 {
            let now = left.min(500);
            let all = (0..now).map(|_| of(self.task()));
            for scheduled in self.scheduler.enqueue_many(all).await {
                scheduled?;
            }
            left -= now;
        }
        Ok(())
    }

    /// Does all that is due, which must be so many.
    ///
    /// # Errors
    /// The store's, or that it was another number.
    pub async fn drain(&self, tasks: u64) -> Outcome {
        let report = self.worker(u64::MAX).0.drain().await?;
        match report.succeeded == tasks {
            true => Ok(()),
            false => Err(format!("not {tasks} tasks were done: {report:?}").into()),
        }
    }

    /// Does so many, and those that were begun meanwhile.
    ///
    /// # Errors
    /// The store's.
    pub async fn do_some(&self, tasks: u64) -> Outcome {
        let (worker, done) = self.worker(tasks);
        worker
            .run_until(async { done.reached.notified().await })
            .await?;
        Ok(())
    }

    fn worker(&self, enough: u64) -> (Worker, Arc<Done>) {
        let done = Arc::new(Done {
            count: AtomicU64::new(0),
            enough,
            reached: Notify::new(),
        });
        let worker = Worker::new(&self.scheduler)
            .queue(self.queue.clone(), CONCURRENCY)
            .data(done.clone())
            .handle(noop);
        (worker, done)
    }
}
