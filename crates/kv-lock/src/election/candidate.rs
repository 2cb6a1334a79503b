//! The lock that a leader holds.

use super::Leadership;
use crate::{
    claim::{Acquired, Claim, Claims, Kind, Line},
    place,
    transitions::{election, exclusive},
};
use kv_core::{Key, Lifetime, Mark, Result, Txn, TxnReply, Value};
use std::sync::Arc;

/// The exclusive lock, with what its holder publishes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Candidate {
    pub(crate) value: Value,
}

/// The keys of an election: of its lock, and beside them.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) lock: place::Place,
    /// What the leader has published, with its lease.
    pub(crate) leader: Key,
    /// The channel that tells who observes.
    pub(crate) elected: Key,
}

impl Kind for Candidate {
    type Guard = Leadership;
}

impl Claims for Candidate {
    const NAME: &'static str = "election";

    type Place = Place;

    fn place(&self, name: &[u8]) -> Result<Place> {
        let group = place::group("lock", name)?;
        Ok(Place {
            lock: place::Place::of(name)?,
            leader: group.key(":leader"),
            elected: group.key(":elected"),
        })
    }

    fn line(place: &Place) -> Line<'_> {
        Line {
            key: &place.lock.holder,
            free: &place.lock.free,
        }
    }

    fn claim(&self, place: &Place, holder: Mark) -> Arc<dyn Claim> {
        Arc::new(Candidacy {
            place: place.clone(),
            holder,
            value: self.value.clone(),
        })
    }
}

#[derive(Debug)]
struct Candidacy {
    place: Place,
    holder: Mark,
    /// What is published first.
    value: Value,
}

impl Claim for Candidacy {
    fn acquire(&self, lease: Lifetime) -> Result<Vec<Txn>> {
        let value = self.value.clone();
        Ok(vec![election::campaign(
            &self.place,
            &self.holder,
            value,
            lease,
        )?])
    }

    fn acquired(&self, replies: Vec<TxnReply>) -> Result<Acquired> {
        exclusive::acquired(&self.holder, replies)
    }

    fn renew(&self, lease: Lifetime) -> Txn {
        election::renew(&self.place, &self.holder, lease)
    }

    fn release(&self) -> Txn {
        election::resign(&self.place, &self.holder)
    }

    fn proclaim(&self, value: Value, lease: Lifetime) -> Option<Txn> {
        Some(election::proclaim(&self.place, &self.holder, value, lease))
    }

    fn kind(&self) -> &'static str {
        Candidate::NAME
    }

    fn key(&self) -> &Key {
        &self.place.lock.holder
    }
}
