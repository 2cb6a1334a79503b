//! Room for a whole transaction in a bounded store.

use crate::{
    bound::{Bound, Growth},
    entry::{Data, Entry},
    hash::Hash,
    moment::{FOREVER, Moment},
    number,
    refusal::{Failure, Refusal},
    shard::{Shard, Slot},
    strings,
    zset::ZSet,
};
use kv_core::{Field, Key, Op, Ttl};
use std::{collections::HashMap, sync::Arc};

/// Room that was taken before a transaction is done. Meanwhile its steps need not ask for any.
pub(crate) struct Advance {
    bound: Arc<Bound>,
    taken: Size,
    before: Size,
    keys: Vec<Key>,
}

/// Entries and bytes, or how many more of them.
#[derive(Clone, Copy, Default)]
struct Size {
    entries: isize,
    bytes: isize,
}

impl Shard {
    /// Takes the room that the steps need at most, all together; what they free counts against it.
    pub(crate) fn advance(
        &mut self,
        ops: &[Op],
        others: impl FnOnce() -> Vec<Key>,
        now: &Moment<'_>,
    ) -> Result<Option<Advance>, Failure> {
        let Some(bound) = self.books.bound.clone() else {
            return Ok(None);
        };
        let mut estimate = Estimate::new(self, now);
        ops.iter().for_each(|op| estimate.add(op));
        let (grown, grower) = estimate.sum();
        let keys: Vec<Key> = ops.iter().filter_map(Op::key).cloned().collect();
        let taken = Size {
            entries: grown.entries.max(0),
            bytes: grown.bytes.max(0),
        };
        let mut growth = Growth {
            entries: taken.entries.unsigned_abs(),
            bytes: taken.bytes.unsigned_abs(),
            whole: 0,
        };
        if growth.bytes > 0 {
            // What it touches is not evicted for it, so all of that must fit together.
            let mut all = [others(), keys.clone()].concat();
            all.sort_unstable();
            all.dedup();
            let cost = |key: &Key| self.get(self.slot(key), now).map_or(0, Entry::cost);
            growth.whole = growth.bytes + all.iter().map(cost).sum::<usize>();
        }
        if let Err(full) = bound.reserve(growth) {
            return Err(Failure {
                refusal: Refusal::Full(full),
                key: grower.cloned(),
            });
        }
        self.books.bound = None;
        let before = self.size();
        Ok(Some(Advance {
            bound,
            taken,
            before,
            keys,
        }))
    }

    /// Gives back what was not needed.
    pub(crate) fn settle(&mut self, advance: Option<Advance>, now: &Moment<'_>) {
        let Some(advance) = advance else {
            return;
        };
        let (before, after) = (advance.before, self.size());
        let spare = |taken: isize, before: isize, after: isize| taken + before - after;
        let (entries, bytes) = (
            spare(advance.taken.entries, before.entries, after.entries),
            spare(advance.taken.bytes, before.bytes, after.bytes),
        );
        debug_assert!(entries >= 0 && bytes >= 0, "the estimate is from above");
        let positive = |it: isize| it.max(0).unsigned_abs();
        advance.bound.release(positive(entries), positive(bytes));
        self.books.bound = Some(advance.bound);
        for key in &advance.keys {
            // New entries were not marked as used without the bound.
            self.get(self.slot(key), now);
        }
    }

    fn size(&self) -> Size {
        Size {
            entries: self.table.len().cast_signed(),
            bytes: self.books.bytes.cast_signed(),
        }
    }
}

/// By how much steps that were checked let the shard grow: never too little.
struct Estimate<'a> {
    shard: &'a Shard,
    now: &'a Moment<'a>,
    sum: Size,
    /// What happens to structures, which several steps can write.
    structures: HashMap<&'a Key, Structure<'a>>,
    grower: Option<&'a Key>,
}

struct Structure<'a> {
    entry: Option<&'a Entry>,
    grows: bool,
    removed: usize,
    freed: usize,
}

impl<'a> Estimate<'a> {
    fn new(shard: &'a Shard, now: &'a Moment<'a>) -> Self {
        Self {
            shard,
            now,
            sum: Size::default(),
            structures: HashMap::new(),
            grower: None,
        }
    }

    fn add(&mut self, op: &'a Op) {
        let Some(key) = op.key() else {
            return;
        };
        let before = self.sum;
        match op {
            Op::Set { content, ttl, .. } => {
                self.replace(key, content.as_bytes().len(), *ttl, *ttl);
            }
            Op::Delete { .. } => self.delete(key),
            Op::DeleteIf { mark, .. } if self.shard.has(self.shard.slot(key), mark, self.now) => {
                self.delete(key);
            }
            Op::Increment {
                by, ttl_if_created, ..
            } => {
                let text = self.shard.string(self.shard.slot(key), self.now);
                let sum = match text.ok().flatten() {
                    Some(text) => strings::add(text, *by).map_or(0, |it| it.0),
                    None => *by,
                };
                self.replace(key, digits(sum), *ttl_if_created, Ttl::Keep);
            }
            Op::NextToken { ttl, .. } => {
                let token = self.shard.following_token(self.shard.slot(key), self.now);
                self.replace(key, digits(token.unwrap_or(0)), *ttl, *ttl);
            }
            Op::HSet { fields, .. } => {
                let fields = fields
                    .iter()
                    .map(|(field, it)| (field, it.as_bytes().len()));
                self.put_fields(key, fields);
            }
            Op::HIncrement { field, by, .. } => {
                let hash = self.shard.hash(self.shard.slot(key), self.now);
                let text = hash.ok().flatten().and_then(|it| it.get(field));
                let sum = text.map_or(Ok(*by), |it| strings::add(it, *by).map(|it| it.0));
                self.put_fields(key, [(field, digits(sum.unwrap_or(0)))].into_iter());
            }
            Op::HDel { fields, .. } => {
                let structure = self.structure(key);
                let hash = structure.entry.and_then(|it| it.data.as_hash().ok());
                for field in fields {
                    if let Some(cost) = hash.and_then(|it| it.cost_of(field)) {
                        structure.removed += 1;
                        structure.freed += cost;
                    }
                }
            }
            Op::ZAdd { members, .. } if !members.is_empty() => {
                let zset = self.start(key, || ZSet::default().cost());
                let zset = zset.and_then(|it| it.data.as_zset().ok());
                let growth = |it: &[u8]| zset.map_or(ZSet::cost_of(it), |zset| zset.growth(it));
                let each = members.iter().map(|(it, _)| growth(it.as_bytes()));
                self.sum.bytes += each.sum::<usize>().cast_signed();
            }
            Op::ZRem { members, .. } => {
                let structure = self.structure(key);
                let zset = structure.entry.and_then(|it| it.data.as_zset().ok());
                for member in members {
                    if zset.is_some_and(|it| it.score(member.as_bytes()).is_some()) {
                        structure.removed += 1;
                        structure.freed += ZSet::cost_of(member.as_bytes());
                    }
                }
            }
            // A range that is removed may free something, which is not counted on.
            _ => {}
        }
        if self.sum.bytes > before.bytes {
            self.grower.get_or_insert(key);
        }
    }

    /// The growth, and the key of the first step that has a part in it.
    fn sum(mut self) -> (Size, Option<&'a Key>) {
        for structure in self.structures.values() {
            self.sum.bytes -= structure.freed.cast_signed();
            let Some(entry) = structure.entry else {
                continue;
            };
            if !structure.grows && structure.removed == len(&entry.data) {
                self.sum.entries -= 1;
                self.sum.bytes -= (entry.cost() - structure.freed).cast_signed();
            }
        }
        (self.sum, self.grower)
    }

    /// A string comes, in the place of whatever is there. The ttl is that of an entry which is new,
    /// or of one that is replaced.
    fn replace(&mut self, key: &'a Key, length: usize, if_new: Ttl, if_there: Ttl) {
        let found = self.find(key);
        let (ttl, current) = match found {
            Some(entry) => (if_there, entry.deadline),
            None => (if_new, FOREVER),
        };
        let ends = self.now.passed(self.now.deadline(ttl, current));
        match (found, ends) {
            (None, true) => {}
            (Some(_), true) => self.delete(key),
            (Some(entry), false) => {
                self.sum.bytes += length.cast_signed() - entry.data.cost().cast_signed();
            }
            (None, false) => {
                self.sum.entries += 1;
                self.sum.bytes += Entry::cost_of(key.as_bytes(), length).cast_signed();
            }
        }
    }

    fn delete(&mut self, key: &'a Key) {
        if let Some(entry) = self.find(key) {
            self.sum.entries -= 1;
            self.sum.bytes -= entry.cost().cast_signed();
        }
    }

    fn put_fields(&mut self, key: &'a Key, fields: impl Iterator<Item = (&'a Field, usize)>) {
        let mut fields = fields.peekable();
        if fields.peek().is_none() {
            return;
        }
        let hash = self.start(key, || Hash::default().cost());
        let hash = hash.and_then(|it| it.data.as_hash().ok());
        let growth = |(field, length)| match hash {
            Some(hash) => hash.growth(field, length),
            None => Hash::cost_if_new(field, length),
        };
        self.sum.bytes += fields.map(growth).sum::<usize>().cast_signed();
    }

    /// The structure at a key that is to grow, which costs something itself if it is new.
    fn start(&mut self, key: &'a Key, empty: impl FnOnce() -> usize) -> Option<&'a Entry> {
        let structure = self.structure(key);
        let is_new = structure.entry.is_none() && !structure.grows;
        structure.grows = true;
        let entry = structure.entry;
        if is_new {
            self.sum.entries += 1;
            self.sum.bytes += Entry::cost_of(key.as_bytes(), empty()).cast_signed();
        }
        entry
    }

    fn structure(&mut self, key: &'a Key) -> &mut Structure<'a> {
        let entry = self.find(key);
        self.structures.entry(key).or_insert(Structure {
            entry,
            grows: false,
            removed: 0,
            freed: 0,
        })
    }

    fn find(&self, key: &'a Key) -> Option<&'a Entry> {
        let slot: Slot<'a> = self.shard.slot(key);
        self.shard.get(slot, self.now)
    }
}

fn len(data: &Data) -> usize {
    let hash = data.as_hash().map(Hash::len);
    hash.or_else(|_| data.as_zset().map(ZSet::len)).unwrap_or(0)
}

fn digits(number: i64) -> usize {
    number::print(number).as_bytes().len()
}
