//! Keys whose end was told. What is collected there later is no news.

use std::{collections::HashSet, hash::Hash, mem};

/// The last so many that were put in, and up to as many before them.
#[derive(Debug)]
pub(super) struct Gone<T> {
    young: HashSet<T>,
    old: HashSet<T>,
    room: usize,
}

impl<T: Eq + Hash> Gone<T> {
    pub(super) fn new(room: usize) -> Self {
        Self {
            young: HashSet::new(),
            old: HashSet::new(),
            room,
        }
    }

    pub(super) fn insert(&mut self, key: T) {
        if self.young.len() >= self.room {
            self.old = mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key);
    }

    pub(super) fn remove(&mut self, key: &T) {
        if !self.young.remove(key) {
            self.old.remove(key);
        }
    }

    pub(super) fn contains(&self, key: &T) -> bool {
        self.young.contains(key) || self.old.contains(key)
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.young.retain(&keep);
        self.old.retain(&keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut gone = Gone::new(2);
        (0..5).for_each(|key| gone.insert(key));
        let kept: Vec<_> = (0..5).filter(|key| gone.contains(key)).collect();
        assert_eq!(kept, [2, 3, 4]);
        gone.remove(&3);
        gone.remove(&4);
        assert!(!gone.contains(&3) && !gone.contains(&4));
    }
}
