//! Adding and removing members.
//!
//! The old score of a member tells which entry of the index goes. Of few members it is a condition
//! each that nobody has changed them, and of new ones it is guessed that they are. Of many, which are
//! more than there can be conditions, it is that nobody has written a member between the first and
//! the last of them since they were read. That does not see who was removed meanwhile, which does no
//! harm: what is written is all that a member has, what is deleted may be gone, and the answers tell
//! how many were there.

use super::{parse, part, pop::lowest};
use crate::{
    error::Failure,
    layout::{Kind, Range, range::successor, score},
    optimistic::{Count, Planned, View, What},
};
use kv_core::{Key, Member, Score, ScoreRange};
use std::collections::HashMap;

/// So many members are a condition each.
const FEW: usize = 96;

/// The members of a call, and what is known of them.
struct Known<'a> {
    members: Vec<(&'a Member, Vec<u8>, Option<Score>)>,
    /// Whether they can be gone by now.
    loosely: bool,
}

impl View<'_> {
    /// Adds members or moves them; those that were absent are new. Of one given twice the last score
    /// counts.
    pub(crate) fn zadd(&mut self, key: &Key, members: &[(Member, Score)]) -> Planned<Count> {
        let mut count = Count::default();
        if members.is_empty() {
            return Ok(count);
        }
        self.recall(key);
        must_fit(self, key, members.iter().map(|it| &it.0))?;
        let wanted: HashMap<_, _> = members
            .iter()
            .map(|(member, score)| (member, *score))
            .collect();
        if wanted.len() <= FEW {
            for &member in wanted.keys() {
                self.guess(self.layout.member(key.as_bytes(), member.as_bytes()), None);
            }
        }
        let distinct: Vec<_> = wanted.keys().copied().collect();
        self.expect_members(key, &distinct);
        let lease = self.open(key, Kind::SortedSet)?;
        let known = self.known(key, distinct)?;
        for (member, raw, before) in known.members {
            let score = wanted[member];
            if before == Some(score) && !known.loosely {
                continue;
            }
            let bytes = score::encode(score).to_vec();
            match known.loosely && self.overlaid(&raw).is_none() {
                true => count.slots.push(self.put_telling(raw, bytes, lease)?),
                false => {
                    count.known += u64::from(before.is_none());
                    self.put(raw, bytes, lease)?;
                }
            }
            let entry = |score| self.layout.entry(key.as_bytes(), score, member.as_bytes());
            let (new, old) = (entry(score), before.filter(|it| *it != score).map(entry));
            self.put(new, Vec::new(), lease)?;
            if let Some(old) = old {
                self.delete(old)?;
            }
        }
        Ok(count)
    }

    /// Removes members, and what is left of the set with its last one.
    pub(crate) fn zrem(&mut self, key: &Key, members: &[Member]) -> Planned<Count> {
        let mut count = Count::default();
        if members.is_empty() {
            return Ok(count);
        }
        let mut distinct: Vec<_> = members.iter().collect();
        distinct.sort_unstable();
        distinct.dedup();
        must_fit(self, key, distinct.iter().copied())?;
        self.expect_members(key, &distinct);
        let Some((record, _)) = self.structure(key, Kind::SortedSet)? else {
            return Ok(count);
        };
        let known = self.known(key, distinct)?;
        for (member, raw, before) in known.members {
            let Some(score) = before else {
                continue;
            };
            // What the plan itself wrote it knows.
            let loosely = known.loosely && self.overlaid(&raw).is_none();
            let gone = self.delete(raw)?;
            match loosely {
                true => count.slots.push(gone),
                false => count.known += 1,
            }
            let entry = self.layout.entry(key.as_bytes(), score, member.as_bytes());
            self.delete(entry)?;
        }
        self.leave(key, record)?;
        Ok(count)
    }

    /// Removes the members with the lowest scores in a range, up to so many. Where those are many,
    /// fewer go if others remove some of the same members at the same time.
    pub(crate) fn zremrange(&mut self, key: &Key, range: ScoreRange, limit: u32) -> Planned<Count> {
        let mut count = Count::default();
        let range = part(self.layout, key, range);
        let Some((record, _)) = self.structure(key, Kind::SortedSet)? else {
            return Ok(count);
        };
        if range.is_empty() {
            return Ok(count);
        }
        let found = self.list(&range, limit.into(), What::All)?;
        let Some((last, _)) = found.entries.last() else {
            return Ok(count);
        };
        // A lower one that came since would have to go first.
        self.rely_unwritten(lowest(&range, found.entries.len(), limit.into(), last));
        let loosely = found.entries.len() > FEW;
        let mut members = Vec::with_capacity(found.entries.len());
        for (entry, _) in &found.entries {
            let (member, _) = parse(self.layout, key, entry)?;
            let raw = self.layout.member(key.as_bytes(), member.as_bytes());
            if !loosely {
                self.point(entry)?;
            }
            let known = self.overlaid(entry).is_some();
            let gone = self.delete(entry.clone())?;
            match loosely && !known {
                true => count.slots.push(gone),
                false => count.known += 1,
            }
            self.delete(raw.clone())?;
            members.push(raw);
        }
        // Members that moved out of the range must stay.
        if loosely {
            self.rely_unwritten(span(&members));
        }
        self.leave(key, record)?;
        Ok(count)
    }

    /// Removes members whose entries the writes rely on, and what is left of the set with its last
    /// one.
    pub(crate) fn zrem_known<'a>(
        &mut self,
        key: &Key,
        members: impl Iterator<Item = (&'a Member, Score)>,
    ) -> Planned<()> {
        let Some((record, _)) = self.structure(key, Kind::SortedSet)? else {
            return Ok(());
        };
        for (member, score) in members {
            let member = member.as_bytes();
            self.delete(self.layout.entry(key.as_bytes(), score, member))?;
            self.delete(self.layout.member(key.as_bytes(), member))?;
        }
        self.leave(key, record)
    }

    fn expect_members(&mut self, key: &Key, members: &[&Member]) {
        let raw = |it: &&Member| self.layout.member(key.as_bytes(), it.as_bytes());
        let raw: Vec<_> = members.iter().map(raw).collect();
        self.expect_at(key, raw);
    }

    /// The scores of members. The writes rely on them.
    fn known<'a>(&mut self, key: &Key, members: Vec<&'a Member>) -> Planned<Known<'a>> {
        let loosely = members.len() > FEW;
        let raw = |it: &&Member| self.layout.member(key.as_bytes(), it.as_bytes());
        let raw: Vec<_> = members.iter().map(raw).collect();
        if loosely {
            self.rely_unwritten(span(&raw));
        }
        let mut known = Vec::with_capacity(members.len());
        for (member, raw) in members.into_iter().zip(raw) {
            let seen = match loosely {
                true => self.glance(&raw)?,
                false => self.point(&raw)?,
            };
            let score = seen.map(|it| decode(&it.value)).transpose()?;
            known.push((member, raw, score));
        }
        let members = known;
        Ok(Known { members, loosely })
    }
}

/// The score in a member's key.
pub(crate) fn decode(value: &[u8]) -> Planned<Score> {
    let score = value.try_into().ok().and_then(score::decode);
    score.ok_or_else(|| Failure::codec("a member has no score").into())
}

/// Refuses what has too many members, or too long ones, before they are read.
fn must_fit<'a>(
    view: &View<'_>,
    key: &Key,
    members: impl Iterator<Item = &'a Member>,
) -> Planned<()> {
    let around = view.layout.member(key.as_bytes(), b"").len();
    let (mut operations, mut bytes) = (0, 0);
    for member in members {
        operations += 2;
        bytes += 2 * (around + member.as_bytes().len()) + size_of::<Score>();
    }
    view.must_fit(operations, bytes)
}

/// From the first to the last of some keys.
fn span(keys: &[Vec<u8>]) -> Range {
    Range {
        from_key: keys.iter().min().cloned().unwrap_or_default(),
        to_key: keys
            .iter()
            .max()
            .map(|it| successor(it))
            .unwrap_or_default(),
    }
}
