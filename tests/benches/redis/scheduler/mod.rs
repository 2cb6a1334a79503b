//! The scheduler on Redis: against scripts written by hand where there is something to compare, else
//! against what it is to reach.

mod costs;
mod delay;
mod drain;
mod enqueue;

use crate::Bench;
use kv_tests::bench::Suite;

/// The rows.
pub(crate) fn rows(bench: &Bench, suite: &mut Suite) {
    drain::rows(bench, suite);
    enqueue::rows(bench, suite);
    delay::rows(suite);
    costs::rows(suite);
}
