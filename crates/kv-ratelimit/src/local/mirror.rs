//! What the store has said about denials: as long as it holds, a request that the store would deny is
//! denied here.
//!
//! Times are on the local clock, in microseconds, and err towards asking. What other requests take only
//! makes a limit fuller, so what was denied until an instant stays denied until then, unless somebody
//! gives back, resets the limit or changes the quota. This process knows when it does so itself; for what others
//! do, an answer is trusted for a second at most.

use kv_core::{Gcra, LimitState};
use parking_lot::Mutex;
use std::{cmp::Ordering, time::Duration};

/// For how long an answer is trusted.
const TRUST: u64 = 1_000_000;

#[derive(Debug, Default)]
pub(crate) struct Mirror(Mutex<Known>);

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// How often it was forgotten; an answer to an older question is not kept.
    epoch: u64,
    /// By which quota of the policy; what another one said is not this one's.
    quota: u64,
    /// When it was asked when the bucket will be empty, ...
    asked: u64,
    /// ... and what the answer was.
    tat: u64,
    /// When it was asked what was denied then.
    denial_asked: u64,
    /// A request of this cost or a larger one is denied ...
    denied_cost: u64,
    /// ... until then.
    denied_until: u64,
}

/// A question that the store was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    epoch: u64,
    quota: u64,
    asked: u64,
    cost: u64,
}

impl Question {
    /// Of a subject of which nothing is remembered yet.
    pub(crate) fn first(cost: u64, quota: u64, now: Duration) -> Self {
        Self {
            epoch: 0,
            quota,
            asked: micros(now),
            cost,
        }
    }
}

impl Mirror {
    /// To be called before the store is asked.
    pub(crate) fn question(&self, cost: u64, quota: u64, now: Duration) -> Question {
        Question {
            quota,
            epoch: self.0.lock().epoch,
            asked: micros(now),
            cost,
        }
    }

    /// What the store said about what was to be taken.
    pub(crate) fn answer(&self, question: Question, state: &LimitState) {
        let mut known = self.0.lock();
        if known.epoch != question.epoch {
            return;
        }
        let later = |span: Duration| {
            // What it says is rounded up by less than a microsecond.
            (question.asked + micros(span)).saturating_sub(1)
        };
        let (tat, until) = (later(state.reset_after), later(state.retry_after));
        if known.quota != question.quota {
            *known = Known {
                epoch: known.epoch,
                quota: question.quota,
                ..Known::default()
            };
        }
        // Answers can overtake each other; what was asked last is what counts.
        match question.asked.cmp(&known.asked) {
            Ordering::Greater => (known.asked, known.tat) = (question.asked, tat),
            Ordering::Equal => known.tat = known.tat.max(tat),
            Ordering::Less => {}
        }
        if question.asked < known.denial_asked {
            return;
        }
        if !state.allowed {
            known.denial_asked = question.asked;
            (known.denied_cost, known.denied_until) = (question.cost, until);
        } else if question.cost >= known.denied_cost {
            (known.denied_cost, known.denied_until) = (0, 0);
        }
    }

    /// The answer that the store would give, if it is known to be a denial.
    pub(crate) fn denies(
        &self,
        cost: u64,
        (gcra, quota): (Option<&Gcra>, u64),
        now: Duration,
    ) -> Option<LimitState> {
        let known = *self.0.lock();
        // Rounded up, so that it is never too early for the store.
        let now = micros(now) + 1;
        let asked = match gcra {
            Some(_) => known.asked,
            None => known.denial_asked,
        };
        if known.quota != quota || asked == 0 || now > asked + TRUST {
            return None;
        }
        let used = known.tat.saturating_sub(now);
        let state = |remaining, wait| Some(LimitState::new(false, remaining, wait, used));
        if let Some(gcra) = gcra {
            let level = used.saturating_mul(gcra.count());
            let full = gcra.burst() * gcra.period();
            let above = (level + cost * gcra.period()).saturating_sub(full);
            if above > 0 {
                let remaining = full.saturating_sub(level) / gcra.period();
                return state(remaining, above.div_ceil(gcra.count()));
            }
            return None;
        }
        let is_denied = known.denied_cost > 0 && cost >= known.denied_cost;
        match is_denied && now < known.denied_until {
            true => state(0, known.denied_until - now),
            false => None,
        }
    }

    /// The limit is less used than it was: by what was given back, a reset, or another quota.
    pub(crate) fn forget(&self) {
        let mut known = self.0.lock();
        *known = Known {
            epoch: known.epoch + 1,
            quota: known.quota,
            ..Known::default()
        };
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX / 4)
}
