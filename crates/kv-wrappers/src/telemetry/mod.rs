//! What the layers tell of themselves, each name once: metrics, their labels, and the fields of
//! spans and events. `docs/metrics.md` is made of these tables, and tests hold them against what is
//! really told.
//!
//! Metrics go to the recorder of the crate `metrics`, spans and events to the subscriber of
//! `tracing`. Both are the program's; install them before a stack is put together, since handles on
//! metrics are taken then, once. Without them the layers tell nobody, and pay next to nothing.

mod fields;
mod register;
mod table;

pub use self::{
    fields::FIELDS,
    table::{LABELS, METRICS},
};
pub(crate) use self::{
    register::{StoreName, describe},
    table::*,
};
pub use kv_core::telemetry::{
    DURATION_BUCKETS, FieldSpec, LabelSpec, MetricKind, MetricSpec, MetricUnit, TARGET,
};

#[cfg(test)]
mod tests;
