//! The tables against what is really told.
#![allow(clippy::unwrap_used, reason = "a test")]

use super::{FIELDS, LABELS, METRICS};
use crate::{Ctx, Delivery, Report, Scheduler, Task, TaskError, TraceContext, Worker};
use kv_core::{Clock, Kv, SystemClock, telemetry::TARGET};
use kv_memory::MemoryStore;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::Arc,
    time::Duration,
};
use tracing::{Subscriber, span::Attributes};
use tracing_subscriber::{Layer, layer::Context, prelude::*};

#[derive(Serialize, Deserialize)]
enum Do {
    Succeed,
    Fail,
    Panic,
    Sleep,
    Snooze,
    Die,
    Cancel,
}

impl Task for Do {
    const KIND: &'static str = "do";
    type Output = ();
}

#[derive(Serialize, Deserialize)]
struct Foreign;

impl Task for Foreign {
    const KIND: &'static str = "foreign";
    type Output = ();
}

async fn obey(task: Do, ctx: Ctx) -> Result<(), TaskError> {
    match task {
        Do::Succeed => Ok(()),
        Do::Fail => Err(TaskError::retry_after(HOUR, ctx.kind().to_owned())),
        Do::Panic => panic!("as told"),
        Do::Sleep => {
            SystemClock.sleep(HOUR).await;
            Ok(())
        }
        Do::Snooze => Err(TaskError::snooze(HOUR)),
        Do::Die => Err(TaskError::dead("as told")),
        Do::Cancel => Err(TaskError::cancel()),
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// The names of the fields of all spans.
#[derive(Clone, Default)]
struct Fields(Arc<Mutex<BTreeSet<&'static str>>>);

impl<S: Subscriber> Layer<S> for Fields {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &tracing::Id, _: Context<'_, S>) {
        let metadata = attributes.metadata();
        if metadata.target() == TARGET {
            let names = metadata.fields().iter().map(|it| it.name());
            self.0.lock().extend(names);
        }
    }
}

/// What was told: each metric's labels, and the sum of each series.
#[derive(Default)]
struct Told {
    labels: BTreeMap<String, BTreeSet<String>>,
    sums: BTreeMap<String, f64>,
}

impl Told {
    /// The sum of all series of this name that say all of this.
    fn of(&self, name: &str, says: &[&str]) -> f64 {
        let series = self.sums.iter().filter(|(series, _)| {
            let mut words = series.split(' ');
            words.next() == Some(name) && says.iter().all(|it| series.contains(it))
        });
        series.map(|(_, sum)| sum).sum()
    }
}

/// Runs it with somebody who listens.
fn told<T>(work: impl Future<Output = T>) -> (T, Told, BTreeSet<&'static str>) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let fields = Fields::default();
    let subscriber = tracing_subscriber::registry().with(fields.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let out = tracing::subscriber::with_default(subscriber, || {
        metrics::with_local_recorder(&recorder, || runtime.block_on(work))
    });
    let mut told = Told::default();
    for (key, _, meaning, value) in snapshotter.snapshot().into_vec() {
        let (_, key) = key.into_parts();
        assert!(meaning.is_some(), "{} has no description", key.name());
        let mut series = key.name().to_owned();
        let labels = told.labels.entry(series.clone()).or_default();
        for label in key.labels() {
            write!(series, " {}={}", label.key(), label.value()).unwrap();
            labels.insert(label.key().to_owned());
        }
        let sum = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(it) => it.into_inner(),
            DebugValue::Histogram(all) => all.len() as f64,
        };
        told.sums.insert(series, sum);
    }
    let fields = fields.0.lock().clone();
    (out, told, fields)
}

/// Whatever can become of a task that does not take long.
async fn everything() -> Report {
    let kv = Kv::builder(MemoryStore::default()).connect().await.unwrap();
    let scheduler = Scheduler::new(&kv).unwrap();
    let many = [Do::Succeed, Do::Succeed, Do::Fail, Do::Panic];
    let many = many.map(|it| scheduler.enqueue(it));
    for handle in scheduler.enqueue_many(many).await {
        handle.unwrap();
    }
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let trace: TraceContext = trace.parse().unwrap();
    for task in [Do::Snooze, Do::Die, Do::Cancel] {
        let task = scheduler.enqueue(task).trace(trace.clone());
        task.await.unwrap();
    }
    for _ in 0..2 {
        let task = scheduler.schedule_in(HOUR, Do::Succeed).id("twice");
        task.await.unwrap();
    }
    let error = scheduler.enqueue(Do::Fail).queue("no queue").await;
    error.unwrap_err();
    let sleeps = scheduler.enqueue(Do::Sleep);
    sleeps.timeout(Duration::from_millis(1)).await.unwrap();
    scheduler.enqueue(Foreign).await.unwrap();
    Worker::new(&scheduler).handle(obey).drain().await.unwrap()
}

#[test]
fn what_is_told_is_what_the_tables_say() {
    let (report, told, fields) = told(everything());
    let names: BTreeSet<_> = told.labels.keys().map(String::as_str).collect();
    let documented: BTreeSet<_> = METRICS.iter().map(|it| it.name).collect();
    assert_eq!(names, documented);
    for spec in METRICS {
        let labels = spec.labels.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(told.labels[spec.name], labels, "{}", spec.name);
    }
    let used: BTreeSet<_> = METRICS.iter().flat_map(|it| it.labels).collect();
    assert_eq!(used, LABELS.iter().map(|it| &it.name).collect());
    let documented: BTreeSet<_> = FIELDS.iter().map(|it| it.name).collect();
    assert_eq!(fields, documented);

    // The panic comes back; its pause may be over before the drain ends, or not.
    let all = report.succeeded + report.retried + report.snoozed + report.dead;
    let all = (all + report.cancelled + report.unable) as f64;
    assert_eq!(told.of("kv_tasks_ended_total", &[]), all);
    assert_eq!(told.of("kv_tasks_claimed_total", &[]), all);
    assert_eq!(told.of("kv_task_lateness_seconds", &[]), all);
    for (outcome, count) in [
        ("succeeded", report.succeeded),
        ("retried", report.retried),
        ("snoozed", 1),
        ("dead", 1),
        ("cancelled", 1),
        ("unable", report.unable),
        ("lost", 0),
    ] {
        let says = format!("outcome={outcome}");
        let sum = told.of("kv_tasks_ended_total", &[&says]);
        assert_eq!(sum, count as f64, "{outcome}");
    }
    assert_eq!(told.of("kv_tasks_scheduled_total", &["kind=do"]), 9.0);
    assert_eq!(told.of("kv_tasks_scheduled_total", &["kind=foreign"]), 1.0);
    assert_eq!(told.of("kv_tasks_claimed_total", &["kind=(unknown)"]), 1.0);
    let ran = "messaging_process_duration_seconds";
    assert_eq!(told.of(ran, &[]), report.started as f64);
    assert!(told.of(ran, &["error_type=panicked"]) >= 1.0);
    assert!(told.of(ran, &["error_type=timed_out"]) >= 1.0);
    assert_eq!(told.of(ran, &["error_type=returned"]), 2.0);
    for gauge in ["kv_tasks_running", "kv_task_slots", "kv_tasks_lapsed_total"] {
        assert_eq!(told.of(gauge, &[]), 0.0, "{gauge}");
    }
    assert_eq!(told.of("kv_tasks", &["state=dead"]), 1.0);
}

#[test]
fn at_most_once_counts_what_became_of_it() {
    let (report, told, _) = told(async {
        let kv = Kv::builder(MemoryStore::default()).connect().await.unwrap();
        let scheduler = Scheduler::builder(&kv).namespace("shop").build().unwrap();
        for task in [Do::Succeed, Do::Fail] {
            scheduler.enqueue(task).await.unwrap();
        }
        let worker = Worker::new(&scheduler).delivery(Delivery::AtMostOnce);
        worker.handle(obey).drain().await.unwrap()
    });
    assert_eq!((report.succeeded, report.failed), (1, 1));
    for outcome in ["outcome=succeeded", "outcome=failed"] {
        let sum = told.of("kv_tasks_ended_total", &["namespace=shop", outcome]);
        assert_eq!(sum, 1.0, "{outcome}");
    }
}
