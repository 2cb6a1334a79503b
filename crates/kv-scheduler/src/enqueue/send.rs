//! To the store, and what it answers.

use super::{Enqueue, Plan, heads::Heads};
use crate::{
    Disposition, Handle, Scheduler, Task,
    options::Conflict,
    queue::Owner,
    transitions::{self, Refusal, Wake},
};
use kv_core::{Error, ErrorKind, Outcome, Result, Txn, TxnReply};
use std::time::Duration;

/// So many bytes of envelopes go with one request.
const BATCH_BYTES: usize = 1 << 20;

/// How often a request is sent whose answer does not come.
const SENDINGS: u32 = 4;

/// How often a unique key may change hands while we look.
const ROUNDS: u32 = 16;

/// The pause before the second sending; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn one<T: Task>(plan: Plan<T>) -> Result<Handle<T>> {
    let txns = [transitions::schedule(
        &plan.queue,
        &plan.planned,
        Wake::IfFirst,
    )];
    let (mut replies, sendings) = send(&plan.scheduler, &txns).await;
    let reply = replies.pop().unwrap_or_else(|| Err(no_answer()));
    settle(plan, reply, sendings).await
}

/// Schedules many tasks.
pub(crate) async fn many<T: Task>(
    scheduler: &Scheduler,
    tasks: impl IntoIterator<Item = Enqueue<T>>,
) -> Vec<Result<Handle<T>>> {
    let mut handles = Vec::new();
    let mut plans = tasks.into_iter().map(Enqueue::plan).peekable();
    while plans.peek().is_some() {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < scheduler.store().batch && bytes < BATCH_BYTES {
            let Some(plan) = plans.next() else { break };
            if let Ok(plan) = &plan {
                bytes += plan.planned.envelope.as_bytes().len();
            }
            batch.push(plan);
        }
        handles.append(&mut send_batch(scheduler, batch).await);
    }
    handles
}

async fn send_batch<T: Task>(
    scheduler: &Scheduler,
    batch: Vec<Result<Plan<T>>>,
) -> Vec<Result<Handle<T>>> {
    let good: Vec<_> = batch.iter().filter_map(|it| it.as_ref().ok()).collect();
    let heads = Heads::of(&good);
    let txns: Vec<Txn> = (0..)
        .zip(&good)
        .map(|(index, plan)| transitions::schedule(&plan.queue, &plan.planned, heads.wake(index)))
        .collect();
    let (replies, sendings) = send(scheduler, &txns).await;
    heads.tell_for_the_refused(scheduler, &good, &replies).await;
    drop(good);
    let mut replies = replies.into_iter();
    let mut handles = Vec::with_capacity(batch.len());
    for plan in batch {
        handles.push(match plan {
            Err(error) => Err(error),
            Ok(plan) => {
                let reply = replies.next().unwrap_or_else(|| Err(no_answer()));
                settle(plan, reply, sendings).await
            }
        });
    }
    handles
}

/// Sends what may be sent again, until all is answered or the pauses have been too many. Tells how
/// often it was sent.
async fn send(scheduler: &Scheduler, txns: &[Txn]) -> (Vec<Result<TxnReply>>, u32) {
    let store = scheduler.store();
    let mut answers: Vec<Option<Result<TxnReply>>> = txns.iter().map(|_| None).collect();
    let mut sendings = 0;
    loop {
        let open: Vec<usize> = (0..txns.len())
            .filter(|&it| is_open(&answers[it]))
            .collect();
        if open.is_empty() || sendings == SENDINGS {
            break;
        }
        if sendings > 0 {
            let pause = PAUSE * (1 << (sendings - 1));
            store
                .clock
                .sleep(pause.mul_f64(0.5 + fastrand::f64()))
                .await;
        }
        sendings += 1;
        let again = open.iter().map(|&it| txns[it].clone()).collect();
        match store.commit_all(again).await {
            Ok(replies) => {
                for (index, reply) in open.into_iter().zip(replies) {
                    answers[index] = Some(reply);
                }
            }
            Err(error) => {
                for index in open {
                    answers[index] = Some(Err(error.duplicate()));
                }
            }
        }
    }
    let answers = answers
        .into_iter()
        .map(|it| it.unwrap_or_else(|| Err(no_answer())))
        .collect();
    (answers, sendings)
}

/// Whether sending it once more can help.
fn is_open(answer: &Option<Result<TxnReply>>) -> bool {
    match answer {
        None => true,
        Some(Ok(_)) => false,
        Some(Err(error)) => error.outcome() != Outcome::Final,
    }
}

/// What the answer means, and what is left to do where a unique key is taken.
async fn settle<T: Task>(
    plan: Plan<T>,
    reply: Result<TxnReply>,
    mut sendings: u32,
) -> Result<Handle<T>> {
    let named = |error: Error| {
        let (id, _) = match crate::TaskId::parse_member(&plan.planned.member) {
            Ok(it) => it,
            Err(error) => return error,
        };
        error.with_context("task", id)
    };
    let mut reply = reply.map_err(named)?;
    for _ in 0..ROUNDS {
        if reply.applied {
            return Ok(plan.handle(Disposition::Scheduled));
        }
        let owner = match transitions::refusal(&plan.planned, reply)? {
            Refusal::IsThere if plan.is_generated || sendings > 1 => {
                return Ok(plan.handle(Disposition::Scheduled));
            }
            Refusal::IsThere => return Ok(plan.handle(Disposition::Existing)),
            Refusal::Owned(owner) => owner,
        };
        if let Some(handle) = contend(&plan, &owner).await.map_err(named)? {
            return Ok(handle);
        }
        let txns = [transitions::schedule(
            &plan.queue,
            &plan.planned,
            Wake::IfFirst,
        )];
        let (mut replies, more) = send(&plan.scheduler, &txns).await;
        sendings += more - 1;
        reply = replies
            .pop()
            .unwrap_or_else(|| Err(no_answer()))
            .map_err(named)?;
    }
    Err(named(Error::new(
        ErrorKind::Conflict,
        "the unique key changed hands again and again; try later",
    )))
}

/// What is done about the task that has the unique key; `None` if it has lost it meanwhile.
async fn contend<T: Task>(plan: &Plan<T>, owner: &Owner) -> Result<Option<Handle<T>>> {
    let (queue, planned) = (&plan.queue, &plan.planned);
    let Some(unique) = &planned.unique else {
        return Ok(None);
    };
    let theirs = |disposition| {
        let (scheduler, member) = (plan.scheduler.clone(), owner.member.clone());
        Handle::new(scheduler, queue.clone(), member).with_disposition(disposition)
    };
    let (txn, handle) = match plan.conflict {
        None | Some(Conflict::Keep) => return Ok(Some(theirs(Disposition::Existing))),
        Some(Conflict::Replace) => (
            transitions::replace(queue, planned, unique, owner),
            plan.handle(Disposition::Replaced),
        ),
        Some(Conflict::Extend) => (
            transitions::extend_unique(queue, planned.at, unique, owner),
            theirs(Disposition::Extended),
        ),
    };
    let (mut replies, _) = send(&plan.scheduler, &[txn]).await;
    let mut reply = replies.pop().unwrap_or_else(|| Err(no_answer()))?;
    if reply.applied {
        return Ok(Some(handle));
    }
    let now = reply.mark(0)?.and_then(|it| Owner::decode(it.as_bytes()));
    Ok(match now {
        // Our own, from a sending whose answer was lost.
        Some(now) if now.member == planned.member => Some(handle),
        // It runs: it is neither replaced nor put off.
        Some(now) if now == *owner => Some(theirs(Disposition::Existing)),
        _ => None,
    })
}

fn no_answer() -> Error {
    Error::new(
        ErrorKind::Unexpected,
        "the store answered fewer transactions than it was sent",
    )
}
