//! What people and programs do to tasks from outside.

use super::{
    claim::cancel_flag,
    field,
    finish::{Owned, free},
    hdel, hset, tell, zadd_waking, zrem,
};
use crate::{
    Priority,
    queue::{PAUSED, Queue},
};
use kv_core::{
    Fate, Guard, Mark, Member, Notice, Op, Read, RelativeScore, Result, Score, Txn, TxnReply,
    Value, ZMove,
};

/// Where a task is, and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) place: Place,
    pub(crate) envelope: Option<Value>,
    pub(crate) record: Option<Value>,
    pub(crate) tally: i64,
    pub(crate) result: Option<Value>,
    pub(crate) is_cancelled: bool,
}

/// The set that a task is in, and its score there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Place {
    Due(Priority, Score),
    Lease(Score),
    Done(Score),
    Dead(Score),
}

impl Place {
    pub(crate) fn set(self, queue: &Queue) -> &kv_core::Key {
        match self {
            Self::Due(priority, _) => queue.due(priority),
            Self::Lease(_) => &queue.lease,
            Self::Done(_) => &queue.done,
            Self::Dead(_) => &queue.dead,
        }
    }
}

/// Looks for a task wherever it may be.
pub(crate) fn find(queue: &Queue, member: &Member) -> Txn {
    let hash = |key: &kv_core::Key| Read::HGet {
        key: key.clone(),
        field: field(member),
    };
    let sets = queue
        .due
        .iter()
        .chain([&queue.lease, &queue.done, &queue.dead]);
    let txn = sets.fold(Txn::new(), |txn, key| {
        txn.then(Read::ZScore {
            key: key.clone(),
            member: member.clone(),
        })
    });
    txn.then(hash(&queue.task))
        .then(hash(&queue.meta))
        .then(Read::HGetMark {
            key: queue.tally.clone(),
            field: field(member),
        })
        .then(hash(&queue.result))
        .then(cancel_flag(queue, member))
}

/// Reads the answer; `None` if there is no such task.
pub(crate) fn found(mut reply: TxnReply) -> Result<Option<Found>> {
    let mut place = None;
    for (index, priority) in Priority::ALL.into_iter().enumerate() {
        place = place.or(reply.score(index)?.map(|it| Place::Due(priority, it)));
    }
    place = place.or(reply.score(3)?.map(Place::Lease));
    place = place.or(reply.score(4)?.map(Place::Done));
    place = place.or(reply.score(5)?.map(Place::Dead));
    let Some(place) = place else {
        return Ok(None);
    };
    let tally = reply.mark(8)?;
    let tally = tally.and_then(|it| it.to_str().ok()?.parse().ok());
    Ok(Some(Found {
        place,
        envelope: reply.value(6)?,
        record: reply.value(7)?,
        tally: tally.unwrap_or(0),
        result: reply.value(9)?,
        is_cancelled: reply.value(10)?.is_some(),
    }))
}

/// Takes a task that waits out of the queue, and asks who has claimed it to stop: one of the two.
pub(crate) fn cancel(
    queue: &Queue,
    member: &Member,
    priority: Priority,
    owned: Option<&Owned>,
) -> [Txn; 2] {
    let due = queue.due(priority);
    let waits = Txn::new()
        .when(Guard::member_exists(due, member))
        .then(zrem(due, member))
        .then(hdel(&queue.task, member))
        .then(hdel(&queue.meta, member))
        .then(hdel(&queue.tally, member))
        .then(tell(&queue.ended, member));
    let waits = match owned {
        None => waits,
        Some(owned) => waits.then(free(owned)),
    };
    let runs = Txn::new()
        .when(Guard::member_exists(&queue.lease, member))
        .then(hset(&queue.cancel, member, "1".into()))
        .then(tell(&queue.cancelled, member));
    [waits, runs]
}

/// A task that waits is due at another time.
pub(crate) fn reschedule(
    queue: &Queue,
    member: &Member,
    priority: Priority,
    at: RelativeScore,
) -> Txn {
    let due = queue.due(priority);
    Txn::new()
        .when(Guard::member_exists(due, member))
        .then(zadd_waking(due, member, at, &queue.wake))
}

/// A dead task is due again, as if it were new. The record must be made from this tally.
pub(crate) fn requeue(
    queue: &Queue,
    member: &Member,
    priority: Priority,
    tally: i64,
    record: Value,
) -> Txn {
    let known = (tally > 0).then(|| Mark::from(tally.to_string()));
    let (due, now) = (queue.due(priority), RelativeScore::NOW);
    Txn::new()
        .when(Guard::member_exists(&queue.dead, member))
        .when(Guard::FieldIs {
            key: queue.tally.clone(),
            field: field(member),
            mark: known,
        })
        .then(zrem(&queue.dead, member))
        .then(hset(&queue.meta, member, record))
        .then(zadd_waking(due, member, now, &queue.wake))
}

/// What was kept of ended tasks, up to this end of its time, is let go: at most so many.
pub(crate) fn collect(queue: &Queue, set: &kv_core::Key, upto: RelativeScore, limit: u32) -> ZMove {
    let step = ZMove::new(limit).from(set, upto);
    queue
        .books()
        .into_iter()
        .fold(step, |step, hash| step.with(hash, Fate::Drop))
}

/// How many have to go if there are so many and so many may stay.
pub(crate) fn surplus(count: u64, most: u64) -> u32 {
    u32::try_from(count.saturating_sub(most)).map_or(u32::MAX, |it| it.min(100))
}

/// No task of the queue is claimed any more; those that run go on.
pub(crate) fn pause(queue: &Queue) -> Txn {
    Txn::new().then(Op::HSet {
        key: queue.control.clone(),
        fields: vec![(PAUSED.into(), Mark::from("1").into())],
    })
}

/// Claims go on.
pub(crate) fn resume(queue: &Queue) -> Txn {
    Txn::new()
        .then(Op::HDel {
            key: queue.control.clone(),
            fields: vec![PAUSED.into()],
        })
        .then(Op::Notify(Notice::new(&queue.wake, "")))
        .then(Op::Notify(Notice::new(&queue.recurring.wake, "")))
}
