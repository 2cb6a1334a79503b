//! The task that frees what has ended although nobody asks for it.

use crate::{access::Inner, moment::FOREVER};
use futures_util::future::{Either, select};
use kv_core::{Clock, Error, ErrorKind, Result, Timestamp};
use parking_lot::Mutex;
use std::{
    pin::pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::Notify,
    task::{JoinHandle, yield_now},
};

/// How many deadlines are handled under one lock.
const BATCH: usize = 256;

/// The shortest sleep: deadlines closer together are handled together.
const NAP: Duration = Duration::from_millis(1);

/// The background task, while at least one handle is connected.
#[derive(Default)]
pub(crate) struct Sweeper(Mutex<State>);

#[derive(Default)]
struct State {
    connections: usize,
    task: Option<JoinHandle<()>>,
}

impl Sweeper {
    /// Notes that a handle connected; starts the task if there is none.
    pub(crate) fn start(&self, store: &Arc<Inner>) -> Result<()> {
        let runtime = Handle::try_current().map_err(|source| {
            let message = "the memory store needs a tokio runtime to free keys that have ended; connect inside one";
            Error::new(ErrorKind::Config, message).with_source(source)
        })?;
        let mut state = self.0.lock();
        state.connections += 1;
        // A task also ends with the runtime that it was started on.
        if state.task.as_ref().is_none_or(JoinHandle::is_finished) {
            let (alarm, clock) = (Arc::clone(&store.alarm), Arc::clone(&store.clock));
            let task = run(Arc::downgrade(store), alarm, clock);
            state.task = Some(runtime.spawn(task));
        }
        Ok(())
    }

    /// Notes that a handle closed; with the last one the task ends.
    pub(crate) async fn stop(&self) {
        let task = {
            let mut state = self.0.lock();
            state.connections = state.connections.saturating_sub(1);
            match state.connections {
                0 => state.task.take(),
                _ => None,
            }
        };
        if let Some(task) = task {
            task.abort();
            // An error tells that it was aborted.
            let _ = task.await;
        }
    }

    #[cfg(test)]
    pub(crate) fn watch(&self) -> Option<tokio::task::AbortHandle> {
        self.0.lock().task.as_ref().map(JoinHandle::abort_handle)
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(task) = self.0.get_mut().task.take() {
            task.abort();
        }
    }
}

/// When the sweeper has to get up.
pub(crate) struct Alarm {
    at: AtomicI64,
    earlier: Notify,
    /// Held by a sweep, during which the time above is not true.
    sweep: Mutex<()>,
}

impl Default for Alarm {
    fn default() -> Self {
        Self {
            at: AtomicI64::new(FOREVER),
            earlier: Notify::new(),
            sweep: Mutex::new(()),
        }
    }
}

impl Alarm {
    /// Sets it to this time, unless it is set to an earlier one.
    pub(crate) fn set(&self, at: i64) {
        if self.at.fetch_min(at, Ordering::AcqRel) > at {
            self.earlier.notify_one();
        }
    }

    fn is_due(&self, now: i64) -> bool {
        self.at.load(Ordering::Acquire) <= now
    }

    fn clear(&self) {
        self.at.swap(FOREVER, Ordering::AcqRel);
    }

    async fn wait(&self, clock: &dyn Clock) {
        let mut soonest = clock.now().saturating_add(NAP);
        loop {
            let now = clock.now();
            let at = Timestamp::from_micros(self.at.load(Ordering::Acquire));
            if at <= now {
                return;
            }
            // A clock that was set back must not make the nap as long as its step.
            soonest = soonest.min(now.saturating_add(NAP));
            let earlier = pin!(self.earlier.notified());
            if at.as_micros() == FOREVER {
                earlier.await;
                continue;
            }
            let sleep = clock.sleep_until(at.max(soonest));
            if let Either::Left(_) = select(sleep, earlier).await {
                return;
            }
        }
    }
}

impl Inner {
    /// Frees entries whose deadline has passed, at most a batch in each shard, and sets the alarm to
    /// the next deadline. Only shards where something is due are locked for it.
    pub(crate) fn sweep(&self) {
        let _sweep = self.alarm.sweep.lock();
        self.sweep_at(self.clock.now().as_micros());
    }

    /// Sweeps if a deadline has passed; false if none has. After true it can be worth it again: there
    /// may be more than a batch.
    pub(crate) fn sweep_if_due(&self) -> bool {
        let _sweep = self.alarm.sweep.lock();
        let now = self.clock.now().as_micros();
        self.alarm.is_due(now) && self.sweep_at(now)
    }

    /// Whether a deadline had passed. The caller holds the alarm's lock for sweeps.
    fn sweep_at(&self, now: i64) -> bool {
        // Cleared first: a deadline given to a shard that was looked at already sets it again.
        self.alarm.clear();
        let (mut next, mut found) = (FOREVER, false);
        for (index, shard) in self.shards.iter().enumerate() {
            let mut soonest = shard.read().next_deadline();
            if soonest <= now {
                found = true;
                soonest = self.change(index, |shard| {
                    shard.free_due(now, BATCH);
                    shard.next_deadline()
                });
            }
            next = next.min(soonest);
        }
        self.alarm.set(next);
        found
    }
}

/// Holds the store only while it sweeps, so that dropping the last handle ends both.
async fn run(store: Weak<Inner>, alarm: Arc<Alarm>, clock: Arc<dyn Clock>) {
    loop {
        let Some(store) = store.upgrade() else {
            return;
        };
        store.sweep();
        drop(store);
        yield_now().await;
        alarm.wait(&*clock).await;
    }
}
