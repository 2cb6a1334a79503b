//! A scheduler under test.

use super::clock::TestClock;
use crate::{Report, Scheduler, Worker, queue::Queue};
use kv_core::{
    Clock, KvBuilder, RangeOptions, Result, Score, ScoreRange, Scores, Timestamp, VirtualClock,
};
use std::{ops::Deref, sync::Arc, time::Duration};

/// What the clock shows at first: the beginning of 2026, in UTC.
const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// A [`Scheduler`] with a clock that moves when told.
///
/// Due times, leases and retention go by [`clock`](Self::clock), which stands still in between. A
/// worker's own pauses, say before it calls a store again that has failed, end as well when they have
/// really passed, so nothing waits for ever.
///
/// ```
/// # use kv_core::Kv;
/// # use kv_memory::{MemoryConfig, MemoryStore};
/// # use kv_scheduler::{Task, TaskError, Worker, testing::TestScheduler};
/// # use std::time::Duration;
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Mail;
/// # impl Task for Mail { const KIND: &'static str = "mail"; type Output = (); }
/// # async fn send_mail(_: Mail) -> Result<(), TaskError> { Ok(()) }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// # let hour = Duration::from_secs(3600);
/// let test = TestScheduler::connect(|clock| {
///     Kv::builder(MemoryStore::with_clock(MemoryConfig::default(), clock))
/// })
/// .await?;
/// test.schedule_in(hour, Mail).await?;
///
/// let worker = Worker::new(&test).handle(send_mail);
/// assert_eq!(worker.drain().await?.succeeded, 0);
/// test.clock().advance(hour);
/// assert_eq!(worker.drain().await?.succeeded, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TestScheduler {
    scheduler: Scheduler,
    clock: VirtualClock,
}

impl TestScheduler {
    /// A scheduler on the store that is made of this clock: a `MemoryStore`, with whatever layers. It is
    /// the beginning of 2026 at first.
    ///
    /// # Errors
    /// As [`Scheduler::new`], and the store's.
    pub async fn connect(build: impl FnOnce(Arc<dyn Clock>) -> KvBuilder) -> Result<Self> {
        let clock = VirtualClock::at(START);
        let kv = build(Arc::new(clock.clone())).connect().await?;
        let scheduler = Scheduler::builder(&kv)
            .clock(Arc::new(TestClock(clock.clone())))
            .build()?;
        Ok(Self { scheduler, clock })
    }

    /// The clock of the store and of the scheduler.
    pub fn clock(&self) -> &VirtualClock {
        &self.clock
    }

    /// Does what is due now and what becomes due within this span, moving the clock from one due time
    /// to the next and at last to the end of the span: delayed tasks, retries with their delays, ticks of
    /// schedules, tasks whose worker was dropped and whose leases lapse.
    ///
    /// Time passes only between tasks: however long a handler takes, to the clock it takes nothing.
    ///
    /// # Errors
    /// As [`Worker::drain`].
    ///
    /// # Cancel safety
    /// Dropped, it leaves the clock somewhere on its way; tasks that ran come back when their leases end.
    pub async fn drain_for(&self, worker: &Worker, span: Duration) -> Result<Report> {
        let end = self.clock.now().saturating_add(span);
        let mut report = worker.drain().await?;
        while let Some(next) = self.next_due(worker).await?
            && next <= end
        {
            self.move_to(next);
            report = report.and(&worker.drain().await?);
        }
        self.move_to(end);
        Ok(report)
    }

    /// The worker's handlers may have moved the clock themselves.
    fn move_to(&self, at: Timestamp) {
        self.clock.advance(at.saturating_since(self.clock.now()));
    }

    async fn next_due(&self, worker: &Worker) -> Result<Option<Timestamp>> {
        let mut first = None;
        for (queue, _) in worker.parse()? {
            let due = self.next_due_in(&queue).await?;
            first = [first, due].into_iter().flatten().min();
        }
        Ok(first)
    }

    /// What is due by now and was not done is paused.
    async fn next_due_in(&self, queue: &Queue) -> Result<Option<Timestamp>> {
        let kv = self.scheduler.store().kv();
        let after_now = Timestamp::from_micros(self.clock.now().as_micros() + 1);
        let range = ScoreRange::new(Score::from(after_now), Score::MAX);
        let first = RangeOptions::default().limit(1).scores(Scores::Include);
        let mut soonest = None;
        for set in queue
            .due
            .iter()
            .chain([&queue.lease, &queue.recurring.next])
        {
            let found = kv.zrangebyscore_with(set, range, first).await?;
            let due = found.first().and_then(|it| it.score);
            let due = due.map(|it| Timestamp::from_micros(it.get() as i64));
            soonest = [soonest, due].into_iter().flatten().min();
        }
        Ok(soonest)
    }
}

impl Deref for TestScheduler {
    type Target = Scheduler;

    fn deref(&self) -> &Scheduler {
        &self.scheduler
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::TestScheduler;
    use crate::{
        Ctx, Data, Every, Jitter, Retry, Task, TaskError, TaskOptions, Worker, testing::scheduled,
    };
    use kv_conformance::faults::FaultsLayer;
    use kv_core::{Clock, Kv, Timestamp, VirtualClock};
    use kv_memory::{MemoryConfig, MemoryStore};
    use parking_lot::Mutex;
    use serde::{Deserialize, Serialize};
    use std::{sync::Arc, time::Duration};

    const HOUR: Duration = Duration::from_secs(3600);

    /// Succeeds with this attempt.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Try(u32);

    impl Task for Try {
        const KIND: &'static str = "try";
        type Output = ();

        fn options() -> TaskOptions {
            let retry = Retry::exponential(HOUR, 4 * HOUR).jitter(Jitter::None);
            TaskOptions::new().queue("tries").retry(retry.attempts(4))
        }
    }

    struct Starts(VirtualClock, Mutex<Vec<Timestamp>>);

    async fn run(task: Try, ctx: Ctx, starts: Data<Starts>) -> Result<(), TaskError> {
        starts.1.lock().push(starts.0.now());
        if ctx.attempt() < task.0 {
            return Err("not yet".into());
        }
        Ok(())
    }

    async fn memory() -> TestScheduler {
        let connect = TestScheduler::connect(|clock| {
            Kv::builder(MemoryStore::with_clock(MemoryConfig::default(), clock))
        });
        connect.await.unwrap()
    }

    fn worker(test: &TestScheduler) -> (Worker, Arc<Starts>) {
        let starts = Arc::new(Starts(test.clock().clone(), Mutex::default()));
        let worker = Worker::new(test).queue("tries", 1).data(starts.clone());
        (worker.handle(run), starts)
    }

    #[tokio::test]
    async fn drain_does_what_is_due_and_waits_for_nothing() {
        let test = memory().await;
        let (worker, starts) = worker(&test);
        let begin = test.clock().now();
        test.enqueue(Try(2)).await.unwrap();
        test.schedule_in(2 * HOUR, Try(1)).await.unwrap();
        let report = worker.drain().await.unwrap();
        assert_eq!((report.started, report.retried), (1, 1));
        assert_eq!(worker.drain().await.unwrap().started, 0);
        let waits: Vec<_> = scheduled::<Try>(&test).await.unwrap();
        let dues: Vec<_> = waits
            .iter()
            .map(|it| it.due.saturating_since(begin))
            .collect();
        assert_eq!(dues, [HOUR, 2 * HOUR]);
        test.clock().advance(HOUR - Duration::from_micros(1));
        assert_eq!(worker.drain().await.unwrap().started, 0);
        test.clock().advance(Duration::from_micros(1));
        assert_eq!(worker.drain().await.unwrap().succeeded, 1);
        assert_eq!(starts.1.lock().len(), 2);
    }

    #[tokio::test]
    async fn the_clock_goes_from_one_due_time_to_the_next() {
        let test = memory().await;
        let (worker, starts) = worker(&test);
        let begin = test.clock().now();
        test.enqueue(Try(4)).await.unwrap();
        test.schedule_in(30 * HOUR, Try(1)).await.unwrap();
        let report = test.drain_for(&worker, 29 * HOUR).await.unwrap();
        assert_eq!((report.retried, report.succeeded), (3, 1));
        let after: Vec<_> = starts
            .1
            .lock()
            .iter()
            .map(|it| it.saturating_since(begin))
            .collect();
        assert_eq!(after, [Duration::ZERO, HOUR, 3 * HOUR, 7 * HOUR]);
        assert_eq!(test.clock().now().saturating_since(begin), 29 * HOUR);
        assert_eq!(test.drain_for(&worker, HOUR).await.unwrap().succeeded, 1);
        // What is due in a queue that is paused does not stop the clock.
        test.admin("tries").unwrap().pause().await.unwrap();
        test.enqueue(Try(1)).await.unwrap();
        assert_eq!(test.drain_for(&worker, HOUR).await.unwrap().started, 0);
        assert_eq!(test.clock().now().saturating_since(begin), 31 * HOUR);
    }

    #[tokio::test]
    async fn ticks_come_when_they_are_due() {
        let test = memory().await;
        let (worker, starts) = worker(&test);
        let begin = test.clock().now();
        let hourly = test.every("tries", Every::fixed_rate(HOUR), Try(1));
        hourly.starting_at(begin).upsert().await.unwrap();
        let half = HOUR / 2;
        let report = test.drain_for(&worker, 3 * HOUR + half).await.unwrap();
        let after = starts.1.lock();
        let last = after.last().map(|it| it.saturating_since(begin));
        assert_eq!(report.succeeded, after.len() as u64);
        assert_eq!(last, Some(3 * HOUR), "{after:?}");
    }

    #[tokio::test]
    async fn what_a_dropped_worker_had_comes_back() {
        let test = memory().await;
        let hangs = Worker::new(&test).queue("tries", 1).handle(async |_: Try| {
            std::future::pending::<()>().await;
            Ok::<(), TaskError>(())
        });
        test.enqueue(Try(1)).await.unwrap();
        let begin = test.clock().now();
        let counts = async || test.admin("tries").unwrap().counts().await.unwrap();
        tokio::select! {
            _ = hangs.drain() => panic!("the handler does not end"),
            () = async { while counts().await.running == 0 { tokio::task::yield_now().await } } => {}
        }
        let (worker, starts) = worker(&test);
        assert_eq!(test.drain_for(&worker, HOUR).await.unwrap().succeeded, 1);
        assert_eq!(
            starts.1.lock()[0].saturating_since(begin),
            Duration::from_secs(30)
        );
    }

    #[tokio::test]
    async fn a_store_that_fails_loses_nothing() {
        let faults = FaultsLayer::seed(7);
        let switch = faults.switch();
        let test = TestScheduler::connect(|clock| {
            let store = MemoryStore::with_clock(MemoryConfig::default(), clock);
            Kv::builder(store).layer(faults)
        });
        let test = test.await.unwrap();
        let mut scheduled = Vec::new();
        for number in 0..50 {
            // Nobody knows of what failed: it may be there.
            let id = format!("t{number}");
            if test.enqueue(Try(1)).id(id.clone()).await.is_ok() {
                scheduled.push(id);
            }
        }
        assert!(scheduled.len() > 20);
        let done = Arc::<Mutex<Vec<String>>>::default();
        let note = async |_: Try, ctx: Ctx, done: Data<Mutex<Vec<String>>>| {
            done.lock().push(ctx.id()?.to_string());
            Ok::<_, TaskError>(())
        };
        let worker = Worker::new(&test).queue("tries", 1);
        let worker = worker.data(done.clone()).handle(note);
        let begin = test.clock().now();
        // A claim whose answer was lost lapses, and comes back.
        for _ in 0..100 {
            _ = test.drain_for(&worker, Duration::from_secs(60)).await;
        }
        switch.off();
        let counts = test.admin("tries").unwrap().counts().await.unwrap();
        assert_eq!((counts.pending, counts.running, counts.dead), (0, 0, 0));
        let done = done.lock();
        assert!(scheduled.iter().all(|it| done.contains(it)), "{done:?}");
        assert!(test.clock().now().saturating_since(begin) > HOUR / 2);
        assert!(switch.counts().apply_then_fail > 5, "{switch:?}");
    }
}
