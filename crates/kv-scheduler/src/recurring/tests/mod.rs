//! Schedules on a virtual clock.
#![allow(clippy::unwrap_used, reason = "a test")]

mod at_end;
mod declared;
mod guards;
mod late;
mod overlaps;

use crate::{Ctx, Data, Every, Recurring, Report, Scheduler, Task, TaskError, TaskOptions, Worker};
use kv_core::{Context, Kv, KvBuilder, Timestamp, VirtualClock};
use kv_memory::{MemoryConfig, MemoryStore};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) const NONE: [i64; 0] = [];

/// When the clock begins.
const BEGIN: i64 = 1_700_000_000;

/// Does what it says.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Ping {
    Succeed,
    Fail,
    Die,
    Cancel,
    /// Until its token is cancelled.
    Hang,
}

impl Task for Ping {
    const KIND: &'static str = "ping";
    type Output = ();

    fn options() -> TaskOptions {
        TaskOptions::new().without_timeout()
    }
}

/// What was begun: the schedule, the tick in seconds since the beginning, and the tenant.
type Log = Mutex<Vec<(String, i64, Option<String>)>>;

async fn note(ping: Ping, ctx: Ctx, log: Data<Log>) -> Result<(), TaskError> {
    let tick = ctx.tick().unwrap().as_micros() - BEGIN * 1_000_000;
    let tenant = Context::current()
        .and_then(|it| Some(String::from_utf8_lossy(it.tenant_id()?).into_owned()));
    let schedule = ctx.schedule().unwrap().to_owned();
    log.lock().push((schedule, tick / 1_000_000, tenant));
    match ping {
        Ping::Succeed => Ok(()),
        Ping::Fail => Err("as told".into()),
        Ping::Die => Err(TaskError::dead("as told")),
        Ping::Cancel => Err(TaskError::cancel()),
        Ping::Hang => {
            ctx.token().cancelled().await;
            Err("told to stop".into())
        }
    }
}

/// A store in memory on a clock of its own, and a worker.
pub(super) struct Site {
    pub(super) clock: Arc<VirtualClock>,
    pub(super) scheduler: Scheduler,
    pub(super) log: Arc<Log>,
}

impl Site {
    pub(super) async fn new() -> Self {
        Self::over(|kv| kv).await
    }

    /// With layers.
    pub(super) async fn over(layers: impl FnOnce(KvBuilder) -> KvBuilder) -> Self {
        let clock = Arc::new(VirtualClock::at(Timestamp::from_micros(BEGIN * 1_000_000)));
        let store = MemoryStore::with_clock(MemoryConfig::default(), clock.clone());
        let kv = layers(Kv::builder(store)).connect().await.unwrap();
        let scheduler = Scheduler::builder(&kv).clock(clock.clone()).build();
        Self {
            clock,
            scheduler: scheduler.unwrap(),
            log: Arc::default(),
        }
    }

    pub(super) fn worker(&self) -> Worker {
        Worker::new(&self.scheduler)
            .data(self.log.clone())
            .handle(note)
    }

    pub(super) async fn drain(&self) -> Report {
        self.worker().drain().await.unwrap()
    }

    /// Lets so many seconds pass, then does what is due; the ticks that were begun.
    pub(super) async fn after(&self, seconds: u32) -> Vec<i64> {
        self.clock.advance(seconds * SECOND);
        self.drain().await;
        self.ticks()
    }

    /// The ticks that were begun since the last look.
    pub(super) fn ticks(&self) -> Vec<i64> {
        let begun = std::mem::take(&mut *self.log.lock());
        begun.into_iter().map(|(_, tick, _)| tick).collect()
    }

    /// Each ten seconds.
    pub(super) fn every_ten(&self, ping: Ping) -> Recurring<Ping> {
        let every = Every::fixed_rate(10 * SECOND);
        self.scheduler.every("ping", every, ping)
    }

    /// Ten seconds after the end.
    pub(super) fn ten_after(&self, ping: Ping) -> Recurring<Ping> {
        let every = Every::fixed_delay(10 * SECOND);
        self.scheduler.every("ping", every, ping)
    }

    /// An instant so many seconds after the beginning.
    pub(super) fn at(&self, seconds: i64) -> Timestamp {
        Timestamp::from_micros((BEGIN + seconds) * 1_000_000)
    }

    /// Runs a task until its handler has begun, then drops the worker as a crash does.
    pub(super) async fn crash(&self) {
        let worker = self.worker();
        tokio::select! {
            _ = worker.drain() => panic!("the handler should hang"),
            () = self.begun() => {}
        }
    }

    /// Waits until a handler has begun.
    pub(super) async fn begun(&self) {
        while self.log.lock().is_empty() {
            tokio::task::yield_now().await;
        }
    }
}
