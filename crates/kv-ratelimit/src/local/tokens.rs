//! Units that the store gave in advance: a lease on a part of the quota.
//!
//! The store has counted them already, so spending them needs nobody; they are good for the lease's age,
//! counted from before they were asked for. So in any span of time no more passes than the store counted in it
//! and in the age before.

use parking_lot::Mutex;
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct Tokens {
    purse: Mutex<Purse>,
    /// One asks the store for more at a time, the others wait for it.
    pub(crate) gate: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Purse {
    /// How often the limit was made unused: units from before are not kept after.
    epoch: u64,
    /// The older ones first.
    piles: [Pile; 2],
    /// What was not spent in time, and is to be given back.
    lapsed: Lapsed,
    /// How many were taken in advance the last time.
    batch: u64,
    /// How much was asked for since ...
    wanted: u64,
    /// ... then.
    since: Duration,
    /// Whether somebody is on the way to get more, in the background.
    is_refilling: bool,
    /// Whether somebody gives back what is left in the end.
    is_watched: bool,
    /// What the store had left when it was last asked.
    remaining: u64,
}

/// Units that are good until the same time.
#[derive(Clone, Copy, Debug, Default)]
struct Pile {
    left: u64,
    until: Duration,
    /// When the last of them has flowed back, ...
    unused_at: Duration,
    /// ... and how much earlier than each the one before it.
    unit: Duration,
}

/// Units that nobody has spent in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lapsed {
    pub(crate) units: u64,
    /// By then they have flowed back by themselves.
    pub(crate) unused_at: Duration,
}

/// Units that the store gave in advance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) units: u64,
    /// They are good until then.
    pub(crate) until: Duration,
    pub(crate) unused_at: Duration,
    /// How long a unit takes to flow back, rounded up.
    pub(crate) unit: Duration,
    /// What the store had left.
    pub(crate) remaining: u64,
    /// The purse's when it was asked.
    pub(crate) epoch: u64,
}

/// What came of spending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    /// There was enough.
    Yes {
        left: u64,
        /// By then they have flowed back by themselves.
        unused_at: Duration,
        /// There is little left: the caller is the one to get more.
        refill: bool,
    },
    No,
}

/// The terms of a lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) max_batch: u64,
    pub(crate) age: Duration,
}

/// What there is to do about units that nobody spends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// These are to be given back; then to look again.
    GiveBack(Lapsed),
    /// There is nothing before then.
    Wait(Duration),
    /// There are none left.
    Done,
}

impl Tokens {
    pub(crate) fn spend(&self, cost: u64, now: Duration) -> Spent {
        let mut purse = self.purse.lock();
        purse.wanted = purse.wanted.saturating_add(cost);
        purse.spend(cost, now)
    }

    /// For a request that had to wait for others to get more, and was counted when it came.
    pub(crate) fn spend_after_waiting(&self, cost: u64, now: Duration) -> Spent {
        self.purse.lock().spend(cost, now)
    }

    /// How many to take in advance: what is asked for in half of their age, if the store has much more
    /// than that, so that the last ones go to who asks for them.
    pub(crate) fn batch(&self, terms: &Terms, now: Duration) -> u64 {
        let mut purse = self.purse.lock();
        let span = now.saturating_sub(purse.since).max(SHORTEST_SPAN);
        let spans = terms.age.as_secs_f64() / 2.0 / span.as_secs_f64();
        let wanted = (purse.wanted as f64 * spans) as u64;
        // What was long ago says little about now.
        if span > terms.age {
            (purse.wanted, purse.since) = (0, now);
        }
        wanted.min(terms.max_batch).min(purse.remaining / 4)
    }

    /// The store has so many left.
    pub(crate) fn remains(&self, remaining: u64) {
        self.purse.lock().remaining = remaining;
    }

    /// Nobody is on the way any more.
    pub(crate) fn not_refilled(&self) {
        self.purse.lock().is_refilling = false;
    }

    /// Nobody gives back any more what is left in the end.
    pub(crate) fn not_watched(&self) {
        self.purse.lock().is_watched = false;
    }

    /// To be asked for before the store is asked for more.
    pub(crate) fn epoch(&self) -> u64 {
        self.purse.lock().epoch
    }

    /// Keeps what the store gave. Whether the caller is to watch its end.
    pub(crate) fn add(&self, batch: Batch, now: Duration) -> bool {
        let mut purse = self.purse.lock();
        // The store may have counted them before it was made to forget.
        if purse.epoch != batch.epoch {
            return false;
        }
        let units = batch.units;
        purse.remaining = batch.remaining;
        purse.batch = units;
        purse.lapse(now);
        if units == 0 {
            return false;
        }
        let [older, newer] = purse.piles;
        let older = match (older.left, newer.left) {
            (_, 0) => older,
            (0, _) => newer,
            // None of them is good for longer than it was.
            _ => Pile {
                left: older.left + newer.left,
                until: older.until.min(newer.until),
                unused_at: older.unused_at.min(newer.unused_at),
                unit: older.unit.max(newer.unit),
            },
        };
        let newest = Pile {
            left: units,
            until: batch.until,
            unused_at: batch.unused_at,
            unit: batch.unit,
        };
        purse.piles = [older, newest];
        !std::mem::replace(&mut purse.is_watched, true)
    }

    /// What the one who watches is to do.
    pub(crate) fn ending(&self, now: Duration) -> Ending {
        let mut purse = self.purse.lock();
        purse.lapse(now);
        if purse.lapsed.units > 0 {
            return Ending::GiveBack(std::mem::take(&mut purse.lapsed));
        }
        let next = purse.piles.iter().filter(|it| it.left > 0);
        match next.map(|it| it.until).min() {
            Some(until) => Ending::Wait(until.saturating_sub(now)),
            None => {
                purse.is_watched = false;
                Ending::Done
            }
        }
    }

    /// What is on the way is not to be kept: the limit is about to be made unused.
    pub(crate) fn renounce(&self) {
        self.purse.lock().epoch += 1;
    }

    /// The limit was made unused: what there is belongs to what was forgotten.
    pub(crate) fn clear(&self) {
        let mut purse = self.purse.lock();
        purse.epoch += 1;
        (purse.piles, purse.lapsed) = Default::default();
    }
}

/// A rate over less than this says nothing.
const SHORTEST_SPAN: Duration = Duration::from_micros(100);

impl Purse {
    fn left(&self) -> u64 {
        self.piles.iter().map(|it| it.left).sum()
    }

    fn spend(&mut self, cost: u64, now: Duration) -> Spent {
        self.lapse(now);
        let left = self.left();
        if left < cost {
            return Spent::No;
        }
        let mut due = cost;
        let mut unused_at = Duration::MAX;
        for pile in self.piles.iter_mut().filter(|it| it.left > 0) {
            let spent = due.min(pile.left);
            pile.left -= spent;
            due -= spent;
            if spent > 0 {
                // Those that are left have flowed back later.
                let left = u32::try_from(pile.left).unwrap_or(u32::MAX);
                let later = pile.unit.saturating_mul(left);
                unused_at = unused_at.min(pile.unused_at.saturating_sub(later));
            }
        }
        let left = left - cost;
        let refill = left <= self.batch / 2 && !self.is_refilling;
        self.is_refilling |= refill;
        Spent::Yes {
            left,
            unused_at,
            refill,
        }
    }

    fn lapse(&mut self, now: Duration) {
        for pile in &mut self.piles {
            if pile.left == 0 || now < pile.until {
                continue;
            }
            self.lapsed = Lapsed {
                unused_at: match self.lapsed.units {
                    0 => pile.unused_at,
                    _ => self.lapsed.unused_at.min(pile.unused_at),
                },
                units: self.lapsed.units + std::mem::take(&mut pile.left),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn batch(tokens: &Tokens, units: u64, until: u64) -> Batch {
        Batch {
            units,
            until: millis(until),
            unused_at: millis(until * 10),
            unit: millis(3),
            remaining: 400,
            epoch: tokens.epoch(),
        }
    }

    fn spent(left: u64, unused_at: u64, refill: bool) -> Spent {
        Spent::Yes {
            left,
            unused_at: millis(unused_at),
            refill,
        }
    }

    #[test]
    fn piles_that_are_merged_are_good_for_no_longer_than_before() {
        let tokens = Tokens::default();
        assert!(tokens.add(batch(&tokens, 2, 10), millis(0)));
        assert!(!tokens.add(batch(&tokens, 3, 20), millis(1)));
        assert!(!tokens.add(batch(&tokens, 4, 30), millis(2)));
        // Both older ones end with the first.
        assert_eq!(tokens.ending(millis(2)), Ending::Wait(millis(8)));
        let lapsed = Lapsed {
            units: 5,
            unused_at: millis(100),
        };
        assert_eq!(tokens.ending(millis(10)), Ending::GiveBack(lapsed));
        assert_eq!(tokens.spend(5, millis(10)), Spent::No);
        assert_eq!(tokens.spend(3, millis(10)), spent(1, 297, true));
    }

    #[test]
    fn the_older_ones_are_spent_first_and_one_gets_more() {
        let tokens = Tokens::default();
        tokens.add(batch(&tokens, 4, 10), millis(0));
        tokens.add(batch(&tokens, 4, 20), millis(0));
        assert_eq!(tokens.spend(4, millis(1)), spent(4, 100, false));
        assert_eq!(tokens.spend(2, millis(1)), spent(2, 194, true));
        assert_eq!(tokens.spend(1, millis(1)), spent(1, 197, false));
        // Another one's units do not end the way of who is under way.
        tokens.add(batch(&tokens, 1, 30), millis(1));
        assert_eq!(tokens.spend(2, millis(1)), spent(0, 200, false));
        tokens.not_refilled();
        tokens.add(batch(&tokens, 1, 30), millis(1));
        assert_eq!(tokens.spend(1, millis(1)), spent(0, 300, true));
    }

    #[test]
    fn what_was_on_its_way_when_all_was_forgotten_is_not_kept() {
        let tokens = Tokens::default();
        for forget in [Tokens::renounce, Tokens::clear] {
            let before = batch(&tokens, 4, 10);
            forget(&tokens);
            assert!(!tokens.add(before, millis(0)));
            assert_eq!(tokens.spend(1, millis(0)), Spent::No);
        }
        assert!(tokens.add(batch(&tokens, 4, 10), millis(0)));
        tokens.clear();
        assert_eq!(tokens.spend(1, millis(0)), Spent::No);
        assert_eq!(tokens.ending(millis(0)), Ending::Done);
    }

    #[test]
    fn the_end_is_watched_by_one_until_nothing_is_left() {
        let tokens = Tokens::default();
        assert!(tokens.add(batch(&tokens, 1, 10), millis(0)));
        assert!(!tokens.add(batch(&tokens, 1, 10), millis(0)));
        tokens.not_watched();
        assert!(tokens.add(batch(&tokens, 1, 10), millis(0)));
        tokens.spend(3, millis(0));
        assert_eq!(tokens.ending(millis(0)), Ending::Done);
        assert!(tokens.add(batch(&tokens, 1, 10), millis(0)));
    }

    #[test]
    fn a_batch_is_what_is_wanted_and_leaves_most_to_others() {
        let terms = Terms {
            max_batch: 1_000,
            age: millis(100),
        };
        let tokens = Tokens::default();
        tokens.remains(400);
        for _ in 0..20 {
            tokens.spend(1, millis(5));
        }
        // Waiting is no second request.
        tokens.spend_after_waiting(1, millis(10));
        assert_eq!(tokens.batch(&terms, millis(10)), 100);
        assert_eq!(tokens.batch(&terms, millis(20)), 50);
        tokens.remains(40);
        assert_eq!(tokens.batch(&terms, millis(20)), 10);
        tokens.remains(40_000);
        let few = Terms {
            max_batch: 7,
            ..terms
        };
        assert_eq!(tokens.batch(&few, millis(20)), 7);
    }
}
