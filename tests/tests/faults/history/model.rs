//! What one group of keys is: two counters, and jobs that are due or claimed.

use std::collections::BTreeSet;
use todc_utils::specifications::Specification;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Reads `x`.
    Get,
    /// Writes `x` if it is still what was seen.
    Swap { seen: Option<i64>, new: i64 },
    /// Adds 1 to `x`.
    Increment,
    /// Sets `x` to `seen - 1` and adds 1 to `y`, if `x` is still what was seen.
    Transfer { seen: i64 },
    /// Reads `x` and `y` at one moment.
    Both,
    /// Makes a job due.
    Add(u8),
    /// Claims the first job that is due.
    Claim,
    /// Removes a job that is claimed.
    Finish(u8),
}

/// What it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// `x`.
    Value(Option<i64>),
    /// Whether it was done.
    Done(bool),
    /// A sum.
    Sum(i64),
    /// Both.
    Pair(Option<i64>, Option<i64>),
    /// The job that was claimed.
    Job(Option<u8>),
    /// Nothing: it may have happened or not.
    Unknown,
    /// That it did not happen.
    NotApplied,
}

/// A call, and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) ask: Ask,
    pub(super) told: Told,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    x: Option<i64>,
    y: Option<i64>,
    due: BTreeSet<u8>,
    claimed: BTreeSet<u8>,
}

pub(super) struct Model;

impl Specification for Model {
    type State = State;
    type Operation = Step;

    fn init() -> State {
        State::default()
    }

    fn apply(step: &Step, state: &State) -> (bool, State) {
        if step.told == Told::NotApplied {
            return (true, state.clone());
        }
        let mut after = state.clone();
        let told = after.execute(&step.ask);
        // What nobody was told of and happens last is as good as what never happened.
        (step.told == Told::Unknown || step.told == told, after)
    }
}

impl State {
    fn execute(&mut self, ask: &Ask) -> Told {
        match *ask {
            Ask::Get => Told::Value(self.x),
            Ask::Swap { seen, new } => {
                let done = self.x == seen;
                if done {
                    self.x = Some(new);
                }
                Told::Done(done)
            }
            Ask::Increment => {
                let sum = self.x.unwrap_or(0) + 1;
                self.x = Some(sum);
                Told::Sum(sum)
            }
            Ask::Transfer { seen } => {
                let done = self.x == Some(seen);
                if done {
                    self.x = Some(seen - 1);
                    self.y = Some(self.y.unwrap_or(0) + 1);
                }
                Told::Done(done)
            }
            Ask::Both => Told::Pair(self.x, self.y),
            Ask::Add(job) => Told::Done(self.due.insert(job)),
            Ask::Claim => {
                let job = self.due.pop_first();
                self.claimed.extend(job);
                Told::Job(job)
            }
            Ask::Finish(job) => Told::Done(self.claimed.remove(&job)),
        }
    }
}
