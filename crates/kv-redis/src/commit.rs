//! Transactions: one script for each shape, many of a shape in one call.
//!
//! The transactions of a list are sent in order. Neighbours of one shape and one group are one call
//! of their script; the calls of a list go out together, and the server executes them in order. A
//! script that the server has forgotten must not let later calls overtake, so a call goes by hash
//! only where nothing can: see [`Step::send`].

mod cache;
mod decode;
mod encode;
mod library;
mod lua;
mod parts;
mod run;
mod shape;
mod steps;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    cache::Scripts,
    decode::{failed, time},
    encode::{Arg, Encoder, relative_score},
    library::complete,
    lua::generate,
    parts::{Args, Known, guards},
    run::call,
    shape::Shape,
};

use self::run::Run;
use crate::{
    encode::By,
    error::{Answer, Failure},
    link::Link,
};
use kv_core::{Error, Result, Txn, TxnReply};
use redis::{Pipeline, Value};
use std::{collections::HashSet, mem};

/// How many bytes are sent at a time at most; one transaction may be longer.
const BYTES: usize = 1 << 20;
/// How many calls are sent at a time at most.
const CALLS: usize = 500;

/// Executes transactions in order. What follows a step of which nobody knows, or that could not be
/// sent, is not sent; what the server refused holds nothing up.
pub(crate) async fn commit(
    link: &Link,
    scripts: &Scripts,
    txns: Vec<Txn>,
) -> Vec<Result<TxnReply>> {
    let mut answers = Vec::with_capacity(txns.len());
    let mut rest = &txns[..];
    while !rest.is_empty() {
        let step = Step::encode(scripts, rest);
        let (now, behind) = rest.split_at(step.length);
        let failure = step.execute(link, now, &mut answers).await;
        rest = behind;
        if let Some(failure) = failure {
            let unsent = rest
                .iter()
                .map(|txn| Err(about(failure.of_the_rest(), txn)));
            answers.extend(unsent);
            break;
        }
    }
    answers
}

/// Calls that are sent together.
struct Step<'a> {
    runs: Vec<Run<'a>>,
    /// How many transactions it is about, those that are refused included.
    length: usize,
    /// What is wrong with a transaction, for those that are not sent.
    refused: Vec<(usize, Failure)>,
}

impl<'a> Step<'a> {
    /// Makes a step of the first transactions.
    fn encode(scripts: &Scripts, txns: &'a [Txn]) -> Self {
        let mut step = Self {
            runs: Vec::new(),
            length: 0,
            refused: Vec::new(),
        };
        let (mut bytes, mut open) = (0, false);
        let mut encoder = Encoder::default();
        for (at, txn) in txns.iter().enumerate() {
            if let Err(failure) = encoder.txn(txn) {
                step.refused.push((at, failure));
                step.length += 1;
                open = false;
                continue;
            }
            let more = encoder.size();
            if !step.runs.is_empty() && (bytes + more > BYTES || step.runs.len() >= CALLS) {
                break;
            }
            bytes += more;
            let last = step.runs.last_mut().filter(|_| open);
            if !last.is_some_and(|run| run.join(&mut encoder, more)) {
                step.runs.push(Run::new(scripts, &mut encoder, more));
                open = true;
            }
            step.length += 1;
        }
        step
    }

    /// Sends it and answers each transaction; returns why nobody knows what happened, if so.
    async fn execute(
        self,
        link: &Link,
        txns: &[Txn],
        answers: &mut Vec<Result<TxnReply>>,
    ) -> Option<Failure> {
        let (replies, failure) = match self.send(link).await {
            Ok(sent) => sent,
            Err(failure) => (vec![Err(failure.clone()); self.runs.len()], Some(failure)),
        };
        let mut refused = self.refused.into_iter().peekable();
        let mut at = 0;
        for (run, reply) in self.runs.into_iter().zip(replies) {
            while let Some((_, failure)) = refused.next_if(|(refused, _)| *refused == at) {
                answers.push(Err(about(failure, &txns[at])));
                at += 1;
            }
            let behind = at + run.length();
            run.answer(reply, &txns[at..behind], answers);
            at = behind;
        }
        answers.extend(refused.map(|(at, failure)| Err(about(failure, &txns[at]))));
        failure
    }

    /// Sends the calls and answers each, errors included; also why nothing more should be sent.
    ///
    /// A call of a script that the server does not know does nothing, while those behind it are
    /// executed. So a script is made known by its text, unless it was so in an earlier call of this
    /// step, or nothing of its group and no message follows and it can be sent once more. Should the
    /// server forget it between two calls all the same, those transactions fail and others are done;
    /// none is done out of order, and none twice. What different servers of a cluster send has no
    /// order.
    async fn send(&self, link: &Link) -> Answer<(Vec<Answer<Value>>, Option<Failure>)> {
        match &*self.runs {
            [] => return Ok((Vec::new(), None)),
            [run] => {
                return match link.script(|by| Ok(run.call(by))).await {
                    Err(failure) if !failure.is_answer() => Err(failure),
                    answer => Ok((vec![answer], None)),
                };
            }
            _ => {}
        }
        let mut groups = HashSet::new();
        let mut told = false;
        let runs = self.runs.iter().rev();
        let last = runs.map(|run| {
            // Groups share their channels.
            let more_to_tell = run.tells() && mem::replace(&mut told, true);
            groups.insert(run.group()) && !more_to_tell
        });
        let mut last: Vec<bool> = last.collect();
        last.reverse();
        let mut known = HashSet::new();
        let mut pipeline = Pipeline::with_capacity(self.runs.len());
        for (run, last) in self.runs.iter().zip(&last) {
            let by = match known.contains(run.hash()) || *last {
                true => By::Hash,
                false => By::Text,
            };
            if let By::Text = by {
                known.insert(run.hash());
            }
            pipeline.add_command(run.call(by));
        }
        let (mut replies, failure) = answers(link, &pipeline).await;
        if failure.is_some() {
            return Ok((replies, failure));
        }
        let forgotten = |at: &usize| {
            let failure = replies[*at].as_ref().err();
            last[*at] && failure.is_some_and(Failure::is_unknown_script)
        };
        let again: Vec<usize> = (0..replies.len()).filter(forgotten).collect();
        let failure = match again.is_empty() {
            true => None,
            false => self.send_again(link, &again, &mut replies).await,
        };
        Ok((replies, failure))
    }

    /// Sends once more the calls whose scripts the server did not know.
    async fn send_again(
        &self,
        link: &Link,
        again: &[usize],
        replies: &mut [Answer<Value>],
    ) -> Option<Failure> {
        let mut known = HashSet::new();
        let mut pipeline = Pipeline::with_capacity(again.len());
        for run in again.iter().map(|&at| &self.runs[at]) {
            pipeline.add_command(run.call(match known.insert(run.hash()) {
                true => By::Text,
                false => By::Hash,
            }));
        }
        let (answers, failure) = answers(link, &pipeline).await;
        for (&at, answer) in again.iter().zip(answers) {
            replies[at] = answer;
        }
        failure
    }
}

/// Answers each call, errors included; also why one was not executed or nobody knows, if so.
async fn answers(link: &Link, calls: &Pipeline) -> (Vec<Answer<Value>>, Option<Failure>) {
    let sent = link.each(calls).await;
    let failure = sent.iter().find_map(|it| it.as_ref().err()).cloned();
    let answers = sent.into_iter();
    let answers = answers.map(|it| it.and_then(crate::decode::single));
    (answers.collect(), failure)
}

/// A failure about a transaction: it names the first of its keys.
fn about(failure: Failure, txn: &Txn) -> Error {
    let guards = txn.when.iter().map(kv_core::Guard::key);
    let ops = txn.then.iter().filter_map(kv_core::Op::key);
    let reads = txn.otherwise.iter().filter_map(kv_core::Read::key);
    match guards.chain(ops).chain(reads).next() {
        Some(key) => failure.about(key),
        None => failure.into(),
    }
}
