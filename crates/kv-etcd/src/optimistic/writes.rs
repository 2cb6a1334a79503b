//! What a plan writes, and what it sees of that.

use super::{
    facts::{Query, Seen},
    run::MOST_BYTES,
    step::{Group, GroupSlot, OVERHEAD, Slot, Step},
    view::{Interrupt, Planned, View},
};
use crate::{
    error::Failure,
    layout::{Range, range::END},
};
use etcd_client::TxnOp;
use foldhash::HashMap;

/// How far a plan had come; see [`View::restore`].
pub(crate) struct Mark {
    steps: usize,
    replaced: usize,
    created: usize,
}

impl View<'_> {
    /// Writes a key.
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>, lease: i64) -> Planned<()> {
        let telling = false;
        self.write(
            key.clone(),
            Step::Put {
                key,
                value,
                lease,
                telling,
            },
        )
        .map(drop)
    }

    /// Writes a key; the answer tells whether it was there.
    pub(crate) fn put_telling(
        &mut self,
        key: Vec<u8>,
        value: Vec<u8>,
        lease: i64,
    ) -> Planned<Slot> {
        let telling = true;
        self.write(
            key.clone(),
            Step::Put {
                key,
                value,
                lease,
                telling,
            },
        )
    }

    /// Gives a key another lease, if it is there when the transaction is done.
    pub(crate) fn attach(&mut self, key: Vec<u8>, lease: i64) -> Planned<()> {
        self.write(key.clone(), Step::Attach { key, lease })
            .map(drop)
    }

    /// Deletes a key; the answer tells whether it was there.
    pub(crate) fn delete(&mut self, key: Vec<u8>) -> Planned<Slot> {
        self.write(key.clone(), Step::Delete(key))
    }

    /// Deletes a range.
    pub(crate) fn erase(&mut self, range: Range) -> Planned<()> {
        let written = self.written.keys().filter(|key| range.contains(key));
        let written: Vec<_> = written.cloned().collect();
        for key in written {
            self.write(key.clone(), Step::Delete(key))?;
        }
        if !self.erased.contains(&range) {
            self.steps.push(Step::Erase(range.clone()));
            self.erased.push(range);
        }
        Ok(())
    }

    /// Reads a range as it is after the steps so far, as part of the transaction.
    pub(crate) fn read(&mut self, query: Query) -> Slot {
        self.steps.push(Step::Read(query));
        Slot(self.steps.len() - 1)
    }

    /// Has a group done. Its keys must be nobody else's in this plan.
    pub(crate) fn group(&mut self, group: Group) -> GroupSlot {
        let operations = group.steps.len();
        self.steps.push(Step::Group(group));
        let at = Slot(self.steps.len() - 1);
        GroupSlot { at, operations }
    }

    /// Whether the plan wrote a key, or deleted it.
    pub(crate) fn wrote(&self, key: &[u8]) -> bool {
        self.written.contains_key(key)
    }

    /// Where the plan is now.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            steps: self.steps.len(),
            replaced: self.replaced.len(),
            created: self.created.len(),
        }
    }

    /// Refuses before anything is read what has too many bytes to be written; `bytes` are those of
    /// the keys and values.
    pub(crate) fn must_fit(&self, operations: usize, bytes: usize) -> Planned<()> {
        let bytes = operations * OVERHEAD + bytes;
        match bytes > MOST_BYTES {
            true => Err(Failure::too_many_bytes(bytes).into()),
            false => Ok(()),
        }
    }

    /// Takes back all writes since a mark. What was relied on since stays so.
    pub(crate) fn restore(&mut self, mark: &Mark) {
        for (at, step) in self.replaced.drain(mark.replaced..).rev() {
            self.steps[at] = step;
        }
        self.steps.truncate(mark.steps);
        self.created.truncate(mark.created);
        let steps = &self.steps;
        self.written.retain(|_, at| *at < steps.len());
        let erased = steps.iter().filter_map(|it| match it {
            Step::Erase(range) => Some(range.clone()),
            _ => None,
        });
        self.erased = erased.collect();
    }

    fn write(&mut self, key: Vec<u8>, step: Step) -> Planned<Slot> {
        if self.is_erased(&key) && !self.written.contains_key(&key) {
            if let Step::Delete(_) = step {
                // It is gone already.
                return Ok(Slot(usize::MAX));
            }
            // The range is erased around a key that is written, so what was read in between saw what
            // the key held before.
            if self.is_read(&key) {
                return Err(Interrupt::Separate);
            }
        }
        if let Some(&at) = self.written.get(&key) {
            // What was read in between saw the earlier write.
            if reads(&self.steps[at..], &key) {
                return Err(Interrupt::Separate);
            }
            // One operation a key: the later one counts, and tells whether the key was there if the
            // earlier one was to.
            let telling = matches!(
                self.steps[at],
                Step::Put { telling: true, .. } | Step::Delete(_)
            );
            let step = match step {
                // What is there is what the plan wrote.
                Step::Attach { key, lease } => match self.steps[at].clone() {
                    Step::Put { value, telling, .. } => Step::Put {
                        key,
                        value,
                        lease,
                        telling,
                    },
                    _ => Step::Attach { key, lease },
                },
                Step::Put {
                    key,
                    value,
                    lease,
                    telling: more,
                } => Step::Put {
                    key,
                    value,
                    lease,
                    telling: telling || more,
                },
                step => step,
            };
            let before = std::mem::replace(&mut self.steps[at], step);
            self.replaced.push((at, before));
            return Ok(Slot(at));
        }
        self.written.insert(key, self.steps.len());
        self.steps.push(step);
        Ok(Slot(self.steps.len() - 1))
    }

    /// What the plan wrote at a key, if it did.
    pub(crate) fn overlaid(&self, key: &[u8]) -> Option<Option<Seen>> {
        match self.written.get(key).map(|&at| &self.steps[at]) {
            Some(Step::Put { value, lease, .. }) => Some(Some(Seen {
                value: value.clone().into(),
                revision: 0,
                lease: *lease,
            })),
            Some(Step::Delete(_)) => Some(None),
            _ => self.is_erased(key).then_some(None),
        }
    }

    /// The operations, and at which of them each step begins.
    pub(super) fn ops(&self) -> (Vec<TxnOp>, Vec<usize>) {
        let mut ops = Vec::with_capacity(self.steps.len());
        let mut begins = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            begins.push(ops.len());
            match step {
                // etcd takes no key twice in a transaction, unless it is only deleted.
                Step::Erase(range) => {
                    let parts = range.around(self.put_in(range));
                    ops.extend(parts.into_iter().map(|part| Step::Erase(part).op()));
                }
                step => ops.push(step.op()),
            }
        }
        (ops, begins)
    }

    /// How many operations there are.
    pub(super) fn count_ops(&self) -> usize {
        let more = |range| self.put_in(range).len();
        self.steps.len() + self.erased.iter().map(more).sum::<usize>()
    }

    /// The keys in a range that are there when the plan is done, in their order.
    fn put_in(&self, range: &Range) -> Vec<&[u8]> {
        let put = |at: &usize| matches!(self.steps[*at], Step::Put { .. } | Step::Attach { .. });
        let written = self.written.iter();
        let keys = written.filter(|(key, at)| range.contains(key) && put(at));
        let mut keys: Vec<_> = keys.map(|(key, _)| &**key).collect();
        keys.sort_unstable();
        keys
    }

    fn is_read(&self, key: &[u8]) -> bool {
        reads(&self.steps, key)
    }

    /// The keys in a range that the plan wrote or deleted one by one.
    pub(super) fn touched(&self, range: &Range) -> HashMap<Vec<u8>, Option<Seen>> {
        let keys = self.written.keys().filter(|key| range.contains(key));
        keys.filter_map(|key| Some((key.clone(), self.overlaid(key)?)))
            .collect()
    }

    pub(super) fn is_erased(&self, key: &[u8]) -> bool {
        self.erased.iter().any(|range| range.contains(key))
    }
}

/// Whether one of these steps reads a key.
fn reads(steps: &[Step], key: &[u8]) -> bool {
    let reads = |it: &Step| matches!(it, Step::Read(query) if query.range.contains(key));
    steps.iter().any(reads)
}

impl Range {
    /// What is left of it without some keys of it, which come in their order.
    fn around(&self, keys: Vec<&[u8]>) -> Vec<Self> {
        let mut rest = self.clone();
        let mut parts = Vec::with_capacity(keys.len() + 1);
        for key in keys {
            parts.push(rest.clone().before(key));
            rest = rest.after(key);
        }
        parts.push(rest);
        parts.retain(|part| !part.is_empty());
        parts
    }

    /// Whether a key can lie in both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let before = |one: &Self, other: &Self| one.to_key != END && one.to_key <= other.from_key;
        !before(self, other) && !before(other, self)
    }
}
