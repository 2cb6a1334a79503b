//! A key, a range of keys, or a channel or several of a group, and who watches it.

use crate::layout::{Layout, Range};
use bytes::Bytes;
use kv_core::subscription::{Kind, Subscriber};
use std::sync::Arc;

pub(super) struct Topic {
    pub(super) kind: Kind,
    /// A key or a prefix; of channels, what their messages begin with on the server.
    pub(super) name: Bytes,
    /// In the order of their numbers.
    subscribers: Vec<Arc<Subscriber>>,
    /// What is watched on the server.
    pub(super) parts: Vec<Part>,
    /// Something may have been missed; it is told once the server tells of all parts again, so that
    /// who reads then misses nothing.
    pub(super) missed: bool,
    /// The revision up to which this key was told. Its parts are not told in one order.
    pub(super) told: i64,
}

/// A watch on the server.
pub(super) struct Part {
    pub(super) key: Vec<u8>,
    /// Where the range ends that begins at the key; empty for the key alone.
    pub(super) end: Vec<u8>,
    /// Its number on the stream; none before it is asked for.
    pub(super) id: Option<i64>,
    /// Whether the server tells of it.
    pub(super) live: bool,
    /// The revision of the last event, or the one behind which it began; none before it has begun.
    pub(super) seen: Option<i64>,
}

impl Topic {
    pub(super) fn new(layout: &Layout, kind: Kind, name: Bytes) -> Self {
        let parts = match kind {
            Kind::Keys => vec![
                Part::key(layout.string(&name)),
                Part::key(layout.record(&name)),
                Part::range(layout.elements(&name)),
            ],
            Kind::Ranges => {
                let below = layout.below(&name);
                let others = [below.records, below.elements];
                let ranges = below.strings.into_iter().chain(others);
                ranges.map(Part::range).collect()
            }
            Kind::Channels => vec![Part::range(Range::prefix(name.to_vec()))],
        };
        Self {
            kind,
            name,
            subscribers: Vec::with_capacity(1),
            parts,
            missed: false,
            told: 0,
        }
    }

    pub(super) fn subscribers(&self) -> &[Arc<Subscriber>] {
        &self.subscribers
    }

    /// Adds a subscriber, whose number is the highest so far.
    pub(super) fn join(&mut self, subscriber: &Arc<Subscriber>) {
        self.subscribers.push(Arc::clone(subscriber));
    }

    /// Takes a subscriber out; answers whether nobody is left.
    pub(super) fn leave(&mut self, id: u64) -> bool {
        if let Ok(at) = self.subscribers.binary_search_by_key(&id, |it| it.id()) {
            self.subscribers.remove(at);
        }
        self.subscribers.is_empty()
    }

    /// Whether the server tells of all of it.
    pub(super) fn is_live(&self) -> bool {
        self.parts.iter().all(|part| part.live)
    }
}

impl Part {
    fn key(key: Vec<u8>) -> Self {
        Self {
            key,
            end: Vec::new(),
            id: None,
            live: false,
            seen: None,
        }
    }

    fn range(range: Range) -> Self {
        let end = range.to_key;
        Self {
            end,
            ..Self::key(range.from_key)
        }
    }
}
