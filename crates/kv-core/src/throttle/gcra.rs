//! The generic cell rate algorithm, ATM Forum "Traffic Management 4.0" and ITU-T I.371: the virtual
//! scheduling form, which stores the theoretical arrival time.
//!
//! `count` per `period` means that each unit fills the bucket by `period / count` microseconds, which
//! is seldom whole. So the level is counted in parts of `count`: a unit adds `period` of them, and a
//! microsecond takes `count` away.

use super::{
    level::{Level, Standing},
    rule::{Gcra, LIMIT},
    state::State,
};

/// How full the bucket is.
#[derive(Clone, Copy)]
pub(super) struct Bucket {
    count: u64,
    period: u64,
    /// What the burst fills.
    full: u64,
    now: u64,
    level: u64,
    cut: bool,
}

impl Bucket {
    /// What a stored state means now. One of another rule means an empty bucket. Whoever stored it may
    /// have had a clock that is ahead of this one by so many microseconds.
    pub(super) fn read(rule: &Gcra, state: Option<State>, now: u64, skew: u64) -> Self {
        let (count, period) = (rule.count(), rule.period());
        let full = rule.burst() * period;
        let empty = Self {
            count,
            period,
            full,
            now,
            level: 0,
            cut: false,
        };
        let Some(State::Gcra { tat, rest, beyond }) = state else {
            return empty;
        };
        // Another rule may have stored it: its rest and its reservation may be too large for this one.
        let rest = rest.min(count - 1);
        let beyond = beyond.min((LIMIT - 1 - full - period) / count);
        let most = full + beyond * count;
        let level = match tat >= now {
            true => (tat - now).saturating_mul(count).saturating_add(rest),
            // The rest is less than a microsecond's worth.
            false => 0,
        };
        // What another clock explains is no bucket that was larger: to cut it would let more pass.
        let cut = level > most.saturating_add(skew.saturating_mul(count));
        Self {
            level: match cut {
                true => most,
                false => level,
            },
            cut,
            ..empty
        }
    }
}

impl Level for Bucket {
    fn wait_for(self, cost: u64) -> u64 {
        let need = self.level + cost * self.period;
        need.saturating_sub(self.full).div_ceil(self.count)
    }

    fn take(self, cost: u64) -> Self {
        let level = self.level + cost * self.period;
        Self { level, ..self }
    }

    fn give_back(self, cost: u64) -> Self {
        let level = self.level.saturating_sub(cost * self.period);
        Self { level, ..self }
    }

    fn standing(self) -> Standing {
        let Self {
            count, full, level, ..
        } = self;
        Standing {
            remaining: full.saturating_sub(level) / self.period,
            reset: level.div_ceil(count),
            state: (level > 0).then(|| State::Gcra {
                tat: self.now + level / count,
                rest: level % count,
                beyond: level.saturating_sub(full).div_ceil(count),
            }),
        }
    }

    fn is_cut(self) -> bool {
        self.cut
    }
}
