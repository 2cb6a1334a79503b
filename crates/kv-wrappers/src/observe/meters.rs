//! The layer's metrics. A handle is taken when its labels first come, and kept.

use super::ending::Ending;
use crate::telemetry::{
    DURATION, IN_FLIGHT, LOOKUPS, OPERATIONS, READ_BYTES, StoreName, WATCH_EVENTS, WATCHES,
    WRITTEN_BYTES,
};
use kv_core::{Event, Result};
use metrics::{Counter, Gauge, Histogram, SharedString};
use std::{sync::OnceLock, time::Duration};

pub(super) struct Meters {
    store: StoreName,
    provider: SharedString,
    pub(super) in_flight: Gauge,
    pub(super) watches: Gauge,
    operations: Vec<OnceLock<Box<Handles>>>,
    events: [OnceLock<Counter>; EVENTS.len()],
}

/// What watches tell.
const EVENTS: [&str; 5] = ["put", "delete", "message", "resync", "error"];

/// An operation, and where it stands among all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) position: usize,
    pub(super) name: &'static str,
}

#[derive(Default)]
struct Handles {
    endings: [OnceLock<(Histogram, Counter)>; Ending::COUNT],
    read: OnceLock<Counter>,
    written: OnceLock<Counter>,
    hits: OnceLock<Counter>,
    misses: OnceLock<Counter>,
}

impl Meters {
    /// For so many operations.
    pub(super) fn new(store: StoreName, provider: SharedString, operations: usize) -> Self {
        let labels = || [store.label(), provider.clone()];
        Self {
            in_flight: IN_FLIGHT.gauge(labels()),
            watches: WATCHES.gauge(labels()),
            operations: (0..operations).map(|_| OnceLock::new()).collect(),
            events: [const { OnceLock::new() }; EVENTS.len()],
            store,
            provider,
        }
    }

    pub(super) fn ended(&self, at: Operation, ending: Ending, took: Duration) {
        let (duration, count) = self.handles(at).endings[ending.index()].get_or_init(|| {
            let labels = |last: &'static str| self.labels(at.name, SharedString::const_str(last));
            (
                DURATION.histogram(labels(ending.error_type().unwrap_or_default())),
                OPERATIONS.counter(labels(ending.outcome())),
            )
        });
        duration.record(took);
        count.increment(1);
    }

    pub(super) fn read(&self, at: Operation, bytes: usize) {
        let read = &self.handles(at).read;
        self.bytes(
            read,
            || READ_BYTES.counter(self.labels(at.name, "".into())),
            bytes,
        );
    }

    pub(super) fn written(&self, at: Operation, bytes: usize) {
        let written = &self.handles(at).written;
        self.bytes(
            written,
            || WRITTEN_BYTES.counter(self.labels(at.name, "".into())),
            bytes,
        );
    }

    pub(super) fn looked_up(&self, at: Operation, [hits, misses]: [u64; 2]) {
        let it = self.handles(at);
        for (counter, name, count) in [(&it.hits, "hit", hits), (&it.misses, "miss", misses)] {
            if count > 0 {
                let register = || LOOKUPS.counter(self.labels(at.name, name.into()));
                counter.get_or_init(register).increment(count);
            }
        }
    }

    pub(super) fn told(&self, event: &Result<Event>) {
        let position = match event {
            Ok(Event::Put { .. }) => 0,
            Ok(Event::Delete { .. }) => 1,
            Ok(Event::Message { .. }) => 2,
            // What is new and unknown here asks for a second look as well.
            Ok(_) => 3,
            Err(_) => 4,
        };
        let register = || {
            let name = SharedString::const_str(EVENTS[position]);
            WATCH_EVENTS.counter([self.store.label(), self.provider.clone(), name])
        };
        self.events[position].get_or_init(register).increment(1);
    }

    fn bytes(&self, counter: &OnceLock<Counter>, register: impl FnOnce() -> Counter, bytes: usize) {
        if bytes > 0 {
            counter.get_or_init(register).increment(bytes as u64);
        }
    }

    fn handles(&self, at: Operation) -> &Handles {
        self.operations[at.position].get_or_init(Box::default)
    }

    fn labels(&self, operation: &'static str, last: SharedString) -> [SharedString; 4] {
        let operation = SharedString::const_str(operation);
        [self.store.label(), self.provider.clone(), operation, last]
    }
}
