//! Keys that changed and were not looked at since.

use bytes::Bytes;
use std::collections::{HashMap, VecDeque};

/// First come, first looked at: keys that change all the time do not hold up the others.
#[derive(Default)]
pub(super) struct Dirty {
    /// How many pushes of a key may be for a change that was not told yet.
    untold: HashMap<Bytes, u32>,
    /// May name keys that were taken out since.
    order: VecDeque<Bytes>,
}

impl Dirty {
    /// Adds a key and so many pushes of it.
    pub(super) fn add(&mut self, key: Bytes, pushes: u32) {
        let untold = self.untold.entry(key).or_insert_with_key(|key| {
            self.order.push_back(key.clone());
            0
        });
        *untold = untold.saturating_add(pushes);
    }

    /// One of the pushes of a key was for what is told now; answers whether there was one.
    pub(super) fn explain(&mut self, key: &Bytes) -> bool {
        match self.untold.get_mut(key) {
            None | Some(0) => false,
            Some(untold) => {
                *untold -= 1;
                true
            }
        }
    }

    /// Takes the key that waits longest, and how many of its pushes nothing told explains.
    pub(super) fn take(&mut self) -> Option<(Bytes, u32)> {
        loop {
            let key = self.order.pop_front()?;
            if let Some(untold) = self.untold.remove(&key) {
                return Some((key, untold));
            }
        }
    }

    pub(super) fn remove(&mut self, key: &Bytes) {
        self.untold.remove(key);
    }

    pub(super) fn len(&self) -> usize {
        self.untold.len()
    }

    pub(super) fn clear(&mut self) {
        self.untold.clear();
        self.order.clear();
    }
}
