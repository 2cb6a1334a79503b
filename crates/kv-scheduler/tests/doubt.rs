//! The answer to scheduling a task is lost, and the task is done before it could be sent again.
#![allow(clippy::unwrap_used, reason = "a test")]

use kv_core::{Clock, Command, Error, ErrorKind, Kv, Outcome, VirtualClock, layer_fn};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_scheduler::{Scheduler, Task, TaskError, Worker};
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

#[derive(Serialize, Deserialize)]
struct Once;

impl Task for Once {
    const KIND: &'static str = "once";
    type Output = ();
}

const HOUR: Duration = Duration::from_secs(3600);

/// Found by a simulation: who schedules has a clock that is an hour late, so what is due in a second
/// looks far away.
#[tokio::test]
async fn a_clock_that_is_late_does_not_have_a_task_done_twice() {
    let clock = VirtualClock::default();
    clock.advance(10 * HOUR);
    let store = MemoryStore::with_clock(MemoryConfig::default(), Arc::new(clock.clone()));
    let kv = Kv::builder(store.clone()).connect().await.unwrap();
    let done = Arc::<AtomicU32>::default();
    let worker = {
        let (scheduler, done) = (Scheduler::new(&kv).unwrap(), done.clone());
        Arc::new(Worker::new(&scheduler).handle(move |_: Once| {
            done.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, TaskError>(()) }
        }))
    };
    let at = clock.now().saturating_add(Duration::from_secs(1));
    let lossy = {
        let (worker, clock, done) = (worker.clone(), clock.clone(), done.clone());
        layer_fn("lossy", move |request, next| {
            let (worker, clock, done) = (worker.clone(), clock.clone(), done.clone());
            Box::pin(async move {
                let is_commit = matches!(request.command, Command::Commit { .. });
                let reply = next.call(request).await;
                if !is_commit || done.load(Ordering::Relaxed) > 0 {
                    return reply;
                }
                clock.advance(Duration::from_secs(1));
                worker.drain().await?;
                Err(Error::new(ErrorKind::Unavailable, "lost").with_outcome(Outcome::Unknown))
            })
        })
    };
    let late = Arc::new(Late(clock.clone()));
    let kv = Kv::builder(store).layer(lossy).connect().await.unwrap();
    let scheduler = Scheduler::builder(&kv).clock(late).build().unwrap();
    let error = scheduler.schedule_at(at, Once).await.err().unwrap();
    assert_eq!(error.outcome(), Outcome::Unknown);
    worker.drain().await.unwrap();
    assert_eq!(done.load(Ordering::Relaxed), 1);
}

/// An hour late.
#[derive(Debug)]
struct Late(VirtualClock);

impl Clock for Late {
    fn now(&self) -> kv_core::Timestamp {
        kv_core::Timestamp::from_micros(self.0.now().as_micros() - HOUR.as_micros() as i64)
    }

    fn sleep_until(&self, deadline: kv_core::Timestamp) -> kv_core::BoxFuture<'static, ()> {
        self.0.sleep_until(deadline)
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, span: Duration) -> kv_core::BoxFuture<'static, ()> {
        kv_core::SystemClock.sleep(span)
    }
}
