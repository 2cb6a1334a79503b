//! Pages of keys.

use crate::{access::Inner, moment::Moment, shard::Shard};
use bytes::Bytes;
use kv_core::{Cursor, Error, ErrorKind, Key, Prefixes, Result, ScanFrom, ScanPage};
use std::collections::BinaryHeap;

/// A place between two keys. Keys are in the order of their shards, within a shard of their bytes,
/// which stays the same while keys come and go.
struct Place {
    shard: usize,
    /// The last key before the place; none at a shard's beginning.
    after: Option<Bytes>,
}

impl Inner {
    /// One page; its keys are looked up shard by shard, so a page is not a snapshot.
    pub(crate) fn scan(&self, prefixes: &Prefixes, from: ScanFrom, limit: u32) -> Result<ScanPage> {
        if limit == 0 {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "a page must hold at least one key; give a limit above zero",
            ));
        }
        let limit = limit as usize;
        let mut place = self.place(from)?;
        let now = self.moment();
        // One more than asked for tells whether anything follows.
        let mut keys = Vec::new();
        for shard in self.shards.iter().skip(place.shard) {
            let after = place.after.take();
            let wanted = limit + 1 - keys.len();
            let shard = shard.read();
            keys.extend(shard.keys(prefixes, after.as_deref(), wanted, &now)?);
            drop(shard);
            if keys.len() > limit {
                keys.truncate(limit);
                let next = keys.last().map(|last| self.cursor(last));
                return Ok(ScanPage::new(keys, next));
            }
        }
        Ok(ScanPage::new(keys, None))
    }

    /// Deletes the keys of the ranges, shard by shard; how many.
    pub(crate) fn clear(&self, prefixes: &Prefixes) -> u64 {
        let now = self.moment();
        let clear = |index| {
            self.change(index, |shard| {
                shard.remove_where(&now, |entry| within(prefixes, &entry.key))
            })
        };
        (0..self.shards.len()).map(clear).sum()
    }

    fn place(&self, from: ScanFrom) -> Result<Place> {
        match from {
            ScanFrom::Start => Ok(Place {
                shard: 0,
                after: None,
            }),
            ScanFrom::After(key) => Ok(Place {
                shard: self.locate(&key).0,
                after: Some(key.into_bytes()),
            }),
            ScanFrom::Cursor(cursor) => self.parse(&cursor),
            _ => Err(Error::unsupported("scan_page")),
        }
    }

    /// The place behind a key, as bytes: the shard's index and the key.
    fn cursor(&self, key: &Key) -> Cursor {
        let shard = self.locate(key).0 as u32;
        Cursor::new([&shard.to_be_bytes(), key.as_bytes()].concat())
    }

    fn parse(&self, cursor: &Cursor) -> Result<Place> {
        let unknown = || {
            Error::new(
                ErrorKind::InvalidArgument,
                "the cursor is not one of this store; begin the scan anew",
            )
        };
        let (shard, key) = cursor.as_bytes().split_first_chunk().ok_or_else(unknown)?;
        let shard = u32::from_be_bytes(*shard) as usize;
        let key = Key::new(Bytes::copy_from_slice(key)).map_err(|_| unknown())?;
        // The index follows from the key, but only here: it tells other stores' cursors.
        if self.locate(&key).0 != shard {
            return Err(unknown());
        }
        let after = Some(key.into_bytes());
        Ok(Place { shard, after })
    }
}

fn within(prefixes: &Prefixes, key: &[u8]) -> bool {
    prefixes.as_slice().iter().any(|it| it.contains(key))
}

impl Shard {
    /// The smallest keys of the ranges behind a key, in order.
    fn keys(
        &self,
        prefixes: &Prefixes,
        after: Option<&[u8]>,
        limit: usize,
        now: &Moment<'_>,
    ) -> Result<Vec<Key>> {
        let behind = |key: &[u8]| after.is_none_or(|after| key > after);
        let mut smallest: BinaryHeap<&[u8]> = BinaryHeap::new();
        for entry in &self.table {
            let key = &*entry.key;
            let beaten = smallest.len() == limit && smallest.peek().is_some_and(|it| *it < key);
            if beaten || !behind(key) || !within(prefixes, key) || now.passed(entry.deadline) {
                continue;
            }
            smallest.push(key);
            if smallest.len() > limit {
                smallest.pop();
            }
        }
        let sorted = smallest.into_sorted_vec().into_iter();
        sorted
            .map(|key| Key::new(Bytes::copy_from_slice(key)))
            .collect()
    }
}
