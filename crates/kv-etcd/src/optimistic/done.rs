//! What a transaction answered.

use super::{
    facts::Listing,
    nest::{self, Shape},
    step::{GroupSlot, Slot},
};
use crate::{
    answers,
    error::{Answer, Failure},
};
use etcd_client::{TxnOpResponse, TxnResponse};
use parking_lot::Mutex;

/// What a transaction answered.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// The revision it was done at, or read at.
    pub(crate) revision: i64,
    answers: Mutex<Vec<Option<TxnOpResponse>>>,
}

impl Done {
    /// Nothing but reads, at a revision.
    pub(super) fn at(revision: i64) -> Self {
        Self {
            revision,
            ..Self::default()
        }
    }

    /// The answers to so many operations, of which steps begin at these.
    pub(super) fn of(
        mut response: TxnResponse,
        shape: Shape,
        (ops, begins): (usize, &[usize]),
    ) -> Answer<Self> {
        let answers = nest::answers(&mut response, shape, ops)?;
        let mut answers: Vec<_> = answers.into_iter().map(Some).collect();
        let of_step = |&at: &usize| answers.get_mut(at).and_then(Option::take);
        let answers = begins.iter().map(of_step).collect();
        Ok(Self {
            revision: revision_of(&response)?,
            answers: Mutex::new(answers),
        })
    }

    /// Whether the key of a write was there before, or anything in a range that was counted.
    pub(crate) fn was_there(&self, slot: Slot) -> bool {
        match self.answers.lock().get(slot.0) {
            Some(Some(TxnOpResponse::Put(put))) => put.prev_key().is_some(),
            Some(Some(TxnOpResponse::Delete(delete))) => delete.deleted() > 0,
            Some(Some(TxnOpResponse::Get(get))) => get.count() > 0,
            _ => false,
        }
    }

    /// Whether the conditions of a group held.
    pub(super) fn did(&self, slot: Slot) -> bool {
        match self.answers.lock().get(slot.0) {
            Some(Some(TxnOpResponse::Txn(group))) => group.succeeded(),
            _ => false,
        }
    }

    /// What steps of a group answered, to who asks first; `None` if one of its conditions did not hold.
    pub(crate) fn group(&self, slot: GroupSlot) -> Answer<Option<Self>> {
        let mut answers = self.answers.lock();
        let Some(Some(TxnOpResponse::Txn(group))) = answers.get_mut(slot.at.0) else {
            return Err(Failure::unexpected_reply());
        };
        if !group.succeeded() {
            return Ok(None);
        }
        let answers = answers::take(group, slot.operations)?;
        let answers = answers.map(Some).collect();
        Ok(Some(Self {
            revision: self.revision,
            answers: Mutex::new(answers),
        }))
    }

    /// What was read.
    pub(crate) fn listing(&self, slot: Slot) -> Answer<Listing> {
        match self.answers.lock().get_mut(slot.0).and_then(Option::take) {
            Some(TxnOpResponse::Get(response)) => Ok(Listing::of(response)),
            _ => Err(Failure::unexpected_reply()),
        }
    }
}

/// How many keys were there before they were written or deleted.
#[derive(Debug, Default)]
pub(crate) struct Count {
    /// How many of those that the plan knew of.
    pub(crate) known: u64,
    /// The others, whose answers tell.
    pub(crate) slots: Vec<Slot>,
}

impl Count {
    /// How many were there.
    pub(crate) fn there(&self, done: &Done) -> u64 {
        let told = self.slots.iter().filter(|&&slot| done.was_there(slot));
        self.known + told.count() as u64
    }

    /// How many were not there.
    pub(crate) fn absent(&self, done: &Done) -> u64 {
        let told = self.slots.iter().filter(|&&slot| !done.was_there(slot));
        self.known + told.count() as u64
    }
}

/// The revision of an answer.
pub(super) fn revision_of(response: &TxnResponse) -> Answer<i64> {
    let header = response.header().ok_or_else(Failure::unexpected_reply)?;
    Ok(header.revision())
}
