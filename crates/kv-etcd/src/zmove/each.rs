//! Moving each member on its own conditions.
//!
//! All members of a move are one transaction, in which each is a group of operations that are done if
//! nobody has taken the member since it was seen. So those who compete for the same members share
//! them, where otherwise all but one would have to begin anew; and a move can be of more members than
//! a transaction can have conditions.

use super::{Due, Move};
use crate::{
    layout::{Kind, header, header::End, score},
    optimistic::{Group, Planned, Query, Slot, View, What},
    zsets,
};
use kv_core::{Fate, Key};

/// A member's group, and where in it its bodies are read.
pub(super) struct Moving {
    pub(super) group: Slot,
    pub(super) bodies: Vec<Option<Slot>>,
}

impl Move<'_> {
    /// Whether members can be moved one by one: what has a deadline must lose its record with its
    /// last element.
    pub(super) fn can_move_each(&self, view: &mut View<'_>) -> Planned<bool> {
        let sets = self
            .step
            .sources
            .iter()
            .map(|it| (&it.key, Kind::SortedSet));
        let drained = self.step.hashes.iter().filter(|it| it.fate != Fate::Keep);
        let hashes = drained.map(|it| (&it.key, Kind::Hash));
        for (key, kind) in sets.chain(hashes) {
            let record = view.structure(key, kind)?;
            if record.is_some_and(|(record, _)| record.end != End::Never) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Plans a group for each member.
    pub(super) fn write_each(&self, view: &mut View<'_>, due: &[Due]) -> Planned<Vec<Moving>> {
        let step = self.step;
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let target = match &step.target {
            Some(target) => Some((target, view.open(target, Kind::SortedSet)?)),
            None => None,
        };
        let mut tallies = Vec::with_capacity(step.sources.len());
        for (at, source) in step.sources.iter().enumerate() {
            let counts = due.iter().any(|it| it.source == at);
            tallies.push(match &source.tally {
                Some(tally) if counts => Some((tally, view.open(tally, Kind::Hash)?)),
                _ => None,
            });
        }
        due.iter()
            .map(|due| self.write_one(view, due, target, tallies[due.source]))
            .collect()
    }

    fn write_one(
        &self,
        view: &mut View<'_>,
        due: &Due,
        target: Option<(&Key, i64)>,
        tally: Option<(&Key, i64)>,
    ) -> Planned<Moving> {
        let layout = view.layout;
        let member = due.member.as_bytes();
        let source = &self.step.sources[due.source].key;
        let mut group = Group::default();
        let entry = layout.entry(source.as_bytes(), due.score, member);
        let seen = view.glance(&entry)?;
        group.rely(entry.clone(), seen.as_ref());
        // First, so that what is taken is read before it is deleted.
        let mut bodies = Vec::with_capacity(self.step.hashes.len());
        for hash in &self.step.hashes {
            let raw = layout.field(hash.key.as_bytes(), member);
            let read = hash.fate != Fate::Drop;
            bodies.push(read.then(|| group.read(Query::point(&raw, What::All))));
            if hash.fate != Fate::Keep {
                group.delete(raw);
            }
        }
        let stays = target.is_some_and(|(target, _)| target == source);
        let after = self.step.score.at(view.now);
        if !stays || after != due.score {
            group.delete(entry);
        }
        if !stays {
            group.delete(layout.member(source.as_bytes(), member));
        }
        if let Some((target, lease)) = target {
            let raw = layout.member(target.as_bytes(), member);
            if !stays {
                let seen = view.glance(&raw)?;
                group.rely(raw.clone(), seen.as_ref());
                if let Some(seen) = seen {
                    let before = zsets::decode(&seen.value)?;
                    if before != after {
                        group.delete(layout.entry(target.as_bytes(), before, member));
                    }
                }
            }
            group.put(raw, score::encode(after).to_vec(), lease);
            group.put(
                layout.entry(target.as_bytes(), after, member),
                Vec::new(),
                lease,
            );
        }
        if let (Some((tally, lease)), Some(sum)) = (tally, due.tally) {
            let raw = layout.field(tally.as_bytes(), member);
            let seen = view.glance(&raw)?;
            group.rely(raw.clone(), seen.as_ref());
            group.put(
                raw,
                header::encode(sum.to_string().as_bytes(), End::Never),
                lease,
            );
        }
        let group = view.group(group);
        Ok(Moving { group, bodies })
    }
}
