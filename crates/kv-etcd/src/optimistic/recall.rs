//! Guessing what is at a key from what this process saw there last.

use super::{
    facts::{Query, Seen, What},
    view::{Planned, View},
};
use crate::layout::{Range, range::successor};
use kv_core::Key;

impl View<'_> {
    /// Takes for granted that there is no string at a key, and the record that was seen there last,
    /// or none: for plans that would otherwise read nothing else.
    pub(crate) fn recall(&mut self, key: &Key) {
        let raw = self.layout.record(key.as_bytes());
        let known = &self.facts.points;
        if self.facts.sober || known.contains_key(&raw) || self.recalled.contains(key) {
            return;
        }
        let record = self.hints.records.get(key);
        self.guess(self.layout.string(key.as_bytes()), None);
        self.guess(raw, record);
        self.recalled.push(key.clone());
    }

    /// Has elements of a structure, and all that tells whether they are there, read along with the
    /// next that must be.
    pub(crate) fn expect_at(&mut self, key: &Key, elements: impl IntoIterator<Item = Vec<u8>>) {
        let string = self.layout.string(key.as_bytes());
        let record = self.layout.record(key.as_bytes());
        self.expect([string, record].into_iter().chain(elements));
    }

    /// What is at a key, after what the plan did so far. The writes do not rely on it: the plan says
    /// in another way what they do rely on.
    pub(crate) fn glance(&mut self, key: &[u8]) -> Planned<Option<Seen>> {
        let relied = self.relied.points.contains(key);
        let seen = self.point(key)?;
        if !relied {
            self.relied.points.remove(key);
        }
        Ok(seen)
    }

    /// Remembers a record that was seen.
    pub(crate) fn remember(&self, key: &Key, record: Seen) {
        // One that this plan writes has no revision yet.
        if record.revision > 0 && !self.recalled.contains(key) {
            self.hints.records.remember(key, record);
        }
    }

    /// Whether the plan writes or deletes keys of a range.
    pub(crate) fn writes_in(&self, range: &Range) -> bool {
        !self.touched(range).is_empty() || self.erased.iter().any(|it| it.overlaps(range))
    }

    /// Whether a look for one key in a range has found it.
    pub(crate) fn has_seen_in(&self, range: &Range) -> bool {
        let found = self.facts.listings.get(&Query::first(range));
        found.is_some_and(|it| !it.entries.is_empty())
    }

    /// Remembers the records that were written at a revision, and forgets those that turned out not
    /// to be as remembered.
    pub(super) fn settle(&self, revision: Option<i64>) {
        let Some(revision) = revision else {
            self.recalled
                .iter()
                .for_each(|key| self.hints.records.forget(key));
            return;
        };
        for key in &self.created {
            let written = self.overlaid(&self.layout.record(key.as_bytes()));
            if let Some(Some(record)) = written {
                let record = Seen { revision, ..record };
                self.hints.records.remember(key, record);
            }
        }
    }
}

impl Query {
    /// One key, whether it is there or not.
    pub(crate) fn point(key: &[u8], what: What) -> Self {
        let from_key = key.to_vec();
        let to_key = successor(key);
        Self {
            range: Range { from_key, to_key },
            limit: 0,
            what,
        }
    }

    /// One key of a range, whichever is first.
    pub(super) fn first(range: &Range) -> Self {
        Self {
            range: range.clone(),
            limit: 1,
            what: What::All,
        }
    }
}
