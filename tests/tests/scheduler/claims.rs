//! In which order tasks are taken, how often, and by whom.

use crate::{
    site::{Do, HOUR, Log, Site, obey},
    waiting::{LONG, spawn},
};
use futures_util::TryStreamExt;
use kv_core::{Key, Kv, Timestamp};
use kv_scheduler::{
    BoxError, Ctx, Data, Delivery, Priority, Retention, Scheduler, State, TaskError, TaskRequest,
    TaskResponse, Unique, Worker,
};
use kv_tests::patience::until;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tower::{Service, ServiceBuilder, ServiceExt, layer::layer_fn};

async fn the_urgent_come_first_and_then_those_that_waited_longest(site: Site) {
    for (number, priority) in [
        (5, Priority::Low),
        (3, Priority::Normal),
        (1, Priority::High),
        (4, Priority::Normal),
        (2, Priority::High),
    ] {
        let task = site.scheduler.enqueue(Do::Succeed(number));
        task.priority(priority).await.unwrap();
    }
    let worker = site.worker().queue("default", 1);
    assert_eq!(worker.drain().await.unwrap().succeeded, 5);
    assert_eq!(site.log.take(), [1, 2, 3, 4, 5].map(Do::Succeed));
}

async fn many_are_scheduled_at_once_and_each_is_answered(site: Site) {
    let tasks = (0..1_200).map(|number| {
        let task = site.scheduler.enqueue(Do::Succeed(number));
        let task = task.retention(Retention::NONE);
        match number {
            700 => task.id("not an id"),
            number => task.id(format!("n{number}")),
        }
    });
    let handles = site.scheduler.enqueue_many(tasks).await;
    let failed: Vec<_> = (0..).zip(&handles).filter(|it| it.1.is_err()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].0, 700);
    let worker = site.worker().queue("default", 100);
    assert_eq!(worker.drain().await.unwrap().succeeded, 1_199);
    let mut done = site.log.take();
    done.sort_by_key(|it| match it {
        Do::Succeed(number) => *number,
        _ => u32::MAX,
    });
    done.dedup();
    assert_eq!(done.len(), 1_199);
    assert_eq!(site.keys().await, [""; 0]);
}

async fn a_deadline_ends_what_waits_and_what_runs(site: Site) {
    let past = Timestamp::from_micros(1);
    let waits = site.scheduler.enqueue(Do::Succeed(1)).deadline(past);
    let waits = waits.await.unwrap();
    let soon = site
        .kv
        .now()
        .await
        .unwrap()
        .saturating_add(Duration::from_secs(5));
    let runs = site.scheduler.enqueue(Do::Sleep(HOUR)).deadline(soon);
    let runs = runs.await.unwrap();
    let report = site.worker().drain().await.unwrap();
    assert_eq!((report.started, report.dead), (1, 2));
    for handle in [waits, runs] {
        let status = handle.status().await.unwrap().unwrap();
        assert!(matches!(status.state, State::Dead { .. }), "{status:?}");
        assert!(status.error.unwrap().contains("its deadline has passed"));
    }
}

async fn what_is_begun_at_most_once_has_left_the_store_before(site: Site) {
    let task = site.scheduler.enqueue(Do::Fail("x".into()));
    task.unique(Unique::by_key("k")).await.unwrap();
    site.scheduler.enqueue(Do::Succeed(1)).await.unwrap();
    let looks = async |task: Do, ctx: Ctx, log: Data<Log>, kv: Data<Kv>| {
        let keys: Vec<Key> = kv.scan("{tasks:").try_collect().await?;
        assert_eq!(keys, []);
        obey(task, ctx, log).await
    };
    let worker = Worker::new(&site.scheduler)
        .data(site.log.clone())
        .data(Arc::new(site.kv.clone()))
        .delivery(Delivery::AtMostOnce)
        .handle(looks);
    let report = worker.drain().await.unwrap();
    assert_eq!((report.started, report.succeeded, report.failed), (2, 1, 1));
    assert_eq!(site.keys().await, [""; 0]);
}

/// Each task schedules the next one, in the other queue.
async fn what_tasks_schedule_is_drained_too(site: Site) {
    let follows = async |task: Do, ctx: Ctx| -> Result<u32, TaskError> {
        let Do::Succeed(number) = task else {
            return Ok(0);
        };
        if number > 0 {
            let queue = ["one", "two"][number as usize % 2];
            let next = ctx.scheduler().enqueue(Do::Succeed(number - 1));
            next.queue(queue).await?;
        }
        Ok(number)
    };
    let worker = Worker::new(&site.scheduler)
        .queue("one", 2)
        .queue("two", 2)
        .handle(follows);
    for queue in ["one", "two"] {
        let task = site.scheduler.enqueue(Do::Succeed(20)).queue(queue);
        task.await.unwrap();
    }
    assert_eq!(worker.drain().await.unwrap().succeeded, 42);
}

async fn a_layer_of_tower_wraps_handlers(site: Site) {
    let seen = Arc::<AtomicU32>::default();
    let counter = seen.clone();
    let counts = layer_fn(move |inner| Counting {
        inner,
        seen: counter.clone(),
    });
    let worker = site
        .worker()
        .layer(counts)
        .layer(ServiceBuilder::new().concurrency_limit(3));
    for number in 0..7 {
        site.scheduler.enqueue(Do::Succeed(number)).await.unwrap();
    }
    site.scheduler.enqueue(Do::Die("x".into())).await.unwrap();
    let report = worker.drain().await.unwrap();
    // What the handler decides passes through.
    assert_eq!((report.succeeded, report.dead), (7, 1));
    assert_eq!(seen.load(Ordering::Relaxed), 8);
}

#[derive(Clone)]
struct Counting<S> {
    inner: S,
    seen: Arc<AtomicU32>,
}

impl<S> Service<TaskRequest> for Counting<S>
where
    S: Service<TaskRequest, Response = TaskResponse, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = TaskResponse;
    type Error = BoxError;
    type Future = kv_core::BoxFuture<'static, Result<TaskResponse, BoxError>>;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: TaskRequest) -> Self::Future {
        assert_eq!(request.kind(), "do");
        self.seen.fetch_add(1, Ordering::Relaxed);
        Box::pin(self.inner.clone().oneshot(request))
    }
}

/// A worker whose process hangs past its lease: another does the task, and what the first makes of it
/// afterwards does not count.
async fn a_worker_that_hung_cannot_write_over_the_next_one(site: Site) {
    let handle = site.scheduler.enqueue(Do::Succeed(2)).await.unwrap();
    let runs = Arc::<AtomicU32>::default();
    // What is added to the runs when the one that hung goes on.
    const OVER: u32 = 100;
    let lease = Duration::from_secs(3);
    let hangs = async |_: Do, ctx: Ctx, runs: Data<AtomicU32>| -> Result<u32, TaskError> {
        if runs.fetch_add(1, Ordering::Relaxed) > 0 {
            return Ok(2);
        }
        // All of this worker stands still, its extensions too, for three leases.
        std::thread::sleep(Duration::from_secs(9));
        while !ctx.is_lease_lost() {
            tokio::task::yield_now().await;
        }
        runs.fetch_add(OVER, Ordering::Relaxed);
        Ok(1)
    };
    let worker = |scheduler: &Scheduler| {
        let worker = Worker::new(scheduler).lease(lease);
        worker.data(runs.clone()).handle(hangs)
    };
    // As another process, as far as the store can be shared with one.
    let first = worker(&site.another().await);
    let goes_on = runs.clone();
    let hung = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        // Its calls may have come too late meanwhile, which it outlives.
        let over = until("it goes on", async || {
            goes_on.load(Ordering::Relaxed) >= OVER
        });
        runtime.unwrap().block_on(first.run_until(over)).unwrap()
    });
    while runs.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let (stop, running) = spawn(worker(&site.scheduler));
    assert_eq!(handle.wait(LONG).await.unwrap(), 2);
    let lost = tokio::task::spawn_blocking(|| hung.join().unwrap())
        .await
        .unwrap();
    assert_eq!((lost.started, lost.succeeded, lost.lost), (1, 0, 1));
    assert_eq!(handle.wait(LONG).await.unwrap(), 2);
    assert_eq!(handle.status().await.unwrap().unwrap().attempts, 2);
    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().succeeded, 1);
}

crate::on_each_store! {
    the_urgent_come_first_and_then_those_that_waited_longest
    many_are_scheduled_at_once_and_each_is_answered
    a_deadline_ends_what_waits_and_what_runs
    what_is_begun_at_most_once_has_left_the_store_before
    what_tasks_schedule_is_drained_too
    a_layer_of_tower_wraps_handlers
    a_worker_that_hung_cannot_write_over_the_next_one
}
