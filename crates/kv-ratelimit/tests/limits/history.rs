//! What was let pass, and whether a quota explains it.

use std::time::Duration;

/// When which cost was let pass.
#[derive(Default)]
pub(crate) struct History(Vec<(Duration, u64)>);

impl History {
    pub(crate) fn add(&mut self, at: Duration, cost: u64) {
        self.0.push((at, cost));
    }

    pub(crate) fn sum(&self) -> u64 {
        self.0.iter().map(|it| it.1).sum()
    }

    /// The first span of time in which more passed than `burst` and one each `unit` of it and of `slack`.
    pub(crate) fn excess(&self, burst: u64, unit: Duration, slack: Duration) -> Option<String> {
        for (first, &(begin, _)) in self.0.iter().enumerate() {
            let mut sum = 0;
            for &(end, cost) in &self.0[first..] {
                sum += cost;
                let span = end - begin + slack;
                let most = burst + (span.as_nanos() / unit.as_nanos()) as u64;
                if sum > most {
                    return Some(format!("{sum} in {:?}, at most {most}", end - begin));
                }
            }
        }
        None
    }
}

#[test]
fn it_finds_what_is_too_much() {
    let (unit, none) = (Duration::from_secs(1), Duration::ZERO);
    let mut history = History::default();
    for second in 0..5 {
        history.add(Duration::from_secs(second), 1);
    }
    assert_eq!(history.excess(1, unit, none), None);
    history.add(Duration::from_millis(4999), 1);
    assert!(history.excess(1, unit, none).is_some());
    assert_eq!(history.excess(2, unit, none), None);
    assert_eq!(history.excess(1, unit, unit), None);
}
