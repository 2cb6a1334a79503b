//! The bare sorted set that the memory store's is compared with.

use ordered_float::OrderedFloat;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

#[derive(Default)]
pub(crate) struct SortedSet {
    order: BTreeSet<(OrderedFloat<f64>, Arc<str>)>,
    scores: HashMap<Arc<str>, f64, ahash::RandomState>,
}

impl SortedSet {
    pub(crate) fn add(&mut self, member: &str, score: f64) {
        let member: Arc<str> = member.into();
        if let Some(old) = self.scores.insert(Arc::clone(&member), score) {
            self.order.remove(&(old.into(), Arc::clone(&member)));
        }
        self.order.insert((score.into(), member));
    }

    pub(crate) fn pop(&mut self, max: f64) -> Option<Arc<str>> {
        if self.order.first()?.0 > OrderedFloat(max) {
            return None;
        }
        let (_, member) = self.order.pop_first()?;
        self.scores.remove(&member);
        Some(member)
    }
}
