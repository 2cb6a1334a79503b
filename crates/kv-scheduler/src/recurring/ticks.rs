//! Which of the ticks that are due becomes a task.

use super::{policy::Misfire, timing::Rule};
use kv_core::{Member, Timestamp};
use std::time::Duration;

/// What is to be done about the ticks that are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Selected {
    /// The tick that becomes a task now.
    pub(crate) run: Option<Timestamp>,
    /// The tick to look at next; counted from ticks, never from now, so that nothing drifts.
    pub(crate) next: Option<Timestamp>,
}

/// Selects from the ticks from `tick` to `now`. Those from `counted` on have been counted before and are
/// not too many, as far as that matters.
pub(crate) fn select(
    rule: &Rule,
    until: Option<Timestamp>,
    misfire: Misfire,
    tick: Timestamp,
    now: Timestamp,
    counted: Option<Timestamp>,
) -> Selected {
    let is_within = |it: &Timestamp| until.is_none_or(|until| *it <= until);
    let end = until.map_or(now, |until| until.min(now));
    if tick > end {
        // Not over, but not due: whoever asks has another clock than who said it was.
        return Selected {
            run: None,
            next: Some(tick).filter(is_within),
        };
    }
    let first = match misfire {
        Misfire::Coalesce => Some(last(rule, tick, end)),
        Misfire::Skip { grace } => not_before(rule, tick, earlier(now, grace)),
        Misfire::All { .. } if counted.is_some_and(|it| it <= tick) => Some(tick),
        Misfire::All { max } => Some(first_of_last(rule, tick, end, max)),
    };
    match first.filter(is_within) {
        Some(run) if run <= now => Selected {
            run: Some(run),
            next: rule.next(run, run).filter(is_within),
        },
        next => Selected { run: None, next },
    }
}

/// How much later than its tick a task starts: the same whoever asks, and whenever.
pub(crate) fn jitter(schedule: &Member, tick: Timestamp, most: Duration) -> Duration {
    let most = most.as_micros();
    if most == 0 {
        return Duration::ZERO;
    }
    let name = [schedule.as_bytes(), &tick.as_micros().to_be_bytes()].concat();
    let hash = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &name).as_u128();
    Duration::from_micros(u64::try_from(hash % most).unwrap_or(u64::MAX))
}

/// The last tick up to an instant, where `tick` is one that is not later.
fn last(rule: &Rule, tick: Timestamp, upto: Timestamp) -> Timestamp {
    // No tick is behind `high` and up to the instant.
    let (mut low, mut high) = (tick.as_micros(), upto.as_micros());
    let next_of = |at: i64| rule.next(tick, Timestamp::from_micros(at));
    if next_of(low).is_none_or(|it| it > upto) {
        return tick;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        match next_of(middle) {
            Some(next) if next.as_micros() <= high => low = next.as_micros(),
            _ => high = middle,
        }
    }
    Timestamp::from_micros(low)
}

/// The first of the last `count` ticks up to an instant.
fn first_of_last(rule: &Rule, tick: Timestamp, upto: Timestamp, count: u32) -> Timestamp {
    let ticks = std::iter::successors(Some(tick), |&it| rule.next(it, it));
    if ticks
        .take_while(|it| *it <= upto)
        .nth(count as usize)
        .is_none()
    {
        return tick;
    }
    let before = |it: Timestamp| Timestamp::from_micros(it.as_micros() - 1);
    let mut first = last(rule, tick, upto);
    for _ in 1..count {
        first = last(rule, tick, before(first));
    }
    first
}

/// The first tick from an instant on.
fn not_before(rule: &Rule, tick: Timestamp, oldest: Timestamp) -> Option<Timestamp> {
    if tick >= oldest {
        return Some(tick);
    }
    rule.next(tick, Timestamp::from_micros(oldest.as_micros() - 1))
}

fn earlier(at: Timestamp, span: Duration) -> Timestamp {
    let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    // Not the very first instant, so that there is one before.
    Timestamp::from_micros(at.as_micros().saturating_sub(micros).max(i64::MIN + 1))
}

#[cfg(test)]
mod tests {
    use super::{Selected, jitter, select};
    use crate::{Misfire, recurring::timing::Rule};
    use kv_core::Timestamp;
    use std::time::Duration;

    const RULE: Rule = Rule::Rate(10);

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn selected(misfire: Misfire, until: Option<i64>, now: i64) -> (Option<i64>, Option<i64>) {
        let Selected { run, next } = select(&RULE, until.map(at), misfire, at(100), at(now), None);
        (
            run.map(Timestamp::as_micros),
            next.map(Timestamp::as_micros),
        )
    }

    #[test]
    fn a_tick_on_time_is_a_task_whatever_the_policy() {
        let grace = Duration::from_micros(5);
        for misfire in [
            Misfire::Coalesce,
            Misfire::Skip { grace },
            Misfire::All { max: 1 },
        ] {
            for now in [100, 103, 105] {
                assert_eq!(selected(misfire, None, now), (Some(100), Some(110)));
            }
        }
    }

    #[test]
    fn of_those_that_passed_the_last_is_one_task() {
        assert_eq!(
            selected(Misfire::Coalesce, None, 139),
            (Some(130), Some(140))
        );
        assert_eq!(
            selected(Misfire::Coalesce, None, 140),
            (Some(140), Some(150))
        );
        assert_eq!(
            selected(Misfire::Coalesce, Some(120), 139),
            (Some(120), None)
        );
        assert_eq!(selected(Misfire::Coalesce, Some(99), 139), (None, None));
    }

    #[test]
    fn those_that_are_too_late_are_dropped() {
        let skip = |grace| Misfire::Skip {
            grace: Duration::from_micros(grace),
        };
        assert_eq!(selected(skip(25), None, 139), (Some(120), Some(130)));
        assert_eq!(selected(skip(9), None, 139), (Some(130), Some(140)));
        assert_eq!(selected(skip(8), None, 139), (None, Some(140)));
        assert_eq!(selected(skip(8), Some(135), 139), (None, None));
        assert_eq!(selected(skip(39), None, 139), (Some(100), Some(110)));
    }

    #[test]
    fn each_is_a_task_but_no_more_than_so_many() {
        let all = |max| Misfire::All { max };
        assert_eq!(selected(all(4), None, 139), (Some(100), Some(110)));
        assert_eq!(selected(all(3), None, 139), (Some(110), Some(120)));
        assert_eq!(selected(all(1), None, 139), (Some(130), Some(140)));
        assert_eq!(selected(all(2), Some(125), 139), (Some(110), Some(120)));
        let counted = select(&RULE, None, all(1), at(110), at(139), Some(at(100)));
        assert_eq!(counted.run, Some(at(110)));
    }

    #[test]
    fn a_tick_that_is_not_due_stays_where_it_is() {
        let skip = Misfire::Skip {
            grace: Duration::ZERO,
        };
        for misfire in [Misfire::Coalesce, Misfire::All { max: 3 }, skip] {
            assert_eq!(selected(misfire, None, 99), (None, Some(100)));
            assert_eq!(selected(misfire, Some(99), 99), (None, None));
        }
    }

    #[test]
    fn jitter_is_a_matter_of_name_and_tick_alone() {
        let hour = Duration::from_secs(3600);
        let spans: Vec<_> = (0..1000)
            .map(|tick| jitter(&"nightly".into(), at(tick), hour))
            .collect();
        // What it was in the first version: a restart, of whatever version, shifts nothing.
        let first = [2_763_666_909, 1_941_665_857].map(Duration::from_micros);
        assert_eq!(spans[..2], first);
        assert!(spans.iter().all(|it| *it < hour));
        let mean = spans.iter().sum::<Duration>() / 1000;
        assert!(mean > hour / 3 && mean < hour * 2 / 3, "{mean:?}");
        assert_ne!(jitter(&"weekly".into(), at(0), hour), spans[0]);
        assert_eq!(
            jitter(&"nightly".into(), at(0), Duration::ZERO),
            Duration::ZERO
        );
    }
}
