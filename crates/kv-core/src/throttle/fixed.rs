//! The fixed window: a count that begins anew with each window of the clock.

use super::{
    level::{Level, Standing},
    rule::Window,
    state::State,
};

/// What was used of the window.
#[derive(Clone, Copy)]
pub(super) struct Counter {
    count: u64,
    length: u64,
    now: u64,
    id: u64,
    used: u64,
    cut: bool,
}

impl Counter {
    /// What a stored state means now. One of another rule, or of windows of another length, means
    /// an unused window.
    pub(super) fn read(rule: &Window, state: Option<State>, now: u64) -> Self {
        let (count, length) = (rule.count(), rule.length());
        let id = now / length;
        let (used, cut) = match state {
            // A later window is this one, before the clock was set back.
            Some(State::Fixed {
                length: of,
                id: stored,
                used,
            }) if of == length && stored >= id => (used.min(count), stored > id),
            _ => (0, false),
        };
        Self {
            count,
            length,
            now,
            id,
            used,
            cut,
        }
    }

    fn left_of_window(self) -> u64 {
        (self.id + 1) * self.length - self.now
    }
}

impl Level for Counter {
    fn wait_for(self, cost: u64) -> u64 {
        match self.used + cost <= self.count {
            true => 0,
            false => self.left_of_window(),
        }
    }

    fn take(self, cost: u64) -> Self {
        let used = self.used + cost;
        Self { used, ..self }
    }

    fn give_back(self, cost: u64) -> Self {
        let used = self.used.saturating_sub(cost);
        Self { used, ..self }
    }

    fn standing(self) -> Standing {
        let Self {
            length, id, used, ..
        } = self;
        let remaining = self.count - used;
        match used {
            0 => Standing {
                remaining,
                reset: 0,
                state: None,
            },
            _ => Standing {
                remaining,
                reset: self.left_of_window(),
                state: Some(State::Fixed { length, id, used }),
            },
        }
    }

    fn is_cut(self) -> bool {
        self.cut
    }
}
