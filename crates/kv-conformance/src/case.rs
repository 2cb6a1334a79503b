//! One behaviour of the contract, and what a run of it came to.

use crate::{
    bench::Bench,
    failure::{Failure, Verdict},
    fixture::Fixture,
    refusal,
};
use kv_core::{BoxFuture, Capability, Kv};
use std::{fmt, time::Duration};
use tokio::time::timeout;

/// How long the removal of a case's keys may take.
const CLEANING: Duration = Duration::from_secs(20);

/// One behaviour of the contract.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Case {
    /// Its number in the list of cases.
    pub id: u16,
    /// The section of the list, `A` to `J`.
    pub section: char,
    /// What it is about.
    pub title: &'static str,
    /// What a store must be able to do to be asked this. One that lacks any of it must refuse.
    pub needs: &'static [Capability],
    run: fn(Bench) -> BoxFuture<'static, Verdict>,
}

impl Case {
    pub(crate) const fn new(
        id: u16,
        section: char,
        title: &'static str,
        needs: &'static [Capability],
        run: fn(Bench) -> BoxFuture<'static, Verdict>,
    ) -> Self {
        Self {
            id,
            section,
            title,
            needs,
            run,
        }
    }

    /// Runs the case on a store, in a task of its own, under the fixture's deadline.
    pub async fn run(&self, fixture: &Fixture) -> Outcome {
        let opener = fixture.backend();
        let kv = match opener().await {
            Ok(kv) => kv,
            Err(error) => {
                let message = format!("the store could not be opened: {error}");
                return Outcome::Failed(Failure::of_the_run(message));
            }
        };
        let lacked = self.lacked(&kv);
        if !lacked.is_empty() {
            return self.refuse(kv, lacked).await;
        }
        // Nobody else has this root, so a shared server is safe and cases run side by side.
        let root = format!("conformance:{:016x}:{}:", fastrand::u64(..), self.id);
        let settings = fixture.known().clone();
        let deadline = settings.case_deadline;
        let bench = Bench::new(kv, root, opener, fixture.handles(), settings);

        let mut task = tokio::spawn((self.run)(bench.clone()));
        let verdict = match timeout(deadline, &mut task).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(died)) => Err(Failure::of_the_run(format!("the case died: {died}"))),
            Err(_) => {
                task.abort();
                let message = format!("hung: no verdict within {deadline:?}");
                Err(Failure::of_the_run(message))
            }
        };
        let mut notes = bench.take_notes();
        match timeout(CLEANING, bench.clean()).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => notes.push(format!("its keys could not be removed: {failure}")),
            Err(_) => notes.push(format!("its keys could not be removed within {CLEANING:?}")),
        }
        match verdict {
            Ok(()) => Outcome::Passed { notes },
            Err(failure) => Outcome::Failed(failure),
        }
    }

    fn lacked(&self, kv: &Kv) -> Vec<Capability> {
        let capabilities = kv.capabilities();
        let lacks = |it: &Capability| !capabilities.has(*it);
        self.needs.iter().copied().filter(lacks).collect()
    }

    async fn refuse(&self, kv: Kv, lacked: Vec<Capability>) -> Outcome {
        let mut verdict = Ok(());
        for &capability in &lacked {
            let refused = timeout(CLEANING, refusal::refuses(&kv, capability)).await;
            verdict = verdict.and(refused.unwrap_or_else(|_| {
                let message = format!("hung where it should refuse {capability}");
                Err(Failure::of_the_run(message))
            }));
        }
        kv.close().await;
        match verdict {
            Ok(()) => Outcome::Refused(lacked),
            Err(failure) => Outcome::Failed(failure),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:02} {}", self.section, self.id, self.title)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({self})")
    }
}

/// What a run of a case came to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The store keeps this part of the contract.
    Passed {
        /// What could not be tried here, and why.
        notes: Vec<String>,
    },
    /// The store does not claim these capabilities, and refused commands that need them.
    Refused(Vec<Capability>),
    /// The store breaks this part of the contract.
    Failed(Failure),
}

impl Outcome {
    /// What was broken, if anything.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            _ => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed { notes } if notes.is_empty() => f.write_str("passed"),
            Self::Passed { notes } => write!(f, "passed, but {}", notes.join("; ")),
            Self::Refused(lacked) => {
                let names: Vec<_> = lacked.iter().map(|it| it.name()).collect();
                write!(f, "refused, as it should be without {}", names.join(", "))
            }
            Self::Failed(failure) => write!(f, "FAILED: {failure}"),
        }
    }
}
