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
    /// The older ones first.
    piles: [Pile; 2],
    /// What was not spent in time, and is to be given back.
    lapsed: u64,
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
}

/// What came of spending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    /// There was enough.
    Yes {
        left: u64,
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
    GiveBack(u64),
    /// There is nothing before then.
    Wait(Duration),
    /// There are none left.
    Done,
}

impl Tokens {
    pub(crate) fn spend(&self, cost: u64, now: Duration) -> Spent {
        let mut purse = self.purse.lock();
        purse.wanted = purse.wanted.saturating_add(cost);
        purse.lapse(now);
        let left = purse.left();
        if left < cost {
            return Spent::No;
        }
        let mut due = cost;
        for pile in &mut purse.piles {
            let spent = due.min(pile.left);
            pile.left -= spent;
            due -= spent;
        }
        let left = left - cost;
        let refill = left <= purse.batch / 2 && !purse.is_refilling;
        purse.is_refilling |= refill;
        Spent::Yes { left, refill }
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

    /// The store gave so many and has so many left. Whether the caller is to watch their end.
    pub(crate) fn add(&self, units: u64, until: Duration, remaining: u64, now: Duration) -> bool {
        let mut purse = self.purse.lock();
        purse.is_refilling = false;
        purse.remaining = remaining;
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
            },
        };
        purse.piles = [older, Pile { left: units, until }];
        !std::mem::replace(&mut purse.is_watched, true)
    }

    /// What the one who watches is to do.
    pub(crate) fn ending(&self, now: Duration) -> Ending {
        let mut purse = self.purse.lock();
        purse.lapse(now);
        if purse.lapsed > 0 {
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

    /// Takes all units back; they are the store's again if the caller gives them back.
    pub(crate) fn take_all(&self) -> u64 {
        let mut purse = self.purse.lock();
        let left = purse.left() + std::mem::take(&mut purse.lapsed);
        purse.piles = Default::default();
        left
    }
}

/// A rate over less than this says nothing.
const SHORTEST_SPAN: Duration = Duration::from_micros(100);

impl Purse {
    fn left(&self) -> u64 {
        self.piles.iter().map(|it| it.left).sum()
    }

    fn lapse(&mut self, now: Duration) {
        for pile in &mut self.piles {
            if pile.left > 0 && now >= pile.until {
                self.lapsed += std::mem::take(&mut pile.left);
            }
        }
    }
}
