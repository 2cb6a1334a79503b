//! A subscriber and a recorder that keep what they are told.

use metrics_util::{
    MetricKind,
    debugging::{DebugValue, DebuggingRecorder},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{Debug, Write},
    sync::Arc,
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// A span or an event.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) level: Level,
    pub(crate) target: &'static str,
    pub(crate) fields: BTreeMap<&'static str, String>,
    /// The span an event is in.
    pub(crate) inside: Option<u64>,
}

impl Told {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// What was told.
#[derive(Clone, Default)]
pub(crate) struct Capture(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// A span's number is its place here, from 1.
    spans: Vec<Told>,
    events: Vec<Told>,
    entered: Vec<u64>,
}

impl Capture {
    pub(crate) fn spans(&self) -> Vec<Told> {
        self.0.lock().spans.clone()
    }

    /// The events since the last look.
    pub(crate) fn events(&self) -> Vec<Told> {
        std::mem::take(&mut self.0.lock().events)
    }

    /// Everything, as text.
    pub(crate) fn text(&self) -> String {
        let kept = self.0.lock();
        format!("{:?} {:?}", kept.spans, kept.events)
    }
}

impl Subscriber for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "kv"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        span.record(&mut fields);
        let mut kept = self.0.lock();
        kept.spans.push(Told {
            level: *span.metadata().level(),
            target: "kv",
            fields: fields.0,
            inside: None,
        });
        Id::from_u64(kept.spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        let mut kept = self.0.lock();
        kept.spans[span.into_u64() as usize - 1]
            .fields
            .extend(fields.0);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut kept = self.0.lock();
        let inside = kept.entered.last().copied();
        kept.events.push(Told {
            level: *event.metadata().level(),
            target: "kv",
            fields: fields.0,
            inside,
        });
    }

    fn enter(&self, span: &Id) {
        self.0.lock().entered.push(span.into_u64());
    }

    fn exit(&self, _: &Id) {
        self.0.lock().entered.pop();
    }
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

/// Runs a future in this thread, on a runtime as the store in memory needs it.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

/// A metric with its labels, as `name{label=value,…}`, and how often or how much.
pub(crate) type Samples = BTreeMap<String, f64>;

/// What was counted while something ran in this thread.
pub(crate) fn counted<T>(run: impl FnOnce() -> T) -> (T, Counted) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let out = metrics::with_local_recorder(&recorder, run);
    let mut counted = Counted::default();
    for (key, unit, meaning, value) in snapshotter.snapshot().into_vec() {
        let (kind, key) = key.into_parts();
        let mut series = key.name().to_owned();
        let mut names = BTreeSet::new();
        for label in key.labels() {
            write!(series, " {}={}", label.key(), label.value()).unwrap();
            names.insert(label.key().to_owned());
        }
        let (kind, amount) = match (kind, value) {
            (MetricKind::Counter, DebugValue::Counter(count)) => ("counter", count as f64),
            (MetricKind::Gauge, DebugValue::Gauge(it)) => ("gauge", it.into_inner()),
            (_, DebugValue::Histogram(all)) => ("histogram", all.len() as f64),
            other => panic!("no such metric: {other:?}"),
        };
        let it = counted.metrics.entry(key.name().to_owned()).or_default();
        it.kind = kind;
        it.unit = unit.map(|it| it.as_str());
        it.meaning = meaning.map(|it| it.into_owned());
        it.labels.extend(names);
        it.total += amount;
        counted.series.insert(series, amount);
    }
    (out, counted)
}

/// See [`counted`]. Of a histogram, how many values came.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) metrics: BTreeMap<String, Metric>,
    pub(crate) series: Samples,
}

#[derive(Debug, Default)]
pub(crate) struct Metric {
    pub(crate) kind: &'static str,
    pub(crate) unit: Option<&'static str>,
    pub(crate) meaning: Option<String>,
    pub(crate) labels: BTreeSet<String>,
    pub(crate) total: f64,
}

impl Counted {
    /// The sum over the series of this metric that have all these labels, as in `outcome=hit`.
    pub(crate) fn of(&self, name: &str, labels: &[&str]) -> f64 {
        let series = self.series.iter();
        let series = series.filter(|(series, _)| {
            let mut words = series.split(' ');
            words.next() == Some(name)
                && labels.iter().all(|it| series.split(' ').any(|w| w == *it))
        });
        series.map(|(_, amount)| amount).sum()
    }
}
