//! What there is to say about a metric, a label, or a field of a span, for crates that have tables of
//! them, and handles made of it.
//!
//! Metrics go to the recorder of the crate `metrics`, which is the program's, and must be installed before
//! a handle is taken. Without one they go nowhere, at next to no cost.

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, SharedString};

/// The target of all metrics, spans and events, for filters: `kv=debug`.
pub const TARGET: &str = "kv";

/// Bounds of histograms' buckets in seconds: those that OpenTelemetry recommends and finer ones
/// between, since a store in memory or nearby answers within less than the lowest of them.
pub const DURATION_BUCKETS: &[f64] = &[
    0.000_01, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];

/// Gives each metric a name in code, and all of them a table, `METRICS`:
/// `NAME: Kind Unit "name" [labels] "layer" "meaning";`.
#[macro_export]
macro_rules! metric_table {
    ($($id:ident: $kind:ident $unit:ident $name:literal [$($label:ident)*] $layer:literal $meaning:literal;)*) => {
        $(pub(crate) const $id: $crate::telemetry::MetricSpec = $crate::telemetry::MetricSpec::new(
            $name,
            $crate::telemetry::MetricKind::$kind,
            $crate::telemetry::MetricUnit::$unit,
            &[$(stringify!($label)),*],
            $layer,
            $meaning,
        );)*

        /// All metrics.
        pub const METRICS: &[$crate::telemetry::MetricSpec] = &[$($id),*];
    };
}

/// A metric: its name, its labels, and what it means.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MetricSpec {
    /// The name, as Prometheus takes it.
    pub name: &'static str,
    /// How it moves.
    pub kind: MetricKind,
    /// What is counted or measured.
    pub unit: MetricUnit,
    /// The names of its labels; `error_type` is left out where nothing failed.
    pub labels: &'static [&'static str],
    /// The layer that tells it, as in a configuration, or the crate.
    pub layer: &'static str,
    /// What it means, in a sentence.
    pub meaning: &'static str,
}

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often which values came.
    Histogram,
}

/// What a metric's numbers stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricUnit {
    /// Things.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// One of a few states.
    State,
}

/// A label that metrics have.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LabelSpec {
    /// The name.
    pub name: &'static str,
    /// What its values are.
    pub meaning: &'static str,
}

impl MetricKind {
    /// The name in documentation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl MetricUnit {
    /// The name in documentation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::State => "state",
        }
    }
}

/// A field of a span or an event.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FieldSpec {
    /// The name.
    pub name: &'static str,
    /// Whether spans have it.
    pub on_span: bool,
    /// Whether events have it.
    pub on_event: bool,
    /// What it means.
    pub meaning: &'static str,
}

impl FieldSpec {
    /// A field of spans, of events, or of both.
    pub const fn new(
        name: &'static str,
        [on_span, on_event]: [bool; 2],
        meaning: &'static str,
    ) -> Self {
        Self {
            name,
            on_span,
            on_event,
            meaning,
        }
    }
}

impl LabelSpec {
    /// A label and what its values are.
    pub const fn new(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning }
    }
}

impl MetricSpec {
    /// A metric of a table: see [`metric_table`](crate::metric_table).
    pub const fn new(
        name: &'static str,
        kind: MetricKind,
        unit: MetricUnit,
        labels: &'static [&'static str],
        layer: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            unit,
            labels,
            layer,
            meaning,
        }
    }

    /// A handle with these values for the labels, in their order; an empty one is left out.
    pub fn counter(&self, values: impl IntoIterator<Item = SharedString>) -> Counter {
        let key = self.key(values);
        metrics::with_recorder(|it| it.register_counter(&key, &METADATA))
    }

    /// A handle, as [`counter`](Self::counter).
    pub fn gauge(&self, values: impl IntoIterator<Item = SharedString>) -> Gauge {
        let key = self.key(values);
        metrics::with_recorder(|it| it.register_gauge(&key, &METADATA))
    }

    /// A handle, as [`counter`](Self::counter).
    pub fn histogram(&self, values: impl IntoIterator<Item = SharedString>) -> Histogram {
        let key = self.key(values);
        metrics::with_recorder(|it| it.register_histogram(&key, &METADATA))
    }

    fn key(&self, values: impl IntoIterator<Item = SharedString>) -> Key {
        let labels = self.labels.iter().zip(values);
        let labels = labels.filter(|(_, value)| !value.is_empty());
        let labels = labels.map(|(name, value)| Label::new(*name, value));
        Key::from_parts(self.name, labels.collect::<Vec<_>>())
    }
}

impl MetricUnit {
    /// The unit as the recorder has it.
    pub fn of_recorder(self) -> metrics::Unit {
        match self {
            Self::Count | Self::State => metrics::Unit::Count,
            Self::Seconds => metrics::Unit::Seconds,
            Self::Bytes => metrics::Unit::Bytes,
        }
    }
}

/// Tells the recorder what these metrics mean.
pub fn describe<'a>(specs: impl IntoIterator<Item = &'a MetricSpec>) {
    metrics::with_recorder(|recorder| {
        for spec in specs {
            let describe = match spec.kind {
                MetricKind::Counter => metrics::Recorder::describe_counter,
                MetricKind::Gauge => metrics::Recorder::describe_gauge,
                MetricKind::Histogram => metrics::Recorder::describe_histogram,
            };
            let unit = Some(spec.unit.of_recorder());
            describe(recorder, spec.name.into(), unit, spec.meaning.into());
        }
    });
}

static METADATA: Metadata<'static> = Metadata::new(TARGET, Level::INFO, Some(module_path!()));
