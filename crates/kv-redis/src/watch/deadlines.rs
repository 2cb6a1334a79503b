//! When the keys that are watched end. The server tells of an end when it gets to delete the key,
//! which can be minutes later; a look at the right moment makes it delete the key.

use bytes::Bytes;
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

/// Moments of keys, counted from the start of the line.
#[derive(Default)]
pub(super) struct Deadlines {
    of: HashMap<Bytes, Duration>,
    order: BTreeSet<(Duration, Bytes)>,
}

impl Deadlines {
    /// Remembers when a key ends, or that it does not. With `most` of them already, a further one
    /// takes the place of the latest or is not remembered.
    pub(super) fn set(&mut self, key: &Bytes, at: Option<Duration>, most: usize) {
        if let Some(before) = self.of.remove(key) {
            self.order.remove(&(before, key.clone()));
        }
        let Some(at) = at else {
            return;
        };
        if self.of.len() >= most
            && let Some((_, latest)) = self.order.pop_last()
        {
            self.of.remove(&latest);
        }
        self.of.insert(key.clone(), at);
        self.order.insert((at, key.clone()));
    }

    /// The next moment.
    pub(super) fn next(&self) -> Option<Duration> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes a key whose moment has come.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<Bytes> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.of.remove(&key);
        Some(key)
    }

    pub(super) fn clear(&mut self) {
        self.of.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_ones_are_kept() {
        let mut deadlines = Deadlines::default();
        let at = Duration::from_secs;
        for (key, seconds) in [("a", 5), ("b", 9), ("c", 7), ("a", 6)] {
            deadlines.set(&Bytes::from(key), Some(at(seconds)), 2);
        }
        assert_eq!(deadlines.take_due(at(5)), None);
        assert_eq!(deadlines.take_due(at(6)), Some(Bytes::from("a")));
        assert_eq!(deadlines.next(), Some(at(7)));
        deadlines.set(&Bytes::from("c"), None, 2);
        assert_eq!(deadlines.next(), None);
        assert!(deadlines.of.is_empty());
    }
}
