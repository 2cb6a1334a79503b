//! Entries: as they are kept in this process, and as callers see them.

use crate::{
    across::Number,
    freshness::{Freshness, Times},
    tags::Marks,
};
use std::{fmt, sync::Arc, time::Duration};

/// An entry, with what is known about it.
pub struct Entry<V> {
    pub(crate) value: Option<Arc<V>>,
    pub(crate) age: Duration,
    pub(crate) freshness: Freshness,
    pub(crate) tier: Tier,
}

/// Where an entry was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// In this process.
    Near,
    /// In the store, or in its [fallback](crate::Fallback).
    Far,
}

/// An entry as this process keeps it.
pub(crate) struct Kept<V> {
    /// `None` remembers that there is nothing.
    pub(crate) value: Option<Arc<V>>,
    pub(crate) version: u64,
    pub(crate) weight: u32,
    pub(crate) times: Times,
    /// Where it would be told that it does not hold any more; `None` for what the store may not have.
    pub(crate) heard: Option<Number>,
    /// When what it goes by was read: itself, and the versions of its tags.
    pub(crate) since: Duration,
    /// What its tags were then.
    pub(crate) marks: Marks,
}

impl<V> Entry<V> {
    /// The value; `None` if what is remembered is that there is none.
    pub fn value(&self) -> Option<&Arc<V>> {
        self.value.as_ref()
    }

    /// The time since its load began, or less where the store cannot tell.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// Whether it counts as new.
    pub fn freshness(&self) -> Freshness {
        self.freshness
    }

    /// Where it was found.
    pub fn tier(&self) -> Tier {
        self.tier
    }
}

impl<V> Kept<V> {
    pub(crate) fn seen(&self, now: Duration, tier: Tier) -> Entry<V> {
        Entry {
            value: self.value.clone(),
            age: self.times.age(now),
            freshness: self.times.freshness(now),
            tier,
        }
    }

    /// Stale from now on, whatever its tags say besides.
    pub(crate) fn expire(&self, now: Duration) -> Self {
        Self {
            times: self.times.expire(now),
            marks: self.marks.settled(),
            ..self.clone()
        }
    }
}

impl<V> Clone for Kept<V> {
    fn clone(&self) -> Self {
        Self {
            value: self.value.clone(),
            marks: self.marks.clone(),
            ..*self
        }
    }
}

/// Without the value, which does not belong in a log.
impl<V> fmt::Debug for Entry<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("has_value", &self.value.is_some())
            .field("age", &self.age)
            .field("freshness", &self.freshness)
            .field("tier", &self.tier)
            .finish()
    }
}
