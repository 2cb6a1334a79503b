//! The same random commands on several stores, which have to give the same replies.
//!
//! One seed makes one trace. The trace is cut into lanes, each with hot keys of its own; lanes run
//! side by side, the commands of a lane one after another, each on all stores before the next.
//! Replies are compared by what the contract promises: errors by kind and outcome, hashes and scans
//! without order, remaining lifetimes with a tolerance, since every store has its own clock. What the
//! clock tells, a score or a token, is compared by the hour or for growth; of a limit what does not
//! depend on when it is asked.

mod answer;
mod generate;
mod lane;
mod material;
mod minimise;
mod mismatch;
mod step;
mod summary;
mod tokens;

use futures_util::stream::{FuturesUnordered, StreamExt};
use kv_core::{Capability, CapabilitySet, Kv, Result, Timestamp};
use std::{error, fmt, time::Duration};

pub use self::{
    mismatch::{Mismatch, Said},
    summary::{Floors, Summary},
};

use self::{generate::Generator, lane::Lane, mismatch::Divergence};

/// A differential test: how much to run, and from which seed.
///
/// ```
/// # async fn run(memory: kv_core::Kv, redis: kv_core::Kv) -> Result<(), Box<dyn std::error::Error>> {
/// use kv_conformance::differential::{Differential, Floors};
/// let summary = Differential::new(7).commands(100_000).run(&memory, &[redis]).await?;
/// println!("{summary}");
/// summary.check(Floors::default())?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Differential {
    seed: u64,
    commands: usize,
    lanes: usize,
    tolerance: Duration,
}

impl Differential {
    /// 10,000 commands in 16 lanes of 36 hot keys each.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            commands: 10_000,
            lanes: 16,
            tolerance: Duration::from_secs(60),
        }
    }

    /// With this many commands in all lanes together, rounded up to whole lanes.
    #[must_use]
    pub fn commands(mut self, commands: usize) -> Self {
        self.commands = commands;
        self
    }

    /// With this many lanes, at least one: how many commands are under way at the same time.
    #[must_use]
    pub fn lanes(mut self, lanes: usize) -> Self {
        self.lanes = lanes.max(1);
        self
    }

    /// With this much difference allowed between remaining lifetimes; a minute by default. The trace's
    /// are hours apart, so that less than one still tells a wrong lifetime from a late one.
    #[must_use]
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Runs the trace on all stores. Commands that one of them lacks are left out of it.
    ///
    /// It writes below prefixes of its own, which name the seed, and clears them before and after.
    ///
    /// # Errors
    /// The first [`Mismatch`], with the shortest trace that still shows it, if one was found; or
    /// [`Failure::Store`] if a store could not be asked for its time or be cleared.
    pub async fn run(&self, reference: &Kv, others: &[Kv]) -> Result<Summary, Failure> {
        let stores: Vec<&Kv> = [reference].into_iter().chain(others).collect();
        let common = Common {
            can: common(&stores),
        };
        let now = reference.now().await?;
        let mut running: FuturesUnordered<_> = (0..self.lanes)
            .map(|number| self.lane(number, common, now, &stores))
            .collect();
        let mut summary = Summary::new(self.seed, common.can);
        while let Some(ended) = running.next().await {
            match ended? {
                Ok(lane) => summary.add(&lane),
                Err(divergence) => {
                    // The other lanes stop, so that the search for a short trace has the stores to
                    // itself.
                    drop(running);
                    return Err(self.explain(*divergence, &stores).await.into());
                }
            }
        }
        Ok(summary)
    }

    async fn lane(
        &self,
        number: usize,
        common: Common,
        now: Timestamp,
        stores: &[&Kv],
    ) -> Result<Result<Summary, Box<Divergence>>> {
        let lane = Lane::new(self.seed, number, now).tolerance(self.tolerance);
        let steps = Generator::new(&lane, common).trace(self.commands.div_ceil(self.lanes));
        lane.clear(stores).await?;
        let ended = lane.run(&steps, stores).await;
        lane.clear(stores).await?;
        Ok(ended.map_err(|failed| {
            Box::new(Divergence {
                lane,
                steps,
                failed,
            })
        }))
    }

    async fn explain(&self, divergence: Divergence, stores: &[&Kv]) -> Mismatch {
        let short = minimise::minimise(&divergence, stores).await;
        Mismatch::new(self.seed, &divergence, short.as_deref(), stores)
    }
}

/// Why a differential test did not pass.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// Two stores answered the same command differently.
    Mismatch(Box<Mismatch>),
    /// A store could not be prepared for the test.
    Store(kv_core::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mismatch(mismatch) => mismatch.fmt(f),
            Self::Store(error) => write!(f, "a store could not be prepared: {error}"),
        }
    }
}

impl error::Error for Failure {}

impl From<Mismatch> for Failure {
    fn from(mismatch: Mismatch) -> Self {
        Self::Mismatch(Box::new(mismatch))
    }
}

impl From<kv_core::Error> for Failure {
    fn from(error: kv_core::Error) -> Self {
        Self::Store(error)
    }
}

/// What all stores do.
#[derive(Clone, Copy, Debug)]
struct Common {
    can: CapabilitySet,
}

fn common(stores: &[&Kv]) -> CapabilitySet {
    let all = Capability::ALL.iter().copied();
    all.filter(|&it| stores.iter().all(|kv| kv.capabilities().has(it)))
        .collect()
}

#[cfg(test)]
mod tests;
