//! What this process wrote last at keys of the store.
//!
//! Only hints: whoever goes by one makes it a condition of what it writes, and reads if it fails.

use crate::optimistic::Seen;
use bytes::Bytes;
use foldhash::HashMap;
use parking_lot::Mutex;

/// How many keys each of two generations holds: the older one is forgotten when the younger is full.
const MOST: usize = 8_192;
/// Longer values are not kept, nor what is at longer keys. Conditions are about marks, scores and
/// counts.
const LONGEST: usize = 256;

#[derive(Default)]
pub(crate) struct Written {
    keys: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<Vec<u8>, Seen>,
    old: HashMap<Vec<u8>, Seen>,
}

impl Written {
    pub(crate) fn get(&self, key: &[u8]) -> Option<Seen> {
        let keys = self.keys.lock();
        keys.young.get(key).or_else(|| keys.old.get(key)).cloned()
    }

    /// Notes what was written; `None` if it is not worth keeping.
    pub(crate) fn note(&self, key: &[u8], value: Option<Bytes>, revision: i64, lease: i64) {
        let mut keys = self.keys.lock();
        let known = keys.young.get(key).or_else(|| keys.old.get(key));
        // Answers can overtake each other.
        if known.is_some_and(|known| known.revision > revision) {
            return;
        }
        let Some(value) = value.filter(|_| key.len() <= LONGEST) else {
            keys.forget(key);
            return;
        };
        if keys.young.len() >= MOST && !keys.young.contains_key(key) {
            keys.old = std::mem::take(&mut keys.young);
        }
        let seen = Seen {
            value,
            revision,
            lease,
        };
        keys.young.insert(key.to_vec(), seen);
    }

    pub(crate) fn forget(&self, key: &[u8]) {
        self.keys.lock().forget(key);
    }
}

/// The value if it is short enough to be kept.
pub(crate) fn worth_keeping(value: &[u8]) -> Option<Bytes> {
    (value.len() <= LONGEST).then(|| Bytes::copy_from_slice(value))
}

impl Generations {
    fn forget(&mut self, key: &[u8]) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(written: &Written, key: &str) -> Option<Bytes> {
        written.get(key.as_bytes()).map(|seen| seen.value)
    }

    #[test]
    fn the_latest_is_remembered_and_not_too_much() {
        let written = Written::default();
        let note = |key: &str, value: &str, revision| {
            written.note(key.as_bytes(), worth_keeping(value.as_bytes()), revision, 0);
        };
        note("k", "new", 7);
        note("k", "old", 5);
        assert_eq!(value(&written, "k").as_deref(), Some(&b"new"[..]));
        for at in 0..2 * MOST {
            note(&at.to_string(), "v", 8);
        }
        assert_eq!(value(&written, "k"), None);
        let last = (2 * MOST - 1).to_string();
        assert!(value(&written, &last).is_some());

        // What is too long leaves nothing behind that is out of date.
        note(&last, &"x".repeat(LONGEST + 1), 9);
        assert_eq!(value(&written, &last), None);
        note("k", "v", 10);
        written.forget(b"k");
        assert_eq!(value(&written, "k"), None);
    }
}
