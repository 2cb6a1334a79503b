//! What time it is at the store, for who does not ask.
//!
//! Each answer that tells the store's time bounds it from both sides: it was told after the question and before the
//! answer. In between our own clock counts on, which is never asked what time it is. What is told here is never
//! early: ages err towards old.

use kv_core::Timestamp;
use parking_lot::Mutex;
use std::time::Duration;

/// For so long an answer counts. Clocks that are off by a thousandth drift apart by 10 ms in it, and a store's clock
/// that is set is heard of.
const LASTS: Duration = Duration::from_secs(10);

/// The best that has been told.
#[derive(Debug, Default)]
pub(crate) struct StoreTime(Mutex<Option<Told>>);

/// An answer, and when it was asked for by our clock.
#[derive(Clone, Copy, Debug)]
struct Told {
    asked: Duration,
    time: Timestamp,
}

impl StoreTime {
    /// The store has told its time, to a question from then, which is answered now.
    pub(crate) fn told(&self, time: Timestamp, asked: Duration, now: Duration) {
        let new = Told { asked, time };
        let mut best = self.0.lock();
        let is_better = best.is_none_or(|best| {
            let is_over = !best.counts(now);
            // It is not later than either says; who says less has waited less.
            let is_closer = new.at(now) <= best.at(now);
            // It is no earlier than this: the store's clock was set forward.
            let is_denied = best.at(now) < time;
            is_over || is_closer || is_denied
        });
        if is_better {
            *best = Some(new);
        }
    }

    /// The store's time, or a little later; `None` if it was not told lately.
    pub(crate) fn at(&self, now: Duration) -> Option<Timestamp> {
        let best = *self.0.lock();
        best.filter(|it| it.counts(now)).map(|it| it.at(now))
    }
}

impl Told {
    fn counts(&self, now: Duration) -> bool {
        now < self.asked.saturating_add(LASTS)
    }

    fn at(&self, now: Duration) -> Timestamp {
        self.time.saturating_add(now.saturating_sub(self.asked))
    }
}

#[cfg(test)]
mod tests {
    use super::{LASTS, StoreTime};
    use kv_core::Timestamp;
    use std::time::Duration;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn time(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    #[test]
    fn it_is_told_for_a_while_and_never_early() {
        let store = StoreTime::default();
        assert_eq!(store.at(ms(0)), None);
        // Told at some time from 100 to 140.
        store.told(time(5_000), ms(100), ms(140));
        assert_eq!(store.at(ms(140)), Some(time(5_040)));
        assert_eq!(store.at(ms(1_100)), Some(time(6_000)));
        let last = ms(100) + LASTS - ms(1);
        assert_eq!(store.at(last), Some(time(14_999)));
        assert_eq!(store.at(last + ms(1)), None);
    }

    #[test]
    fn the_answer_that_says_most_counts() {
        let store = StoreTime::default();
        store.told(time(5_000), ms(100), ms(140));
        // It took longer: it says no more than is known.
        store.told(time(5_030), ms(120), ms(300));
        assert_eq!(store.at(ms(300)), Some(time(5_200)));
        // A quick one: the first was told at its end.
        store.told(time(5_261), ms(300), ms(301));
        assert_eq!(store.at(ms(301)), Some(time(5_262)));
        // When that is too long ago any is better.
        let late = ms(300) + LASTS;
        store.told(time(20_000), late - ms(400), late);
        assert_eq!(store.at(late), Some(time(20_400)));
    }

    #[test]
    fn a_store_whose_clock_is_set_is_believed() {
        let store = StoreTime::default();
        store.told(time(5_000), ms(100), ms(140));
        store.told(time(65_000), ms(200), ms(240));
        assert_eq!(store.at(ms(240)), Some(time(65_040)));
        store.told(time(5_000), ms(300), ms(340));
        assert_eq!(store.at(ms(340)), Some(time(5_040)));
    }
}
