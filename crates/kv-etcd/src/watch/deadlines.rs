//! When keys that are watched end.

use super::looks::Spot;
use kv_core::Timestamp;
use std::collections::{BTreeSet, HashMap};

/// The deadlines of watched keys, in bounded room.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    of: HashMap<Spot, Timestamp>,
    order: BTreeSet<(Timestamp, Spot)>,
}

impl Deadlines {
    /// Remembers when a key ends, or that it does not. With `most` of them already, a further one
    /// takes the place of the latest or is not remembered.
    pub(super) fn set(&mut self, spot: &Spot, at: Option<Timestamp>, most: usize) {
        if let Some(before) = self.of.remove(spot) {
            self.order.remove(&(before, spot.clone()));
        }
        let Some(at) = at else {
            return;
        };
        if self.of.len() >= most {
            match self.order.last() {
                Some((latest, _)) if *latest > at => {}
                _ => return,
            }
            if let Some((_, latest)) = self.order.pop_last() {
                self.of.remove(&latest);
            }
        }
        self.of.insert(spot.clone(), at);
        self.order.insert((at, spot.clone()));
    }

    pub(super) fn contains(&self, spot: &Spot) -> bool {
        self.of.contains_key(spot)
    }

    /// The next one.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes a key whose deadline has come.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<Spot> {
        if self.next()? > now {
            return None;
        }
        let (_, spot) = self.order.pop_first()?;
        self.of.remove(&spot);
        Some(spot)
    }

    /// Forgets all of a topic.
    pub(super) fn forget(&mut self, topic: u64) {
        self.of.retain(|spot, _| spot.topic != topic);
        self.order.retain(|(_, spot)| spot.topic != topic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(key: &'static str) -> Spot {
        Spot {
            topic: 1,
            key: key.into(),
        }
    }

    #[test]
    fn the_next_ones_are_kept() {
        let mut deadlines = Deadlines::default();
        let at = Timestamp::from_micros;
        for (key, micros) in [("a", 5), ("b", 9), ("c", 7), ("d", 11), ("a", 6)] {
            deadlines.set(&spot(key), Some(at(micros)), 2);
        }
        assert_eq!(deadlines.take_due(at(5)), None);
        assert_eq!(deadlines.take_due(at(6)), Some(spot("a")));
        assert_eq!(deadlines.next(), Some(at(7)));
        deadlines.set(&spot("c"), None, 2);
        assert_eq!(deadlines.next(), None);
        deadlines.set(&spot("e"), Some(at(8)), 2);
        deadlines.forget(1);
        assert_eq!(deadlines.next(), None);
        assert!(deadlines.of.is_empty());
    }
}
