//! Whether what passed is explained by a quota, from when requests were asked and answered.

use std::time::Duration;

/// When a request that passed was asked and when it was answered: it was let pass in between.
pub(crate) type Passed = (Duration, Duration);

/// The first span of time in which surely more passed than `burst` and one each `unit` of it and of `slack`.
pub(crate) fn excess(
    passed: &[Passed],
    burst: u64,
    unit: Duration,
    slack: Duration,
) -> Option<String> {
    let mut by_end = passed.to_vec();
    by_end.sort_unstable_by_key(|it| it.1);
    let mut begins: Vec<_> = passed.iter().map(|it| it.0).collect();
    begins.sort_unstable();
    begins.dedup();
    for begin in begins {
        let mut sum = 0;
        for &(asked, answered) in &by_end {
            if asked < begin {
                continue;
            }
            sum += 1;
            let span = answered - begin + slack;
            let most = burst + (span.as_nanos() / unit.as_nanos()) as u64;
            if sum > most {
                return Some(format!("{sum} in {:?}, at most {most}", answered - begin));
            }
        }
    }
    None
}

#[test]
fn it_finds_what_is_too_much_and_nothing_else() {
    let millis = Duration::from_millis;
    let unit = millis(100);
    let none = Duration::ZERO;
    let at = |begin, end| (millis(begin), millis(end));
    let steady: Vec<_> = (0..20).map(|it| at(100 * it, 100 * it + 5)).collect();
    assert_eq!(excess(&steady, 1, unit, none), None);
    let mut twice = steady.clone();
    twice.push(at(501, 504));
    assert!(excess(&twice, 1, unit, none).is_some());
    assert_eq!(excess(&twice, 2, unit, none), None);
    assert_eq!(excess(&twice, 1, unit, unit), None);
    // It may have passed at any time.
    let mut unknown = steady;
    unknown.push(at(0, 5000));
    assert_eq!(excess(&unknown, 1, unit, none), None);
}
