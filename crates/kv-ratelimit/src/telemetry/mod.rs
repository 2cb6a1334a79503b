//! What limits tell of themselves, each name once: metrics, their labels, and the fields of spans.
//! `docs/metrics.md` is made of these tables, and tests hold them against what is really told.
//!
//! Metrics go to the recorder of the crate `metrics`, which is the program's; install it before a limiter is
//! made, since handles on metrics are kept. Without one nobody is told, at next to no cost. Neither the subject
//! of a limit nor the name of a budget is a label, since there is no end of them.

mod budgets;
mod meters;
pub(crate) mod spans;
mod table;
#[cfg(test)]
mod tests;

pub use self::table::{FIELDS, LABELS, METRICS};
pub(crate) use self::{budgets::BudgetMeters, meters::Meters, meters::policies_changed};
