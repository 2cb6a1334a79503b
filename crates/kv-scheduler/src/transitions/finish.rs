//! How a claim ends. Each is refused if the claim does not hold any more, and may be sent again. What is
//! in the way is looked for then, and not read by each: hardly any is refused.

use super::{
    claim::{Fence, claimed, held},
    field, hdel, hset, tell, zadd, zadd_waking, zrem,
};
use crate::{
    Priority,
    queue::{Owner, Queue},
};
use kv_core::{Guard, Key, Mark, Op, Read, RelativeScore, Result, Txn, TxnReply, Value};
use std::time::Duration;

/// Whether a task has a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// None was there when it was claimed, and its claim has written none.
    Never,
    Perhaps,
}

/// The task is over, and nothing is kept of it.
pub(crate) fn ack(queue: &Queue, fence: &Fence, owned: Option<&Owned>, recorded: Recorded) -> Txn {
    let txn = leave(queue, fence, owned)
        .then(hdel(&queue.task, &fence.member))
        .then(hdel(&queue.tally, &fence.member));
    match recorded {
        Recorded::Never => txn,
        Recorded::Perhaps => txn.then(hdel(&queue.meta, &fence.member)),
    }
}

/// The task is over because it was cancelled; who waits for it is told.
pub(crate) fn ack_cancelled(
    queue: &Queue,
    fence: &Fence,
    owned: Option<&Owned>,
    recorded: Recorded,
) -> Txn {
    ack(queue, fence, owned, recorded).then(tell(&queue.ended, &fence.member))
}

/// The task is over; it and its result are kept for a while. The last answer is how many are.
pub(crate) fn ack_keeping(
    queue: &Queue,
    fence: &Fence,
    owned: Option<&Owned>,
    result: Value,
    keep: Duration,
) -> Txn {
    leave(queue, fence, owned)
        .then(zadd(&queue.done, &fence.member, RelativeScore::after(keep)))
        .then(hset(&queue.result, &fence.member, result))
        .then(tell(&queue.ended, &fence.member))
        .then(count(&queue.done))
}

/// The task is due again, unless it is to be cancelled.
pub(crate) fn again(
    queue: &Queue,
    fence: &Fence,
    priority: Priority,
    at: RelativeScore,
    record: Value,
) -> Txn {
    let member = &fence.member;
    held(queue, fence)
        .when(Guard::field_absent(&queue.cancel, field(member)))
        .then(zrem(&queue.lease, member))
        .then(zadd_waking(queue.due(priority), member, at, &queue.wake))
        .then(hset(&queue.meta, member, record))
}

/// The task failed for good; it is kept for a while, and so is why. The last answer is how many are.
pub(crate) fn bury(
    queue: &Queue,
    fence: &Fence,
    owned: Option<&Owned>,
    record: Value,
    keep: Duration,
) -> Txn {
    leave(queue, fence, owned)
        .then(zadd(&queue.dead, &fence.member, RelativeScore::after(keep)))
        .then(hset(&queue.meta, &fence.member, record))
        .then(tell(&queue.ended, &fence.member))
        .then(count(&queue.dead))
}

/// What is known of the attempts is written while the claim goes on.
pub(crate) fn note(queue: &Queue, fence: &Fence, record: Value) -> Txn {
    claimed(queue, fence).then(hset(&queue.meta, &fence.member, record))
}

/// A unique key, and who has it.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) key: Key,
    pub(crate) owner: Owner,
}

/// What became of the end of a claim.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Finished {
    /// It was written.
    Written,
    /// The task is in nobody's hands: an earlier sending was written, or it was taken back.
    Over,
    /// The claim holds; only the cancellation stands in the way of another attempt.
    Cancelled,
    /// The claim holds; the schedule that the task came of waits for something else than was known.
    Waits(Option<Mark>),
    /// The claim holds with another end of its lease, which this is.
    Renewed(kv_core::Score),
    /// Somebody else has claimed the task.
    Lost,
}

/// Reads the answer to a [`note`].
pub(crate) fn noted(fence: &Fence, reply: TxnReply) -> Result<Finished> {
    match reply.applied {
        true => Ok(Finished::Written),
        false => in_the_way(fence, reply),
    }
}

/// Reads the answer to a [`look`](super::look) that follows a refusal.
pub(crate) fn in_the_way(fence: &Fence, mut reply: TxnReply) -> Result<Finished> {
    let (score, tally) = (reply.score(0)?, reply.mark(1)?);
    let Some(score) = score else {
        return Ok(Finished::Over);
    };
    if tally.is_none_or(|it| it != *fence.tally.to_string()) {
        return Ok(Finished::Lost);
    }
    if score != fence.score {
        return Ok(match fence.is_in_doubt {
            true => Finished::Renewed(score),
            false => Finished::Lost,
        });
    }
    // An end with this answer has no other condition.
    if reply.answers.len() > 3 {
        return Ok(Finished::Waits(reply.mark(3)?));
    }
    Ok(match reply.value(2)? {
        Some(_) => Finished::Cancelled,
        None => Finished::Lost,
    })
}

fn leave(queue: &Queue, fence: &Fence, owned: Option<&Owned>) -> Txn {
    let txn = held(queue, fence)
        .then(zrem(&queue.lease, &fence.member))
        .then(hdel(&queue.cancel, &fence.member));
    match owned {
        None => txn,
        Some(owned) => txn.then(free(owned)),
    }
}

/// Frees a unique key, if it is this task's.
pub(super) fn free(owned: &Owned) -> Op {
    Op::DeleteIf {
        key: owned.key.clone(),
        mark: Mark::from(owned.owner.encode()),
    }
}

/// How many members a set has.
fn count(key: &Key) -> Read {
    Read::ZCount {
        key: key.clone(),
        range: kv_core::RelativeRange::ALL,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::{Fence, Finished, noted};
    use crate::transitions::{Extended, extended};
    use kv_core::{OpReply, Score, TxnReply, Value};
    use std::time::Duration;

    fn fence(is_in_doubt: bool) -> Fence {
        Fence {
            member: "a".into(),
            score: Score::from(10),
            tally: 1,
            is_in_doubt,
        }
    }

    /// What is read when a claim is refused.
    fn refused(score: Option<i32>, tally: Option<&str>, cancel: Option<&str>) -> TxnReply {
        TxnReply::refused(vec![
            OpReply::Score(score.map(Score::from)),
            OpReply::Mark(tally.map(Into::into)),
            OpReply::Value(cancel.map(Value::from)),
        ])
    }

    #[test]
    fn another_end_of_the_lease_is_ours_only_if_an_extension_is_in_doubt() {
        let other = || refused(Some(20), Some("1"), None);
        assert_eq!(noted(&fence(false), other()).unwrap(), Finished::Lost);
        let ours = Finished::Renewed(Score::from(20));
        assert_eq!(noted(&fence(true), other()).unwrap(), ours);
        let lease = Duration::from_secs(1);
        assert_eq!(
            extended(&fence(false), lease, other()).unwrap(),
            Extended::Lost
        );
        let Extended::Echo { fence: held, .. } = extended(&fence(true), lease, other()).unwrap()
        else {
            panic!("the echo of our own extension");
        };
        assert_eq!((held.score, held.is_in_doubt), (Score::from(20), false));
    }

    #[test]
    fn a_refusal_tells_who_has_the_task() {
        for (score, tally, cancel, expected) in [
            (None, None, None, Finished::Over),
            (None, Some("1"), None, Finished::Over),
            (Some(20), Some("2"), None, Finished::Lost),
            (Some(10), Some("2"), None, Finished::Lost),
            (Some(10), Some("1"), Some("1"), Finished::Cancelled),
        ] {
            let found = noted(&fence(true), refused(score, tally, cancel)).unwrap();
            assert_eq!(found, expected, "{score:?} {tally:?} {cancel:?}");
        }
    }
}
