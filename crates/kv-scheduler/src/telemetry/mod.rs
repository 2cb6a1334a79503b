//! What schedulers and workers tell of themselves, each name once: metrics, their labels, and the fields
//! of spans. `docs/metrics.md` is made of these tables, and tests hold them against what is really told.
//!
//! Metrics go to the recorder of the crate `metrics`, spans to the subscriber of `tracing`, both under
//! the target `kv`. Both are the program's; install them before a scheduler is made, since handles on
//! metrics are kept. Without them nobody is told, at next to no cost.

mod meters;
mod spans;
mod table;

#[cfg(test)]
mod tests;

pub use self::table::{FIELDS, LABELS, METRICS};
pub(crate) use self::{
    meters::{Failed, QueueMeters, Scheduled},
    spans::{Fail, enqueue, enqueue_many, process},
};
