//! Which entries of a shard end when.

use crate::moment::FOREVER;
use std::{cmp::Reverse, collections::BinaryHeap};

/// The deadlines of a shard's entries, soonest first.
///
/// Taking a deadline off, or deleting the entry, leaves a stale item behind, which is passed over
/// when its turn comes; when too many are stale they are thrown out together.
#[derive(Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<Due>>,
    /// How many entries have a deadline.
    live: usize,
}

/// An entry is known by the hash of its key and its deadline: two that agree in both have an item
/// each, so each is found in turn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    pub(crate) deadline: i64,
    pub(crate) hash: u64,
}

impl Deadlines {
    /// Notes that an entry has a new deadline; `FOREVER` stands for none.
    pub(crate) fn change(&mut self, hash: u64, from: i64, to: i64) {
        if from == to {
            return;
        }
        self.live -= usize::from(from != FOREVER);
        self.live += usize::from(to != FOREVER);
        if to != FOREVER {
            self.heap.push(Reverse(Due { deadline: to, hash }));
        }
    }

    /// The soonest deadline, perhaps of an entry that is gone.
    pub(crate) fn next(&self) -> i64 {
        self.heap.peek().map_or(FOREVER, |due| due.0.deadline)
    }

    /// Takes out the soonest, if it has passed.
    pub(crate) fn pop(&mut self, now: i64) -> Option<Due> {
        if self.next() > now {
            return None;
        }
        self.heap.pop().map(|due| due.0)
    }

    /// How many entries have a deadline.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// How many items there are, stale ones included.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether so many items are stale that throwing them out pays.
    pub(crate) fn is_cluttered(&self) -> bool {
        let stale = self.heap.len().saturating_sub(self.live);
        stale > 2 * self.live + 64
    }

    /// Throws out the items that no entry stands behind.
    pub(crate) fn compact(&mut self, mut holds: impl FnMut(Due) -> bool) {
        let mut items = std::mem::take(&mut self.heap).into_vec();
        items.sort_unstable();
        items.dedup();
        items.retain(|due| holds(due.0));
        items.shrink_to_fit();
        self.heap = items.into();
    }
}
