//! The transitions of hashes.

use crate::{
    entry::Data,
    hash::Hash,
    moment::{FOREVER, Moment},
    number,
    refusal::Refusal,
    shard::{Shard, Slot},
    strings,
};
use kv_core::{Field, Value};
use std::mem;

impl Shard {
    pub(crate) fn hash(&self, slot: Slot<'_>, now: &Moment<'_>) -> Result<Option<&Hash>, Refusal> {
        let Some(entry) = self.get(slot, now) else {
            return Ok(None);
        };
        entry.data.as_hash().map(Some)
    }

    /// Writes fields; how many are new. They are taken only if they are written.
    pub(crate) fn hset(
        &mut self,
        slot: Slot<'_>,
        fields: &mut Vec<(Field, Value)>,
        now: &Moment<'_>,
    ) -> Result<u64, Refusal> {
        if fields.is_empty() {
            return Ok(0);
        }
        let Some((mut found, books)) = self.occupied(slot, now) else {
            let mut hash = Hash::default();
            let reserved = self.reserve_entry(slot, || hash.cost() + growth(&hash, fields))?;
            let added = put_all(&mut hash, mem::take(fields));
            self.insert(slot, Data::hash(hash), FOREVER, reserved);
            return Ok(added);
        };
        let hash = found.get().data.as_hash()?;
        let reserved = books.reserve_growth(found.get(), || growth(hash, fields))?;
        let hash = found.get_mut().data.as_hash_mut()?;
        let before = hash.cost();
        let added = put_all(hash, mem::take(fields));
        books.settle(reserved, before, hash.cost());
        books.note(slot.key);
        Ok(added)
    }

    pub(crate) fn hincrement(
        &mut self,
        slot: Slot<'_>,
        field: &Field,
        by: i64,
        now: &Moment<'_>,
    ) -> Result<i64, Refusal> {
        let hash = self.hash(slot, now)?;
        let (sum, value) = match hash.and_then(|it| it.get(field)) {
            Some(text) => strings::add(text, by)?,
            None => (by, number::print(by)),
        };
        self.hset(slot, &mut vec![(field.clone(), value)], now)?;
        Ok(sum)
    }

    /// Deletes fields, and the hash with its last one; how many were there.
    pub(crate) fn hdel(
        &mut self,
        slot: Slot<'_>,
        fields: &[Field],
        now: &Moment<'_>,
    ) -> Result<u64, Refusal> {
        if fields.is_empty() {
            return Ok(0);
        }
        let Some((mut found, books)) = self.occupied(slot, now) else {
            return Ok(0);
        };
        let hash = found.get_mut().data.as_hash_mut()?;
        let before = hash.cost();
        let removed = fields.iter().filter(|field| hash.remove(field)).count();
        books.settle(0, before, hash.cost());
        if hash.is_empty() {
            books.forget(slot.hash, found.remove().0);
        } else if removed > 0 {
            books.note(slot.key);
        }
        Ok(removed as u64)
    }
}

/// By how much the hash grows at most.
fn growth(hash: &Hash, fields: &[(Field, Value)]) -> usize {
    let each = |(field, value): &(Field, Value)| hash.growth(field, value.as_bytes().len());
    // A field given twice, first short and then long, counts with both: an estimate from above.
    fields.iter().map(each).sum()
}

fn put_all(hash: &mut Hash, fields: Vec<(Field, Value)>) -> u64 {
    let put = |(field, value)| u64::from(hash.put(field, value));
    fields.into_iter().map(put).sum()
}
