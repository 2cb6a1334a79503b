//! What the answer of the store means, and what is left to do where a unique key is taken.

use super::{
    Plan,
    send::{Again, Sent, send_one},
};
use crate::{
    Disposition, Handle, Task, TaskId,
    options::Conflict,
    queue::Owner,
    transitions::{self, Place, Refusal, Wake},
};
use kv_core::{Error, ErrorKind, Outcome, Result, TxnReply};

/// How often a unique key may change hands while we look.
const ROUNDS: u32 = 16;

pub(super) async fn settle<T: Task>(plan: Plan<T>, sent: Sent) -> Result<Handle<T>> {
    let end = settle_unnamed(&plan, sent).await;
    let is_new = |it: &Handle<T>| {
        let disposition = it.disposition();
        matches!(disposition, Disposition::Scheduled | Disposition::Replaced)
    };
    if end.as_ref().is_ok_and(is_new) {
        plan.queue.scheduled.count(T::KIND);
    }
    end.map_err(|error| match TaskId::parse_member(&plan.planned.member) {
        Ok((id, _)) => error.with_context("task", id),
        Err(_) => error,
    })
}

async fn settle_unnamed<T: Task>(plan: &Plan<T>, mut sent: Sent) -> Result<Handle<T>> {
    for _ in 0..ROUNDS {
        let Some(reply) = known(plan, sent.reply).await? else {
            return Ok(plan.handle(Disposition::Scheduled));
        };
        if reply.applied {
            return Ok(plan.handle(Disposition::Scheduled));
        }
        let owner = match transitions::refusal(&plan.planned, reply)? {
            Refusal::IsThere if plan.is_generated || sent.is_in_doubt => {
                return Ok(plan.handle(Disposition::Scheduled));
            }
            Refusal::IsThere => return Ok(plan.handle(Disposition::Existing)),
            Refusal::Owned(owner) => owner,
        };
        if let Some(handle) = contend(plan, &owner).await? {
            return Ok(handle);
        }
        let txn = || transitions::schedule(&plan.queue, &plan.planned, Wake::IfFirst);
        let is_in_doubt = sent.is_in_doubt;
        sent = send_one(&plan.scheduler, txn, Again::of(plan)).await;
        sent.is_in_doubt |= is_in_doubt;
    }
    Err(Error::new(
        ErrorKind::Conflict,
        "the unique key changed hands again and again; try later",
    ))
}

/// The answer; `None` if it did not come, and the task is there all the same. If it is not, it may be
/// done and gone, and nobody knows.
async fn known<T>(plan: &Plan<T>, reply: Result<TxnReply>) -> Result<Option<TxnReply>> {
    let error = match reply {
        Ok(reply) => return Ok(Some(reply)),
        Err(error) => error,
    };
    if error.outcome() != Outcome::Unknown || !plan.is_generated {
        return Err(error);
    }
    match plan.scheduler.find(&plan.queue, &plan.planned.member).await {
        Ok(Some(_)) => Ok(None),
        _ => Err(error),
    }
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
    let found = plan.scheduler.find(queue, &owner.member).await?;
    let inherit = |kept| transitions::inherit(queue, planned, unique, owner, kept);
    let scheduled = || plan.handle(Disposition::Scheduled);
    let (txn, handle) = match (found.map(|it| it.place), plan.conflict) {
        // One that could not be read when it ended left its key behind.
        (None, _) => (inherit(None), scheduled()),
        (Some(Place::Done(_)), _) => (inherit(Some(&queue.done)), scheduled()),
        (Some(Place::Dead(_)), _) => (inherit(Some(&queue.dead)), scheduled()),
        // One that runs is neither replaced nor put off.
        (Some(Place::Lease(_)), _) | (Some(Place::Due(..)), None | Some(Conflict::Keep)) => {
            return Ok(Some(theirs(Disposition::Existing)));
        }
        (Some(Place::Due(waits_in, _)), Some(Conflict::Replace)) => (
            transitions::replace(queue, planned, unique, owner, waits_in),
            plan.handle(Disposition::Replaced),
        ),
        (Some(Place::Due(waits_in, _)), Some(Conflict::Extend)) => (
            transitions::extend_unique(queue, planned.at, unique, owner, waits_in),
            theirs(Disposition::Extended),
        ),
    };
    let sent = send_one(&plan.scheduler, || txn.clone(), Again::of(plan)).await;
    let mut reply = sent.reply?;
    if reply.applied {
        return Ok(Some(handle));
    }
    let now = reply.mark(0)?.and_then(|it| Owner::decode(it.as_bytes()));
    Ok(match now {
        // Our own, from a sending whose answer was lost.
        Some(now) if now.member == planned.member => Some(handle),
        // Still theirs, and it waits: what stands in the way is a task with our id.
        Some(now) if now == *owner && plan.conflict == Some(Conflict::Replace) => {
            match reply.answers.len() > 1 && reply.score(1)?.is_some() {
                true => Some(plan.handle(Disposition::Existing)),
                false => None,
            }
        }
        _ => None,
    })
}
