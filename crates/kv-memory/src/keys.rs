//! The transitions of keys of any type.

use crate::{
    moment::{FOREVER, Moment},
    shard::{Shard, Slot},
};
use kv_core::TimeToLive;

impl Shard {
    pub(crate) fn delete(&mut self, slot: Slot<'_>, now: &Moment<'_>) -> bool {
        let Some((found, books)) = self.occupied(slot, now) else {
            return false;
        };
        books.forget(slot.hash, found.remove().0);
        true
    }

    /// Gives a key a deadline; one that has passed ends it.
    pub(crate) fn expire(&mut self, slot: Slot<'_>, deadline: i64, now: &Moment<'_>) -> bool {
        let Some((mut found, books)) = self.occupied(slot, now) else {
            return false;
        };
        if now.passed(deadline) {
            books.forget(slot.hash, found.remove().0);
        } else {
            books.set_deadline(slot.hash, found.get_mut(), deadline);
            books.note(slot.key);
        }
        true
    }

    /// Takes the deadline off a key; whether it had one.
    pub(crate) fn persist(&mut self, slot: Slot<'_>, now: &Moment<'_>) -> bool {
        let Some((mut found, books)) = self.occupied(slot, now) else {
            return false;
        };
        let had = found.get().deadline != FOREVER;
        if had {
            books.set_deadline(slot.hash, found.get_mut(), FOREVER);
            books.note(slot.key);
        }
        had
    }

    pub(crate) fn time_to_live(&self, slot: Slot<'_>, now: &Moment<'_>) -> TimeToLive {
        match self.get(slot, now) {
            None => TimeToLive::Missing,
            Some(entry) => now.left(entry.deadline),
        }
    }
}
