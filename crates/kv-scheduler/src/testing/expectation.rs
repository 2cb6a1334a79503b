//! What a test expects to be scheduled.

use super::scheduled::{Scheduled, scheduled_in, waiting_in};
use crate::{Scheduler, Task, scheduler::DEFAULT_QUEUE};
use kv_core::{Result, Timestamp};
use std::{
    fmt::{self, Write},
    marker::PhantomData,
    ops::{Bound, RangeBounds},
    time::Duration,
};

/// Fails unless a task waits that matches: a pattern, with or without a condition; if the queue is not
/// named, in the kind's own; due whenever, or within a range of instants. It is the first such task, a
/// [`Scheduled`](crate::testing::Scheduled), for whatever else is to be said about it.
///
/// Awaits, so it belongs into async code.
///
/// ```
/// # use kv_scheduler::{Priority, Task, assert_scheduled, testing::TestScheduler};
/// # use std::time::Duration;
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Mail { to: String, copies: u8 }
/// # impl Task for Mail { const KIND: &'static str = "mail"; type Output = (); }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// # let test = TestScheduler::connect(|clock| {
/// #     kv_core::Kv::builder(kv_memory::MemoryStore::with_clock(kv_memory::MemoryConfig::default(), clock))
/// # })
/// # .await?;
/// # let hour = Duration::from_secs(3600);
/// use kv_core::Clock;
///
/// test.schedule_in(hour, Mail { to: "ann".into(), copies: 2 }).queue("slow").await?;
/// let tomorrow = test.clock().now().saturating_add(24 * hour);
/// let mail = assert_scheduled!(
///     test,
///     Mail { to, copies: 1..=3 } if to == "ann",
///     queue = "slow",
///     due = ..tomorrow,
/// );
/// assert_eq!(mail.priority, Priority::Normal);
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// If there is none: with all that waits in the queue. If the store fails.
#[macro_export]
macro_rules! assert_scheduled {
    (
        $scheduler:expr, $task:pat $(if $guard:expr)?
        $(, queue = $queue:expr)? $(, due = $due:expr)? $(,)?
    ) => {
        match $crate::testing::Expectation::new(
            ::core::stringify!($task $(if $guard)?),
            |task: &_| ::core::matches!(task, $task $(if $guard)?),
        )
        $(.queue($queue))?
        $(.due($due))?
        .met_by(&$scheduler)
        .await
        {
            ::core::result::Result::Ok(found) => found,
            ::core::result::Result::Err(why) => ::core::panic!("{why}"),
        }
    };
}

/// Fails if a task waits that matches: as [`assert_scheduled!`](crate::assert_scheduled) has it.
///
/// ```
/// # use kv_scheduler::{Task, assert_not_scheduled, testing::TestScheduler};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Mail { to: String }
/// # impl Task for Mail { const KIND: &'static str = "mail"; type Output = (); }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// # let test = TestScheduler::connect(|clock| {
/// #     kv_core::Kv::builder(kv_memory::MemoryStore::with_clock(kv_memory::MemoryConfig::default(), clock))
/// # })
/// # .await?;
/// assert_not_scheduled!(test, Mail { .. });
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// If there is one, or the store fails.
#[macro_export]
macro_rules! assert_not_scheduled {
    (
        $scheduler:expr, $task:pat $(if $guard:expr)?
        $(, queue = $queue:expr)? $(, due = $due:expr)? $(,)?
    ) => {
        if let ::core::result::Result::Err(why) = $crate::testing::Expectation::new(
            ::core::stringify!($task $(if $guard)?),
            |task: &_| ::core::matches!(task, $task $(if $guard)?),
        )
        $(.queue($queue))?
        $(.due($due))?
        .missed_by(&$scheduler)
        .await
        {
            ::core::panic!("{why}");
        }
    };
}

/// What a test expects to be scheduled: what the macros are made of, for conditions that are no
/// patterns.
///
/// ```
/// # use kv_scheduler::{Task, testing::{Expectation, TestScheduler}};
/// # #[derive(Debug, serde::Serialize, serde::Deserialize)]
/// # struct Mail { to: String }
/// # impl Task for Mail { const KIND: &'static str = "mail"; type Output = (); }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// # let test = TestScheduler::connect(|clock| {
/// #     kv_core::Kv::builder(kv_memory::MemoryStore::with_clock(kv_memory::MemoryConfig::default(), clock))
/// # })
/// # .await?;
/// let to_ann = Expectation::new("a mail to Ann", |mail: &Mail| mail.to.starts_with("ann"));
/// assert!(to_ann.met_by(&test).await.unwrap_err().contains("a mail to Ann"));
/// # Ok(())
/// # }
/// ```
pub struct Expectation<T, F> {
    what: String,
    matches: F,
    queue: Option<String>,
    due: (Bound<Timestamp>, Bound<Timestamp>),
    kind: PhantomData<fn() -> T>,
}

impl<T: Task, F: Fn(&T) -> bool> Expectation<T, F> {
    /// A task that this holds of. The first argument is what it is called if there is none.
    pub fn new(what: impl Into<String>, matches: F) -> Self {
        Self {
            what: what.into(),
            matches,
            queue: T::options().queue.map(|it| it.into_owned()),
            due: (Bound::Unbounded, Bound::Unbounded),
            kind: PhantomData,
        }
    }

    /// In this queue, not in the kind's own.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Due within this range of instants.
    #[must_use]
    pub fn due(mut self, range: impl RangeBounds<Timestamp>) -> Self {
        self.due = (range.start_bound().cloned(), range.end_bound().cloned());
        self
    }

    /// The first task that waits and is as expected.
    ///
    /// # Errors
    /// What to tell if there is none, or the store fails.
    pub async fn met_by(self, scheduler: &Scheduler) -> Result<Scheduled<T>, String> {
        match self.find(scheduler).await.map_err(|it| it.to_string())? {
            Some(found) => Ok(found),
            None => Err(self.tell(scheduler, "is not scheduled").await),
        }
    }

    /// Whether none waits that is as described.
    ///
    /// # Errors
    /// What to tell if there is one, or the store fails.
    pub async fn missed_by(self, scheduler: &Scheduler) -> Result<(), String> {
        match self.find(scheduler).await.map_err(|it| it.to_string())? {
            None => Ok(()),
            Some(_) => Err(self.tell(scheduler, "is scheduled").await),
        }
    }

    fn queue_name(&self) -> &str {
        self.queue.as_deref().unwrap_or(DEFAULT_QUEUE)
    }

    async fn find(&self, scheduler: &Scheduler) -> Result<Option<Scheduled<T>>> {
        let waiting = scheduled_in(scheduler, self.queue_name()).await?;
        let is_expected =
            |it: &Scheduled<T>| (self.matches)(&it.task) && self.due.contains(&it.due);
        Ok(waiting.into_iter().find(is_expected))
    }

    async fn tell(&self, scheduler: &Scheduler, verdict: &str) -> String {
        let mut text = format!("`{}` {verdict}", self.what);
        if self.due != (Bound::Unbounded, Bound::Unbounded) {
            _ = write!(text, ", due in the range {:?}", self.due);
        }
        _ = write!(text, "; in the queue `{}` waits:", self.queue_name());
        if let Err(error) = self.list(scheduler, &mut text).await {
            _ = write!(text, " {error}");
        }
        text
    }

    async fn list(&self, scheduler: &Scheduler, text: &mut String) -> Result<()> {
        let now = scheduler.store().kv().now().await?;
        let waiting = waiting_in(scheduler, self.queue_name()).await?;
        if waiting.is_empty() {
            text.push_str(" nothing");
        }
        for it in waiting {
            let payload = it.envelope.payload.clone().into();
            let payload: Result<serde_json::Value> = it.envelope.codec.decode(&payload);
            let payload = payload.map_or_else(|error| error.to_string(), |it| it.to_string());
            let kind = &it.envelope.kind;
            let micros = it.due.as_micros();
            let span = match it.due.saturating_since(now) {
                Duration::ZERO => "now".to_owned(),
                span => format!("in {span:?}"),
            };
            _ = write!(
                text,
                "\n  {kind} {payload}, due {span} ({micros} µs), {:?}",
                it.priority
            );
        }
        Ok(())
    }
}

impl<T, F> fmt::Debug for Expectation<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expectation")
            .field("what", &self.what)
            .field("queue", &self.queue)
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}
