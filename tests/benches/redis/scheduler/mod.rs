//! The scheduler on Redis: against scripts written by hand where there is something to compare, else
//! against what it is to reach.

mod costs;
mod delay;
mod drain;
mod enqueue;

use crate::Bench;
use kv_tests::bench::{Claim, Effort, Figure, Judged, Outcome, Row, Suite};

/// The rows.
pub(crate) fn rows(bench: &Bench, suite: &mut Suite) {
    drain::rows(bench, suite);
    enqueue::rows(bench, suite);
    delay::rows(suite);
    costs::rows(suite);
}

/// Ours alone, at most this.
fn at_most(name: &str, figure: Figure, target: f64) -> Claim {
    Claim {
        name: name.to_owned(),
        figure,
        judged: Judged::Ours,
        target: Some(target),
    }
}

/// Reports one figure, measured several times, if the row is wanted.
fn report(
    suite: &mut Suite,
    claim: &Claim,
    rounds: usize,
    mut measure: impl FnMut() -> Outcome<f64>,
) {
    if !suite.want(&claim.name) {
        return;
    }
    let rounds = match suite.effort() {
        Effort::Full { .. } => rounds,
        Effort::Smoke => 1,
    };
    let figures: Outcome<Vec<_>> = (0..rounds).map(|_| Ok((measure()?, 0.0))).collect();
    match figures {
        Ok(figures) => suite.report(Row::of_figures(claim, figures)),
        Err(failure) => suite.fail(&claim.name, failure),
    }
}
