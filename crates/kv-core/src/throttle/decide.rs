//! The decision about a whole throttle: a function of the states that are stored and of the time.

use super::{
    Limit, LimitState, Throttle, ThrottleMode, Throttled,
    fixed::Counter,
    gcra::Bucket,
    level::Level,
    rule::{LIMIT, Rule},
    sliding::Counters,
    state::{State, StateText},
};
use crate::{Error, ErrorKind, Key, Result, Timestamp};
use std::time::Duration;

/// What a decision comes to: the answer, and what a provider has to write with it, in the same
/// atomic step as the states were read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThrottleStep {
    /// The answer.
    pub reply: Throttled,
    /// What to write at each limit's key, in the order of the request.
    pub writes: Vec<StateWrite>,
}

/// What to write at a limit's key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateWrite {
    /// Nothing.
    Keep,
    /// This text, until this instant; then the limit is unused.
    Put {
        /// The text.
        state: StateText,
        /// The deadline. A store that counts in coarser steps rounds up.
        deadline: Timestamp,
    },
    /// Nothing is used any more: delete the key.
    Delete,
}

impl Throttle {
    /// Decides at this time, on the states that `read` finds. Nothing is written.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a cost or a mode that a limit does not take;
    /// [`ErrorKind::Codec`] for a text that is no state; else `read`'s. All name the limit's key.
    pub fn decide<T: AsRef<[u8]>>(
        &self,
        now: Timestamp,
        read: impl FnMut(&Key) -> Result<Option<T>>,
    ) -> Result<ThrottleStep> {
        self.decide_among_clocks(now, Duration::ZERO, read)
    }

    /// As [`decide`](Self::decide), where each client decides by its own clock and these may differ by
    /// so much: a [`Rule::Gcra`] whose state is further ahead than its own burst, but not by more than that, is
    /// taken as it is. To cut it to the burst would let more pass each time that the clock behind is asked.
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    pub fn decide_among_clocks<T: AsRef<[u8]>>(
        &self,
        now: Timestamp,
        skew: Duration,
        mut read: impl FnMut(&Key) -> Result<Option<T>>,
    ) -> Result<ThrottleStep> {
        let judge = |limit: &Limit| {
            let text = read(&limit.key)?;
            self.judge(limit, now, skew, text.as_ref().map(AsRef::as_ref))
        };
        let judged = self.limits.iter().map(judge);
        let judged: Vec<Judged> = judged.collect::<Result<_>>()?;
        let allowed = judged.iter().all(|it| it.allowed);
        let (states, writes) = judged.iter().map(|it| it.settle(allowed, now)).unzip();
        Ok(ThrottleStep {
            reply: Throttled::new(now, allowed, states),
            writes,
        })
    }

    /// As [`decide`](Self::decide), as if `limit` were the only one: what most requests need, without
    /// a list of it.
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    #[inline]
    pub fn decide_alone(
        &self,
        limit: &Limit,
        now: Timestamp,
        text: Option<&[u8]>,
    ) -> Result<(LimitState, StateWrite)> {
        let judged = self.judge(limit, now, Duration::ZERO, text)?;
        Ok(judged.settle(judged.allowed, now))
    }

    fn judge(
        &self,
        limit: &Limit,
        now: Timestamp,
        skew: Duration,
        text: Option<&[u8]>,
    ) -> Result<Judged> {
        let micros = u64::try_from(now.as_micros()).unwrap_or(0).min(LIMIT - 1);
        let skew = u64::try_from(skew.as_micros()).unwrap_or(u64::MAX);
        let rule = &limit.rule;
        let judged = rule
            .accepts(self.cost, self.mode)
            .and_then(|()| rule.judge(text, (micros, skew), self.cost, self.mode));
        judged.map_err(|error| error.with_key(&limit.key))
    }
}

/// What one limit says by itself.
#[derive(Clone, Copy)]
struct Judged {
    allowed: bool,
    wait: u64,
    /// How much is used if all limits allow the request, ...
    granted: Used,
    /// ... and if one does not.
    denied: Used,
    writes: Writes,
}

/// How much of a limit is used, by its rule. What that comes to takes some divisions: it is asked
/// once, when the decision is known.
#[derive(Clone, Copy)]
enum Used {
    Gcra(Bucket),
    Fixed(Counter),
    Sliding(Counters),
}

/// What has to be written.
#[derive(Clone, Copy)]
struct Writes {
    granted: bool,
    denied: bool,
}

impl Judged {
    /// The answer, and what to write, once it is known whether all limits allow the request.
    #[inline]
    fn settle(&self, allowed: bool, now: Timestamp) -> (LimitState, StateWrite) {
        let (used, due) = match allowed {
            true => (self.granted, self.writes.granted),
            false => (self.denied, self.writes.denied),
        };
        let standing = match used {
            Used::Gcra(it) => it.standing(),
            Used::Fixed(it) => it.standing(),
            Used::Sliding(it) => it.standing(),
        };
        let write = match standing.state {
            _ if !due => StateWrite::Keep,
            None => StateWrite::Delete,
            Some(state) => StateWrite::Put {
                state: state.print(),
                deadline: now.saturating_add(Duration::from_micros(standing.reset)),
            },
        };
        let state = LimitState::new(self.allowed, standing.remaining, self.wait, standing.reset);
        (state, write)
    }
}

impl Rule {
    /// What this limit says. The cost and the mode are accepted.
    fn judge(
        &self,
        text: Option<&[u8]>,
        (now, skew): (u64, u64),
        cost: u64,
        mode: ThrottleMode,
    ) -> Result<Judged> {
        let state = text.map(|text| State::parse(text).ok_or_else(corrupt));
        let state = state.transpose()?;
        Ok(match self {
            Self::Gcra(rule) => judge(Bucket::read(rule, state, now, skew), cost, mode, Used::Gcra),
            Self::Fixed(rule) => judge(Counter::read(rule, state, now), cost, mode, Used::Fixed),
            Self::SlidingCounter(rule) => {
                judge(Counters::read(rule, state, now), cost, mode, Used::Sliding)
            }
        })
    }
}

fn judge<L: Level>(level: L, cost: u64, mode: ThrottleMode, used: fn(L) -> Used) -> Judged {
    let (allowed, wait, granted) = match mode {
        ThrottleMode::Refund => (true, 0, level.give_back(cost)),
        _ => {
            let wait = level.wait_for(cost);
            let allowed = wait <= mode.max_wait();
            let granted = match allowed && mode != ThrottleMode::Peek {
                true => level.take(cost),
                false => level,
            };
            (allowed, wait, granted)
        }
    };
    let writes = match mode {
        ThrottleMode::Peek => Writes {
            granted: false,
            denied: false,
        },
        // Giving back to an unused limit leaves it as it is.
        ThrottleMode::Refund => Writes {
            granted: level.standing().state.is_some(),
            denied: false,
        },
        _ => Writes {
            granted: true,
            denied: level.is_cut(),
        },
    };
    Judged {
        allowed,
        wait,
        granted: used(granted),
        denied: used(level),
        writes,
    }
}

fn corrupt() -> Error {
    Error::new(
        ErrorKind::Codec,
        "what is stored is no state of a limit; nothing else may write this key; delete it to reset the limit",
    )
}
