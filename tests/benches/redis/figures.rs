//! Rows of one figure that is held against what it is to reach.

use kv_tests::bench::{Claim, Effort, Figure, Judged, Outcome, Row, Suite};

/// Ours alone, at most this.
pub(crate) fn at_most(name: &str, figure: Figure, target: f64) -> Claim {
    Claim {
        name: name.to_owned(),
        figure,
        judged: Judged::Ours,
        target: Some(target),
    }
}

/// Reports one figure, measured several times, if the row is wanted.
pub(crate) fn report(
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
