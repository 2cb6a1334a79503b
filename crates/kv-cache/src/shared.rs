//! What all handles on a cache share.

use crate::{
    across::{Across, Number},
    again::Again,
    entry::Kept,
    envelope::{Content, Envelope, Unreadable},
    far::{
        FarLevel,
        transitions::{Found, Marked},
    },
    flights::Flights,
    freshness::{Look, Terms, Ticket, Times},
    near::{NearLevel, weight},
    place::Place,
    policy::Policy,
    stats::Counts,
};
use kv_core::{Clock, Codec, Error, Result, Value};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// What can be kept.
pub trait CacheValue: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<V: Serialize + DeserializeOwned + Send + Sync + 'static> CacheValue for V {}

pub(crate) struct Shared<V> {
    pub(crate) name: Arc<str>,
    pub(crate) place: Place,
    pub(crate) near: Option<NearLevel<V>>,
    pub(crate) far: Option<FarLevel>,
    /// With a store.
    pub(crate) across: Option<Across>,
    /// For how long what is here holds without asking the store.
    pub(crate) sure: Duration,
    pub(crate) policy: Policy,
    pub(crate) codec: Codec,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) flights: Arc<Flights>,
    pub(crate) counts: Counts,
    /// What the store has not taken.
    pub(crate) again: Again,
    /// Of entries that no store has numbered.
    pub(crate) last_version: AtomicU64,
}

impl<V: CacheValue> Shared<V> {
    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(crate) fn next_version(&self) -> u64 {
        self.last_version.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Makes of a key as callers have it the one that entries of this process are kept by.
    pub(crate) fn resolve_in(&self, key: &mut Vec<u8>) -> Result<()> {
        match &self.far {
            Some(far) => far.resolve_in(key),
            None => self.place.put_below_caller(key),
        }
    }

    /// What is done for who asks for this entry now.
    pub(crate) fn look(&self, kept: &Kept<V>, now: Duration) -> Look {
        // The logarithm of zero is none.
        let is_covered = || match (&self.across, kept.heard) {
            (Some(across), Some(number)) => across.covers(number, kept.times.kept, now),
            _ => false,
        };
        let random = || 1.0 - fastrand::f64();
        kept.times.look(now, self.policy.early, is_covered, random)
    }

    /// To be taken before anything is read or loaded that is to be kept.
    pub(crate) fn ticket(&self, key: &[u8]) -> Ticket {
        self.near.as_ref().map_or(Ticket(0), |it| it.ticket(key))
    }

    pub(crate) fn keep(&self, ticket: Ticket, key: &[u8], kept: Kept<V>) {
        let Some(near) = &self.near else {
            return;
        };
        if !near.keep(ticket, key, kept) {
            self.counts.refused_fills.add();
        }
    }

    /// Lets nobody have from this process what was there before.
    pub(crate) fn forget(&self, key: &[u8]) -> Ticket {
        let ticket = self.near.as_ref().map_or(Ticket(0), |it| it.touch(key));
        self.flights.detach(key);
        ticket
    }

    /// Nobody gets from this process as fresh what was there before.
    pub(crate) fn make_stale(&self, key: &[u8]) {
        if let Some(near) = &self.near {
            near.expire(key, self.now());
        }
        self.flights.detach(key);
    }

    /// What the store has, as an entry here. `asked` is from before the question; `known` is what was here.
    pub(crate) fn read(
        &self,
        key: &[u8],
        found: Found,
        asked: Duration,
        known: Option<&Kept<V>>,
        heard: Option<Number>,
    ) -> Result<Kept<V>, Unreadable> {
        let (envelope, payload) = Envelope::open(found.value).inspect_err(|reason| {
            self.counts.unreadable.add();
            tracing::debug!(target: kv_core::telemetry::TARGET, cache = %self.name, ?reason, "an entry cannot be read");
        })?;
        let weight = weight(key, payload.len());
        let value = match (envelope.content, known) {
            (Content::Missing, _) => None,
            // The same one again: it need not be made of bytes anew.
            (Content::Value, Some(known)) if known.version == envelope.version => {
                known.value.clone()
            }
            (Content::Value, _) => {
                let value = self.codec.decode(&Value::from(payload)).map_err(|error| {
                    self.counts.unreadable.add();
                    tracing::debug!(target: kv_core::telemetry::TARGET, cache = %self.name, %error, "an entry cannot be read");
                    Unreadable::Damaged
                })?;
                Some(Arc::new(value))
            }
        };
        let age = envelope.terms.age(found.left);
        let times = self.times(envelope.terms, age, asked);
        Ok(Kept {
            value,
            version: envelope.version,
            weight,
            times: match found.marked {
                Marked::Expired => times.expire(asked),
                Marked::No => times,
            },
            heard,
        })
    }

    pub(crate) fn times(&self, terms: Terms, age: Duration, now: Duration) -> Times {
        Times::new(terms, age, now, self.policy.early, self.sure)
    }

    /// Tells of a store in trouble, for which no caller is to suffer.
    pub(crate) fn trouble(&self, error: &Error, doing: &'static str) {
        self.counts.far_errors.add();
        tracing::debug!(target: kv_core::telemetry::TARGET, cache = %self.name, %error, doing, "the cache goes on without its store");
    }
}
