//! What a transaction that is being made writes and reads already.

use kv_core::{Key, Op};
use std::collections::{BTreeSet, HashMap};

/// Keeps a transaction from contradicting itself, which every store would refuse in the same place.
#[derive(Default)]
pub(super) struct Taken {
    keys: HashMap<Key, How>,
    elements: BTreeSet<(Key, Vec<u8>)>,
    ranges: BTreeSet<Key>,
    expired: BTreeSet<Key>,
    read: BTreeSet<Key>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Whole,
    Hash,
    SortedSet,
}

impl Taken {
    /// Whether one more step fits; it is noted if it does.
    pub(super) fn takes(&mut self, op: &Op) -> bool {
        let Some(key) = op.key() else {
            return true;
        };
        match op {
            Op::Set { .. }
            | Op::Delete { .. }
            | Op::DeleteIf { .. }
            | Op::Increment { .. }
            | Op::NextToken { .. } => {
                let free = !self.keys.contains_key(key)
                    && !self.expired.contains(key)
                    && !self.read.contains(key);
                if free {
                    self.keys.insert(key.clone(), How::Whole);
                }
                free
            }
            Op::HSet { fields, .. } => {
                let fields = fields.iter().map(|(field, _)| field.as_bytes());
                self.elements(key, How::Hash, fields)
            }
            Op::HDel { fields, .. } => {
                self.elements(key, How::Hash, fields.iter().map(|it| it.as_bytes()))
            }
            Op::HIncrement { field, .. } => self.elements(key, How::Hash, [field.as_bytes()]),
            Op::ZAdd { members, .. } => {
                let members = members.iter().map(|(member, _)| member.as_bytes());
                self.elements(key, How::SortedSet, members)
            }
            Op::ZRem { members, .. } => {
                self.elements(key, How::SortedSet, members.iter().map(|it| it.as_bytes()))
            }
            Op::ZRemRange { .. } => {
                self.elements(key, How::SortedSet, []) && self.ranges.insert(key.clone())
            }
            Op::Expire { .. } | Op::Persist { .. } => {
                self.keys.get(key) != Some(&How::Whole) && self.expired.insert(key.clone())
            }
            _ => {
                let free = self.keys.get(key) != Some(&How::Whole);
                if free {
                    self.read.insert(key.clone());
                }
                free
            }
        }
    }

    fn elements<'a>(
        &mut self,
        key: &Key,
        how: How,
        elements: impl IntoIterator<Item = &'a [u8]>,
    ) -> bool {
        if *self.keys.entry(key.clone()).or_insert(how) != how {
            return false;
        }
        let mut elements = elements.into_iter();
        // What was noted of a step that does not fit only makes later ones rarer.
        elements.all(|it| self.elements.insert((key.clone(), it.to_vec())))
    }
}
