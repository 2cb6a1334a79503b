//! Out of the queue, for a while: claims and their leases.

use super::{AtEnd, field, zadd};
use crate::{
    Priority,
    queue::{PAUSED, Queue},
};
use kv_core::{
    ClaimOrder, Error, ErrorKind, Fate, Guard, Mark, Member, Moved, Read, RelativeScore, Result,
    Score, Timestamp, Txn, TxnReply, Value, ZMove,
};
use std::time::Duration;

/// In which order the priorities are asked.
pub(crate) type Order = [Priority; 3];

/// What proves that a task is claimed, and by whom: the end of the lease and the number of the claim.
/// The end alone can repeat.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fence {
    pub(crate) member: Member,
    pub(crate) score: Score,
    pub(crate) tally: i64,
    /// Whether an extension may have been made whose answer did not come. Only then another end of the
    /// lease can be ours: an id that is scheduled anew has its claims counted anew.
    pub(crate) is_in_doubt: bool,
}

/// A task that was claimed.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) fence: Fence,
    pub(crate) envelope: Option<Value>,
    pub(crate) record: Option<Value>,
    pub(crate) is_cancelled: bool,
    /// Where it waited; unknown of one whose lease has lapsed.
    pub(crate) from: Option<Priority>,
    /// When it was due, or its lease had lapsed.
    pub(crate) since: Timestamp,
    /// Something about it cannot be read through this worker's layers: perhaps it lacks a key.
    pub(crate) unreadable: Option<Error>,
}

/// Lapsed leases first, then what is due, by priority: up to `limit`, for `lease`.
pub(crate) fn claim(
    queue: &Queue,
    limit: u32,
    lease: Duration,
    priorities: Order,
    order: ClaimOrder,
) -> ZMove {
    let (now, tally) = (RelativeScore::NOW, &queue.tally);
    let step = ZMove::new(limit)
        .when(Guard::field_absent(&queue.control, PAUSED))
        .from_counted(&queue.lease, now, tally);
    let step = priorities.iter().fold(step, |step, &priority| {
        step.from_counted(queue.due(priority), now, tally)
    });
    step.to(&queue.lease, RelativeScore::after(lease))
        .with(&queue.task, Fate::Keep)
        .with(&queue.meta, Fate::Keep)
        .with(&queue.cancel, Fate::Keep)
        .order(order)
}

impl Claimed {
    /// Reads one answer to a claim that asked in this order.
    pub(crate) fn read(moved: Moved, priorities: Order) -> Result<Self> {
        // The first source is that of lapsed leases.
        let from = moved.source.checked_sub(1);
        let from = from.and_then(|it| priorities.get(it).copied());
        let mut unreadable = None;
        let mut bodies = moved
            .bodies
            .into_iter()
            .map(|body| body.unwrap_or_else(|error| unreadable.replace(error).and(None)));
        let (Some(score), Some(tally)) = (moved.after, moved.tally) else {
            return Err(Error::new(
                ErrorKind::Unexpected,
                "the store told neither the end of the lease nor the number of the claim",
            ));
        };
        let (envelope, record) = (bodies.next().flatten(), bodies.next().flatten());
        let is_cancelled = bodies.next().flatten().is_some();
        drop(bodies);
        Ok(Self {
            fence: Fence {
                member: moved.member,
                score,
                tally,
                is_in_doubt: false,
            },
            envelope,
            record,
            is_cancelled,
            from,
            since: Timestamp::from_micros(moved.before.get() as i64),
            unreadable,
        })
    }
}

/// Holds as long as the claim does.
pub(super) fn held(queue: &Queue, fence: &Fence) -> Txn {
    let member = &fence.member;
    Txn::new()
        .when(Guard::score_is(&queue.lease, member, fence.score))
        .when(Guard::field_is(
            &queue.tally,
            field(member),
            number(fence.tally),
        ))
}

/// The same; refused, it reads the end of the lease, the number of the claim, and whether the task is to
/// be cancelled.
pub(super) fn claimed(queue: &Queue, fence: &Fence) -> Txn {
    let reads = look_at(queue, &fence.member).into_iter();
    reads.fold(held(queue, fence), Txn::otherwise)
}

/// Reads the same of a claim whose end was refused, and what the schedule waits for that it came of.
pub(crate) fn look(queue: &Queue, member: &Member, at_end: Option<&AtEnd>) -> Txn {
    let reads = look_at(queue, member).into_iter();
    let waits = at_end.map(|it| it.wait_of(queue));
    reads.chain(waits).fold(Txn::new(), Txn::then)
}

fn look_at(queue: &Queue, member: &Member) -> [Read; 3] {
    [
        Read::ZScore {
            key: queue.lease.clone(),
            member: member.clone(),
        },
        Read::HGetMark {
            key: queue.tally.clone(),
            field: field(member),
        },
        cancel_flag(queue, member),
    ]
}

/// Most claims are the first of their task.
fn number(tally: i64) -> Mark {
    match tally {
        1 => Mark::new("1"),
        _ => tally.to_string().into(),
    }
}

pub(super) fn cancel_flag(queue: &Queue, member: &Member) -> Read {
    Read::HGet {
        key: queue.cancel.clone(),
        field: field(member),
    }
}

/// The lease ends so much later than now.
pub(crate) fn extend(queue: &Queue, fence: &Fence, lease: Duration) -> Txn {
    claimed(queue, fence)
        .then(zadd(
            &queue.lease,
            &fence.member,
            RelativeScore::after(lease),
        ))
        .then(cancel_flag(queue, &fence.member))
}

/// What became of a lease that was to be extended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Extended {
    /// It lasts as long as was asked for, under this fence.
    Held { fence: Fence, is_cancelled: bool },
    /// It is held under this fence, from an earlier extension; nobody here knows how long.
    Echo { fence: Fence, is_cancelled: bool },
    /// It is not ours any more.
    Lost,
}

/// Reads the answer. `lease` is what was asked for.
///
/// A refusal can be the echo of an extension whose answer was lost: if there is one in doubt, and the
/// number of the claim is unchanged, the lease is still ours, and its end is the one that is read. That
/// holds only while the old lease has not ended by the local clock, which the caller sees to.
pub(crate) fn extended(fence: &Fence, lease: Duration, mut reply: TxnReply) -> Result<Extended> {
    if reply.applied {
        let now = reply.now.ok_or_else(no_time)?;
        let fence = Fence {
            score: RelativeScore::after(lease).at(now),
            is_in_doubt: false,
            ..fence.clone()
        };
        let is_cancelled = reply.value(1)?.is_some();
        return Ok(Extended::Held {
            fence,
            is_cancelled,
        });
    }
    let (score, tally) = (reply.score(0)?, reply.mark(1)?);
    let is_same = tally.is_some_and(|it| it == *fence.tally.to_string());
    Ok(match score {
        Some(score) if is_same && fence.is_in_doubt => Extended::Echo {
            fence: Fence {
                score,
                is_in_doubt: false,
                ..fence.clone()
            },
            is_cancelled: reply.value(2)?.is_some(),
        },
        _ => Extended::Lost,
    })
}

fn no_time() -> Error {
    Error::new(ErrorKind::Unexpected, "the store did not tell its time")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::{Claimed, Fence, claim, extend};
    use crate::{
        Priority, QueueName,
        queue::Queue,
        transitions::{Planned, Recorded, Wake, ack, schedule},
    };
    use kv_core::{ClaimOrder, Kv, RelativeScore, Score, Timestamp, VirtualClock};
    use kv_memory::{MemoryConfig, MemoryStore};
    use std::{sync::Arc, time::Duration};

    async fn claim_one(kv: &Kv, queue: &Queue, lease: Duration) -> Fence {
        let step = claim(queue, 1, lease, Priority::ALL, ClaimOrder::Strict);
        let moved = kv.zmove(step).await.unwrap().members.remove(0);
        Claimed::read(moved, Priority::ALL).unwrap().fence
    }

    /// The score alone can repeat, and so can the number of a claim: only both together are a fence.
    #[tokio::test]
    async fn a_fence_is_the_end_of_the_lease_and_the_number_of_the_claim() {
        let second = Duration::from_secs(1);
        let clock = Arc::new(VirtualClock::at(Timestamp::from_micros(1_000_000)));
        let store = MemoryStore::with_clock(MemoryConfig::default(), clock.clone());
        let kv = Kv::builder(store).connect().await.unwrap();
        let name = |name: &str| QueueName::new(name).unwrap();
        let queue = Queue::new(&name("tasks"), name("q")).unwrap();
        let task = Planned {
            member: "a".into(),
            envelope: "body".into(),
            priority: Priority::Normal,
            at: RelativeScore::NOW,
            unique: None,
        };
        let scheduled = kv.commit_one(schedule(&queue, &task, Wake::IfFirst)).await;
        assert!(scheduled.unwrap().applied);
        let first = claim_one(&kv, &queue, second).await;
        clock.advance(second);
        let next = claim_one(&kv, &queue, Duration::ZERO).await;
        assert_eq!((next.score, next.tally), (first.score, 2));
        let other = Fence {
            score: Score::from(7),
            ..next.clone()
        };
        for stale in [&first, &other] {
            let ack = ack(&queue, stale, None, Recorded::Never);
            for txn in [ack, extend(&queue, stale, second)] {
                assert!(!kv.commit_one(txn).await.unwrap().applied, "{stale:?}");
            }
        }
        assert!(
            kv.commit_one(ack(&queue, &next, None, Recorded::Never))
                .await
                .unwrap()
                .applied
        );
    }
}
