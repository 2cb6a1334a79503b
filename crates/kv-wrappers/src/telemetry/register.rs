//! Handles on metrics, taken once.

use super::{METRICS, MetricKind, MetricSpec};
use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, SharedString};

/// The store's name in metrics.
#[derive(Clone, Debug)]
pub(crate) struct StoreName(SharedString);

impl StoreName {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self(name.into().into())
    }

    pub(crate) fn label(&self) -> SharedString {
        self.0.clone()
    }
}

impl Default for StoreName {
    fn default() -> Self {
        Self(SharedString::const_str("unnamed"))
    }
}

impl MetricSpec {
    /// A handle with these values for the labels, in their order; an empty one is left out.
    pub(crate) fn counter(&self, values: impl IntoIterator<Item = SharedString>) -> Counter {
        let key = self.key(values);
        metrics::with_recorder(|it| it.register_counter(&key, &METADATA))
    }

    pub(crate) fn gauge(&self, values: impl IntoIterator<Item = SharedString>) -> Gauge {
        let key = self.key(values);
        metrics::with_recorder(|it| it.register_gauge(&key, &METADATA))
    }

    pub(crate) fn histogram(&self, values: impl IntoIterator<Item = SharedString>) -> Histogram {
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

/// Tells the recorder what a layer's metrics mean.
pub(crate) fn describe(layer: &str) {
    metrics::with_recorder(|recorder| {
        for spec in METRICS.iter().filter(|it| it.layer == layer) {
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

static METADATA: Metadata<'static> =
    Metadata::new(super::TARGET, Level::INFO, Some(module_path!()));
