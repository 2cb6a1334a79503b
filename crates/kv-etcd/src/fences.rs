//! Where to stop looking for the lowest members of a long sorted set.
//!
//! etcd walks all keys of a range, however few are asked for, so the head of a long index is read up
//! to a *fence*: an entry that was seen a little behind the head. Fences are hints. A range that ends
//! at one may hold fewer members than are wanted, or by now far more; what is taken from it rests on
//! the conditions of the transaction alone.

use kv_core::Key;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
};

/// A range with more members than this is worth fences.
pub(crate) const LONG: u64 = 1024;
/// How many members ahead are looked at for fences, once they have run out.
pub(crate) const AHEAD: u64 = 16 * 1024;
/// How many members lie between two fences.
const APART: usize = 64;
/// For how many sorted sets there are fences. Then all are torn down.
const MOST: usize = 1_000;
/// Longer entries are no fences.
const LONGEST: usize = 1024;

/// Keys of the store, lowest first.
type Line = VecDeque<Vec<u8>>;

/// The fences of all sorted sets that this process takes members from.
#[derive(Default)]
pub(crate) struct Fences {
    /// By copies of the sets' keys, of which callers may keep many in one buffer.
    by_key: Mutex<HashMap<Box<[u8]>, Line>>,
}

impl Fences {
    /// A fence within a range that probably has so many members before it.
    pub(crate) fn before(&self, key: &Key, range: Range<&[u8]>, members: usize) -> Option<Vec<u8>> {
        let by_key = self.by_key.lock();
        let fences = by_key.get(key.as_bytes())?;
        let passed = fences.partition_point(|it| **it <= *range.start);
        let fence = fences.get(passed + members.div_ceil(APART))?;
        (**fence < *range.end).then(|| fence.clone())
    }

    /// Puts up fences along these entries, lowest first.
    pub(crate) fn put_up<'a>(&self, key: &Key, entries: impl Iterator<Item = &'a [u8]>) {
        let fences = entries.skip(APART).step_by(APART);
        let fences = fences.filter(|it| it.len() <= LONGEST).map(<[u8]>::to_vec);
        let key = key.as_bytes();
        let mut by_key = self.by_key.lock();
        if by_key.len() >= MOST && !by_key.contains_key(key) {
            by_key.clear();
        }
        by_key.insert(key.into(), fences.collect());
    }

    /// Tears down what the head has passed: the first entry is this one now.
    pub(crate) fn pass(&self, key: &Key, first: &[u8]) {
        let mut by_key = self.by_key.lock();
        let Some(fences) = by_key.get_mut(key.as_bytes()) else {
            return;
        };
        let passed = fences.partition_point(|it| **it <= *first);
        fences.drain(..passed);
        if fences.is_empty() {
            by_key.remove(key.as_bytes());
        }
    }

    /// Tears down all of a sorted set's: the members before them have become too many.
    pub(crate) fn tear_down(&self, key: &Key) {
        self.by_key.lock().remove(key.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn entry(at: usize) -> Vec<u8> {
        format!("{at:04}").into_bytes()
    }

    #[test]
    fn a_fence_leaves_room_for_what_is_wanted() {
        let (fences, key) = (Fences::default(), Key::new("k").unwrap());
        let entries: Vec<_> = (0..1000).map(entry).collect();
        fences.put_up(&key, entries.iter().map(|it| &**it));
        let before = |members| fences.before(&key, b"0".as_slice()..b"9", members);
        assert_eq!(before(1), Some(entry(128)));
        assert_eq!(before(64), Some(entry(128)));
        assert_eq!(before(65), Some(entry(192)));
        assert_eq!(before(1000), None);
        let narrow = entry(100);
        assert_eq!(fences.before(&key, b"0".as_slice()..&narrow, 1), None);

        fences.pass(&key, &entry(130));
        assert_eq!(before(1), Some(entry(256)));
        fences.pass(&key, &entry(999));
        assert_eq!(before(1), None);
    }

    #[test]
    fn what_the_caller_has_the_key_in_is_not_kept() {
        let (fences, bytes) = (Fences::default(), Bytes::from(vec![1, 2, 3]));
        let key = Key::new(bytes.clone()).unwrap();
        let entries: Vec<_> = (0..1000).map(entry).collect();
        fences.put_up(&key, entries.iter().map(|it| &**it));
        assert!(fences.before(&key, b"0".as_slice()..b"9", 1).is_some());
        drop(key);
        assert!(bytes.is_unique());
    }
}
