//! What a limit lets pass.

use super::ThrottleMode;
use crate::{Error, ErrorKind, Result};
use std::{num::NonZeroU64, time::Duration};

/// How much a limit lets pass. All numbers are whole and every sum that a decision needs stays below
/// 2^53, so that each store computes the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// The generic cell rate algorithm, a leaky bucket that needs one number: `count` per `period`
    /// on average, `burst` at once.
    Gcra(Gcra),
    /// At most `count` in each window of the store's clock; twice as many can pass around its edge.
    Fixed(Window),
    /// At most `count` in any window, estimated from the counts of this window and the last one.
    SlidingCounter(Window),
}

/// See [`Rule::gcra`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gcra {
    count: NonZeroU64,
    period: NonZeroU64,
    burst: NonZeroU64,
}

/// See [`Rule::fixed`] and [`Rule::sliding_counter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    count: NonZeroU64,
    length: NonZeroU64,
}

/// Whole numbers below this are exact on every store.
pub(super) const EXACT: u64 = 1 << 53;

/// What a rule may amount to: the sum of two such numbers, or of one and the time, is still exact.
/// The time itself gets here in 2112.
pub(super) const LIMIT: u64 = EXACT / 2;

impl Rule {
    /// `count` per `period` on average, and `burst` at once.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if one of them is zero, the period has a fraction of a
    /// microsecond, or `(burst + 1) * period` in microseconds is 2^52 (142 years) or more.
    pub fn gcra(count: u64, period: Duration, burst: u64) -> Result<Self> {
        let (count, burst) = (positive("count", count)?, positive("burst", burst)?);
        let period = micros("period", period)?;
        exact(burst.get().saturating_add(1).saturating_mul(period.get()))?;
        exact(count.get())?;
        Ok(Self::Gcra(Gcra {
            count,
            period,
            burst,
        }))
    }

    /// At most `count` in each window of this length.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if one of them is zero, the length has a fraction of a
    /// microsecond, or `(count + 1) * length` in microseconds is 2^52 (142 years) or more.
    pub fn fixed(count: u64, length: Duration) -> Result<Self> {
        Window::new(count, length).map(Self::Fixed)
    }

    /// At most `count` in any window of this length, estimated.
    ///
    /// # Errors
    /// As [`fixed`](Self::fixed).
    pub fn sliding_counter(count: u64, length: Duration) -> Result<Self> {
        Window::new(count, length).map(Self::SlidingCounter)
    }

    /// The most that one request can cost.
    pub fn max_cost(&self) -> u64 {
        match self {
            Self::Gcra(it) => it.burst(),
            Self::Fixed(it) | Self::SlidingCounter(it) => it.count(),
        }
    }

    /// Refuses a cost that this limit could never let pass, and a mode that it does not have.
    pub(crate) fn accepts(&self, cost: u64, mode: ThrottleMode) -> Result<()> {
        if cost == 0 {
            return Err(invalid("a cost must be at least 1; to look use Peek"));
        }
        if cost > self.max_cost() {
            return Err(invalid(format!(
                "the cost {cost} is above {}, the most that this limit lets pass at once; it would never be allowed",
                self.max_cost()
            )));
        }
        match (self, mode) {
            (Self::Gcra(it), ThrottleMode::Reserve { .. }) => it.accepts_wait(mode.max_wait()),
            (_, ThrottleMode::Reserve { .. }) => Err(invalid(
                "only a GCRA limit can be reserved; the others cannot be taken ahead of time",
            )),
            _ => Ok(()),
        }
    }
}

impl Gcra {
    /// How many per period.
    pub fn count(&self) -> u64 {
        self.count.get()
    }

    /// The period, in microseconds.
    pub fn period(&self) -> u64 {
        self.period.get()
    }

    /// How many at once.
    pub fn burst(&self) -> u64 {
        self.burst.get()
    }

    fn accepts_wait(&self, micros: u64) -> Result<()> {
        let burst = self.burst().saturating_add(1).saturating_mul(self.period());
        let sum = micros.saturating_mul(self.count()).saturating_add(burst);
        match sum < LIMIT {
            true => Ok(()),
            false => Err(invalid(
                "the time to wait is too long to be counted exactly; wait for a shorter time",
            )),
        }
    }
}

impl Window {
    fn new(count: u64, length: Duration) -> Result<Self> {
        let (count, length) = (positive("count", count)?, micros("window", length)?);
        exact(count.get().saturating_add(1).saturating_mul(length.get()))?;
        Ok(Self { count, length })
    }

    /// How many per window.
    pub fn count(&self) -> u64 {
        self.count.get()
    }

    /// The length of a window, in microseconds.
    pub fn length(&self) -> u64 {
        self.length.get()
    }
}

fn positive(what: &'static str, number: u64) -> Result<NonZeroU64> {
    NonZeroU64::new(number)
        .ok_or_else(|| invalid(format!("the {what} of a limit must not be zero")))
}

fn micros(what: &'static str, span: Duration) -> Result<NonZeroU64> {
    if !span.subsec_nanos().is_multiple_of(1000) {
        return Err(invalid(format!(
            "the {what} of a limit must be whole microseconds"
        )));
    }
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    positive(what, micros)
}

fn exact(number: u64) -> Result<()> {
    match number < LIMIT {
        true => Ok(()),
        false => Err(invalid(
            "the limit is too large to be counted exactly; use a shorter period or a smaller burst",
        )),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}
