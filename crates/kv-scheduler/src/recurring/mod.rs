//! Tasks that come again and again.

mod admin;
#[cfg(feature = "cron")]
mod cron;
mod decide;
mod every;
mod fire;
mod keys;
mod name;
mod policy;
mod rearm;
mod spec;
#[cfg(test)]
mod tests;
mod ticks;
mod timing;
mod upsert;

use crate::{Priority, Retention, Retry, Scheduler, Task, TaskOptions, TraceContext};
use kv_core::{Context, Timestamp};
use std::{borrow::Cow, fmt, time::Duration};

use self::timing::Timing;

#[cfg(feature = "cron")]
pub use self::cron::Cron;
pub use self::{
    admin::ScheduleInfo,
    every::Every,
    name::ScheduleName,
    policy::{Misfire, Overlap},
    upsert::{Change, Upserted},
};
pub(crate) use self::{
    fire::{fire_due, keep_firing},
    keys::Keys,
    rearm::{at_end, rearm},
    spec::Tick,
};

/// A schedule that is to be: a task that comes again and again. [`upsert`](Self::upsert) writes it to the
/// store; workers of its queue do the rest, whether this process lives or not.
///
/// ```
/// use kv_scheduler::{Every, Misfire, Overlap, Scheduler, Task};
/// use std::time::Duration;
/// # use serde::{Serialize, Deserialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Poll {
///     url: String,
/// }
///
/// impl Task for Poll {
///     const KIND: &'static str = "poll";
///     type Output = ();
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// # let scheduler = Scheduler::new(&kv)?;
/// let every = Every::fixed_rate(Duration::from_secs(30));
/// scheduler
///     .every("poll", every, Poll { url: "https://example.org".into() })
///     .misfire(Misfire::Coalesce)
///     .overlap(Overlap::Skip)
///     .upsert()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a schedule is written when `upsert` is awaited"]
pub struct Recurring<T> {
    scheduler: Scheduler,
    name: String,
    timing: Timing,
    task: T,
    options: TaskOptions,
    misfire: Option<Misfire>,
    overlap: Option<Overlap>,
    jitter: Duration,
    start: Option<Timestamp>,
    until: Option<Timestamp>,
    context: Option<Context>,
    trace: Option<TraceContext>,
}

impl Scheduler {
    /// A task that comes at even distances. `name` is that of the schedule, unique for its tenant and
    /// queue. Nothing happens before [`Recurring::upsert`].
    pub fn every<T: Task>(&self, name: impl Into<String>, every: Every, task: T) -> Recurring<T> {
        Recurring::new(self.clone(), name.into(), every.into(), task)
    }
}

impl<T: Task> Recurring<T> {
    fn new(scheduler: Scheduler, name: String, timing: Timing, task: T) -> Self {
        Self {
            scheduler,
            name,
            timing,
            task,
            options: T::options(),
            misfire: None,
            overlap: None,
            jitter: Duration::ZERO,
            start: None,
            until: None,
            context: Context::current(),
            trace: TraceContext::current(),
        }
    }

    /// What is done about ticks that no worker was there for; [`Misfire::Coalesce`] if nothing is said.
    pub fn misfire(mut self, misfire: Misfire) -> Self {
        self.misfire = Some(misfire);
        self
    }

    /// What is done if the last task has not ended; [`Overlap::Allow`] if nothing is said.
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = Some(overlap);
        self
    }

    /// Each task starts later than its tick by a span below this one, so that many schedules of one time
    /// do not start together. The span depends on the name and the tick alone: no restart shifts it.
    pub fn jitter(mut self, span: Duration) -> Self {
        self.jitter = span;
        self
    }

    /// No tick is before this instant, by the store's clock. Of an interval it is the first tick, and
    /// the others are counted from it; without it the first tick is one interval from now.
    pub fn starting_at(mut self, start: Timestamp) -> Self {
        self.start = Some(start);
        self
    }

    /// No tick is after this instant, by the store's clock.
    pub fn until(mut self, until: Timestamp) -> Self {
        self.until = Some(until);
        self
    }

    /// In this queue.
    pub fn queue(mut self, queue: impl Into<Cow<'static, str>>) -> Self {
        self.options.queue = Some(queue.into());
        self
    }

    /// The tasks have this priority in their queue.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.options.priority = priority;
        self
    }

    /// Each task is tried so often.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.options.retry = retry;
        self
    }

    /// An attempt may take so long.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options = self.options.timeout(timeout);
        self
    }

    /// Each result is kept so long.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.options.retention = retention;
        self
    }

    /// With these options altogether, the queue among them.
    pub fn options(mut self, options: TaskOptions) -> Self {
        self.options = options;
        self
    }

    /// For this tenant and user, whatever the calling task's are.
    pub fn context(mut self, context: Context) -> Self {
        self.context = Some(context);
        self
    }

    /// The tasks belong to this trace.
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.trace = Some(trace);
        self
    }
}

impl<T> fmt::Debug for Recurring<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recurring")
            .field("name", &self.name)
            .field("timing", &self.timing)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
