//! Into the queue.

use super::{field, hdel, hset, tell, zadd, zadd_waking, zrem};
use crate::{
    Priority,
    queue::{Owner, Queue},
};
use kv_core::{
    Guard, Key, Mark, Member, Op, Read, RelativeScore, Result, Ttl, Txn, TxnReply, Value,
};

/// A task that is to be.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) member: Member,
    pub(crate) envelope: Value,
    pub(crate) priority: Priority,
    pub(crate) at: RelativeScore,
    pub(crate) unique: Option<Key>,
}

impl Planned {
    fn owner(&self) -> Mark {
        let owner = Owner {
            priority: self.priority,
            member: self.member.clone(),
        };
        owner.encode().into()
    }
}

/// Whether dispatchers are told if the queue has to wake earlier than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    IfFirst,
    /// Another task of the same call tells them. A store that makes several requests of a call can
    /// send more together if fewer ask for the head of the queue.
    Untold,
}

/// The task is due at its time, unless its id or its unique key is there already. May be sent again.
pub(crate) fn schedule(queue: &Queue, task: &Planned, wake: Wake) -> Txn {
    let txn = Txn::new().when(Guard::field_absent(&queue.task, field(&task.member)));
    match &task.unique {
        None => enter(queue, task, txn, wake),
        Some(unique) => {
            let txn = txn.when(Guard::absent(unique));
            own(task, unique, enter(queue, task, txn, wake))
        }
    }
}

/// The owner of the unique key gives way, if it waits where it was seen. Refused, it reads who has the
/// key, and whether the owner that was named waits.
pub(crate) fn replace(
    queue: &Queue,
    task: &Planned,
    unique: &Key,
    owner: &Owner,
    waits_in: Priority,
) -> Txn {
    let due = queue.due(waits_in);
    let txn = Txn::new()
        .when(Guard::field_absent(&queue.task, field(&task.member)))
        .when(Guard::value_is(unique, owner.encode()))
        .when(Guard::member_exists(due, &owner.member))
        .then(zrem(due, &owner.member))
        .then(hdel(&queue.task, &owner.member))
        .then(hdel(&queue.meta, &owner.member))
        .then(hdel(&queue.tally, &owner.member))
        .then(tell(&queue.ended, &owner.member));
    own(task, unique, enter(queue, task, txn, Wake::IfFirst)).otherwise(Read::ZScore {
        key: due.clone(),
        member: owner.member.clone(),
    })
}

/// The owner of the unique key is over or gone, and did not free it: what was stored of it could not
/// be read. `kept` is the set that it is still kept in.
pub(crate) fn inherit(
    queue: &Queue,
    task: &Planned,
    unique: &Key,
    owner: &Owner,
    kept: Option<&Key>,
) -> Txn {
    let is_over = match kept {
        Some(set) => Guard::member_exists(set, &owner.member),
        None => Guard::field_absent(&queue.task, field(&owner.member)),
    };
    let txn = Txn::new()
        .when(Guard::field_absent(&queue.task, field(&task.member)))
        .when(Guard::value_is(unique, owner.encode()))
        .when(is_over);
    own(task, unique, enter(queue, task, txn, Wake::IfFirst))
}

/// The owner of the unique key starts when the new one would have, if it waits.
pub(crate) fn extend_unique(
    queue: &Queue,
    at: RelativeScore,
    unique: &Key,
    owner: &Owner,
    waits_in: Priority,
) -> Txn {
    let due = queue.due(waits_in);
    Txn::new()
        .when(Guard::value_is(unique, owner.encode()))
        .when(Guard::member_exists(due, &owner.member))
        .then(zadd_waking(due, &owner.member, at, &queue.wake))
        .otherwise(Read::GetMark {
            key: unique.clone(),
        })
}

/// Why a task did not get into the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A task with its id is there: perhaps itself, from an earlier sending.
    IsThere,
    /// Another has its unique key.
    Owned(Owner),
}

/// Reads the answer to a task that was refused.
pub(crate) fn refusal(task: &Planned, mut reply: TxnReply) -> Result<Refusal> {
    if task.unique.is_none() {
        return Ok(Refusal::IsThere);
    }
    let owner = reply.mark(0)?.and_then(|it| Owner::decode(it.as_bytes()));
    Ok(match owner {
        Some(owner) if owner.member != task.member => Refusal::Owned(owner),
        _ => Refusal::IsThere,
    })
}

pub(super) fn enter(queue: &Queue, task: &Planned, txn: Txn, wake: Wake) -> Txn {
    let due = queue.due(task.priority);
    let add = match wake {
        Wake::IfFirst => zadd_waking(due, &task.member, task.at, &queue.wake),
        Wake::Untold => zadd(due, &task.member, task.at),
    };
    txn.then(hset(&queue.task, &task.member, task.envelope.clone()))
        .then(add)
}

fn own(task: &Planned, unique: &Key, txn: Txn) -> Txn {
    txn.then(Op::Set {
        key: unique.clone(),
        content: task.owner().into(),
        ttl: Ttl::Never,
    })
    .otherwise(Read::GetMark {
        key: unique.clone(),
    })
}
