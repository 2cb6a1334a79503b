//! What is at a key: a string, a structure or nothing.

use crate::{
    error::Failure,
    layout::{Content, Kind, Record, header, header::End},
    optimistic::{Interrupt, Planned, Seen, View, What},
};
use kv_core::{Expiry, Key, Ttl};
use std::time::Duration;

/// What is at a key.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// No string and no structure; what is past its deadline or has no elements counts as that.
    Nothing,
    String(Content, Seen),
    /// A record; whether the structure has elements is another question.
    Structure(Record, Seen),
}

/// A deadline, and the lease that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) end: End,
    pub(crate) lease: i64,
}

impl Ending {
    pub(crate) const NEVER: Self = Self {
        end: End::Never,
        lease: 0,
    };
}

impl View<'_> {
    /// What is at a key.
    pub(crate) fn look(&mut self, key: &Key) -> Planned<Found> {
        let string = self.layout.string(key.as_bytes());
        let record = self.layout.record(key.as_bytes());
        self.expect([string.clone(), record.clone()]);
        if let Some(seen) = self.point(&string)? {
            let content = self.content(&seen)?;
            if !content.end.is_past(self.now) {
                return Ok(Found::String(content, seen));
            }
        }
        let Some(seen) = self.point(&record)? else {
            return Ok(Found::Nothing);
        };
        let record = Record::decode(&seen.value)?;
        match record.end.is_past(self.now) {
            true => Ok(Found::Nothing),
            false => Ok(Found::Structure(record, seen)),
        }
    }

    /// Whether anything is at a key.
    pub(crate) fn is_there(&mut self, key: &Key) -> Planned<bool> {
        Ok(!matches!(self.look_inside(key)?, Found::Nothing))
    }

    /// The string that was seen.
    fn content(&self, seen: &Seen) -> Planned<Content> {
        // One that this plan writes has no revision yet.
        if seen.revision == 0 && header::is_token(&seen.value) {
            return Err(Interrupt::Separate);
        }
        Ok(header::decode(seen.value.clone(), seen.revision)?)
    }

    /// What is at a key, and whether that has elements if it is a structure.
    pub(crate) fn look_inside(&mut self, key: &Key) -> Planned<Found> {
        match self.look(key)? {
            Found::Structure(..) if !self.is_inhabited(key)? => Ok(Found::Nothing),
            found => Ok(found),
        }
    }

    /// The record of a structure of this kind; `None` if nothing is at the key.
    pub(crate) fn structure(&mut self, key: &Key, kind: Kind) -> Planned<Option<(Record, Seen)>> {
        match self.look(key)? {
            Found::Nothing => Ok(None),
            Found::String(..) => Err(Failure::wrong_type().into()),
            Found::Structure(record, seen) if record.kind == kind => Ok(Some((record, seen))),
            // An empty one is not there.
            Found::Structure(..) => match self.is_inhabited(key)? {
                true => Err(Failure::wrong_type().into()),
                false => Ok(None),
            },
        }
    }

    /// Makes sure that there is a structure of this kind; answers the lease that its elements are
    /// on.
    pub(crate) fn open(&mut self, key: &Key, kind: Kind) -> Planned<i64> {
        if let Some((_, seen)) = self.structure(key, kind)? {
            let lease = seen.lease;
            self.remember(key, seen);
            return Ok(lease);
        }
        let elements = self.layout.elements(key.as_bytes());
        let raw = self.layout.record(key.as_bytes());
        // Nobody looks whether something is left of another structure: there hardly ever is, and the
        // condition tells.
        match self.writes_in(&elements) {
            // What this plan deletes was all there was.
            true => self.rely_unwritten(elements),
            false if self.has_seen_in(&elements) => {
                let revision = self.point(&raw)?.map_or(0, |seen| seen.revision);
                return Err(Interrupt::Leftovers(key.clone(), revision));
            }
            false => self.rely_empty(elements),
        }
        let string = self.layout.string(key.as_bytes());
        if self.point(&string)?.is_some() {
            // It is past its deadline and would hide the structure from other clients' eyes only;
            // but its lease does not end at once.
            self.delete(string)?;
        }
        let record = Record {
            kind,
            end: End::Never,
        };
        self.put(raw, record.encode(), 0)?;
        self.created.push(key.clone());
        Ok(0)
    }

    /// Deletes whatever is at a key; answers whether something was there.
    pub(crate) fn discard(&mut self, key: &Key) -> Planned<bool> {
        let found = self.look_inside(key)?;
        self.delete(self.layout.string(key.as_bytes()))?;
        self.hide_nothing(key)?;
        Ok(!matches!(found, Found::Nothing))
    }

    /// Deletes a structure below a string that goes, or ends some day: then nothing must come to
    /// light. There hardly ever is one, and without a record there are no elements.
    pub(crate) fn hide_nothing(&mut self, key: &Key) -> Planned<()> {
        let raw = self.layout.record(key.as_bytes());
        if !self.wrote(&raw) {
            self.guess(raw.clone(), None);
        }
        match self.point(&raw)? {
            Some(_) => {
                self.delete(raw)?;
                self.erase(self.layout.elements(key.as_bytes()))
            }
            None => Ok(()),
        }
    }

    /// Whether the structure at a key has elements.
    pub(crate) fn is_inhabited(&mut self, key: &Key) -> Planned<bool> {
        let elements = self.layout.elements(key.as_bytes());
        let found = self.list(&elements, 1, What::All)?;
        match found.entries.first() {
            Some((witness, _)) => {
                self.point(&witness.clone())?;
                Ok(true)
            }
            None => {
                self.rely_unwritten(elements);
                Ok(false)
            }
        }
    }

    /// When something that is written now ends; `None` if it has ended already. What is there ends
    /// as `current` says.
    pub(crate) fn ending(&self, ttl: Ttl, current: Ending) -> Planned<Option<Ending>> {
        let expiry = match ttl {
            Ttl::Unset | Ttl::Never => return Ok(Some(Ending::NEVER)),
            Ttl::Keep => return Ok(Some(current)),
            Ttl::In(span) => Expiry::In(span),
            Ttl::At(deadline) => Expiry::At(deadline),
            Ttl::Held(span) => Expiry::Held(span),
            _ => return Err(Failure::unsupported("this time to live").into()),
        };
        self.expiring(expiry)
    }

    /// When something ends that is given a deadline now; `None` if it ends at once.
    pub(crate) fn expiring(&self, expiry: Expiry) -> Planned<Option<Ending>> {
        let (end, left) = match expiry {
            Expiry::In(span) => (
                End::At(self.now.saturating_add(span.as_duration())),
                span.as_duration(),
            ),
            Expiry::At(deadline) => (End::At(deadline), deadline.saturating_since(self.now)),
            Expiry::Held(span) => (End::Lease, span.as_duration()),
            _ => return Err(Failure::unsupported("this deadline").into()),
        };
        if left == Duration::ZERO {
            return Ok(None);
        }
        let lease = self.lease(left)?;
        let end = match (end, lease) {
            // No lease lasts so long; the deadline tells then.
            (End::Lease, 0) => End::At(self.now.saturating_add(left)),
            (end, _) => end,
        };
        Ok(Some(Ending { end, lease }))
    }
}

/// When a string ends that was seen.
pub(crate) fn ending_of(content: &Content, seen: &Seen) -> Ending {
    Ending {
        end: content.end,
        lease: seen.lease,
    }
}
