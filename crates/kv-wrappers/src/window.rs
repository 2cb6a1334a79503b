//! What happened in the last while: usual events, which must cost nearly nothing to count, and rare
//! ones.

use parking_lot::Mutex;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A span is looked at in so many parts; an event is forgotten a part early at most.
const SLOTS: usize = 10;
/// Usual events are put into slots in lots of this size, so that one in so many asks the clock.
const LOT: u64 = 64;

/// Counts over a sliding span.
#[derive(Debug)]
pub(crate) struct Window {
    slot: Duration,
    /// Usual events that are not in a slot yet.
    fresh: AtomicU64,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    /// The number of the slot in use, counted from the start of the clock; none before the first
    /// look.
    at: Option<u64>,
    counts: [Counts; SLOTS],
}

/// How often it happened. Usual events are fractions, since a lot is spread over the slots in which
/// it may have come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub(crate) usual: f64,
    pub(crate) rare: f64,
}

impl Window {
    /// A window over this span, at least ten nanoseconds.
    pub(crate) fn new(span: Duration) -> Self {
        Self {
            slot: (span / SLOTS as u32).max(Duration::from_nanos(1)),
            fresh: AtomicU64::new(0),
            slots: Mutex::default(),
        }
    }

    /// Counts a usual event.
    pub(crate) fn usual(&self, now: impl FnOnce() -> Duration) {
        // Only counts, and orders nothing.
        if self.fresh.fetch_add(1, Ordering::Relaxed) % LOT == LOT - 1 {
            let mut slots = self.slots.lock();
            self.settle(&mut slots, now());
        }
    }

    /// Counts a rare event if this says so of what happened so far; its answer.
    pub(crate) fn rare_if(&self, now: Duration, allow: impl FnOnce(Counts) -> bool) -> bool {
        let mut slots = self.slots.lock();
        let current = self.settle(&mut slots, now);
        let allowed = allow(slots.total());
        if allowed {
            slots.counts[current].rare += 1.0;
        }
        allowed
    }

    /// Counts a rare event and tells what happened so far, this included.
    pub(crate) fn rare(&self, now: Duration) -> Counts {
        let mut slots = self.slots.lock();
        let current = self.settle(&mut slots, now);
        slots.counts[current].rare += 1.0;
        slots.total()
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        let mut slots = self.slots.lock();
        self.fresh.store(0, Ordering::Relaxed);
        *slots = Slots::default();
    }

    /// Forgets what is too old and puts fresh events into slots; the position of the one in use.
    fn settle(&self, slots: &mut Slots, now: Duration) -> usize {
        let length = SLOTS as u64;
        let at = u64::try_from(now.as_nanos() / self.slot.as_nanos()).unwrap_or(u64::MAX);
        // Two threads may come in another order than they asked the clock.
        let before = slots.at.unwrap_or(at);
        let at = at.max(before);
        let passed = at - before;
        for skipped in at.saturating_sub(passed.min(length)) + 1..=at {
            slots.counts[(skipped % length) as usize] = Counts::default();
        }
        // Since the last look: when exactly, nobody noted.
        let fresh = self.fresh.swap(0, Ordering::Relaxed) as f64 / (passed + 1) as f64;
        for since in at.saturating_sub(passed.min(length - 1))..=at {
            slots.counts[(since % length) as usize].usual += fresh;
        }
        slots.at = Some(at);
        (at % length) as usize
    }
}

impl Slots {
    fn total(&self) -> Counts {
        let sum = |total: Counts, it: &Counts| Counts {
            usual: total.usual + it.usual,
            rare: total.rare + it.rare,
        };
        self.counts.iter().fold(Counts::default(), sum)
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Window};
    use std::time::Duration;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn look(window: &Window, now: Duration) -> Counts {
        let mut seen = Counts::default();
        window.rare_if(now, |counts| {
            seen = counts;
            false
        });
        seen
    }

    #[test]
    fn what_is_older_than_the_span_is_forgotten() {
        let window = Window::new(secs(10));
        for _ in 0..100 {
            window.usual(|| secs(100));
        }
        window.rare(secs(100));
        let all = Counts {
            usual: 100.0,
            rare: 1.0,
        };
        assert_eq!(look(&window, secs(100)), all);
        assert_eq!(look(&window, secs(109)), all);
        assert_eq!(look(&window, secs(110)), Counts::default());
        window.rare(secs(110));
        window.clear();
        assert_eq!(look(&window, secs(110)), Counts::default());
    }

    #[test]
    fn a_lot_that_came_slowly_counts_only_as_far_as_it_is_recent() {
        let window = Window::new(secs(10));
        look(&window, secs(0));
        for second in 1..=60 {
            window.usual(|| secs(second));
        }
        let usual = look(&window, secs(60)).usual;
        assert!((9.0..=11.0).contains(&usual), "{usual}");
    }

    #[test]
    fn many_events_at_once_count_at_once_whatever_was_before() {
        let window = Window::new(secs(10));
        look(&window, secs(0));
        for _ in 0..1_000 {
            window.usual(|| secs(3_600));
        }
        let usual = look(&window, secs(3_600)).usual;
        assert!((936.0..=1_000.0).contains(&usual), "{usual}");
    }

    #[test]
    fn a_thread_that_comes_late_with_its_time_does_no_harm() {
        let window = Window::new(secs(10));
        window.rare(secs(105));
        assert_eq!(window.rare(secs(101)).rare, 2.0);
        assert_eq!(look(&window, secs(114)).rare, 2.0);
        assert_eq!(look(&window, secs(115)).rare, 0.0);
    }
}
