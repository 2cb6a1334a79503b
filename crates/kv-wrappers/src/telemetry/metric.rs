//! What there is to say about a metric.

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
    /// The layer that tells it, as in a configuration.
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
