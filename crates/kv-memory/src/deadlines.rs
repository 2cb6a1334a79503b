//! Which entries of a shard end when.

use crate::moment::FOREVER;
use std::{cmp::Reverse, collections::BinaryHeap};

/// The deadlines of a shard's entries, soonest first.
///
/// Each entry that has a deadline has an item whose time is that or earlier: a deadline that is put
/// off, as by every renewal, leaves its item where it is, and the item is set to the right time when
/// its turn comes. Taking a deadline off or bringing it forward, or deleting the entry, leaves a
/// stale item behind, which is passed over; when too many are stale they are thrown out together.
#[derive(Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<Due>>,
    /// How many entries have a deadline.
    live: usize,
}

/// An entry is known by the hash of its key: one item stands for all that agree in it, at the
/// soonest of their deadlines or earlier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: i64,
    hash: u64,
}

impl Deadlines {
    /// Notes that an entry has a new deadline; `FOREVER` stands for none.
    pub(crate) fn change(&mut self, hash: u64, from: i64, to: i64) {
        self.live -= usize::from(from != FOREVER);
        self.live += usize::from(to != FOREVER);
        if to < from {
            self.push(hash, to);
        }
    }

    /// Sets the item of a hash, taken out before, to the soonest deadline that is left there.
    pub(crate) fn push(&mut self, hash: u64, at: i64) {
        if at != FOREVER {
            self.heap.push(Reverse(Due { at, hash }));
        }
    }

    /// The soonest deadline, or an earlier time: that of an entry that is gone or lives longer.
    pub(crate) fn next(&self) -> i64 {
        self.heap.peek().map_or(FOREVER, |due| due.0.at)
    }

    /// Takes out the soonest item, if its time has passed: a hash to look at.
    pub(crate) fn pop(&mut self, now: i64) -> Option<u64> {
        if self.next() > now {
            return None;
        }
        self.heap.pop().map(|due| due.0.hash)
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

    /// Throws out the stale items, and sets the others right; `soonest` is the soonest deadline of a
    /// hash.
    pub(crate) fn compact(&mut self, mut soonest: impl FnMut(u64) -> i64) {
        let mut items = std::mem::take(&mut self.heap).into_vec();
        for item in &mut items {
            item.0.at = soonest(item.0.hash);
        }
        items.retain(|due| due.0.at != FOREVER);
        items.sort_unstable();
        items.dedup();
        items.shrink_to_fit();
        self.heap = items.into();
    }
}

#[cfg(test)]
mod tests {
    use super::{Deadlines, FOREVER};

    #[test]
    fn compaction_leaves_each_entry_one_item_at_its_deadline() {
        let mut it = Deadlines::default();
        it.change(1, FOREVER, 50);
        it.change(1, 50, 40);
        it.change(1, 40, 90);
        it.change(2, FOREVER, 60);
        it.change(2, 60, FOREVER);
        assert_eq!((it.len(), it.live(), it.next()), (3, 1, 40));
        it.compact(|hash| if hash == 1 { 90 } else { FOREVER });
        assert_eq!((it.len(), it.live(), it.next()), (1, 1, 90));
    }
}
