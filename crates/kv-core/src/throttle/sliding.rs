//! The sliding counter, as Cloudflare describes it ("How we built rate limiting capable of scaling
//! to millions of domains", 2017): the last window counts by the part of it that a window ending now
//! still covers, as if its requests had come evenly.
//!
//! So a window ending anywhere never holds more than `count` and the part of the last window's
//! count that lies before it by that assumption; less than twice `count` in the worst case.

use super::{
    level::{Level, Standing},
    rule::Window,
    state::State,
};

/// What was used of this window and of the last one.
#[derive(Clone, Copy)]
pub(super) struct Counters {
    count: u64,
    length: u64,
    now: u64,
    id: u64,
    current: u64,
    previous: u64,
    cut: bool,
}

impl Counters {
    /// What a stored state means now. One of another rule, or of windows of another length, means
    /// unused windows.
    pub(super) fn read(rule: &Window, state: Option<State>, now: u64) -> Self {
        let (count, length) = (rule.count(), rule.length());
        let id = now / length;
        let (current, previous, cut) = match state {
            // A later window is this one, before the clock was set back.
            Some(State::Sliding {
                length: of,
                id: stored,
                current,
                previous,
            }) if of == length && stored >= id => (current, previous, stored > id),
            Some(State::Sliding {
                length: of,
                id: stored,
                current,
                ..
            }) if of == length && stored + 1 == id => (0, current, false),
            _ => (0, 0, false),
        };
        Self {
            count,
            length,
            now,
            id,
            current: current.min(count),
            previous: previous.min(count),
            cut,
        }
    }

    /// How much of the window is still to come.
    fn left_of_window(self) -> u64 {
        (self.id + 1) * self.length - self.now
    }

    /// How many windows' worth is used, times the length.
    fn weight(self, current: u64) -> u64 {
        self.previous * self.left_of_window() + current * self.length
    }
}

impl Level for Counters {
    fn wait_for(self, cost: u64) -> u64 {
        let Self {
            count,
            length,
            current,
            previous,
            ..
        } = self;
        let left = self.left_of_window();
        if current + cost > count {
            // Not in this window; in the next one, of which it is the last, once enough of it is past.
            let covered = (count - cost) * length / current;
            return left + length - covered;
        }
        if self.weight(current + cost) <= count * length {
            return 0;
        }
        // As much of the last window must be past that the part still covered leaves room.
        let covered = (count - current - cost) * length / previous;
        left - covered
    }

    fn take(self, cost: u64) -> Self {
        let current = self.current + cost;
        Self { current, ..self }
    }

    fn give_back(self, cost: u64) -> Self {
        let current = self.current.saturating_sub(cost);
        let rest = cost - (self.current - current);
        Self {
            current,
            previous: self.previous.saturating_sub(rest),
            ..self
        }
    }

    fn standing(self) -> Standing {
        let Self {
            count,
            length,
            id,
            current,
            previous,
            ..
        } = self;
        let used = self.weight(current);
        let reset = match (current, previous) {
            (0, 0) => 0,
            (0, _) => self.left_of_window(),
            _ => self.left_of_window() + length,
        };
        Standing {
            remaining: (count * length).saturating_sub(used) / length,
            reset,
            state: (reset > 0).then_some(State::Sliding {
                length,
                id,
                current,
                previous,
            }),
        }
    }

    fn is_cut(self) -> bool {
        self.cut
    }
}
