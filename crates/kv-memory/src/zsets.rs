//! The transitions of sorted sets.

use crate::{
    entry::Data,
    moment::{FOREVER, Moment},
    refusal::Refusal,
    shard::{Shard, Slot},
    zset::ZSet,
};
use kv_core::{Member, Score, ScoredMember, Scores};

impl Shard {
    pub(crate) fn zset(&self, slot: Slot<'_>, now: &Moment<'_>) -> Result<Option<&ZSet>, Refusal> {
        let Some(entry) = self.get(slot, now) else {
            return Ok(None);
        };
        entry.data.as_zset().map(Some)
    }

    /// Adds members or moves them, in order; how many are new.
    pub(crate) fn zadd(
        &mut self,
        slot: Slot<'_>,
        members: &[(Member, Score)],
        now: &Moment<'_>,
    ) -> Result<u64, Refusal> {
        if members.is_empty() {
            return Ok(0);
        }
        let Some((mut found, books)) = self.occupied(slot, now) else {
            let mut zset = ZSet::default();
            let reserved = self.reserve_entry(slot, || zset.cost() + growth(&zset, members))?;
            let added = add_all(&mut zset, members);
            self.insert(slot, Data::zset(zset), FOREVER, reserved);
            return Ok(added);
        };
        let zset = found.get().data.as_zset()?;
        let reserved = books.reserve_growth(found.get(), || growth(zset, members))?;
        let zset = found.get_mut().data.as_zset_mut()?;
        let before = zset.cost();
        let added = add_all(zset, members);
        books.settle(reserved, before, zset.cost());
        books.note(slot.key);
        Ok(added)
    }

    /// Removes members, and the set with its last one; how many were there.
    pub(crate) fn zrem(
        &mut self,
        slot: Slot<'_>,
        members: &[Member],
        now: &Moment<'_>,
    ) -> Result<u64, Refusal> {
        if members.is_empty() {
            return Ok(0);
        }
        self.shorten(slot, now, |zset| {
            let removed = members.iter().filter(|it| zset.remove(it.as_bytes()));
            removed.count() as u64
        })
    }

    /// Takes out the members with the lowest scores up to `max`, and the set with its last one.
    pub(crate) fn zpop(
        &mut self,
        slot: Slot<'_>,
        max: Score,
        limit: u32,
        scores: Scores,
        now: &Moment<'_>,
    ) -> Result<Vec<ScoredMember>, Refusal> {
        self.shorten(slot, now, |zset| zset.pop(max, limit as usize, scores))
    }

    fn shorten<T: Default>(
        &mut self,
        slot: Slot<'_>,
        now: &Moment<'_>,
        take: impl FnOnce(&mut ZSet) -> T,
    ) -> Result<T, Refusal> {
        let Some((mut found, books)) = self.occupied(slot, now) else {
            return Ok(T::default());
        };
        let zset = found.get_mut().data.as_zset_mut()?;
        let before = zset.cost();
        let taken = take(zset);
        let after = zset.cost();
        books.settle(0, before, after);
        if zset.is_empty() {
            books.forget(slot.hash, found.remove().0);
        } else if after < before {
            books.note(slot.key);
        }
        Ok(taken)
    }
}

/// By how much the set grows at most.
fn growth(zset: &ZSet, members: &[(Member, Score)]) -> usize {
    let each = |(member, _): &(Member, Score)| zset.growth(member.as_bytes());
    members.iter().map(each).sum()
}

fn add_all(zset: &mut ZSet, members: &[(Member, Score)]) -> u64 {
    let add = |(member, score): &(Member, Score)| u64::from(zset.add(member.as_bytes(), *score));
    members.iter().map(add).sum()
}
