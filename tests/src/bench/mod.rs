//! Measures a contender against a reference, side by side.
//!
//! Both do the same number of operations in turns: contender first, reference first, contender
//! first. What disturbs the machine for longer than a turn disturbs both, so the ratio of the two
//! turns of a pair holds still where absolute numbers swing. A row's result is the median over the
//! pairs with its 95 % interval by order statistics, which assumes nothing about how the noise is
//! distributed; the row is met when that interval reaches the target.
//!
//! ```text
//! cargo bench -p kv-tests --bench redis -- [--json] [--smoke] [--pairs N] [FILTER…]
//! ```
//!
//! `--json` prints one object a line: `name`, `ours`, `reference`, `unit`, `ratio`, `lo`, `hi`,
//! `target`, `met` (both null where a row only tells), and beside them what `judged` says is compared (see [`Judged`]), client CPU and
//! the server's calls and CPU per operation. `--smoke` runs every row for an instant, to see that it
//! still runs; its numbers mean nothing.

mod args;
mod claim;
mod pairs;
mod row;
mod stats;
mod suite;

pub use self::{
    args::{Args, Effort, Output},
    claim::{Claim, Figure, Judged},
    pairs::{Contest, Meter, Pairs, Reading, Side, Size, Turn},
    row::{Costs, Row},
    stats::Estimate,
    suite::Suite,
};

/// Why something could not be measured.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How an attempt to measure ended.
pub type Outcome<T = ()> = Result<T, Failure>;
