//! Transactions: several transitions under one lock.

mod check;
mod growth;
mod guard;
mod read;
mod run;

use crate::{
    access::Inner,
    evict::Spot,
    moment::Moment,
    refusal::{Failure, Refusal},
    shard::Shard,
};
use kv_core::{Error, Guard, Key, Op, Read, Result, Timestamp, Txn, TxnReply};

impl Inner {
    /// Executes transactions, in order; all of a call agree on the time.
    pub(crate) fn commit(&self, txns: Vec<Txn>) -> Vec<Result<TxnReply>> {
        let now = self.moment();
        let one = |txn| self.commit_one(txn, &now);
        txns.into_iter().map(one).collect()
    }

    fn commit_one(&self, mut txn: Txn, now: &Moment<'_>) -> Result<TxnReply> {
        let time = txn.tells_time().then(|| now.time());
        let index = self.shard_of(keys(&txn));
        let reply = match txn.then.iter().all(|op| matches!(op, Op::Read(_))) {
            true => {
                let done = self.shards[index].read().look(&txn, now);
                done.map_err(Failure::into_error)
            }
            false => {
                let keep = self.spots(touched(&txn));
                self.step(index, &keep, |shard| shard.commit(&mut txn, now))
            }
        };
        let sign = |error: Error| error.with_operation("commit").with_provider("memory");
        Ok(reply.map_err(sign)?.with_now(time))
    }

    /// Changes several keys of one group. A change refused for want of room is made again if room
    /// could be made elsewhere than at these spots.
    pub(crate) fn step<T>(
        &self,
        index: usize,
        keep: &[Spot],
        mut change: impl FnMut(&mut Shard) -> Result<T, Failure>,
    ) -> Result<T> {
        let mut attempt = 0;
        loop {
            let done = self.change(index, &mut change);
            let Err(failure) = done else {
                return done.map_err(Failure::into_error);
            };
            if !self.made_room(&mut attempt, failure.refusal, keep) {
                return Err(failure.into_error());
            }
        }
    }

    /// The shard of the first of these keys, which all share a group. Without any, all do.
    pub(crate) fn shard_of<'k>(&self, mut keys: impl Iterator<Item = &'k Key>) -> usize {
        keys.next().map_or(0, |key| self.locate(key).0)
    }

    /// Where the entries of some keys are. Not looked up where nothing is evicted anyway.
    pub(crate) fn spots<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> Vec<Spot> {
        if self.bound.as_ref().is_none_or(|bound| !bound.evicts()) {
            return Vec::new();
        }
        let spot = |key: &Key| {
            let (index, slot) = self.locate(key);
            (index, slot.hash)
        };
        keys.map(spot).collect()
    }
}

impl Shard {
    fn commit(&mut self, txn: &mut Txn, now: &Moment<'_>) -> Result<TxnReply, Failure> {
        if !self.all_hold(&txn.when, now)? {
            return Ok(TxnReply::refused(self.answers(&txn.otherwise, now)?));
        }
        self.check(&txn.then, now)?;
        let guards = &txn.when;
        let others = || guards.iter().map(Guard::key).cloned().collect();
        let answers = self.apply(&mut txn.then, others, now)?;
        Ok(TxnReply::applied(answers))
    }

    /// A transaction that only reads, for which the lock need not be exclusive.
    fn look(&self, txn: &Txn, now: &Moment<'_>) -> Result<TxnReply, Failure> {
        if !self.all_hold(&txn.when, now)? {
            return Ok(TxnReply::refused(self.answers(&txn.otherwise, now)?));
        }
        let mut answers = Vec::with_capacity(txn.then.len());
        for op in &txn.then {
            if let Op::Read(read) = op {
                answers.push(self.answer(read, now)?);
            }
        }
        Ok(TxnReply::applied(answers))
    }
}

impl Moment<'_> {
    /// The time, for those to whom it is told.
    pub(crate) fn time(&self) -> Timestamp {
        Timestamp::from_micros(self.micros())
    }
}

/// All keys of a transaction.
fn keys(txn: &Txn) -> impl Iterator<Item = &Key> {
    touched(txn).chain(txn.otherwise.iter().filter_map(Read::key))
}

/// The keys that it needs to be done.
fn touched(txn: &Txn) -> impl Iterator<Item = &Key> {
    let guards = txn.when.iter().map(Guard::key);
    guards.chain(txn.then.iter().filter_map(Op::key))
}

/// Names the key at which something was refused.
pub(crate) fn at(key: &Key) -> impl Fn(Refusal) -> Failure {
    let key = key.clone();
    move |refusal| Failure {
        refusal,
        key: Some(key.clone()),
    }
}
