//! Runs cases on a store: as one call, or as named tests.

use crate::{
    case::{Case, Outcome},
    cases,
    fixture::Fixture,
};
use futures_util::{StreamExt, stream};
use libtest_mimic::{Failed, Trial};
use std::fmt;
use tokio::runtime::Handle;

/// How many cases run at a time: most of them wait for deadlines.
const AT_A_TIME: usize = 8;

/// Runs every case on a store.
///
/// # Panics
/// Outside a tokio runtime. One with several threads makes races likelier to show.
pub async fn run(fixture: Fixture) -> Report {
    run_only(fixture, |_| true).await
}

/// Runs the cases that a filter lets through.
///
/// # Panics
/// As [`run`].
pub async fn run_only(fixture: Fixture, wanted: impl Fn(&Case) -> bool) -> Report {
    let wanted: Vec<&'static Case> = cases::all().filter(|case| wanted(case)).collect();
    let entries = stream::iter(wanted)
        .map(|case| {
            let fixture = &fixture;
            async move { (case, case.run(fixture).await) }
        })
        .buffered(AT_A_TIME)
        .collect()
        .await;
    Report {
        fixture: fixture.name().to_owned(),
        entries,
    }
}

/// The cases as tests named like `memory/bare/A-03 set then get`, for a test binary with
/// `harness = false`; they run on this runtime, which must have several threads.
///
/// A case that was refused, or could not be tried in full, says so on standard error.
pub fn trials(fixture: &Fixture, runtime: &Handle) -> Vec<Trial> {
    cases::all()
        .map(|case| {
            let name = format!("{}/{case}", fixture.name());
            let (fixture, runtime) = (fixture.clone(), runtime.clone());
            Trial::test(name.clone(), move || {
                match runtime.block_on(case.run(&fixture)) {
                    Outcome::Failed(failure) => Err(Failed::from(failure)),
                    Outcome::Passed { notes } if notes.is_empty() => Ok(()),
                    other => {
                        eprintln!("{name}: {other}");
                        Ok(())
                    }
                }
            })
        })
        .collect()
}

/// What every case came to.
#[derive(Debug)]
pub struct Report {
    fixture: String,
    entries: Vec<(&'static Case, Outcome)>,
}

impl Report {
    /// Each case with its outcome, in the order of the list.
    pub fn entries(&self) -> impl Iterator<Item = (&'static Case, &Outcome)> {
        self.entries.iter().map(|(case, outcome)| (*case, outcome))
    }

    /// The numbers of the cases that failed.
    pub fn failed(&self) -> Vec<u16> {
        let failed = self.entries().filter(|(_, it)| it.failure().is_some());
        failed.map(|(case, _)| case.id).collect()
    }

    /// Ends a test.
    ///
    /// # Panics
    /// If a case failed, with the whole report.
    pub fn assert_passed(&self) {
        assert!(self.failed().is_empty(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |wanted: fn(&Outcome) -> bool| {
            let entries = self.entries.iter();
            entries.filter(|(_, outcome)| wanted(outcome)).count()
        };
        writeln!(
            f,
            "{}: {} passed, {} refused, {} failed",
            self.fixture,
            count(|it| matches!(it, Outcome::Passed { .. })),
            count(|it| matches!(it, Outcome::Refused(_))),
            count(|it| matches!(it, Outcome::Failed(_))),
        )?;
        for (case, outcome) in &self.entries {
            writeln!(f, "  {case}: {outcome}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
