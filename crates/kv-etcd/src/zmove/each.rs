//! Moving each member on its own conditions.
//!
//! All members of a move are one transaction, in which each is a group of operations that are done if
//! nobody has taken the member since it was seen. So those who compete for the same members share
//! them, where otherwise all but one would have to begin anew; and a move can be of more members than
//! a transaction can have conditions.
//!
//! The record of a set that has a deadline goes with its last member: either one that stays is a
//! condition, or that none came since. Others may take members out meanwhile, that does no harm.

use super::{CONDITIONS, Due, Move};
use crate::{
    layout::{Kind, Range, header, header::End, score},
    optimistic::{Group, GroupSlot, Planned, Query, Slot, View, What},
    zsets,
};
use kv_core::{Bodies, Fate, Key};
use std::collections::{HashMap, HashSet};

/// A member's group, and where in it its bodies are read.
pub(super) struct Moving {
    pub(super) group: GroupSlot,
    pub(super) bodies: Vec<Option<Slot>>,
}

/// A structure that is written to, and the lease of its elements.
type Open<'a> = (&'a Key, i64);

impl Move<'_> {
    /// Has the records go of what has a deadline and loses its last element; whether members can be
    /// moved one by one. They cannot if more of them are the last than there can be conditions.
    pub(super) fn leave_each(&self, view: &mut View<'_>, due: &[Due]) -> Planned<bool> {
        let step = self.step;
        // Whoever is the last must surely go, so that all its group relies on is a condition.
        let mut certain = HashSet::new();
        for (at, source) in step.sources.iter().enumerate() {
            // Within a set a member only gets another score.
            if step.target.as_ref() == Some(&source.key) {
                continue;
            }
            let key = source.key.as_bytes();
            let own = due.iter().filter(|it| it.source == at);
            let own = own.map(|it| (view.layout.entry(key, it.score, it.member.as_bytes()), it));
            let (own, index) = (own.collect(), view.layout.index(key));
            // Who took one of them meanwhile only left fewer.
            for due in self.leave_one(view, &source.key, Kind::SortedSet, index, &own)? {
                certain.extend(self.tally(view, due));
                certain.extend(self.place(view, due));
            }
        }
        for hash in step.hashes.iter().filter(|it| it.fate != Fate::Keep) {
            let key = hash.key.as_bytes();
            let own = due.iter();
            let own = own.map(|it| (view.layout.field(key, it.member.as_bytes()), it));
            let (own, fields) = (own.collect(), view.layout.elements(key));
            for due in self.leave_one(view, &hash.key, Kind::Hash, fields, &own)? {
                // The field of a member that somebody else took stays, so nobody may.
                let source = step.sources[due.source].key.as_bytes();
                certain.insert(view.layout.entry(source, due.score, due.member.as_bytes()));
                certain.extend(self.tally(view, due));
                certain.extend(self.place(view, due));
            }
        }
        if view.conditions() + certain.len() > CONDITIONS {
            return Ok(false);
        }
        for raw in certain {
            view.point(&raw)?;
        }
        Ok(true)
    }

    /// Where a member is counted.
    fn tally(&self, view: &View<'_>, due: &Due) -> Option<Vec<u8>> {
        let key = self.step.sources[due.source].tally.as_ref()?;
        Some(view.layout.field(key.as_bytes(), due.member.as_bytes()))
    }

    /// Where it goes, if to another set.
    fn place(&self, view: &View<'_>, due: &Due) -> Option<Vec<u8>> {
        let target = self.step.target.as_ref();
        let key = target.filter(|it| **it != self.step.sources[due.source].key)?;
        Some(view.layout.member(key.as_bytes(), due.member.as_bytes()))
    }

    /// Does so for one set or hash, of which some elements go; answers those that are its last.
    fn leave_one<'d>(
        &self,
        view: &mut View<'_>,
        key: &Key,
        kind: Kind,
        elements: Range,
        own: &HashMap<Vec<u8>, &'d Due>,
    ) -> Planned<Vec<&'d Due>> {
        let record = view.structure(key, kind)?;
        if own.is_empty() || record.is_none_or(|(record, _)| record.end == End::Never) {
            return Ok(Vec::new());
        }
        let what = match kind {
            // Its entries have no values.
            Kind::SortedSet => What::All,
            Kind::Hash => What::Keys,
        };
        let found = view.list(&elements, own.len() as u64 + 1, what)?;
        let stays = found.entries.iter().find(|(it, _)| !own.contains_key(it));
        if let Some((witness, _)) = stays {
            view.point(witness)?;
            return Ok(Vec::new());
        }
        if found.entries.is_empty() {
            return Ok(Vec::new());
        }
        view.rely_unwritten(elements);
        view.delete(view.layout.record(key.as_bytes()))?;
        let last = found.entries.iter().filter_map(|(it, _)| own.get(it));
        Ok(last.copied().collect())
    }

    /// Plans a group for each member.
    pub(super) fn write_each(
        &self,
        view: &mut View<'_>,
        due: &[Due],
        hashes: &[Option<&Bodies>],
    ) -> Planned<Vec<Moving>> {
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
            .map(|due| self.write_one(view, due, hashes, (target, tallies[due.source])))
            .collect()
    }

    fn write_one(
        &self,
        view: &mut View<'_>,
        due: &Due,
        hashes: &[Option<&Bodies>],
        (target, tally): (Option<Open<'_>>, Option<Open<'_>>),
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
        for hash in hashes {
            let Some(hash) = hash else {
                bodies.push(None);
                continue;
            };
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
