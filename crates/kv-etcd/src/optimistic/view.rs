//! What a plan sees and writes.

use super::{
    facts::{Facts, Listing, Query, Seen, Want, What},
    nest::Shape,
    step::Step,
};
use crate::{
    error::Failure,
    hints::Hints,
    layout::{Layout, Range},
};
use etcd_client::{Compare, CompareOp};
use foldhash::{HashMap, HashMapExt, HashSet};
use kv_core::{Key, Timestamp};
use std::{sync::Arc, time::Duration};

/// The result of a step of a plan.
pub(crate) type Planned<T> = Result<T, Interrupt>;

/// Why a plan did not run through.
#[derive(Debug)]
pub(crate) enum Interrupt {
    /// Something must be read first.
    Unread,
    /// A lease must be granted first that lives for this long.
    Unleased(Duration),
    /// How long a lease will live must be asked first.
    UntoldLease(i64),
    /// The elements of a structure that is not there any more must be deleted first, if its record
    /// is as it was seen: at this revision, 0 if there is none.
    Leftovers(Key, i64),
    /// This cannot be joined with what was planned before it in the same transaction.
    Separate,
    /// It cannot be done.
    Failed(Failure),
}

impl From<Failure> for Interrupt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What a plan sees of the store, and what it writes.
pub(crate) struct View<'a> {
    pub(crate) layout: &'a Layout,
    /// The time by which everything in this attempt is told.
    pub(crate) now: Timestamp,
    pub(super) facts: &'a mut Facts,
    pub(crate) hints: &'a Hints,
    leases: &'a LeaseFacts,
    pub(super) wants: HashSet<Want>,
    pub(super) relied: Relied,
    pub(super) steps: Vec<Step>,
    /// Where each key is written among the steps.
    pub(super) written: HashMap<Vec<u8>, usize>,
    /// Steps that later ones took the place of.
    pub(super) replaced: Vec<(usize, Step)>,
    pub(super) erased: Vec<Range>,
    /// Whose records were taken from the hints.
    pub(super) recalled: Vec<Key>,
    /// Whose records are new.
    pub(crate) created: Vec<Key>,
    /// Whether ranges are read before the transaction and not as part of it.
    pub(crate) reads_by_facts: bool,
}

/// What is known about leases.
#[derive(Default)]
pub(super) struct LeaseFacts {
    /// Which one to use for what is to live for how long.
    pub(super) granted: HashMap<Duration, i64>,
    /// How long they will live.
    pub(super) left: HashMap<i64, Option<Duration>>,
}

/// What the writes rely on.
#[derive(Default)]
pub(super) struct Relied {
    pub(super) points: HashSet<Vec<u8>>,
    pub(super) queries: HashSet<Query>,
    /// Ranges in which nothing was written since the facts were read; deletions go unseen.
    pub(super) unwritten: HashSet<Range>,
    /// Ranges without any key.
    pub(super) empty: HashSet<Range>,
    /// Points in those, which are no conditions of their own.
    pub(super) implied: HashSet<Vec<u8>>,
}

impl<'a> View<'a> {
    pub(super) fn new(
        layout: &'a Layout,
        now: Timestamp,
        facts: &'a mut Facts,
        hints: &'a Hints,
        leases: &'a LeaseFacts,
    ) -> Self {
        Self {
            layout,
            now,
            facts,
            hints,
            leases,
            wants: HashSet::default(),
            relied: Relied::default(),
            steps: Vec::new(),
            written: HashMap::new(),
            replaced: Vec::new(),
            erased: Vec::new(),
            recalled: Vec::new(),
            created: Vec::new(),
            reads_by_facts: false,
        }
    }

    /// Has keys read along with the next that must be.
    pub(crate) fn expect(&mut self, keys: impl IntoIterator<Item = Vec<u8>>) {
        for key in keys {
            if !self.knows(&key) {
                self.want(Want::Point(key));
            }
        }
    }

    /// Takes something for granted about a key that nobody has read: if it is not so, the
    /// transaction fails and the plan runs again on what is.
    pub(crate) fn guess(&mut self, key: Vec<u8>, seen: Option<Seen>) {
        // What was read must not be older than what is taken for granted beside it.
        let revision = seen.as_ref().map_or(0, |seen| seen.revision);
        let is_newer = self.facts.revision > 0 && revision > self.facts.revision;
        if !self.facts.sober && !is_newer && !self.facts.points.contains_key(&key) {
            self.facts.guesses.entry(key).or_insert(seen);
        }
    }

    /// What is at a key, after what the plan did so far. The writes rely on it.
    pub(crate) fn point(&mut self, key: &[u8]) -> Planned<Option<Seen>> {
        if let Some(written) = self.overlaid(key) {
            return Ok(written);
        }
        if self.is_empty_by_condition(key) {
            self.relied.implied.insert(key.to_vec());
            return Ok(None);
        }
        let known = self
            .facts
            .points
            .get(key)
            .or_else(|| self.facts.guesses.get(key));
        let Some(seen) = known.cloned() else {
            self.want(Want::Point(key.to_vec()));
            return Err(Interrupt::Unread);
        };
        self.relied.points.insert(key.to_vec());
        Ok(seen)
    }

    /// What is in a range, after what the plan did so far. The writes rely on what is listed being
    /// there still; [`rely_unwritten`](Self::rely_unwritten) adds that nothing else is.
    pub(crate) fn list(&mut self, range: &Range, limit: u64, what: What) -> Planned<Arc<Listing>> {
        let touched = self.touched(range);
        if touched.is_empty() && !self.erased.iter().any(|it| it.overlaps(range)) {
            return self.listing(range, limit, what);
        }
        // Those that are gone or rewritten leave room for as many more.
        let wider = match limit {
            0 => 0,
            _ => limit + touched.len() as u64,
        };
        let found = self.listing(range, wider, what)?;
        let mut entries = found.entries.clone();
        entries.retain(|(key, _)| !touched.contains_key(key) && !self.is_erased(key));
        let gone = found.entries.len() - entries.len();
        for (key, seen) in touched {
            if let Some(seen) = seen {
                entries.push((key, seen));
            }
        }
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        let count = (found.count as usize - gone.min(found.count as usize)) as u64;
        if limit > 0 {
            entries.truncate(limit as usize);
        }
        let count = count.max(entries.len() as u64);
        Ok(Arc::new(Listing { entries, count }))
    }

    /// How many keys are in a range. Only on what was read: the plan must not have written there.
    pub(crate) fn count(&mut self, range: &Range) -> Planned<u64> {
        if !self.touched(range).is_empty() || self.erased.iter().any(|it| it.overlaps(range)) {
            return Err(Interrupt::Separate);
        }
        Ok(self.listing(range, 0, What::Count)?.count)
    }

    /// The writes rely on nothing having been written in a range since it was read. What was deleted
    /// there goes unseen.
    pub(crate) fn rely_unwritten(&mut self, range: Range) {
        if !range.is_empty() {
            self.relied.unwritten.insert(range);
        }
    }

    /// The writes rely on a range having no key.
    pub(crate) fn rely_empty(&mut self, range: Range) {
        self.relied.empty.insert(range);
    }

    /// A lease that lives for this long.
    pub(crate) fn lease(&self, span: Duration) -> Planned<i64> {
        self.leases
            .granted
            .get(&span)
            .copied()
            .ok_or(Interrupt::Unleased(span))
    }

    /// For how much longer a lease lives, in whole seconds; `None` if it has ended.
    pub(crate) fn lease_left(&self, id: i64) -> Planned<Option<Duration>> {
        let left = self.leases.left.get(&id).copied();
        left.ok_or(Interrupt::UntoldLease(id))
    }

    /// The revision of what was read.
    pub(crate) fn revision(&self) -> i64 {
        self.facts.revision
    }

    /// Whether nothing is to be written.
    pub(super) fn is_read_only(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, Step::Read(_)))
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether the plan relied on guesses.
    pub(super) fn guessed(&self) -> bool {
        let guesses = &self.facts.guesses;
        self.relied
            .points
            .iter()
            .any(|key| guesses.contains_key(key))
    }

    /// How many conditions the transaction has so far.
    pub(crate) fn conditions(&self) -> usize {
        self.relied.len()
    }

    /// How many bytes its operations have so far, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.steps.iter().map(Step::bytes).sum()
    }

    /// Whether etcd takes so many conditions and operations in one transaction.
    pub(crate) fn has_shape(&self) -> bool {
        let conditions = self.relied.len();
        Shape::of(conditions, self.count_ops(), conditions).is_some()
    }

    /// How much is to be read before the plan can run through.
    pub(crate) fn wanted(&self) -> usize {
        self.wants.len()
    }

    /// The conditions of the transaction.
    pub(super) fn compares(&self) -> Vec<Compare> {
        let point = |key: &Vec<u8>| {
            let seen = self
                .facts
                .points
                .get(key)
                .or_else(|| self.facts.guesses.get(key));
            let revision = seen
                .and_then(Option::as_ref)
                .map_or(0, |seen| seen.revision);
            Compare::mod_revision(key.clone(), CompareOp::Equal, revision)
        };
        let next = self.facts.revision + 1;
        let unwritten = |range: &Range| {
            Compare::mod_revision(range.from_key.clone(), CompareOp::Less, next)
                .with_range(range.to_key.clone())
        };
        let empty = |range: &Range| {
            Compare::create_revision(range.from_key.clone(), CompareOp::Equal, 0)
                .with_range(range.to_key.clone())
        };
        let relied = &self.relied;
        let points = relied.points.iter().map(point);
        let unwritten = relied.unwritten.iter().map(unwritten);
        points
            .chain(unwritten)
            .chain(relied.empty.iter().map(empty))
            .collect()
    }

    pub(super) fn listing(
        &mut self,
        range: &Range,
        limit: u64,
        what: What,
    ) -> Planned<Arc<Listing>> {
        let limit = i64::try_from(limit).unwrap_or(0);
        let query = Query {
            range: range.clone(),
            limit,
            what,
        };
        let Some(listing) = self.facts.listings.get(&query).cloned() else {
            self.want(Want::Range(query));
            return Err(Interrupt::Unread);
        };
        self.relied.queries.insert(query);
        Ok(listing)
    }

    /// Whether the writes rely on there being nothing around a key.
    pub(super) fn is_empty_by_condition(&self, key: &[u8]) -> bool {
        self.relied.empty.iter().any(|range| range.contains(key))
    }

    fn knows(&self, key: &[u8]) -> bool {
        self.facts.points.contains_key(key) || self.facts.guesses.contains_key(key)
    }

    pub(super) fn want(&mut self, want: Want) {
        self.wants.insert(want);
    }
}

impl Relied {
    fn len(&self) -> usize {
        self.points.len() + self.unwritten.len() + self.empty.len()
    }
}
