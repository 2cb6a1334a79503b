//! The lock that one at a time holds.

use crate::{
    LockGuard,
    claim::{Acquired, Claim, Claims, Kind, Line},
    place::Place,
    transitions::exclusive,
};
use kv_core::{Key, Lifetime, Mark, Result, Txn, TxnReply};
use std::sync::Arc;

/// The kind of lock that one at a time holds: a mutex.
#[derive(Clone, Copy, Debug)]
pub struct Exclusive;

impl Kind for Exclusive {
    type Guard = LockGuard;
}

impl Claims for Exclusive {
    const NAME: &'static str = "exclusive";

    type Place = Place;

    fn place(&self, name: &[u8]) -> Result<Place> {
        Place::of(name)
    }

    fn line(place: &Place) -> Line<'_> {
        Line {
            key: &place.holder,
            free: &place.free,
        }
    }

    fn claim(&self, place: &Place, holder: Mark) -> Arc<dyn Claim> {
        Arc::new(ExclusiveClaim {
            place: place.clone(),
            holder,
        })
    }
}

#[derive(Debug)]
struct ExclusiveClaim {
    place: Place,
    holder: Mark,
}

impl Claim for ExclusiveClaim {
    fn acquire(&self, lease: Lifetime) -> Result<Vec<Txn>> {
        Ok(vec![exclusive::acquire(&self.place, &self.holder, lease)?])
    }

    fn acquired(&self, replies: Vec<TxnReply>) -> Result<Acquired> {
        exclusive::acquired(&self.holder, replies)
    }

    fn renew(&self, lease: Lifetime) -> Txn {
        exclusive::renew(&self.place, &self.holder, lease)
    }

    fn release(&self) -> Txn {
        exclusive::release(&self.place, &self.holder)
    }

    fn kind(&self) -> &'static str {
        Exclusive::NAME
    }

    fn key(&self) -> &Key {
        &self.place.holder
    }
}
