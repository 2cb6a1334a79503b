//! A task that tells of which tick it is.

use crate::{site::Site, waiting::spawn};
use kv_core::{Clock, Context, SystemClock, Timestamp};
use kv_scheduler::{Ctx, Data, Every, Recurring, Report, Scheduler, Task, TaskError, Worker};
use kv_tests::patience::until;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::{sync::oneshot, task::JoinHandle};

/// As short as intervals may be.
pub(super) const PERIOD: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Beat {
    Once,
    /// Until its token is cancelled, and then for good.
    Hold,
}

impl Task for Beat {
    const KIND: &'static str = "beat";
    type Output = ();
}

/// A task that was begun.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Begun {
    pub(super) tick: Timestamp,
    pub(super) tenant: Option<Vec<u8>>,
    pub(super) attempt: u32,
    /// By the local clock, which is the store's too.
    pub(super) at: Timestamp,
}

#[derive(Default)]
pub(super) struct Heard(Mutex<Vec<Begun>>);

impl Heard {
    pub(super) fn count(&self) -> usize {
        self.0.lock().len()
    }

    pub(super) fn all(&self) -> Vec<Begun> {
        self.0.lock().clone()
    }

    /// The ticks, sorted, in microseconds.
    pub(super) fn ticks(&self) -> Vec<i64> {
        let mut ticks: Vec<_> = self.all().iter().map(|it| it.tick.as_micros()).collect();
        ticks.sort_unstable();
        ticks
    }

    /// The ticks of the tasks that were begun, each task once.
    pub(super) fn first_attempts(&self) -> Vec<i64> {
        let mut begun = self.all();
        begun.retain(|it| it.attempt == 1);
        let mut ticks: Vec<_> = begun.iter().map(|it| it.tick.as_micros()).collect();
        ticks.sort_unstable();
        ticks
    }

    pub(super) async fn until(&self, count: usize) {
        until("tasks are begun", async || self.count() >= count).await;
    }
}

async fn beat(beat: Beat, ctx: Ctx, heard: Data<Heard>) -> Result<(), TaskError> {
    let context = Context::current();
    let begun = Begun {
        tick: ctx.tick().unwrap(),
        tenant: context.and_then(|it| it.tenant_id().map(<[u8]>::to_vec)),
        attempt: ctx.attempt(),
        at: SystemClock.now(),
    };
    heard.0.lock().push(begun);
    match beat {
        Beat::Once => Ok(()),
        Beat::Hold => {
            ctx.token().cancelled().await;
            Err(TaskError::cancel())
        }
    }
}

pub(super) fn worker(scheduler: &Scheduler, heard: &Arc<Heard>) -> Worker {
    Worker::new(scheduler).data(heard.clone()).handle(beat)
}

/// So many workers, each with a connection of its own.
pub(super) async fn nodes(site: &Site, heard: &Arc<Heard>, count: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(spawn(worker(&site.another().await, heard)));
    }
    nodes
}

/// How to stop a worker, and what it did.
pub(super) type Node = (oneshot::Sender<()>, JoinHandle<Report>);

pub(super) async fn stop(nodes: Vec<Node>) -> Vec<Report> {
    let mut reports = Vec::new();
    for (stop, running) in nodes {
        stop.send(()).unwrap();
        reports.push(running.await.unwrap());
    }
    reports
}

/// Ten times a second.
pub(super) fn fast(site: &Site, beat: Beat) -> Recurring<Beat> {
    let every = Every::fixed_rate(PERIOD);
    site.scheduler.every("beat", every, beat)
}

/// Takes the schedule away; nothing of it comes any more.
pub(super) async fn remove(site: &Site) {
    let admin = site.scheduler.admin("default").unwrap();
    assert!(admin.remove_schedule("beat").await.unwrap());
}

/// Whether each tick is there once, and none is missing in between.
pub(super) fn check(ticks: &[i64], period: Duration) {
    let period = i64::try_from(period.as_micros()).unwrap();
    for pair in ticks.windows(2) {
        assert_eq!(pair[1] - pair[0], period, "{ticks:?}");
    }
}
