//! The records of structures as this process saw them last.
//!
//! Only hints: whoever goes by one makes it a condition of what it writes, and reads if it fails.

use crate::optimistic::Seen;
use foldhash::HashMap;
use kv_core::Key;
use parking_lot::Mutex;

/// How many are remembered. Then all are forgotten: the next look at each costs one exchange.
const MOST: usize = 10_000;
/// Those of longer keys are not.
const LONGEST: usize = 1024;

#[derive(Default)]
pub(crate) struct Records {
    /// By copies of the keys, of which callers may keep many in one buffer.
    seen: Mutex<HashMap<Box<[u8]>, Seen>>,
}

impl Records {
    pub(crate) fn get(&self, key: &Key) -> Option<Seen> {
        self.seen.lock().get(key.as_bytes()).cloned()
    }

    pub(crate) fn remember(&self, key: &Key, record: Seen) {
        let key = key.as_bytes();
        if key.len() > LONGEST {
            return;
        }
        let mut seen = self.seen.lock();
        if seen.len() >= MOST && !seen.contains_key(key) {
            seen.clear();
        }
        match seen.get_mut(key) {
            // Answers can overtake each other.
            Some(known) if known.revision >= record.revision => {}
            Some(known) => *known = record,
            None => drop(seen.insert(key.into(), record)),
        }
    }

    pub(crate) fn forget(&self, key: &Key) {
        self.seen.lock().remove(key.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn record(revision: i64) -> Seen {
        Seen {
            value: Bytes::new(),
            revision,
            lease: 0,
        }
    }

    #[test]
    fn the_latest_record_is_remembered_and_not_too_many() {
        let records = Records::default();
        let key = |at: usize| Key::new(at.to_string()).unwrap();
        records.remember(&key(0), record(7));
        records.remember(&key(0), record(5));
        assert_eq!(records.get(&key(0)), Some(record(7)));
        for at in 1..=MOST {
            records.remember(&key(at), record(1));
        }
        assert_eq!(records.get(&key(0)), None);
        assert_eq!(records.get(&key(MOST)), Some(record(1)));
        records.forget(&key(MOST));
        assert_eq!(records.get(&key(MOST)), None);
    }

    #[test]
    fn what_the_caller_has_the_key_in_is_not_kept() {
        let (records, bytes) = (Records::default(), Bytes::from(vec![1, 2, 3]));
        let key = Key::new(bytes.clone()).unwrap();
        records.remember(&key, record(7));
        assert_eq!(records.get(&key), Some(record(7)));
        drop(key);
        assert!(bytes.is_unique());
    }
}
