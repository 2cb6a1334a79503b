//! The store's name in metrics, and what they mean.

use super::METRICS;
use kv_core::telemetry;
use metrics::SharedString;

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

/// Tells the recorder what a layer's metrics mean.
pub(crate) fn describe(layer: &str) {
    telemetry::describe(METRICS.iter().filter(|it| it.layer == layer));
}
