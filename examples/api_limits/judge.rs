//! Whether the quotas were kept: in no span of time more has passed than the burst and what the rate allows in it.

use crate::{
    load::{Call, Ending},
    service::{ALL, POLICIES, TENANTS},
};
use std::time::Duration;

/// By so much the clocks of a store and of this program may differ, of the time that goes by.
const DRIFT: f64 = 0.001;

/// How a limit was kept.
#[derive(Debug)]
pub(crate) struct Judgement {
    limit: String,
    admitted: usize,
    /// In the span of time in which it came nearest to what is allowed, or went farthest beyond.
    tightest: Span,
}

/// A span of time, how much has passed in it, and how much may.
#[derive(Clone, Copy, Debug)]
struct Span {
    length: Duration,
    passed: usize,
    most: f64,
}

/// Each tenant's limit, and the one for all.
pub(crate) fn judge(calls: &[Call], grace: Duration) -> Vec<Judgement> {
    let each = TENANTS.iter().map(|tenant| {
        let name = format!("{} ({})", tenant.name, tenant.plan);
        let those = calls.iter().filter(|it| it.tenant == tenant.name);
        one(name, tenant.plan, those, grace)
    });
    let all = one(ALL.to_owned(), ALL, calls.iter(), grace);
    each.chain([all]).collect()
}

impl Judgement {
    pub(crate) fn is_kept(&self) -> bool {
        self.tightest.room() >= 0.0
    }

    pub(crate) fn print(&self) {
        let Span {
            length,
            passed,
            most,
        } = self.tightest;
        let verdict = match self.is_kept() {
            true => "kept",
            false => "BROKEN",
        };
        println!(
            "{:<12} {:>4} passed; at the tightest {passed} within {length:.2?}, where {most:.1} may: {verdict}",
            self.limit, self.admitted
        );
    }
}

impl Span {
    fn room(self) -> f64 {
        self.most - self.passed as f64
    }
}

fn one<'a>(
    limit: String,
    policy: &str,
    calls: impl Iterator<Item = &'a Call>,
    grace: Duration,
) -> Judgement {
    let rate = POLICIES.iter().find(|it| it.0 == policy);
    let rate = f64::from(rate.map_or(0, |it| it.1));
    let mut admitted: Vec<_> = calls.filter(|it| it.ending == Ending::Admitted).collect();
    admitted.sort_by_key(|it| it.answered);
    let most = |length: Duration| rate + rate * (length + grace).as_secs_f64() * (1.0 + DRIFT);
    let mut tightest = Span {
        length: Duration::ZERO,
        passed: 0,
        most: most(Duration::ZERO),
    };
    // Whoever was sent after the one and answered before the other was decided between them.
    for first in &admitted {
        let since = admitted.iter().filter(|it| it.sent >= first.sent);
        for (before, last) in since.enumerate() {
            let length = last.answered - first.sent;
            let span = Span {
                length,
                passed: before + 1,
                most: most(length),
            };
            if span.room() < tightest.room() {
                tightest = span;
            }
        }
    }
    Judgement {
        limit,
        admitted: admitted.len(),
        tightest,
    }
}

#[cfg(test)]
mod tests {
    use super::judge;
    use crate::load::{Call, Ending};
    use std::time::Duration;

    fn calls(count: u64, every: u64) -> Vec<Call> {
        let call = |number| Call {
            tenant: "ann",
            ending: Ending::Admitted,
            sent: Duration::from_millis(number * every),
            answered: Duration::from_millis(number * every + 1),
        };
        (0..count).map(call).collect()
    }

    fn is_kept(calls: &[Call]) -> bool {
        judge(calls, Duration::ZERO).iter().all(|it| it.is_kept())
    }

    #[test]
    fn a_burst_and_what_the_rate_allows_is_kept() {
        assert!(is_kept(&calls(5, 0)));
        assert!(is_kept(&calls(100, 200)));
        let later = calls(9, 200).into_iter().skip(1);
        let burst_then_rate: Vec<_> = calls(5, 0).into_iter().chain(later).collect();
        assert!(is_kept(&burst_then_rate));
    }

    #[test]
    fn one_more_in_some_span_is_not() {
        assert!(!is_kept(&calls(6, 0)));
        assert!(!is_kept(&calls(100, 180)));
        let mut late: Vec<_> = calls(6, 0);
        for call in &mut late {
            call.sent += Duration::from_secs(100);
            call.answered += Duration::from_secs(100);
        }
        assert!(!is_kept(&late));
        late[0].ending = Ending::Denied;
        assert!(is_kept(&late));
    }
}
