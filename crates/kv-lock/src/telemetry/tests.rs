#![allow(clippy::unwrap_used, reason = "a test")]

use super::{FIELDS, LABELS, METRICS};
use crate::{LockManager, LostReason, Release};
use kv_core::{Kv, VirtualClock, layer_fn, telemetry::TARGET};
use kv_memory::{MemoryConfig, MemoryStore};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tracing::{
    Instrument, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, prelude::*, registry::LookupSpan};

const SECOND: Duration = Duration::from_secs(1);

/// A span, when it was closed.
#[derive(Clone, Debug, Default)]
struct Closed {
    name: &'static str,
    parent: Option<&'static str>,
    fields: BTreeMap<&'static str, String>,
}

#[derive(Clone, Default)]
struct Spans {
    fields: Arc<Mutex<BTreeSet<&'static str>>>,
    closed: Arc<Mutex<Vec<Closed>>>,
}

impl Visit for Closed {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let metadata = attributes.metadata();
        if metadata.target() != TARGET || !FIELDS_OF.contains(&metadata.name()) {
            return;
        }
        let names = metadata.fields().iter().map(|it| it.name());
        self.fields.lock().extend(names);
        let span = context.span(id).unwrap();
        let mut seen = Closed {
            name: metadata.name(),
            parent: span.parent().map(|it| it.name()),
            ..Closed::default()
        };
        attributes.record(&mut seen);
        span.extensions_mut().insert(seen);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(seen) = context
            .span(id)
            .unwrap()
            .extensions_mut()
            .get_mut::<Closed>()
        {
            values.record(seen);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if let Some(seen) = context.span(&id).unwrap().extensions().get::<Closed>() {
            self.closed.lock().push(seen.clone());
        }
    }
}

/// The spans that the table is about.
const FIELDS_OF: [&str; 2] = ["acquire", "hold"];

/// What was told: each metric's labels, and the sum of each series.
#[derive(Default)]
struct Told {
    labels: BTreeMap<String, BTreeSet<String>>,
    sums: BTreeMap<String, f64>,
    fields: BTreeSet<&'static str>,
    spans: Vec<Closed>,
}

impl Told {
    /// The sum of all series of this name that say this.
    fn of(&self, name: &str, says: &str) -> f64 {
        let series = self.sums.iter().filter(|(series, _)| {
            let mut words = series.split(' ');
            words.next() == Some(name) && series.contains(says)
        });
        series.map(|(_, sum)| sum).sum()
    }
}

/// Runs it with somebody who listens.
fn told(work: impl Future<Output = ()>) -> Told {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    tracing::subscriber::with_default(subscriber, || {
        metrics::with_local_recorder(&recorder, || runtime.block_on(work));
        drop(runtime);
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
            DebugValue::Histogram(all) => all.iter().map(|it| it.into_inner()).sum(),
        };
        told.sums.insert(series, sum);
    }
    told.fields = spans.fields.lock().clone();
    told.spans = spans.closed.lock().clone();
    told
}

struct Site {
    clock: VirtualClock,
    store: MemoryStore,
    /// No call reaches the store.
    is_cut_off: Arc<AtomicBool>,
}

impl Site {
    fn new() -> Self {
        let clock = VirtualClock::default();
        clock.advance(1000 * SECOND);
        let store = MemoryStore::with_clock(MemoryConfig::default(), Arc::new(clock.clone()));
        Self {
            clock,
            store,
            is_cut_off: Arc::default(),
        }
    }

    async fn locks(&self, shown: usize) -> LockManager {
        let cut_off = self.is_cut_off.clone();
        let layer = layer_fn("cut", move |request, next| {
            let answer = next.call(request);
            let is_cut_off = cut_off.load(Ordering::Relaxed);
            Box::pin(async move {
                match is_cut_off {
                    true => Err(kv_core::Error::new(
                        kv_core::ErrorKind::Unavailable,
                        "cut off",
                    )),
                    false => answer.await,
                }
            })
        });
        let kv = Kv::builder(self.store.clone()).layer(layer);
        let kv = kv.connect().await.unwrap();
        let locks = LockManager::builder(&kv).clock(Arc::new(self.clock.clone()));
        locks.show_names(shown).build().unwrap()
    }

    async fn pass(&self, span: Duration) {
        let step = SECOND / 10;
        for _ in 0..span.div_duration_f64(step) as u32 {
            self.clock.advance(step);
            settle().await;
        }
    }
}

async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Whatever can become of an acquisition, and of a lock that is held.
async fn everything() {
    let site = Site::new();
    let (ann, bob) = (site.locks(4).await, site.locks(4).await);
    let lock = bob.lock("secret-of-ann");
    let guard = ann.lock("secret-of-ann").acquire().await.unwrap();
    assert!(lock.try_acquire().await.unwrap().is_none());
    let waits = tokio::spawn({
        let lock = lock.clone().wait(SECOND);
        async move { lock.acquire().await }
    });
    let gives_up = tokio::spawn({
        let lock = lock.clone();
        async move { lock.acquire().await }
    });
    settle().await;
    gives_up.abort();
    site.pass(2 * SECOND).await;
    waits.await.unwrap().unwrap_err();
    let waits = tokio::spawn(async move { lock.acquire().await });
    site.pass(3 * SECOND).await;
    assert_eq!(guard.release().await, Release::Released);
    settle().await;
    let guard = waits.await.unwrap().unwrap();
    ann.force_release("secret-of-ann").await.unwrap();
    site.pass(4 * SECOND).await;
    assert_eq!(guard.check().unwrap_err().reason(), LostReason::Taken);

    let brief = ann.lock("b").max_hold(SECOND).acquire().await.unwrap();
    site.pass(SECOND).await;
    assert_eq!(brief.check().unwrap_err().reason(), LostReason::HeldTooLong);
    let silent = ann
        .lock("c")
        .heartbeat_within(SECOND)
        .acquire()
        .await
        .unwrap();
    site.pass(10 * SECOND).await;
    assert_eq!(
        silent.check().unwrap_err().reason(),
        LostReason::NoHeartbeat
    );
    let alone = ann.lock("d").acquire().await.unwrap();
    site.is_cut_off.store(true, Ordering::Relaxed);
    site.pass(10 * SECOND).await;
    assert_eq!(alone.check().unwrap_err().reason(), LostReason::Expired);
    ann.lock("e").try_acquire().await.unwrap_err();
}

#[test]
fn what_is_told_is_what_the_tables_say() {
    let told = told(everything());
    let names: BTreeSet<_> = told.labels.keys().map(String::as_str).collect();
    assert_eq!(names, METRICS.iter().map(|it| it.name).collect());
    for spec in METRICS {
        let labels = spec.labels.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(told.labels[spec.name], labels, "{}", spec.name);
    }
    let used: BTreeSet<_> = METRICS.iter().flat_map(|it| it.labels).collect();
    assert_eq!(used, LABELS.iter().map(|it| &it.name).collect());
    assert_eq!(told.fields, FIELDS.iter().map(|it| it.name).collect());

    for (outcome, count) in [
        ("acquired", 5.0),
        ("busy", 1.0),
        ("timeout", 1.0),
        ("cancelled", 1.0),
        ("failed", 1.0),
    ] {
        let says = format!("kind=exclusive outcome={outcome}");
        let sum = told.of("kv_lock_acquisitions_total", &says);
        assert_eq!(sum, count, "{outcome}");
    }
    for reason in ["taken", "held_too_long", "no_heartbeat", "expired"] {
        let says = format!("reason={reason}");
        assert_eq!(told.of("kv_locks_lost_total", &says), 1.0, "{reason}");
    }
    // Three that nobody else wanted; the one that waited asks, listens, asks, and asks when told.
    assert_eq!(told.of("kv_lock_acquisition_calls", ""), 4.0 + 4.0);
    assert!((told.of("kv_lock_wait_seconds", "") - 3.0).abs() < 0.2);
    assert_eq!(told.of("kv_lock_renewals_total", "outcome=refused"), 1.0);
    assert!(told.of("kv_lock_renewals_total", "outcome=renewed") >= 1.0);
    assert!(told.of("kv_lock_renewals_total", "outcome=failed") >= 3.0);
    for gauge in ["kv_lock_waiting", "kv_locks_held"] {
        assert_eq!(told.of(gauge, ""), 0.0, "{gauge}");
    }
}

#[test]
fn spans_tell_how_it_ended_and_the_beginning_of_names() {
    let told = told(everything());
    let count = |name: &str, field: &str, value: &str| {
        let spans = told.spans.iter().filter(|it| it.name == name);
        spans
            .filter(|it| it.fields.get(field).is_some_and(|it| it == value))
            .count()
    };
    for (outcome, spans) in [
        ("acquired", 5),
        ("busy", 1),
        ("timeout", 1),
        ("cancelled", 1),
        ("failed", 1),
    ] {
        assert_eq!(
            count("acquire", "kv.lock.outcome", outcome),
            spans,
            "{outcome}"
        );
    }
    assert_eq!(count("acquire", "error.type", "unavailable"), 1);
    assert_eq!(count("hold", "kv.lock.outcome", "released"), 1);
    assert_eq!(count("hold", "kv.lock.outcome", "lost"), 4);
    assert_eq!(count("hold", "otel.status_code", "ERROR"), 4);
    assert_eq!(count("hold", "error.type", "taken"), 1);
    assert_eq!(count("hold", "kv.lock.name", "secr"), 2);
    assert_eq!(count("acquire", "kv.lock.name", "secr"), 5);
    assert!(told.spans.iter().all(|it| it.parent.is_none()));
}

#[test]
fn names_are_not_told_by_themselves() {
    let told = told(async {
        let site = Site::new();
        let locks = site.locks(0).await;
        let outside = tracing::info_span!(target: TARGET, "request");
        let lock = locks.lock("secret");
        let guard = lock.acquire().instrument(outside);
        let guard = guard.await.unwrap();
        let inside = guard.run(async { tracing::Span::current().metadata().map(|it| it.name()) });
        assert_eq!(inside.await, Ok(Some("hold")));
        // The acquisition is over, though the lock is held.
        guard.release().await;
    });
    let names: Vec<_> = told.spans.iter().map(|it| it.name).collect();
    assert_eq!(names, ["acquire", "hold"]);
    for span in told.spans {
        assert_eq!(span.parent, Some("request"));
        assert!(!span.fields.contains_key("kv.lock.name"), "{span:?}");
        assert!(!format!("{span:?}").contains("secret"));
    }
}
