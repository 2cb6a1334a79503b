use super::Fault;
use fastrand::Rng;
use kv_core::{Error, ErrorKind, Result};
use std::{collections::VecDeque, fmt, time::Duration};

/// Which fault each call meets.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Plan {
    /// By chance: the same seed gives the same faults to the same sequence of calls.
    Random {
        /// Where the random numbers start.
        seed: u64,
        /// How likely each fault is.
        odds: Odds,
    },
    /// These, one for each call in turn; none after the last.
    Script(Vec<Fault>),
}

impl Plan {
    /// Faults by chance.
    pub fn random(seed: u64, odds: Odds) -> Self {
        Self::Random { seed, odds }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random { seed, odds } => write!(f, "seed {seed}, {odds}"),
            Self::Script(faults) => write!(f, "script of {}", faults.len()),
        }
    }
}

/// How likely each fault is: shares of all calls, together at most one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Odds {
    steps: Vec<(Fault, f64)>,
}

impl Odds {
    /// No faults; add some with [`and`](Self::and).
    pub fn none() -> Self {
        Self::default()
    }

    /// Of a hundred calls five fail before they are sent, five lose their reply, and five are held
    /// back for 5 ms.
    pub fn usual() -> Self {
        let delay = Fault::Delay(Duration::from_millis(5));
        let faults = [Fault::FailBefore, Fault::ApplyThenFail, delay];
        Self {
            steps: faults.map(|it| (it, 0.05)).into(),
        }
    }

    /// And this fault in this share of the calls, from 0 to 1.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the share is not from 0 to 1, or all together exceed 1.
    pub fn and(mut self, fault: Fault, share: f64) -> Result<Self> {
        let refuse = |what: &str| {
            Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("{what}; write 0.1 for every tenth call"),
            )
            .with_context("fault", format_args!("{fault:?}"))
            .with_context("share", share))
        };
        if !(0.0..=1.0).contains(&share) {
            return refuse("the share of a fault must be from 0 to 1");
        }
        if self.total() + share > 1.0 + 1e-9 {
            return refuse("the shares of all faults together must not exceed 1");
        }
        if share > 0.0 {
            self.steps.push((fault, share));
        }
        Ok(self)
    }

    fn total(&self) -> f64 {
        self.steps.iter().map(|(_, share)| share).sum()
    }

    /// The fault at this point between 0 and 1.
    fn at(&self, mut point: f64) -> Fault {
        for &(fault, share) in &self.steps {
            if point < share {
                return fault;
            }
            point -= share;
        }
        Fault::None
    }
}

impl fmt::Display for Odds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (fault, share)) in self.steps.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(f, "{comma}{fault:?} {share}")?;
        }
        Ok(())
    }
}

/// A plan under way.
pub(super) enum Source {
    Random { rng: Rng, odds: Odds },
    Script(VecDeque<Fault>),
}

impl Source {
    pub(super) fn new(plan: Plan) -> Self {
        match plan {
            Plan::Random { seed, odds } => Self::Random {
                rng: Rng::with_seed(seed),
                odds,
            },
            Plan::Script(faults) => Self::Script(faults.into()),
        }
    }

    pub(super) fn next(&mut self) -> Fault {
        match self {
            Self::Random { rng, odds } => odds.at(rng.f64()),
            Self::Script(faults) => faults.pop_front().unwrap_or_default(),
        }
    }
}

/// The delay of a plan that names none.
pub(super) const USUAL_DELAY: Duration = Duration::from_millis(50);
