//! The hash: fields with values.

use ahash::RandomState;
use hashbrown::{HashMap, hash_map::Entry};
use kv_core::{Field, Value};

/// Estimates of what a hash and each of its fields take beside their bytes.
const HASH_COST: usize = 160;
const FIELD_COST: usize = 112;

pub(crate) struct Hash {
    fields: HashMap<Field, Value, RandomState>,
    cost: usize,
}

impl Default for Hash {
    fn default() -> Self {
        Self {
            fields: HashMap::default(),
            cost: HASH_COST,
        }
    }
}

impl Hash {
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The bytes that the hash is accounted for.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    pub(crate) fn get(&self, field: &Field) -> Option<&Value> {
        self.fields.get(field)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Field, &Value)> {
        self.fields.iter()
    }

    /// By how much the cost grows at most if this is put in.
    pub(crate) fn growth(&self, field: &Field, length: usize) -> usize {
        match self.fields.get(field) {
            Some(old) => length.saturating_sub(old.as_bytes().len()),
            None => cost_of(field, length),
        }
    }

    /// The bytes that a field is accounted for, if it is there.
    pub(crate) fn cost_of(&self, field: &Field) -> Option<usize> {
        let value = self.fields.get(field)?;
        Some(cost_of(field, value.as_bytes().len()))
    }

    /// The bytes that a field is accounted for if it is new.
    pub(crate) fn cost_if_new(field: &Field, length: usize) -> usize {
        cost_of(field, length)
    }

    /// Writes a field; whether it is new.
    pub(crate) fn put(&mut self, field: Field, value: Value) -> bool {
        let length = value.as_bytes().len();
        let cost = cost_of(&field, length);
        let (len, capacity) = (self.fields.len(), self.fields.capacity());
        // What was large once does not hold its memory for ever.
        if capacity > 256 && len * 16 < capacity {
            self.fields.shrink_to(len * 2);
        }
        match self.fields.entry(field) {
            Entry::Occupied(mut found) => {
                let old = found.insert(value);
                self.cost = self.cost + length - old.as_bytes().len();
                false
            }
            Entry::Vacant(place) => {
                self.cost += cost;
                place.insert(value);
                true
            }
        }
    }

    /// Takes a field out; whether it was there.
    pub(crate) fn remove(&mut self, field: &Field) -> bool {
        let Some(value) = self.fields.remove(field) else {
            return false;
        };
        self.cost -= cost_of(field, value.as_bytes().len());
        true
    }
}

fn cost_of(field: &Field, length: usize) -> usize {
    FIELD_COST + field.as_bytes().len() + length
}
