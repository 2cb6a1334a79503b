//! Which keys are to be looked at, and why.

use bytes::Bytes;
use kv_core::Timestamp;
use std::collections::{HashMap, VecDeque, hash_map::Entry};

/// A key as one topic knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Spot {
    pub(super) topic: u64,
    pub(super) key: Bytes,
}

/// Why a key is looked at. The later ones outdo those before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// To learn its deadline. Watched since this instant.
    Armed(Timestamp),
    /// Its deadline has come.
    Due,
    /// Something was written or deleted there.
    Changed,
}

/// The looks that are to come and those under way.
#[derive(Debug, Default)]
pub(super) struct Looks {
    of: HashMap<Spot, Look>,
    /// Keys that may wait still.
    waiting: VecDeque<Spot>,
}

#[derive(Debug)]
struct Look {
    cause: Cause,
    under_way: bool,
    /// The revision of the last change that came while it was under way.
    changed: i64,
}

impl Looks {
    pub(super) fn len(&self) -> usize {
        self.of.len()
    }

    /// Why a key is to be looked at, if it is.
    pub(super) fn cause(&self, spot: &Spot) -> Option<Cause> {
        self.of.get(spot).map(|look| look.cause)
    }

    /// Has a key looked at, because of something at this revision.
    pub(super) fn want(&mut self, spot: Spot, cause: Cause, revision: i64) {
        match self.of.entry(spot) {
            Entry::Occupied(mut known) => {
                let look = known.get_mut();
                look.cause = look.cause.max(cause);
                look.changed = look.changed.max(revision);
            }
            Entry::Vacant(new) => {
                self.waiting.push_back(new.key().clone());
                new.insert(Look {
                    cause,
                    under_way: false,
                    changed: revision,
                });
            }
        }
    }

    /// Something better is known of the key.
    pub(super) fn remove(&mut self, spot: &Spot) {
        self.of.remove(spot);
    }

    /// Begins to look at some keys.
    pub(super) fn begin(&mut self, most: usize) -> Vec<Spot> {
        let mut begun = Vec::new();
        while begun.len() < most
            && let Some(spot) = self.waiting.pop_front()
        {
            if let Some(look) = self.of.get_mut(&spot)
                && !look.under_way
            {
                look.under_way = true;
                begun.push(spot);
            }
        }
        begun
    }

    /// Ends a look at this revision; answers why it was made. It is made again if the key has changed
    /// since.
    pub(super) fn end(&mut self, spot: &Spot, revision: i64) -> Option<Cause> {
        let look = self.of.get_mut(spot).filter(|look| look.under_way)?;
        let cause = look.cause;
        if look.changed > revision {
            look.under_way = false;
            self.waiting.push_back(spot.clone());
        } else {
            self.of.remove(spot);
        }
        Some(cause)
    }

    /// A look that failed is made again.
    pub(super) fn again(&mut self, spot: Spot) {
        if let Some(look) = self.of.get_mut(&spot) {
            look.under_way = false;
            self.waiting.push_back(spot);
        }
    }

    pub(super) fn forget(&mut self, topic: u64) {
        self.of.retain(|spot, _| spot.topic != topic);
        self.waiting.retain(|spot| spot.topic != topic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot() -> Spot {
        Spot {
            topic: 1,
            key: "k".into(),
        }
    }

    #[test]
    fn changes_of_one_key_take_one_look() {
        let mut looks = Looks::default();
        looks.want(spot(), Cause::Due, 0);
        looks.want(spot(), Cause::Changed, 7);
        assert_eq!(looks.begin(9), [spot()]);
        assert_eq!(looks.end(&spot(), 7), Some(Cause::Changed));
        assert_eq!((looks.begin(9), looks.len()), (vec![], 0));
    }

    #[test]
    fn a_change_behind_a_look_takes_another() {
        let mut looks = Looks::default();
        looks.want(spot(), Cause::Changed, 7);
        looks.begin(9);
        looks.want(spot(), Cause::Changed, 9);
        assert!(looks.begin(9).is_empty());
        assert_eq!(looks.end(&spot(), 8), Some(Cause::Changed));
        assert_eq!(looks.begin(9), [spot()]);
        looks.again(spot());
        assert_eq!(looks.begin(9), [spot()]);
        looks.remove(&spot());
        assert_eq!(looks.end(&spot(), 9), None);
    }
}
