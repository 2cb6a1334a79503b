//! Even distances.

use super::timing::Timing;
use std::time::Duration;

/// Even distances in time: from start to start, or from end to start.
///
/// Wall clocks play no part in it: an hour is an hour when clocks are changed. A distance is 100 ms at
/// least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Every(Timing);

impl Every {
    /// A tick each `period`, however long the tasks take: see [`Overlap`](super::Overlap).
    pub fn fixed_rate(period: Duration) -> Self {
        Self(Timing::Rate(micros(period)))
    }

    /// The next tick comes so much later than the last task has ended: succeeded, failed for good or
    /// been cancelled. Tasks never overlap, and none is missed. Where a task is begun at most once
    /// ([`Delivery::AtMostOnce`](crate::Delivery::AtMostOnce)) nobody hears of its end, and its beginning
    /// counts.
    pub fn fixed_delay(delay: Duration) -> Self {
        Self(Timing::Delay(micros(delay)))
    }
}

impl From<Every> for Timing {
    fn from(every: Every) -> Self {
        every.0
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
