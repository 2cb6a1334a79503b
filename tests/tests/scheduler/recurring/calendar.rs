//! Ticks as another implementation found them: `ticks.py` wrote `ticks.txt`.

use kv_core::Timestamp;
use kv_scheduler::Cron;

/// When clocks say that 2026 begins, in UTC.
pub(super) const BEGIN: i64 = 1_767_225_600;

/// When it ends.
pub(super) const END: i64 = 1_798_761_600;

/// The ticks of an expression in 2026.
pub(super) struct Case {
    pub(super) zone: &'static str,
    pub(super) expression: &'static str,
    /// In seconds.
    pub(super) ticks: Vec<i64>,
}

impl Case {
    pub(super) fn all() -> Vec<Self> {
        include_str!("ticks.txt").lines().map(Self::parse).collect()
    }

    pub(super) fn cron(&self) -> Cron {
        let cron = Cron::parse(self.expression).unwrap();
        cron.time_zone(self.zone).unwrap()
    }

    fn parse(line: &'static str) -> Self {
        let parts: Vec<_> = line.split('|').collect();
        let [zone, expression, first, groups] = parts[..] else {
            panic!("four parts: {line}");
        };
        let mut ticks = vec![first.parse::<i64>().unwrap()];
        for group in groups.split(',') {
            let (distances, times) = group.split_once('*').unwrap();
            for _ in 0..times.parse::<u32>().unwrap() {
                for distance in distances.split('+') {
                    ticks.push(ticks.last().unwrap() + distance.parse::<i64>().unwrap());
                }
            }
        }
        Self {
            zone,
            expression,
            ticks,
        }
    }
}

#[test]
fn ticks_are_those_of_another_implementation() {
    let cases = Case::all();
    assert_eq!(cases.len(), 52);
    for case in cases {
        let cron = case.cron();
        let mut tick = Timestamp::from_micros(BEGIN * 1_000_000);
        for expected in &case.ticks {
            tick = cron.next(tick).unwrap();
            let found = tick.as_micros() / 1_000_000;
            assert_eq!(found, *expected, "{cron}, in seconds");
        }
        let next = cron.next(tick).unwrap();
        assert!(next.as_micros() >= END * 1_000_000, "{cron}");
    }
}

/// Whoever looks from anywhere finds the same ticks: what is late is found so.
#[test]
fn a_tick_does_not_depend_on_where_the_search_begins() {
    for case in Case::all() {
        let cron = case.cron();
        for pair in case.ticks.windows(2).filter(|it| it[1] - it[0] > 1) {
            for before in [pair[0] + 1, i64::midpoint(pair[0], pair[1])] {
                let next = cron
                    .next(Timestamp::from_micros(before * 1_000_000))
                    .unwrap();
                assert_eq!(
                    next.as_micros(),
                    pair[1] * 1_000_000,
                    "{cron} from {before}"
                );
            }
        }
    }
}
