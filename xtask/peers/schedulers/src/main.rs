//! The scheduler against apalis and BullMQ (its Rust and its Node edition) on the same server: tasks of
//! 120 bytes that do nothing, a hundred at a time, one worker, nothing kept of what is done.
//!
//! A backlog is timed from the start of the worker to the last handler. Peers' last acknowledgements
//! are not in it, ours are; and while one of several backlogs is done, their worker of the last one ends
//! in passing. apalis is never given more than 5,000 tasks: its worker dies of many more.

mod apalis_redis_peer;
mod bullmq_node;
mod bullmq_rust;

use kv_core::Kv;
use kv_redis::RedisStore;
use kv_tests::{
    bench::{Claim, Contest, Outcome, Side, Size, Suite},
    noop::Backlog,
    server::Redis,
};
use std::{process::ExitCode, sync::Arc, time::Duration};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Notify,
};

/// Tasks in a small backlog, and how many such are one turn.
const SMALL: u64 = 1_000;
const MANY: u64 = 50;

/// How long a backlog may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Outcome<ExitCode> {
    let mut suite = Suite::begin()?;
    apalis_redis_peer::rows(&mut suite);
    bullmq_rust::rows(&mut suite);
    bullmq_node::rows(&mut suite);
    Ok(suite.end())
}

/// A server, and our side on it.
struct Stage {
    run: Runtime,
    kv: Kv,
    server: Redis,
}

impl Stage {
    fn open() -> Outcome<Self> {
        let server = Redis::start();
        let run = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let store = RedisStore::from_url(&server.url())?;
        let kv = run.block_on(Kv::builder(store).connect())?;
        Ok(Self { run, kv, server })
    }

    fn backlog(&self, queue: impl Into<String>) -> Outcome<Backlog> {
        Backlog::new(&self.kv, queue)
    }

    fn empty(&self) -> Outcome {
        let mut control = redis::Client::open(self.server.url())?.get_connection()?;
        let () = redis::cmd("FLUSHALL").query(&mut control)?;
        Ok(())
    }

    /// Our backlogs, one after the other.
    fn ours(&self, many: u64) -> Outcome<Side<'_>> {
        let all: Outcome<Vec<_>> = (0..many).map(|it| self.backlog(format!("q{it}"))).collect();
        let (all, run) = (all?, &self.run);
        let filled = all.clone();
        let side = Side::new(move |tasks| {
            run.block_on(async {
                for backlog in &all {
                    backlog.drain(tasks / many).await?;
                }
                Ok(())
            })
        });
        Ok(side.prepared_by(move |tasks| {
            self.empty()?;
            run.block_on(async {
                for backlog in &filled {
                    backlog.fill(tasks / many).await?;
                }
                Ok(())
            })
        }))
    }

    /// Scheduling of many tasks.
    fn ours_bulk(&self) -> Outcome<Side<'_>> {
        let (backlog, run) = (self.backlog("bulk")?, &self.run);
        let side = Side::new(move |tasks| run.block_on(backlog.fill(tasks)));
        Ok(side.prepared_by(|_| self.empty()))
    }
}

/// What a peer's handlers count up to.
#[derive(Debug, Default)]
struct Done {
    count: std::sync::atomic::AtomicU64,
    reached: Notify,
}

impl Done {
    /// Waits until so many are done.
    async fn all(&self) -> Outcome {
        // A worker that has died would never tell.
        let reached = tokio::time::timeout(PATIENCE, self.reached.notified());
        Ok(reached
            .await
            .map_err(|_| "the peer's worker does no more tasks")?)
    }

    fn one(&self, enough: u64) {
        let before = self
            .count
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if before + 1 == enough {
            self.reached.notify_one();
        }
    }

    fn begin() -> Arc<Self> {
        Arc::default()
    }
}

/// The rows of a peer: name, size of its backlogs, how many, and what ours is to reach.
fn drains(peer: &str, large: u64) -> [(Claim, u64, u64); 2] {
    [
        (
            Claim::ratio(format!("scheduler/{peer}/drain/{SMALL}"), 1.2),
            SMALL,
            MANY,
        ),
        (
            Claim::ratio(
                format!("scheduler/{peer}/drain/{large}"),
                if large < 7_000 { 1.2 } else { 3.0 },
            ),
            large,
            1,
        ),
    ]
}

fn contest<'a>(ours: Side<'a>, reference: Side<'a>, tasks: u64) -> Contest<'a> {
    Contest {
        ours,
        reference,
        size: Size::Ops(tasks),
        meter: None,
    }
}
