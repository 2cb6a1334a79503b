//! The operations of a transaction.

use super::facts::{Query, Seen};
use crate::layout::Range;
use etcd_client::{Compare, CompareOp, DeleteOptions, PutOptions, Txn, TxnOp};

/// How many bytes an operation has besides its key and its value, at most.
pub(super) const OVERHEAD: usize = 24;

/// One operation of the transaction.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Put {
        key: Vec<u8>,
        value: Vec<u8>,
        lease: i64,
        /// Whether the answer tells what was there before.
        telling: bool,
    },
    /// Gives a key another lease, if it is there: a transaction of its own, since etcd refuses to do
    /// so with one that is not, and conditions of the whole are few.
    Attach {
        key: Vec<u8>,
        lease: i64,
    },
    Delete(Vec<u8>),
    Erase(Range),
    Read(Query),
    Group(Group),
}

/// Operations that are done together if their own conditions hold, whatever becomes of the rest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// Keys and the revisions of their last change; 0 for those that are not there.
    conditions: Vec<(Vec<u8>, i64)>,
    pub(super) steps: Vec<Step>,
}

impl Group {
    /// Relies on a key being as it was seen.
    pub(crate) fn rely(&mut self, key: Vec<u8>, seen: Option<&Seen>) {
        self.conditions
            .push((key, seen.map_or(0, |seen| seen.revision)));
    }

    /// Writes a key.
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>, lease: i64) {
        let telling = false;
        self.steps.push(Step::Put {
            key,
            value,
            lease,
            telling,
        });
    }

    /// Deletes a key.
    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.steps.push(Step::Delete(key));
    }

    /// Reads; the slot is one of the group's.
    pub(crate) fn read(&mut self, query: Query) -> Slot {
        self.steps.push(Step::Read(query));
        Slot(self.steps.len() - 1)
    }
}

/// The place of an operation whose answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(pub(super) usize);

/// The place of a group, and how many operations it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupSlot {
    pub(super) at: Slot,
    pub(super) operations: usize,
}

impl Step {
    pub(super) fn op(&self) -> TxnOp {
        match self {
            Self::Put {
                key,
                value,
                lease,
                telling,
            } => {
                let options = PutOptions::new().with_lease(*lease);
                let options = match telling {
                    true => options.with_prev_key(),
                    false => options,
                };
                TxnOp::put(key.clone(), value.clone(), Some(options))
            }
            Self::Attach { key, lease } => {
                let options = PutOptions::new().with_ignore_value().with_lease(*lease);
                let there = Compare::version(key.clone(), CompareOp::Greater, 0);
                let put = TxnOp::put(key.clone(), Vec::new(), Some(options));
                TxnOp::txn(Txn::new().when([there]).and_then([put]))
            }
            Self::Delete(key) => TxnOp::delete(key.clone(), None),
            Self::Erase(range) => {
                let options = DeleteOptions::new().with_range(range.to_key.clone());
                TxnOp::delete(range.from_key.clone(), Some(options))
            }
            Self::Read(query) => query.op(0),
            Self::Group(group) => {
                let condition = |(key, revision): &(Vec<u8>, i64)| {
                    Compare::mod_revision(key.clone(), CompareOp::Equal, *revision)
                };
                let conditions: Vec<_> = group.conditions.iter().map(condition).collect();
                let ops: Vec<_> = group.steps.iter().map(Self::op).collect();
                TxnOp::txn(Txn::new().when(conditions).and_then(ops))
            }
        }
    }

    /// How many conditions or operations it holds, if it is a transaction itself.
    pub(super) fn inside(&self) -> usize {
        match self {
            Self::Attach { .. } => 1,
            Self::Group(group) => group.conditions.len().max(group.steps.len()),
            _ => 0,
        }
    }

    /// The same of a step that reads, at a revision.
    pub(super) fn op_at(&self, revision: i64) -> TxnOp {
        match self {
            Self::Read(query) => query.op(revision),
            _ => self.op(),
        }
    }

    /// Roughly how many bytes it takes in a request.
    pub(super) fn bytes(&self) -> usize {
        OVERHEAD
            + match self {
                Self::Put { key, value, .. } => key.len() + value.len(),
                Self::Attach { key, .. } => OVERHEAD + 2 * key.len(),
                Self::Delete(key) => key.len(),
                Self::Erase(range) => range.from_key.len() + range.to_key.len(),
                Self::Read(query) => query.bytes(),
                Self::Group(group) => {
                    let conditions = group.conditions.iter().map(|(key, _)| OVERHEAD + key.len());
                    conditions.chain(group.steps.iter().map(Self::bytes)).sum()
                }
            }
    }
}
