//! Transactions.
//!
//! Neighbours of a list go out together, as one transaction of the store: each is planned on what
//! those before it leave behind, and all are done or none is. What cannot be joined, say a range that
//! an earlier one changes, begins the next. So a list costs a round trip for what it reads and one
//! for what it writes, for some dozens of transactions at a time.

mod check;
mod guard;
mod op;
mod read;

pub(crate) use self::guard::element;

use self::op::Pending;
use crate::{
    error::{Answer, Failure},
    optimistic::{Done, Interrupt, Optimist, Planned, View},
};
use kv_core::{Error, ErrorKind, Key, Op, OpReply, Result, Timestamp, Txn, TxnReply};

/// How many conditions a transaction of several may come to before no more join it.
const ROOM: usize = 120;
/// How many bytes.
const BYTES: usize = 1_000_000;

/// Executes transactions in order. What follows one of unknown outcome is not sent.
pub(crate) async fn commit(store: &Optimist, txns: Vec<Txn>) -> Vec<Result<TxnReply>> {
    let mut answers = Vec::with_capacity(txns.len());
    let mut rest = &txns[..];
    let mut most = usize::MAX;
    while let Some(first) = rest.first() {
        let group = keys(first).next().map_or(&b""[..], Key::group);
        let ran = store.run(group, |view| view.plan_list(rest, most)).await;
        match ran {
            Ok((planned, done)) => {
                let (now, behind) = rest.split_at(planned.len());
                for (planned, txn) in planned.into_iter().zip(now) {
                    let reply = planned.and_then(|planned| planned.resolve(&done, txn));
                    answers.push(reply.map_err(|refusal| refusal.of(txn)));
                }
                (rest, most) = (behind, usize::MAX);
            }
            // One alone may be small enough, and knows whose fault it is.
            Err(failure) if failure.kind() == ErrorKind::TooLarge && most > 1 && rest.len() > 1 => {
                most = 1;
            }
            Err(failure) if failure.kind() == ErrorKind::TooLarge => {
                answers.push(Err(about(failure, first)));
                (rest, most) = (&rest[1..], usize::MAX);
            }
            Err(failure) => {
                let unsent = failure.of_the_rest();
                let sent = rest.len().min(most);
                let failed = rest.iter().enumerate().map(|(at, txn)| match at < sent {
                    true => Err(about(failure.clone(), txn)),
                    false => Err(about(unsent.clone(), txn)),
                });
                answers.extend(failed);
                return answers;
            }
        }
    }
    answers
}

/// Why a transaction is refused: what is wrong, and with which key if it is with one.
#[derive(Debug)]
pub(crate) struct Refusal {
    failure: Failure,
    key: Option<Key>,
}

/// A transaction that was planned.
#[derive(Debug)]
struct PlannedTxn {
    applied: bool,
    answers: Vec<Pending>,
    now: Option<Timestamp>,
}

impl View<'_> {
    /// Plans as many transactions of a list as can go out together, at least one.
    fn plan_list(
        &mut self,
        txns: &[Txn],
        most: usize,
    ) -> Planned<Vec<std::result::Result<PlannedTxn, Refusal>>> {
        let mut planned = Vec::new();
        let mut unread = false;
        for txn in txns.iter().take(most) {
            let mark = self.mark();
            let mut step = self.plan_txn(txn);
            if planned.is_empty() && !unread && matches!(step, Err((Interrupt::Separate, _))) {
                // It writes a key on both sides of a look at it, which etcd cannot.
                self.restore(&mark);
                self.reads_by_facts = true;
                step = self.plan_txn(txn);
                self.reads_by_facts = false;
            }
            match step {
                Err((Interrupt::Failed(failure), key)) => {
                    self.restore(&mark);
                    planned.push(Err(Refusal { failure, key }));
                }
                // What the others need is read along with it.
                Err((Interrupt::Unread, _)) => {
                    self.restore(&mark);
                    unread = true;
                }
                Err((Interrupt::Separate, _)) if !planned.is_empty() || unread => {
                    self.restore(&mark);
                    break;
                }
                Err((interrupt, _)) => return Err(interrupt),
                Ok(txn) => {
                    let (conditions, bytes) = (self.conditions(), self.bytes());
                    let full = conditions > ROOM || bytes > BYTES || !self.has_shape();
                    if full && !planned.is_empty() {
                        self.restore(&mark);
                        break;
                    }
                    planned.push(Ok(txn));
                }
            }
            if self.wanted() > ROOM {
                break;
            }
        }
        match unread {
            true => Err(Interrupt::Unread),
            false => Ok(planned),
        }
    }

    fn plan_txn(&mut self, txn: &Txn) -> std::result::Result<PlannedTxn, (Interrupt, Option<Key>)> {
        self.expect_txn(txn);
        let mut applied = true;
        for guard in &txn.when {
            let holds = self.holds(guard);
            if !holds.map_err(|it| (it, Some(guard.key().clone())))? {
                applied = false;
                break;
            }
        }
        let mut answers = Vec::new();
        if applied {
            // Judged by what is there before any is done; the first that cannot be is the error.
            for (step, op) in txn.then.iter().enumerate() {
                let can = self.check(op, &txn.then[..step]);
                can.map_err(|it| (it, op.key().cloned()))?;
            }
            for op in &txn.then {
                let answer = self.execute(op);
                answers.push(answer.map_err(|it| (it, op.key().cloned()))?);
            }
        } else {
            for read in &txn.otherwise {
                let answer = self.answer_now(read);
                answers.push(answer.map_err(|it| (it, read.key().cloned()))?);
            }
        }
        let now = txn.tells_time().then_some(self.now);
        Ok(PlannedTxn {
            applied,
            answers,
            now,
        })
    }

    /// Has all that a transaction is bound to look at read in one go; what this process knows of is
    /// taken for granted.
    fn expect_txn(&mut self, txn: &Txn) {
        let layout = self.layout.clone();
        for key in keys(txn)
            .filter(|key| !self.has_recalled(key))
            .collect::<Vec<_>>()
        {
            self.recall_string(key);
            self.recall_structure(key);
        }
        for key in txn.when.iter().filter_map(guard::wants_nothing) {
            self.guess_nothing(key);
        }
        let guards = txn.when.iter().filter_map(|it| element(&layout, it));
        let ops = txn.then.iter().flat_map(|it| op::elements(&layout, it));
        let elements: Vec<_> = guards.chain(ops).collect();
        self.recall_elements(&elements);
        for raw in txn.then.iter().flat_map(|it| op::added(&layout, it)) {
            self.guess(raw, None);
        }
        let keys: Vec<_> = looked_at(txn)
            .flat_map(|key| [layout.string(key.as_bytes()), layout.record(key.as_bytes())])
            .collect();
        self.expect(keys);
        self.expect(elements);
    }
}

impl PlannedTxn {
    fn resolve(self, done: &Done, txn: &Txn) -> std::result::Result<TxnReply, Refusal> {
        let _ = txn;
        let resolve = |pending: Pending| pending.resolve(done);
        let answers: Answer<Vec<OpReply>> = self.answers.into_iter().map(resolve).collect();
        let answers = answers.map_err(|failure| Refusal { failure, key: None })?;
        let reply = match self.applied {
            true => TxnReply::applied(answers),
            false => TxnReply::refused(answers),
        };
        Ok(reply.with_now(self.now))
    }
}

impl Refusal {
    fn of(self, txn: &Txn) -> Error {
        match self.key {
            Some(key) => self.failure.about(&key),
            None => about(self.failure, txn),
        }
    }
}

/// A failure about a transaction: it names the first of its keys.
fn about(failure: Failure, txn: &Txn) -> Error {
    match keys(txn).next() {
        Some(key) => failure.about(key),
        None => failure.into(),
    }
}

/// The keys at which a transaction looks before it is judged.
fn looked_at(txn: &Txn) -> impl Iterator<Item = &Key> {
    let guards = txn.when.iter().map(kv_core::Guard::key);
    let ops = txn.then.iter().filter(|op| !op::is_blind(op));
    guards.chain(ops.filter_map(Op::key))
}

fn keys(txn: &Txn) -> impl Iterator<Item = &Key> {
    let guards = txn.when.iter().map(kv_core::Guard::key);
    let ops = txn.then.iter().filter_map(Op::key);
    let reads = txn.otherwise.iter().filter_map(kv_core::Read::key);
    guards.chain(ops).chain(reads)
}
