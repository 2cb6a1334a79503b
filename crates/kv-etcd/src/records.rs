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
    seen: Mutex<HashMap<Key, Seen>>,
}

impl Records {
    pub(crate) fn get(&self, key: &Key) -> Option<Seen> {
        self.seen.lock().get(key).cloned()
    }

    pub(crate) fn remember(&self, key: &Key, record: Seen) {
        if key.as_bytes().len() > LONGEST {
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
            None => drop(seen.insert(key.clone(), record)),
        }
    }

    pub(crate) fn forget(&self, key: &Key) {
        self.seen.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(revision: i64) -> Seen {
        Seen {
            value: bytes::Bytes::new(),
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
}
