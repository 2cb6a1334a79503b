//! Where things lie on the store, byte by byte.
//!
//! All keys of a store begin with its *root*, which is empty unless the configuration names one.
//! Behind the root:
//!
//! | what | key | value |
//! |---|---|---|
//! | string | the key itself; `00 00` before one that begins with `00` | see [`header`] |
//! | record of a hash or sorted set | `00 01` *key* | see [`record`] |
//! | field of a hash | `00 02` *key* `00 01` `f` field | as a string, see [`header`] |
//! | member of a sorted set | `00 02` *key* `00 01` `m` member | the score, 8 bytes |
//! | entry of a sorted set's index | `00 02` *key* `00 01` `i` score (8 bytes) member | empty |
//! | message on a channel | `00 03` *channel* `00 01` number (2 bytes) | the payload |
//!
//! In `00 02` and `00 03` a `00` in the key is written `00 ff`, so that `00 01` ends it and the
//! elements of one key are one range that no other key's lie in. Records and strings keep the order
//! of their keys, so a prefix of keys is one range of each.
//!
//! A string hides a structure at its key. What gives a string a deadline, or deletes it, deletes the
//! record below it, so nothing comes to light when the string ends. A structure without elements is
//! not there, whether it has a record or not.

pub(crate) mod header;
pub(crate) mod range;
pub(crate) mod record;
pub(crate) mod score;

pub(crate) use self::{
    header::Content,
    range::Range,
    record::{Kind, Record},
};

use bytes::Bytes;
use kv_core::{Key, Score};

/// The tables behind the root. A string's key never begins with one of these.
const ESCAPED: [u8; 2] = [0, 0];
const RECORDS: [u8; 2] = [0, 1];
const ELEMENTS: [u8; 2] = [0, 2];
const CHANNELS: [u8; 2] = [0, 3];

/// The keys of one store.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: Bytes,
}

impl Layout {
    pub(crate) fn new(root: impl Into<Bytes>) -> Self {
        Self { root: root.into() }
    }

    /// Where a string lies.
    pub(crate) fn string(&self, key: &[u8]) -> Vec<u8> {
        match key.first() {
            Some(0) => self.join(&[&ESCAPED, key]),
            _ => self.join(&[key]),
        }
    }

    /// Where the record of a structure lies.
    pub(crate) fn record(&self, key: &[u8]) -> Vec<u8> {
        self.join(&[&RECORDS, key])
    }

    /// All elements of a structure.
    pub(crate) fn elements(&self, key: &[u8]) -> Range {
        Range::prefix(self.element(key, &[]))
    }

    /// Where a field of a hash lies.
    pub(crate) fn field(&self, key: &[u8], field: &[u8]) -> Vec<u8> {
        self.element(key, &[b"f", field])
    }

    /// All fields of a hash.
    pub(crate) fn fields(&self, key: &[u8]) -> Range {
        Range::prefix(self.element(key, &[b"f"]))
    }

    /// Where a member of a sorted set lies.
    pub(crate) fn member(&self, key: &[u8], member: &[u8]) -> Vec<u8> {
        self.element(key, &[b"m", member])
    }

    /// Where a member lies in the index of its sorted set.
    pub(crate) fn entry(&self, key: &[u8], score: Score, member: &[u8]) -> Vec<u8> {
        self.element(key, &[b"i", &score::encode(score), member])
    }

    /// The index of a sorted set, lowest first.
    pub(crate) fn index(&self, key: &[u8]) -> Range {
        Range::prefix(self.element(key, &[b"i"]))
    }

    /// The part of an index that begins at a score and ends before another's first entry; `None`
    /// leaves an end open.
    pub(crate) fn scores(&self, key: &[u8], from: Option<[u8; 8]>, to: Option<[u8; 8]>) -> Range {
        let Range {
            mut from_key,
            mut to_key,
        } = self.index(key);
        if let Some(from) = from {
            from_key.extend(from);
        }
        if let Some(to) = to {
            to_key = self.element(key, &[b"i", &to]);
        }
        Range { from_key, to_key }
    }

    /// All messages of a channel.
    pub(crate) fn channel(&self, channel: &[u8]) -> Range {
        Range::prefix(self.escaped(&CHANNELS, channel, &[]))
    }

    /// All messages of the channels that begin with a tag, braces included.
    pub(crate) fn channels(&self, tag: &[u8]) -> Range {
        let mut raw = self.escaped(&CHANNELS, tag, &[]);
        // Without what tells the end of a name.
        raw.truncate(raw.len() - 2);
        Range::prefix(raw)
    }

    /// Where the `number`th message of a transaction to a channel lies.
    pub(crate) fn message(&self, channel: &[u8], number: u16) -> Vec<u8> {
        self.escaped(&CHANNELS, channel, &[&number.to_be_bytes()])
    }

    /// The strings, the records and the elements of all keys that start with a prefix.
    pub(crate) fn below(&self, prefix: &[u8]) -> Below {
        let strings = match prefix.first() {
            // Everything but our own tables; those begin with 00.
            None => vec![
                self.range_of(&ESCAPED),
                self.range_of(&[1]).until_end_of(&self.root),
            ],
            Some(0) => vec![self.range_of(&[&ESCAPED, prefix].concat())],
            Some(_) => vec![self.range_of(prefix)],
        };
        let mut elements = self.join(&[&ELEMENTS]);
        escape(prefix, &mut elements);
        Below {
            strings,
            records: self.range_of(&[&RECORDS, prefix].concat()),
            elements: Range::prefix(elements),
        }
    }

    /// What lies at a key of the store; `None` for what is not ours to read.
    pub(crate) fn place(&self, raw: &[u8]) -> Option<Place> {
        let rest = raw.strip_prefix(&*self.root)?;
        let key = |bytes: &[u8]| Key::new(Bytes::copy_from_slice(bytes)).ok();
        let Some(table) = rest.first_chunk::<2>().filter(|table| table[0] == 0) else {
            return match rest.first() {
                // A lone 00 is no key of ours.
                Some(0) => None,
                _ => key(rest).map(Place::String),
            };
        };
        let rest = &rest[2..];
        match *table {
            ESCAPED => key(rest).map(Place::String),
            RECORDS => key(rest).map(Place::Record),
            ELEMENTS => {
                let (name, _) = unescape(rest)?;
                key(&name).map(Place::Element)
            }
            CHANNELS => {
                let (name, _) = unescape(rest)?;
                key(&name).map(Place::Message)
            }
            _ => None,
        }
    }

    /// The field at a key of the store that holds one.
    pub(crate) fn field_of<'a>(&self, key: &[u8], raw: &'a [u8]) -> Option<&'a [u8]> {
        raw.strip_prefix(&*self.element(key, &[b"f"]))
    }

    /// The score and the member at a key of the store that is an index entry.
    pub(crate) fn entry_of<'a>(&self, key: &[u8], raw: &'a [u8]) -> Option<(Score, &'a [u8])> {
        let rest = raw.strip_prefix(&*self.element(key, &[b"i"]))?;
        let (score, member) = rest.split_first_chunk()?;
        Some((score::decode(*score)?, member))
    }

    fn element(&self, key: &[u8], rest: &[&[u8]]) -> Vec<u8> {
        self.escaped(&ELEMENTS, key, rest)
    }

    fn escaped(&self, table: &[u8], key: &[u8], rest: &[&[u8]]) -> Vec<u8> {
        let more: usize = rest.iter().map(|it| it.len()).sum();
        let mut raw = Vec::with_capacity(self.root.len() + key.len() + more + 8);
        raw.extend_from_slice(&self.root);
        raw.extend_from_slice(table);
        escape(key, &mut raw);
        raw.extend_from_slice(&[0, 1]);
        rest.iter().for_each(|it| raw.extend_from_slice(it));
        raw
    }

    fn join(&self, parts: &[&[u8]]) -> Vec<u8> {
        let length: usize = parts.iter().map(|it| it.len()).sum();
        let mut raw = Vec::with_capacity(self.root.len() + length);
        raw.extend_from_slice(&self.root);
        parts.iter().for_each(|it| raw.extend_from_slice(it));
        raw
    }

    fn range_of(&self, start: &[u8]) -> Range {
        Range::prefix(self.join(&[start]))
    }
}

/// What lies at a key of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The string at this key.
    String(Key),
    /// The record of the structure at this key.
    Record(Key),
    /// An element of the structure at this key.
    Element(Key),
    /// A message on this channel.
    Message(Key),
}

/// Where the keys with a prefix lie.
#[derive(Clone, Debug)]
pub(crate) struct Below {
    pub(crate) strings: Vec<Range>,
    pub(crate) records: Range,
    pub(crate) elements: Range,
}

fn escape(key: &[u8], raw: &mut Vec<u8>) {
    for &byte in key {
        raw.push(byte);
        if byte == 0 {
            raw.push(0xff);
        }
    }
}

/// The key that was escaped, and what follows it.
fn unescape(raw: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut key = Vec::with_capacity(raw.len());
    let mut rest = raw;
    loop {
        let end = rest.iter().position(|&byte| byte == 0)?;
        key.extend_from_slice(&rest[..end]);
        match rest.get(end + 1)? {
            1 => return Some((key, &rest[end + 2..])),
            0xff => key.push(0),
            _ => return None,
        }
        rest = &rest[end + 2..];
    }
}

#[cfg(test)]
mod tests;
