//! Scores that may be told by the store's clock.

use crate::{Error, Result, Score, ScoreBound, ScoreRange, Timestamp};
use std::time::Duration;

/// A score, or an instant of the store's clock as a score: microseconds since the Unix epoch.
///
/// What is relative is made a number once per call, on the store: all of a call agree on it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum RelativeScore {
    /// This score.
    Exact(Score),
    /// The store's time, this many microseconds later; earlier if negative.
    Now(i64),
}

impl RelativeScore {
    /// The store's time.
    pub const NOW: Self = Self::Now(0);

    /// The store's time, this much later. Fractions of a microsecond are cut.
    pub fn after(span: Duration) -> Self {
        Self::Now(micros(span))
    }

    /// The store's time, this much earlier. Fractions of a microsecond are cut.
    pub fn before(span: Duration) -> Self {
        Self::Now(-micros(span))
    }

    /// The score, where the store's time is this.
    pub fn at(self, now: Timestamp) -> Score {
        match self {
            Self::Exact(score) => score,
            Self::Now(offset) => Score::from(Timestamp::from_micros(
                now.as_micros().saturating_add(offset),
            )),
        }
    }

    /// Whether the store's clock must be read to tell the score.
    pub fn is_relative(self) -> bool {
        matches!(self, Self::Now(_))
    }
}

impl From<Score> for RelativeScore {
    fn from(score: Score) -> Self {
        Self::Exact(score)
    }
}

impl From<i32> for RelativeScore {
    fn from(number: i32) -> Self {
        Self::Exact(number.into())
    }
}

impl From<u32> for RelativeScore {
    fn from(number: u32) -> Self {
        Self::Exact(number.into())
    }
}

/// Microseconds since the epoch, as the store's own time.
impl From<Timestamp> for RelativeScore {
    fn from(time: Timestamp) -> Self {
        Self::Exact(time.into())
    }
}

impl TryFrom<f64> for RelativeScore {
    type Error = Error;

    fn try_from(number: f64) -> Result<Self> {
        Ok(Self::Exact(number.try_into()?))
    }
}

/// One end of a range of scores, which may be told by the store's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RelativeBound {
    /// The range holds this score.
    Included(RelativeScore),
    /// The range ends just before this score.
    Excluded(RelativeScore),
}

impl RelativeBound {
    /// The score at this end.
    pub fn score(self) -> RelativeScore {
        match self {
            Self::Included(score) | Self::Excluded(score) => score,
        }
    }

    fn at(self, now: Timestamp) -> ScoreBound {
        match self {
            Self::Included(score) => ScoreBound::Included(score.at(now)),
            Self::Excluded(score) => ScoreBound::Excluded(score.at(now)),
        }
    }
}

impl From<ScoreBound> for RelativeBound {
    fn from(bound: ScoreBound) -> Self {
        match bound {
            ScoreBound::Included(score) => Self::Included(RelativeScore::Exact(score)),
            ScoreBound::Excluded(score) => Self::Excluded(RelativeScore::Exact(score)),
        }
    }
}

impl From<RelativeScore> for RelativeBound {
    fn from(score: RelativeScore) -> Self {
        Self::Included(score)
    }
}

/// A range of scores whose ends may be told by the store's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RelativeRange {
    /// The lower end.
    pub min: RelativeBound,
    /// The upper end.
    pub max: RelativeBound,
}

impl RelativeRange {
    /// Every score.
    pub const ALL: Self = Self {
        min: RelativeBound::Included(RelativeScore::Exact(Score::MIN)),
        max: RelativeBound::Included(RelativeScore::Exact(Score::MAX)),
    };

    /// A range by its two ends.
    pub fn new(min: impl Into<RelativeBound>, max: impl Into<RelativeBound>) -> Self {
        Self {
            min: min.into(),
            max: max.into(),
        }
    }

    /// Everything up to a score, which is included.
    pub fn up_to(max: RelativeScore) -> Self {
        Self::new(Self::ALL.min, max)
    }

    /// Everything above a score, which is left out.
    pub fn above(min: RelativeScore) -> Self {
        Self::new(RelativeBound::Excluded(min), Self::ALL.max)
    }

    /// The range, where the store's time is this.
    pub fn at(self, now: Timestamp) -> ScoreRange {
        ScoreRange::new(self.min.at(now), self.max.at(now))
    }

    /// Whether the store's clock must be read to tell the range.
    pub fn is_relative(self) -> bool {
        self.min.score().is_relative() || self.max.score().is_relative()
    }
}

impl From<ScoreRange> for RelativeRange {
    fn from(range: ScoreRange) -> Self {
        Self::new(range.min, range.max)
    }
}

/// No span is cut: `i64` microseconds are 292,000 years.
fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
