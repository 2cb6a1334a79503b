//! How a worker works.

use crate::{Priority, transitions::Order};
use kv_core::ClaimOrder;
use serde::{Deserialize, Serialize};
use std::{ops::RangeInclusive, time::Duration};

/// The shortest lease, and the longest.
pub(crate) const LEASES: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(24 * 3600);

/// How a worker works.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) lease: Duration,
    pub(crate) stop_within: Duration,
    pub(crate) keep_dead: Duration,
    /// Of what succeeded, and of what failed for good.
    pub(crate) most_kept: u64,
    pub(crate) serve: Serve,
    pub(crate) order: ClaimOrder,
    pub(crate) delivery: Delivery,
}

/// How often a task is begun whose worker dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Again, until it has ended: handlers should bear to be run twice.
    #[default]
    AtLeastOnce,
    /// Never again. The task leaves the store before its handler begins, with its unique key: it is not
    /// tried again after an error either, keeps no result, and tells no progress. A payload that does not
    /// decode, or [`Data`](crate::Data) that the worker was not given, ends it too. If the answer of the
    /// store is lost, it may never be begun.
    AtMostOnce,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            stop_within: Duration::from_secs(25),
            keep_dead: Duration::from_secs(30 * 24 * 3600),
            most_kept: 10_000,
            serve: Serve::default(),
            order: ClaimOrder::Strict,
            delivery: Delivery::default(),
        }
    }
}

impl Settings {
    /// How long to sleep at most, whatever the hints say: they can be lost.
    pub(crate) fn safety_tick(&self) -> Duration {
        Duration::from_secs(1).mul_f64(0.8 + 0.4 * fastrand::f64())
    }
}

/// In which order the priorities of a queue are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Serve {
    /// The higher priority first, as long as something of it is due.
    #[default]
    Strict,
    /// Each priority comes first in so many of all claims: high, normal, low. None starves whose weight
    /// is not zero.
    Weighted([u32; 3]),
}

impl Serve {
    pub(crate) fn next(self) -> Order {
        match self {
            Self::Strict => Priority::ALL,
            Self::Weighted(weights) => roll(weights, fastrand::f64()),
        }
    }
}

/// The first is drawn by weight; the others follow in their order.
fn roll(weights: [u32; 3], chance: f64) -> Order {
    let sum: u64 = weights.iter().map(|&it| u64::from(it)).sum();
    let mut left = (chance * sum as f64) as u64;
    let mut first = 0;
    for (index, &weight) in weights.iter().enumerate() {
        if left < u64::from(weight) {
            first = index;
            break;
        }
        left -= u64::from(weight);
    }
    let mut order = Priority::ALL;
    order[..=first].rotate_right(1);
    order
}

#[cfg(test)]
mod tests {
    use super::roll;
    use crate::Priority::{High, Low, Normal};

    #[test]
    fn the_first_is_drawn_by_weight_and_the_rest_keep_their_order() {
        let weights = [6, 3, 1];
        assert_eq!(roll(weights, 0.0), [High, Normal, Low]);
        assert_eq!(roll(weights, 0.59), [High, Normal, Low]);
        assert_eq!(roll(weights, 0.61), [Normal, High, Low]);
        assert_eq!(roll(weights, 0.95), [Low, High, Normal]);
        assert_eq!(roll([0, 0, 1], 0.0), [Low, High, Normal]);
        assert_eq!(roll([0, 0, 0], 0.5), [High, Normal, Low]);
    }
}
