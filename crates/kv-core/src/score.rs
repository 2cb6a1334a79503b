//! Scores of sorted-set members and ranges over them.

use crate::{Error, ErrorKind, Result, Timestamp};
use std::{cmp::Ordering, fmt};

/// The score of a member: any number but NaN; `-0.0` is `0.0`.
///
/// Whole numbers are exact up to 2^53, so a time in microseconds is and one in nanoseconds is not.
#[derive(Clone, Copy, PartialEq)]
pub struct Score(f64);

impl Score {
    /// Below every other score.
    pub const MIN: Self = Self(f64::NEG_INFINITY);
    /// Above every other score.
    pub const MAX: Self = Self(f64::INFINITY);

    /// Parses a score.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for NaN, which has no place in an order.
    pub fn new(number: f64) -> Result<Self> {
        if number.is_nan() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "a score must be a number, not NaN",
            ));
        }
        // Adding zero turns -0.0 into 0.0 and leaves the rest alone.
        Ok(Self(number + 0.0))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl fmt::Debug for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl TryFrom<f64> for Score {
    type Error = Error;

    fn try_from(number: f64) -> Result<Self> {
        Self::new(number)
    }
}

impl From<i32> for Score {
    fn from(number: i32) -> Self {
        Self(number.into())
    }
}

impl From<u32> for Score {
    fn from(number: u32) -> Self {
        Self(number.into())
    }
}

/// Microseconds since the epoch, exact until the year 2255.
impl From<Timestamp> for Score {
    fn from(time: Timestamp) -> Self {
        Self(time.as_micros() as f64)
    }
}

/// One end of a range of scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScoreBound {
    /// The range holds this score.
    Included(Score),
    /// The range ends just before this score.
    Excluded(Score),
}

/// A range of scores. Where the lower end is above the upper one it is empty, which is no error.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ScoreRange {
    /// The lower end.
    pub min: ScoreBound,
    /// The upper end.
    pub max: ScoreBound,
}

impl ScoreRange {
    /// Every score.
    pub const ALL: Self = Self {
        min: ScoreBound::Included(Score::MIN),
        max: ScoreBound::Included(Score::MAX),
    };

    /// A range by its two ends.
    pub fn new(min: impl Into<ScoreBound>, max: impl Into<ScoreBound>) -> Self {
        Self {
            min: min.into(),
            max: max.into(),
        }
    }

    /// Everything up to a score, which is included.
    pub fn up_to(max: Score) -> Self {
        Self::new(Score::MIN, max)
    }

    /// Whether a score lies in the range.
    pub fn contains(&self, score: Score) -> bool {
        let above = match self.min {
            ScoreBound::Included(min) => score >= min,
            ScoreBound::Excluded(min) => score > min,
        };
        let below = match self.max {
            ScoreBound::Included(max) => score <= max,
            ScoreBound::Excluded(max) => score < max,
        };
        above && below
    }
}

impl From<Score> for ScoreBound {
    fn from(score: Score) -> Self {
        Self::Included(score)
    }
}

/// Both ends included.
impl<A, B> TryFrom<(A, B)> for ScoreRange
where
    A: TryInto<Score>,
    B: TryInto<Score>,
    Error: From<A::Error> + From<B::Error>,
{
    type Error = Error;

    fn try_from((min, max): (A, B)) -> Result<Self> {
        Ok(Self::new(min.try_into()?, max.try_into()?))
    }
}

/// Which scores a read brings along: they cost a store and the network something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scores {
    /// Members only.
    #[default]
    Omit,
    /// Members with their scores.
    Include,
}

/// In which order a range is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Lowest score first, ties by the members' bytes.
    #[default]
    Ascending,
    /// The exact reverse.
    Descending,
}

/// How much of a range to read, and how.
///
/// ```
/// # use kv_core::{Order, RangeOptions, Scores};
/// let latest = RangeOptions::default().limit(10).order(Order::Descending).scores(Scores::Include);
/// # assert_eq!(latest.limit, Some(10));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RangeOptions {
    /// How many members to pass over first.
    pub offset: u32,
    /// How many members to return at most; `None` means all.
    pub limit: Option<u32>,
    /// From which end.
    pub order: Order,
    /// With or without scores.
    pub scores: Scores,
}

impl RangeOptions {
    /// Passes over this many members first.
    #[must_use]
    pub fn offset(mut self, offset: u32) -> Self {
        self.offset = offset;
        self
    }

    /// Returns at most this many members.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Reads from this end.
    #[must_use]
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// With or without scores.
    #[must_use]
    pub fn scores(mut self, scores: Scores) -> Self {
        self.scores = scores;
        self
    }
}
