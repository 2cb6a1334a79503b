//! One part of the store: a table of entries and the books about them.

use crate::{
    bound::{Bound, Growth},
    deadlines::Deadlines,
    entry::{Data, Entry},
    leftover::Leftover,
    moment::{FOREVER, Moment},
    refusal::Refusal,
    watch::Hub,
};
use ahash::RandomState;
use hashbrown::{HashTable, hash_table::OccupiedEntry};
use kv_core::{Key, Notice};
use std::{
    hash::{BuildHasher, Hasher},
    mem,
    sync::Arc,
};

/// The entries of some key groups. The transitions of the commands are methods of this type; they
/// run under one lock, so several of them make one atomic step.
pub(crate) struct Shard {
    pub(crate) table: HashTable<Entry>,
    pub(crate) books: Books,
    /// The last token that was given here, for records that are lost within a microsecond.
    pub(crate) issued: i64,
    hasher: RandomState,
}

/// Where a key is in its shard.
#[derive(Clone, Copy)]
pub(crate) struct Slot<'k> {
    pub(crate) hash: u64,
    pub(crate) key: &'k [u8],
}

impl Slot<'_> {
    fn holds(self, entry: &Entry) -> bool {
        *entry.key == *self.key
    }
}

/// The hash of a key or of a group.
pub(crate) fn hash_of(hasher: &RandomState, bytes: &[u8]) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(bytes);
    state.finish()
}

impl Shard {
    pub(crate) fn new(hasher: RandomState, bound: Option<Arc<Bound>>, hub: Arc<Hub>) -> Self {
        Self {
            table: HashTable::new(),
            books: Books::new(bound, hub),
            issued: 0,
            hasher,
        }
    }

    /// Where a key is in this shard, if it belongs here.
    pub(crate) fn slot<'k>(&self, key: &'k Key) -> Slot<'k> {
        let key = key.as_bytes();
        let hash = hash_of(&self.hasher, key);
        Slot { hash, key }
    }

    /// The entry at a slot, unless it has ended.
    pub(crate) fn get(&self, slot: Slot<'_>, now: &Moment<'_>) -> Option<&Entry> {
        let entry = self.table.find(slot.hash, |it| slot.holds(it))?;
        if now.passed(entry.deadline) {
            return None;
        }
        self.books.touch(entry);
        Some(entry)
    }

    /// The entry at a slot, for a change, with the books; one that has ended is freed on the way.
    pub(crate) fn occupied(
        &mut self,
        slot: Slot<'_>,
        now: &Moment<'_>,
    ) -> Option<(OccupiedEntry<'_, Entry>, &mut Books)> {
        let found = self.table.find_entry(slot.hash, |it| slot.holds(it)).ok()?;
        if now.passed(found.get().deadline) {
            self.books.expire(slot.hash, found.remove().0);
            return None;
        }
        self.books.touch(found.get());
        Some((found, &mut self.books))
    }

    /// Takes room for a new entry whose content costs this much, at most.
    pub(crate) fn reserve_entry(
        &self,
        slot: Slot<'_>,
        content: impl FnOnce() -> usize,
    ) -> Result<usize, Refusal> {
        self.books.reserve(|| {
            let bytes = Entry::cost_of(slot.key, content());
            let (entries, whole) = (1, bytes);
            Growth {
                entries,
                bytes,
                whole,
            }
        })
    }

    /// Puts in an entry that is not there yet, for which room was reserved.
    pub(crate) fn insert(&mut self, slot: Slot<'_>, data: Data, deadline: i64, reserved: usize) {
        let entry = Entry::new(slot.key, data, deadline);
        self.books.settle(reserved, 0, entry.cost());
        self.books.deadlines.change(slot.hash, FOREVER, deadline);
        self.books.touch(&entry);
        self.books.note(slot.key);
        let hasher = &self.hasher;
        let rehash = |it: &Entry| hash_of(hasher, &it.key);
        self.table.insert_unique(slot.hash, entry, rehash);
    }

    /// The soonest deadline, perhaps of an entry that is gone.
    pub(crate) fn next_deadline(&self) -> i64 {
        self.books.deadlines.next()
    }

    /// Frees entries that have ended, looking at no more than `limit` deadlines.
    pub(crate) fn free_due(&mut self, now: i64, limit: usize) {
        for _ in 0..limit {
            let Some(hash) = self.books.deadlines.pop(now) else {
                return;
            };
            let hasher = &self.hasher;
            let ended = |it: &Entry| it.deadline <= now && hash_of(hasher, &it.key) == hash;
            while let Ok(found) = self.table.find_entry(hash, ended) {
                self.books.expire(hash, found.remove().0);
            }
            let next = soonest(&self.table, hasher, hash);
            self.books.deadlines.push(hash, next);
        }
    }

    /// Removes the entries that are chosen; how many of them had not ended.
    pub(crate) fn remove_where(
        &mut self,
        now: &Moment<'_>,
        mut chosen: impl FnMut(&Entry) -> bool,
    ) -> u64 {
        let mut removed = 0;
        let (books, hasher) = (&mut self.books, &self.hasher);
        for entry in self.table.extract_if(|it| chosen(it)) {
            let hash = hash_of(hasher, &entry.key);
            if now.passed(entry.deadline) {
                books.expire(hash, entry);
            } else {
                books.forget(hash, entry);
                removed += 1;
            }
        }
        removed
    }

    /// Removes an entry last used at this tick, to make room; whether it was still there.
    pub(crate) fn evict(&mut self, hash: u64, used: u64) -> bool {
        let unchanged = |it: &Entry| it.used.load(std::sync::atomic::Ordering::Relaxed) == used;
        let Ok(found) = self.table.find_entry(hash, unchanged) else {
            return false;
        };
        self.books.evicted += 1;
        self.books.forget(hash, found.remove().0);
        true
    }

    /// Up to `limit` entries with their hashes, from a place chosen by `dice`.
    pub(crate) fn sample(&self, dice: u64, limit: usize) -> impl Iterator<Item = (&Entry, u64)> {
        let buckets = match self.table.is_empty() {
            true => 0,
            false => self.table.num_buckets(),
        };
        (0..buckets)
            .filter_map(move |step| {
                let bucket = (dice as usize).wrapping_add(step) % buckets;
                self.table.get_bucket(bucket)
            })
            .take(limit)
            .map(|entry| (entry, hash_of(&self.hasher, &entry.key)))
    }

    /// Whether a change left something to tidy up; rarely.
    pub(crate) fn is_untidy(&self) -> bool {
        self.is_sparse() || self.books.deadlines.is_cluttered() || !self.books.leftover.is_empty()
    }

    /// Gives back memory that is no longer needed, and hands over what is better done after the lock.
    #[cold]
    pub(crate) fn tidy(&mut self) -> Leftover {
        let hasher = &self.hasher;
        if self.is_sparse() {
            let len = self.table.len();
            let rehash = |it: &Entry| hash_of(hasher, &it.key);
            self.table.shrink_to(len * 2, rehash);
        }
        if self.books.deadlines.is_cluttered() {
            let table = &self.table;
            self.books
                .deadlines
                .compact(|hash| soonest(table, hasher, hash));
        }
        mem::take(&mut self.books.leftover)
    }

    fn is_sparse(&self) -> bool {
        let (len, capacity) = (self.table.len(), self.table.capacity());
        capacity > 1024 && len * 8 < capacity
    }
}

/// The soonest deadline of the entries with this hash; of almost every hash there is at most one.
fn soonest(table: &HashTable<Entry>, hasher: &RandomState, hash: u64) -> i64 {
    let entries = table.iter_hash(hash);
    let entries = entries.filter(|it| hash_of(hasher, &it.key) == hash);
    entries.map(|it| it.deadline).min().unwrap_or(FOREVER)
}

/// What is known about a shard's entries without looking at them.
pub(crate) struct Books {
    pub(crate) deadlines: Deadlines,
    pub(crate) bytes: usize,
    pub(crate) expired: u64,
    pub(crate) evicted: u64,
    pub(crate) bound: Option<Arc<Bound>>,
    hub: Arc<Hub>,
    leftover: Leftover,
}

impl Books {
    fn new(bound: Option<Arc<Bound>>, hub: Arc<Hub>) -> Self {
        Self {
            deadlines: Deadlines::default(),
            bytes: 0,
            expired: 0,
            evicted: 0,
            bound,
            hub,
            leftover: Leftover::default(),
        }
    }

    /// Takes room in a bounded store; returns how many bytes were taken. Without a bound the growth
    /// is not even computed.
    pub(crate) fn reserve(&self, growth: impl FnOnce() -> Growth) -> Result<usize, Refusal> {
        let Some(bound) = &self.bound else {
            return Ok(0);
        };
        let growth = growth();
        bound.reserve(growth).map_err(Refusal::Full)?;
        Ok(growth.bytes)
    }

    /// As [`reserve`](Self::reserve), for the growth of an entry that is there.
    pub(crate) fn reserve_growth(
        &self,
        entry: &Entry,
        bytes: impl FnOnce() -> usize,
    ) -> Result<usize, Refusal> {
        self.reserve(|| {
            let bytes = bytes();
            // What does not grow is never refused, however large it is.
            let whole = if bytes > 0 { entry.cost() + bytes } else { 0 };
            Growth {
                entries: 0,
                bytes,
                whole,
            }
        })
    }

    /// Books a change of an entry's cost, for which `reserved` bytes were taken before.
    pub(crate) fn settle(&mut self, reserved: usize, before: usize, after: usize) {
        self.bytes = self.bytes + after - before;
        if let Some(bound) = &self.bound {
            bound.release(0, reserved + before - after);
        }
    }

    /// Tells those who watch a key that it changed.
    #[inline]
    pub(crate) fn note(&mut self, key: &[u8]) {
        if self.hub.is_watched() {
            self.hub.changed(key, &mut self.leftover.woken);
        }
    }

    /// Sends messages, before anybody sees what they tell about.
    pub(crate) fn send(&mut self, notices: &[Notice]) {
        for notice in notices {
            self.hub.send(notice, &mut self.leftover.woken);
        }
    }

    /// Gives an entry another deadline.
    pub(crate) fn set_deadline(&mut self, hash: u64, entry: &mut Entry, deadline: i64) {
        self.deadlines.change(hash, entry.deadline, deadline);
        entry.deadline = deadline;
    }

    /// Books that an entry is gone.
    pub(crate) fn forget(&mut self, hash: u64, entry: Entry) {
        let cost = entry.cost();
        self.bytes -= cost;
        self.deadlines.change(hash, entry.deadline, FOREVER);
        if let Some(bound) = &self.bound {
            bound.release(1, cost);
        }
        self.note(&entry.key);
        self.discard(entry.data);
    }

    /// Drops a content: at once if that is quick, else after the lock.
    pub(crate) fn discard(&mut self, data: Data) {
        const HEAVY: usize = 16 << 10;
        if matches!(data, Data::Structure(_)) && data.cost() > HEAVY {
            self.leftover.garbage.push(data);
        }
    }

    fn expire(&mut self, hash: u64, entry: Entry) {
        self.expired += 1;
        self.forget(hash, entry);
    }

    fn touch(&self, entry: &Entry) {
        if let Some(bound) = &self.bound {
            bound.touch(entry);
        }
    }
}
