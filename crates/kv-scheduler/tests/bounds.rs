//! What a worker does within which bounds: how late it starts tasks, how it ends, how much it asks of a
//! store at once.
#![allow(clippy::unwrap_used, reason = "a test")]

use kv_core::{
    BoxFuture, Capabilities, Clock, Command, Context, Events, Kv, Layer, Reply, Request, Result,
    Service, Timestamp, VirtualClock, Watch,
};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_scheduler::{Data, Report, Scheduler, Task, TaskError, Worker};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::oneshot, task::JoinHandle};

const MILLIS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Takes so long.
#[derive(Serialize, Deserialize)]
struct Nap(Duration);

impl Task for Nap {
    const KIND: &'static str = "nap";
    type Output = ();
}

struct Site {
    clock: VirtualClock,
    scheduler: Scheduler,
    starts: Mutex<Vec<Timestamp>>,
}

impl Site {
    async fn new(layer: impl Layer) -> Arc<Self> {
        let clock = VirtualClock::at(Timestamp::from_micros(1 << 50));
        let store = MemoryStore::with_clock(MemoryConfig::default(), Arc::new(clock.clone()));
        let kv = Kv::builder(store).layer(layer).connect().await.unwrap();
        let scheduler = Scheduler::builder(&kv).clock(Arc::new(clock.clone()));
        Arc::new(Self {
            scheduler: scheduler.build().unwrap(),
            clock,
            starts: Mutex::default(),
        })
    }

    fn worker(self: &Arc<Self>) -> Worker {
        Worker::new(&self.scheduler).data(self.clone()).handle(nap)
    }

    /// Time passes, and everybody does what there is to do meanwhile.
    async fn pass(&self, span: Duration) {
        for _ in 0..span.as_millis() {
            settle().await;
            self.clock.advance(MILLIS);
        }
        settle().await;
    }
}

async fn nap(nap: Nap, site: Data<Site>) -> std::result::Result<(), TaskError> {
    site.starts.lock().push(site.clock.now());
    site.clock.sleep(nap.0).await;
    Ok(())
}

/// In paused time a sleep ends when nobody can do anything else.
async fn settle() {
    #[expect(clippy::disallowed_methods, reason = "no time passes by it")]
    tokio::time::sleep(MILLIS).await;
}

fn spawn(worker: Worker) -> (oneshot::Sender<()>, JoinHandle<Report>) {
    let (stop, stopped) = oneshot::channel();
    let running = async { worker.run_until(async { _ = stopped.await }).await.unwrap() };
    (stop, tokio::spawn(running))
}

/// Sees every call, and may keep every message to itself.
struct Seam {
    is_silent: bool,
    see: Arc<dyn Fn(&Command) + Send + Sync>,
}

impl Seam {
    fn silent(is_silent: bool) -> Self {
        let see = Arc::new(|_: &Command| {});
        Self { is_silent, see }
    }
}

impl Layer for Seam {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        Arc::new(Watched {
            inner,
            is_silent: self.is_silent,
            see: self.see.clone(),
        })
    }
}

struct Watched {
    inner: Arc<dyn Service>,
    is_silent: bool,
    see: Arc<dyn Fn(&Command) + Send + Sync>,
}

impl Service for Watched {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        (self.see)(&request.command);
        self.inner.call(request)
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        if self.is_silent {
            let nothing: Events = Box::pin(futures_util::stream::pending());
            return Box::pin(async { Ok(nothing) });
        }
        self.inner.watch(watch, context)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn name(&self) -> String {
        "seam".to_owned()
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}

/// By how much tasks start late, for several that are scheduled while the worker sleeps.
async fn lateness(is_silent: bool) -> Vec<Duration> {
    let site = Site::new(Seam::silent(is_silent)).await;
    let (stop, running) = spawn(site.worker());
    let mut late = Vec::new();
    for number in 0..30_u64 {
        site.pass(MILLIS * (137 * number % 1_000) as u32).await;
        let due = site
            .clock
            .now()
            .saturating_add(MILLIS * (number % 7) as u32);
        site.scheduler
            .schedule_at(due, Nap(Duration::ZERO))
            .await
            .unwrap();
        while site.starts.lock().is_empty() {
            site.pass(MILLIS).await;
        }
        let start = site.starts.lock().pop().unwrap();
        assert!(start >= due, "early");
        late.push(start.saturating_since(due));
    }
    stop.send(()).unwrap();
    settle().await;
    assert_eq!(running.await.unwrap().succeeded, 30);
    late
}

/// I7.
#[tokio::test(start_paused = true)]
async fn without_a_single_message_tasks_are_late_by_one_safety_tick_at_most() {
    let late = lateness(true).await;
    let most = late.iter().max().unwrap();
    assert!(*most <= SECOND.mul_f64(1.2) + MILLIS, "{late:?}");
    assert!(*most > SECOND / 2, "messages came through: {late:?}");
}

/// I7.
#[tokio::test(start_paused = true)]
async fn with_messages_tasks_are_not_late() {
    let late = lateness(false).await;
    assert!(late.iter().all(|it| *it <= MILLIS), "{late:?}");
}

/// I12.
#[tokio::test(start_paused = true)]
async fn a_worker_that_is_told_to_end_claims_nothing_more_and_keeps_its_leases() {
    let site = Site::new(Seam::silent(false)).await;
    let ends = site.worker().queue("default", 4).lease(SECOND);
    let (stop, running) = spawn(ends.stop_within(10 * SECOND));
    site.scheduler.enqueue(Nap(5 * SECOND)).await.unwrap();
    site.pass(100 * MILLIS).await;
    stop.send(()).unwrap();
    site.pass(100 * MILLIS).await;
    let later = site.scheduler.enqueue(Nap(Duration::ZERO)).await.unwrap();
    site.pass(SECOND * 2).await;
    assert_eq!(site.starts.lock().len(), 1);
    assert!(later.status().await.unwrap().is_some());
    // Another would take the long one if its lease lapsed.
    let (stop_other, other) = spawn(site.worker().lease(SECOND));
    site.pass(SECOND * 2).await;
    assert!(!running.is_finished());
    site.pass(SECOND).await;
    assert!(running.is_finished());
    let report = running.await.unwrap();
    assert_eq!((report.started, report.succeeded, report.lost), (1, 1, 0));
    stop_other.send(()).unwrap();
    settle().await;
    let report = other.await.unwrap();
    assert_eq!((report.started, report.succeeded), (1, 1));
}

/// The largest of what a worker asked for, and how often it asked.
async fn asked(due: u64, far: u64) -> (BTreeMap<&'static str, usize>, BTreeMap<&'static str, u64>) {
    let (largest, calls) = (
        Arc::<Mutex<BTreeMap<_, _>>>::default(),
        Arc::<Mutex<BTreeMap<_, _>>>::default(),
    );
    let see = {
        let (largest, calls) = (largest.clone(), calls.clone());
        move |command: &Command| {
            let (name, size) = match command {
                Command::ZMove { step } => ("moved at once", step.limit as usize),
                Command::Commit { txns } => {
                    let steps = txns.iter().map(|it| it.when.len() + it.then.len());
                    let mut largest = largest.lock();
                    let longest = largest.entry("steps in a transaction").or_default();
                    *longest = steps.max().unwrap_or(0).max(*longest);
                    ("transactions at once", txns.len())
                }
                other => (other.spec().name, 1),
            };
            let mut largest = largest.lock();
            let most = largest.entry(name).or_default();
            *most = size.max(*most);
            *calls.lock().entry(name).or_default() += 1;
        }
    };
    let site = Site::new(Seam {
        is_silent: false,
        see: Arc::new(see),
    });
    let site = site.await;
    let far = (0..far).map(|_| site.scheduler.schedule_in(1_000 * SECOND, Nap(SECOND)));
    let due = (0..due).map(|_| site.scheduler.enqueue(Nap(Duration::ZERO)));
    let tasks: Vec<_> = far.chain(due).collect();
    assert!(
        site.scheduler
            .enqueue_many(tasks)
            .await
            .iter()
            .all(Result::is_ok)
    );
    assert!(largest.lock()["transactions at once"] <= 500);
    largest.lock().clear();
    calls.lock().clear();
    site.worker().queue("default", 1_000).drain().await.unwrap();
    (largest.lock().clone(), calls.lock().clone())
}

/// I14: how long a store takes for a call is measured by the benchmarks; here is how much it is given.
#[tokio::test(start_paused = true)]
async fn no_call_grows_with_the_backlog() {
    let (few, _) = asked(600, 0).await;
    let (many, calls) = asked(6_000, 3_000).await;
    assert_eq!(few, many);
    assert_eq!(many["moved at once"], 100);
    assert!(many["transactions at once"] <= 128, "{many:?}");
    assert!(many["steps in a transaction"] <= 16, "{many:?}");
    // A hundred are claimed at once, and their ends go together too.
    assert!(calls["moved at once"] <= 6_000 / 50, "{calls:?}");
    assert!(calls["transactions at once"] <= 6_000 / 50, "{calls:?}");
}
