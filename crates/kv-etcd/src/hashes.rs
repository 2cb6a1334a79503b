//! Hashes: each field is a key of its own.
//!
//! Writing and deleting fields takes one exchange where the hash is as this process saw it last, and
//! one more where it is not, or where it has a deadline and fields go. The fields that are written
//! are no conditions, so any number of them is one atomic step, as long as they fit a request.

use crate::{
    error::{Answer, Failure},
    layout::{Kind, Record, header, header::End},
    number,
    optimistic::{Count, Optimist, Planned, Query, View, What},
};
use bytes::Bytes;
use kv_core::{Field, Key, Value};
use std::collections::{HashMap, HashSet};

/// Of more fields than this the old values could be too large for an answer.
const FEW: usize = 40;

/// Writes fields; how many are new.
pub(crate) async fn set(store: &Optimist, key: &Key, fields: &[(Field, Value)]) -> Answer<u64> {
    let pairs = fields
        .iter()
        .map(|(field, value)| (field.as_bytes(), value.as_bytes()));
    let pairs: Vec<_> = pairs.collect();
    let plan = |view: &mut View<'_>| view.hset(key, &pairs);
    let (count, done) = store.run(key.as_bytes(), plan).await?;
    Ok(count.absent(&done))
}

/// Deletes fields; how many were there.
pub(crate) async fn delete(store: &Optimist, key: &Key, fields: &[Field]) -> Answer<u64> {
    let fields: Vec<_> = fields.iter().map(Field::as_bytes).collect();
    let plan = |view: &mut View<'_>| view.hdel(key, &fields);
    let (count, done) = store.run(key.as_bytes(), plan).await?;
    Ok(count.there(&done))
}

/// Adds to a counter.
pub(crate) async fn increment(store: &Optimist, key: &Key, field: &Field, by: i64) -> Answer<i64> {
    let plan = |view: &mut View<'_>| view.hincrement(key, field.as_bytes(), by);
    Ok(store.run(key.as_bytes(), plan).await?.0)
}

/// Reads fields.
pub(crate) async fn get_many(
    store: &Optimist,
    key: &Key,
    fields: &[Field],
) -> Answer<Vec<Option<Value>>> {
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    let fields: Vec<_> = fields.iter().map(Field::as_bytes).collect();
    let plan = |view: &mut View<'_>| view.hget_many(key, &fields);
    let (values, _) = store.run(key.as_bytes(), plan).await?;
    Ok(values.into_iter().map(|it| it.map(Value::from)).collect())
}

/// Reads all fields, at one revision.
pub(crate) async fn get_all(store: &Optimist, key: &Key) -> Answer<Vec<(Field, Value)>> {
    let plan = |view: &mut View<'_>| view.hgetall(key);
    Ok(store.run(key.as_bytes(), plan).await?.0)
}

/// Counts the fields.
pub(crate) async fn len(store: &Optimist, key: &Key) -> Answer<u64> {
    let plan = |view: &mut View<'_>| view.hlen(key);
    Ok(store.run(key.as_bytes(), plan).await?.0)
}

impl View<'_> {
    /// Writes fields; those that were absent are new.
    pub(crate) fn hset(&mut self, key: &Key, fields: &[(&[u8], &[u8])]) -> Planned<Count> {
        let mut count = Count::default();
        if fields.is_empty() {
            return Ok(count);
        }
        self.recall(key);
        let lease = self.open(key, Kind::Hash)?;
        let last: HashMap<_, _> = fields
            .iter()
            .enumerate()
            .map(|(at, it)| (it.0, at))
            .collect();
        for (at, &(field, value)) in fields.iter().enumerate() {
            if last[field] != at {
                continue;
            }
            let raw = self.layout.field(key.as_bytes(), field);
            let value = header::encode(value, End::Never);
            // What the plan itself wrote or deleted it knows.
            if let Some(before) = self.overlaid(&raw) {
                count.known += u64::from(before.is_none());
                self.put(raw, value, lease)?;
                continue;
            }
            count.slots.push(match last.len() <= FEW {
                true => self.put_telling(raw, value, lease)?,
                false => {
                    let there = self.read(Query::point(&raw, What::Count));
                    self.put(raw, value, lease)?;
                    there
                }
            });
        }
        Ok(count)
    }

    /// Deletes fields, and what is left of the hash with its last one.
    pub(crate) fn hdel(&mut self, key: &Key, fields: &[&[u8]]) -> Planned<Count> {
        let mut count = Count::default();
        if fields.is_empty() {
            return Ok(count);
        }
        self.recall(key);
        let Some((record, seen)) = self.structure(key, Kind::Hash)? else {
            return Ok(count);
        };
        self.remember(key, seen);
        let distinct: HashSet<_> = fields.iter().collect();
        for field in distinct {
            let raw = self.layout.field(key.as_bytes(), field);
            let known = self.overlaid(&raw);
            let gone = self.delete(raw)?;
            match known {
                Some(before) => count.known += u64::from(before.is_some()),
                None => count.slots.push(gone),
            }
        }
        self.leave(key, record)?;
        Ok(count)
    }

    /// Adds to a counter.
    pub(crate) fn hincrement(&mut self, key: &Key, field: &[u8], by: i64) -> Planned<i64> {
        let raw = self.layout.field(key.as_bytes(), field);
        self.expect_at(key, [raw.clone()]);
        let lease = self.open(key, Kind::Hash)?;
        let before = match self.field(&raw)? {
            Some(text) => number::parse(&text).ok_or_else(Failure::not_an_integer)?,
            None => 0,
        };
        let sum = before.checked_add(by).ok_or_else(Failure::overflow)?;
        self.put(raw, sum.to_string().into_bytes(), lease)?;
        Ok(sum)
    }

    /// Reads a field.
    pub(crate) fn hget(&mut self, key: &Key, field: &[u8]) -> Planned<Option<Bytes>> {
        Ok(self.hget_many(key, &[field])?.pop().flatten())
    }

    /// Reads fields.
    pub(crate) fn hget_many(&mut self, key: &Key, fields: &[&[u8]]) -> Planned<Vec<Option<Bytes>>> {
        let raw = fields
            .iter()
            .map(|it| self.layout.field(key.as_bytes(), it));
        let raw: Vec<_> = raw.collect();
        self.expect_at(key, raw.iter().cloned());
        if self.structure(key, Kind::Hash)?.is_none() {
            return Ok(vec![None; fields.len()]);
        }
        raw.iter().map(|raw| self.field(raw)).collect()
    }

    /// Reads all fields.
    pub(crate) fn hgetall<F: From<Bytes>, V: From<Bytes>>(
        &mut self,
        key: &Key,
    ) -> Planned<Vec<(F, V)>> {
        let range = self.layout.fields(key.as_bytes());
        self.expect_pages(&range, u64::MAX);
        if self.structure(key, Kind::Hash)?.is_none() {
            return Ok(Vec::new());
        }
        let mut fields = Vec::new();
        for page in self.pages(&range, u64::MAX)? {
            for (raw, seen) in &page.entries {
                let field = self.layout.field_of(key.as_bytes(), raw);
                let field = field.ok_or_else(|| Failure::codec("a field has no name"))?;
                let value = header::decode(seen.value.clone(), 0)?.value;
                fields.push((Bytes::copy_from_slice(field).into(), value.into()));
            }
        }
        Ok(fields)
    }

    /// Counts the fields.
    pub(crate) fn hlen(&mut self, key: &Key) -> Planned<u64> {
        let range = self.layout.fields(key.as_bytes());
        self.expect_count(&range);
        match self.structure(key, Kind::Hash)? {
            Some(_) => self.count(&range),
            None => Ok(0),
        }
    }

    /// What has to be done when elements of a structure go: without a deadline nothing, since one
    /// without elements is not there. A deadline must go with the last element, or a structure that
    /// begins anew would have it.
    pub(crate) fn leave(&mut self, key: &Key, record: Record) -> Planned<()> {
        if record.end != End::Never && !self.is_inhabited(key)? {
            self.delete(self.layout.record(key.as_bytes()))?;
        }
        Ok(())
    }

    fn field(&mut self, raw: &[u8]) -> Planned<Option<Bytes>> {
        let Some(seen) = self.point(raw)? else {
            return Ok(None);
        };
        Ok(Some(header::decode(seen.value, 0)?.value))
    }
}
