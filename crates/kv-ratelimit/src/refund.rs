//! What can be given back of what a decision took: what has not flowed back by itself since then.

use crate::quota::{Kind, Quota};
use kv_core::Rule;
use std::{cmp::Ordering, time::Duration};

/// What to give back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refund {
    /// So many units.
    Units(u64),
    /// A part of them, counted in microseconds of what flows back.
    Time(u64),
    Nothing,
}

impl Refund {
    /// Of a request of this cost, if by what was known when it was decided the limit is unused from `unused_at` on.
    ///
    /// What others have taken meanwhile only makes it later, so this is never too much: as if the request had
    /// never been made, all the others would have found the limit as full as they have left it.
    pub(crate) fn of(quota: &Quota, cost: u64, unused_at: Duration, now: Duration) -> Self {
        let left = unused_at.saturating_sub(now);
        let unless = |is_over: bool| match is_over {
            true => Self::Nothing,
            false => Self::Units(cost),
        };
        match quota.kind() {
            // They are told by their number, or their window, what was taken.
            Kind::Log { .. } | Kind::Calendar { .. } => Self::Units(cost),
            Kind::Concurrent { .. } => Self::Nothing,
            Kind::Rule(Rule::Gcra(gcra)) => {
                let left = left.as_micros().saturating_mul(u128::from(gcra.count()));
                let taken = u128::from(cost) * u128::from(gcra.period());
                match left.cmp(&taken) {
                    Ordering::Less => {
                        // What a state has below a microsecond is lost under the rule by which this is
                        // given back, so it is not given back.
                        let fraction = u128::from(!gcra.period().is_multiple_of(gcra.count()));
                        let micros = (left / u128::from(gcra.count())).saturating_sub(fraction);
                        match u64::try_from(micros) {
                            Ok(micros) if micros > 0 => Self::Time(micros),
                            _ => Self::Nothing,
                        }
                    }
                    _ => Self::Units(cost),
                }
            }
            // The count of a window that is over is no longer the one that is counted.
            Kind::Rule(Rule::SlidingCounter(it)) => {
                unless(left <= Duration::from_micros(it.length()))
            }
            Kind::Rule(_) => unless(left.is_zero()),
        }
    }

    /// What the store is asked for: units of which quota.
    pub(crate) fn asked(self, quota: &Quota) -> Option<(Quota, u64)> {
        match self {
            Self::Units(units) => Some((quota.clone(), units)),
            Self::Time(micros) => {
                // A bucket is stored as the time at which it is empty, whatever its rule. Under this one a
                // unit is a microsecond.
                let most = u64::try_from(quota.full_time().as_micros()).unwrap_or(u64::MAX);
                let fine = Quota::gcra(1, Duration::from_micros(1), most.max(micros)).ok()?;
                Some((fine, micros))
            }
            Self::Nothing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn of(quota: &str, cost: u64, unused_in: u64) -> Refund {
        let now = millis(5);
        Refund::of(&quota.parse().unwrap(), cost, now + millis(unused_in), now)
    }

    #[test]
    fn what_has_flowed_back_is_not_given_back() {
        // A unit is 100 ms.
        for (unused_in, refund) in [
            (350, Refund::Units(3)),
            (300, Refund::Units(3)),
            (299, Refund::Time(299_000)),
            (1, Refund::Time(1_000)),
            (0, Refund::Nothing),
        ] {
            assert_eq!(of("10/s", 3, unused_in), refund, "{unused_in}");
        }
        let past = Refund::of(&"10/s".parse().unwrap(), 3, millis(5), millis(6));
        assert_eq!(past, Refund::Nothing);
    }

    #[test]
    fn a_fraction_of_a_microsecond_errs_on_the_strict_side() {
        assert_eq!(of("3/s", 3, 1_000), Refund::Units(3));
        assert_eq!(of("3/s", 3, 999), Refund::Time(998_999));
    }

    #[test]
    fn a_window_that_is_over_gets_nothing_back() {
        assert_eq!(of("10/s fixed", 3, 1), Refund::Units(3));
        assert_eq!(of("10/s fixed", 3, 0), Refund::Nothing);
        assert_eq!(of("10/s sliding", 3, 1_001), Refund::Units(3));
        assert_eq!(of("10/s sliding", 3, 1_000), Refund::Nothing);
    }

    #[test]
    fn what_has_a_number_is_given_back_whenever() {
        assert_eq!(of("10/s exact", 3, 0), Refund::Units(3));
        assert_eq!(of("10/day calendar", 3, 0), Refund::Units(3));
    }

    #[test]
    fn a_part_is_asked_for_in_microseconds() {
        let quota: Quota = "10/s burst 4".parse().unwrap();
        assert_eq!(Refund::Units(2).asked(&quota), Some((quota.clone(), 2)));
        let (fine, cost) = Refund::Time(250_000).asked(&quota).unwrap();
        assert_eq!((fine.max_cost(), cost), (400_000, 250_000));
        assert_eq!(Refund::Nothing.asked(&quota), None);
    }
}
