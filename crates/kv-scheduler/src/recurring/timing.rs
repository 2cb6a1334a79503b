//! When ticks are.

#[cfg(feature = "cron")]
use super::Cron;
use crate::stored::Unreadable;
use kv_core::{Error, ErrorKind, Result, Timestamp};
use serde::{Deserialize, Serialize};
use std::{fmt, ops::RangeInclusive, time::Duration};

/// The shortest distance of ticks, and the longest, in microseconds: 100 ms and a hundred years.
const DISTANCES: RangeInclusive<i64> = 100_000..=100 * 365 * 24 * 3600 * 1_000_000;

/// When ticks are, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Timing {
    #[serde(rename = "c")]
    Cron {
        #[serde(rename = "e")]
        expression: String,
        #[serde(rename = "z")]
        zone: String,
    },
    /// Microseconds from start to start.
    #[serde(rename = "r")]
    Rate(i64),
    /// Microseconds from end to start.
    #[serde(rename = "d")]
    Delay(i64),
}

impl Timing {
    /// So much later than the end of the last task.
    pub(crate) fn delay(&self) -> Option<Duration> {
        match self {
            Self::Delay(micros) => Some(span(*micros)),
            _ => None,
        }
    }

    /// The distance of ticks, where it is always the same.
    fn distance(&self) -> Option<i64> {
        match self {
            Self::Rate(micros) | Self::Delay(micros) => Some(*micros),
            Self::Cron { .. } => None,
        }
    }

    /// Whether a distance, and a span that ticks are put off by, make sense.
    pub(crate) fn check(&self, jitter: Duration) -> Result<()> {
        let refuse = |message: &str| {
            let error = Error::new(ErrorKind::InvalidArgument, message);
            Err(error.with_context("timing", self))
        };
        match self.distance() {
            Some(distance) if !DISTANCES.contains(&distance) => {
                refuse("an interval must be 100 ms to a hundred years: Every")
            }
            Some(distance) if jitter > span(distance) => {
                refuse("a jitter above the interval would mix up the ticks: Recurring::jitter")
            }
            _ => Ok(()),
        }
    }
}

/// As people read it.
impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron { expression, zone } => write!(f, "{expression} {zone}"),
            Self::Rate(micros) => write!(f, "every {:?}", span(*micros)),
            Self::Delay(micros) => write!(f, "{:?} after the end", span(*micros)),
        }
    }
}

/// When ticks are, ready to be asked.
#[derive(Debug)]
pub(crate) enum Rule {
    #[cfg(feature = "cron")]
    Cron(Cron),
    Rate(i64),
    Delay(i64),
}

impl Rule {
    /// # Errors
    /// A program without the feature `cron` leaves such schedules to others.
    pub(crate) fn parse(timing: &Timing) -> Result<Self, Unreadable> {
        match timing {
            Timing::Rate(micros) | Timing::Delay(micros) if *micros <= 0 => {
                Err(Unreadable::Damaged)
            }
            Timing::Rate(micros) => Ok(Self::Rate(*micros)),
            Timing::Delay(micros) => Ok(Self::Delay(*micros)),
            #[cfg(feature = "cron")]
            Timing::Cron { expression, zone } => Cron::read(expression)
                .and_then(|it| it.time_zone(zone))
                .map(Self::Cron)
                // Perhaps a newer program knows the zone.
                .map_err(|_| Unreadable::Later),
            #[cfg(not(feature = "cron"))]
            Timing::Cron { .. } => Err(Unreadable::Later),
        }
    }

    /// The first tick after an instant, of a schedule that begins now, or at `start`.
    pub(crate) fn first(&self, after: Timestamp, start: Option<Timestamp>) -> Option<Timestamp> {
        match (self, start) {
            (_, Some(start)) if start > after && !self.is_calendar() => Some(start),
            (Self::Rate(period), Some(start)) => count_on(start, *period, after),
            (Self::Rate(span) | Self::Delay(span), _) => later(after, *span),
            #[cfg(feature = "cron")]
            (Self::Cron(cron), start) => {
                let before = |it: Timestamp| Timestamp::from_micros(it.as_micros() - 1);
                cron.next(start.map_or(after, |start| after.max(before(start))))
            }
        }
    }

    /// The first tick after an instant, where `tick` is one that is not later than it. After the end of
    /// a task that ticks are counted from there is none yet.
    pub(crate) fn next(&self, tick: Timestamp, after: Timestamp) -> Option<Timestamp> {
        match self {
            #[cfg(feature = "cron")]
            Self::Cron(cron) => cron.next(after.max(tick)),
            Self::Rate(period) => count_on(tick, *period, after),
            Self::Delay(_) => None,
        }
    }

    /// Whether ticks are named by a calendar, not counted.
    fn is_calendar(&self) -> bool {
        !matches!(self, Self::Rate(_) | Self::Delay(_))
    }
}

/// The first of `tick + n * period` after an instant, with n of at least 1.
fn count_on(tick: Timestamp, period: i64, after: Timestamp) -> Option<Timestamp> {
    let passed = after.as_micros().checked_sub(tick.as_micros())?.max(0);
    later(tick, (passed / period).checked_add(1)?.checked_mul(period)?)
}

fn later(at: Timestamp, micros: i64) -> Option<Timestamp> {
    at.as_micros()
        .checked_add(micros)
        .map(Timestamp::from_micros)
}

fn span(micros: i64) -> Duration {
    Duration::from_micros(micros.max(0) as u64)
}
