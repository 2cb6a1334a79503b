//! Guessing what is at a key from what this process saw there last.

use super::{
    done::Done,
    facts::{Query, Seen, Want, What},
    run::Optimist,
    step::{Slot, Step},
    view::{Interrupt, Planned, View},
};
use crate::{
    fences::Fences,
    layout::{Range, range::successor},
    written::worth_keeping,
};
use bytes::Bytes;
use etcd_client::PutResponse;
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

    /// Whether the record of a key was taken for granted.
    pub(crate) fn has_recalled(&self, key: &Key) -> bool {
        self.recalled.contains(key)
    }

    /// Takes for granted that a structure is as this process saw it last, if it did.
    pub(crate) fn recall_structure(&mut self, key: &Key) {
        if self.hints.records.get(key).is_some() {
            self.recall(key);
        }
    }

    /// Takes for granted that a key holds the string that this process wrote there last, if it did;
    /// and nothing below it.
    pub(crate) fn recall_string(&mut self, key: &Key) {
        let raw = self.layout.string(key.as_bytes());
        if let Some(seen) = self.hints.written.get(&raw) {
            self.guess(raw, Some(seen));
            self.guess(self.layout.record(key.as_bytes()), None);
        }
    }

    /// Takes for granted that there is nothing at a key.
    pub(crate) fn guess_nothing(&mut self, key: &Key) {
        self.guess(self.layout.string(key.as_bytes()), None);
        self.guess(self.layout.record(key.as_bytes()), None);
    }

    /// Takes for granted that elements are as this process wrote them last, those that it did.
    pub(crate) fn recall_elements(&mut self, elements: &[Vec<u8>]) {
        for raw in elements {
            if let Some(seen) = self.hints.written.get(raw) {
                self.guess(raw.clone(), Some(seen));
            }
        }
    }

    /// Has elements of a structure, and all that tells whether they are there, read along with the
    /// next that must be.
    pub(crate) fn expect_at(&mut self, key: &Key, elements: impl IntoIterator<Item = Vec<u8>>) {
        let string = self.layout.string(key.as_bytes());
        let record = self.layout.record(key.as_bytes());
        self.expect([string, record].into_iter().chain(elements));
    }

    /// A fence within a part of a sorted set's index, the same one whenever the plan runs on what was
    /// read.
    pub(crate) fn fence(&mut self, key: &Key, part: &Range, members: usize) -> Option<Vec<u8>> {
        let fences = &self.hints.fences;
        let chosen = self.facts.fences.entry((part.clone(), members));
        let choose = || fences.before(key, &*part.from_key..&*part.to_key, members);
        chosen.or_insert_with(choose).clone()
    }

    /// What is at a key, after what the plan did so far. The writes do not rely on it: the plan says
    /// in another way what they do rely on.
    pub(crate) fn glance(&mut self, key: &[u8]) -> Planned<Option<Seen>> {
        // What is a condition already may be a guess, too; else nothing would confirm that.
        if self.relied.points.contains(key) || self.is_empty_by_condition(key) {
            return self.point(key);
        }
        if let Some(written) = self.overlaid(key) {
            return Ok(written);
        }
        let Some(seen) = self.facts.points.get(key).cloned() else {
            self.facts.guesses.remove(key);
            self.want(Want::Point(key.to_vec()));
            return Err(Interrupt::Unread);
        };
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

    /// Remembers what was written, and forgets what turned out not to be as remembered.
    pub(super) fn settle(&self, done: Option<&Done>) {
        let Some(done) = done else {
            let records = &self.hints.records;
            self.recalled.iter().for_each(|key| records.forget(key));
            let guesses = self.facts.guesses.keys();
            guesses.for_each(|key| self.hints.written.forget(key));
            return;
        };
        let revision = done.revision;
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                Step::Group(group) if done.did(Slot(at)) => {
                    let steps = group.steps.iter();
                    steps.for_each(|step| self.remember_step(step, revision));
                }
                step => self.remember_step(step, revision),
            }
        }
        for key in &self.created {
            let written = self.overlaid(&self.layout.record(key.as_bytes()));
            if let Some(Some(record)) = written {
                let record = Seen { revision, ..record };
                self.hints.records.remember(key, record);
            }
        }
    }
}

impl View<'_> {
    fn remember_step(&self, step: &Step, revision: i64) {
        let written = &self.hints.written;
        match step {
            // Entries of an index are found, and never asked for.
            Step::Put { value, .. } if value.is_empty() => {}
            Step::Put {
                key, value, lease, ..
            } => written.note(key, worth_keeping(value), revision, *lease),
            Step::Attach { key, .. } | Step::Delete(key) => written.forget(key),
            Step::Erase(_) | Step::Read(_) | Step::Group(_) => {}
        }
    }
}

impl Optimist {
    /// A fence within a part of a sorted set's index, a little behind its beginning.
    pub(crate) fn fence(&self, key: &Key, part: &Range) -> Option<Vec<u8>> {
        let fences = &self.hints.fences;
        fences.before(key, &*part.from_key..&*part.to_key, 1)
    }

    /// The fences of all sorted sets.
    pub(crate) fn fences(&self) -> &Fences {
        &self.hints.fences
    }

    /// Remembers a key that was written without a plan and without a lease.
    pub(crate) fn wrote(&self, key: &[u8], value: Option<Bytes>, answer: &PutResponse) {
        if let Some(header) = answer.header() {
            let written = &self.hints.written;
            written.note(key, value, header.revision(), 0);
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

    /// The first key of a range, without its value.
    pub(crate) fn first_key(range: Range) -> Self {
        let (limit, what) = (1, What::Keys);
        Self { range, limit, what }
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
