//! What locks tell of themselves, each name once: metrics, their labels, and the fields of spans.
//! `docs/metrics.md` is made of these tables, and tests hold them against what is really told.
//!
//! Metrics go to the recorder of the crate `metrics`, spans to the subscriber of `tracing`, both under
//! the target `kv`. Both are the program's; install them before a manager is made, since handles on
//! metrics are kept. Without them nobody is told, at next to no cost.
//!
//! The name of a lock is no label, since there is no end of them; spans and events show its beginning if
//! [`show_names`](crate::LockManagerBuilder::show_names) says so.

mod asking;
mod holding;
mod meters;
mod spans;
mod table;

#[cfg(test)]
mod tests;

pub use self::table::{FIELDS, LABELS, METRICS};
pub(crate) use self::{asking::Asking, holding::Holding};

use self::meters::Meters;
use foldhash::HashMap;
use kv_core::Key;
use parking_lot::Mutex;
use std::sync::Arc;

/// What a manager tells, to whom.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    kinds: Mutex<HashMap<&'static str, Arc<Meters>>>,
    /// So many characters of the names of locks are shown.
    shown: usize,
}

impl Telemetry {
    /// Shows so many characters of the names of locks.
    pub(crate) fn showing(characters: usize) -> Self {
        Self {
            kinds: Mutex::default(),
            shown: characters,
        }
    }

    /// Of this kind of lock.
    fn meters(&self, kind: &'static str) -> Arc<Meters> {
        let mut kinds = self.kinds.lock();
        let meters = kinds.entry(kind);
        meters
            .or_insert_with(|| Arc::new(Meters::new(kind)))
            .clone()
    }

    /// The beginning of a name, escaped.
    fn shown(&self, name: &[u8]) -> Option<String> {
        (self.shown > 0).then(|| {
            let text = name.escape_ascii().map(char::from);
            text.take(self.shown).collect()
        })
    }

    /// The beginning of the name in a key `{what:name}:…`.
    fn shown_in(&self, key: &Key) -> Option<String> {
        let bytes = key.as_bytes();
        let tag = bytes.split(|&it| it == b'}').next().unwrap_or_default();
        let name = tag.iter().position(|&it| it == b':');
        self.shown(name.map_or(tag, |at| &tag[at + 1..]))
    }
}
