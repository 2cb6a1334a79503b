//! What is done to a lock on the store: transactions and what their answers mean, without any I/O.

pub(crate) mod election;
pub(crate) mod exclusive;
pub(crate) mod fair;
pub(crate) mod fenced;
pub(crate) mod latch;
pub(crate) mod rw;
pub(crate) mod semaphore;

use kv_core::{
    Error, ErrorKind, Key, Lifetime, Mark, Member, Op, RelativeRange, RelativeScore, Result, Score,
    ScoredMember, TimeToLive, Timestamp, Ttl, TxnReply,
};
use std::time::Duration;

/// For how long the last fence of a lock, or of a deleted resource, is remembered.
const REMEMBER: Duration = Duration::from_secs(24 * 3600);

/// As many answers as there were transactions.
fn exactly<const N: usize>(replies: Vec<TxnReply>) -> Result<[TxnReply; N]> {
    replies.try_into().map_err(|replies: Vec<_>| {
        Error::new(
            ErrorKind::Unexpected,
            "the store has not answered every transaction",
        )
        .with_context("answers", replies.len())
    })
}

/// Deadlines that are still to come.
pub(crate) fn live() -> RelativeRange {
    RelativeRange::above(RelativeScore::NOW)
}

/// Deadlines that have passed.
fn lapsed() -> RelativeRange {
    RelativeRange::up_to(RelativeScore::NOW)
}

/// Removes what has lapsed, as many as one step may.
fn purge(key: &Key) -> Op {
    Op::ZRemRange {
        key: key.clone(),
        range: lapsed(),
        limit: 200,
    }
}

/// A member of a set of deadlines, from now on for so long.
fn keep(key: &Key, member: &Mark, lease: Lifetime) -> Op {
    let score = RelativeScore::after(lease.as_duration());
    Op::ZAdd {
        key: key.clone(),
        members: vec![(member_of(member), score)],
        notify_if_first: None,
    }
}

fn remove(key: &Key, member: &Mark) -> Op {
    Op::ZRem {
        key: key.clone(),
        members: vec![member_of(member)],
    }
}

fn member_of(holder: &Mark) -> Member {
    Member::from(holder.as_bytes().to_vec())
}

/// Should it be forgotten, the next one is greater all the same.
fn next_token(key: &Key, lease: Lifetime) -> Result<Op> {
    Ok(Op::NextToken {
        key: key.clone(),
        ttl: Ttl::In(Lifetime::new(REMEMBER + lease.as_duration())?),
    })
}

/// How long until the first of these deadlines has passed.
fn until_first(reply: &TxnReply, deadlines: &[ScoredMember]) -> TimeToLive {
    match (reply.now, deadlines.first().and_then(|it| it.score)) {
        (Some(now), Some(first)) => TimeToLive::In(left(now, first)),
        _ => TimeToLive::Missing,
    }
}

/// Scores that are deadlines are microseconds.
pub(crate) fn left(now: Timestamp, deadline: Score) -> Duration {
    let micros = deadline.get() - Score::from(now).get();
    // Somebody else may have written it.
    let endless = match micros > 0.0 {
        true => Duration::MAX,
        false => Duration::ZERO,
    };
    Duration::try_from_secs_f64(micros / 1e6).unwrap_or(endless)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use crate::{Permits, Read, claim::Claims};
    use kv_core::{Kv, Lifetime, VirtualClock};
    use kv_memory::{MemoryConfig, MemoryStore};
    use std::{sync::Arc, time::Duration};

    /// A renewal that was under way for long: the holder knows of its loss, the store must as well.
    #[tokio::test]
    async fn what_has_lapsed_is_not_renewed() {
        let clock = VirtualClock::default();
        let store = MemoryStore::with_clock(MemoryConfig::default(), Arc::new(clock.clone()));
        let kv = Kv::builder(store).connect().await.unwrap();
        let lease = Lifetime::new(Duration::from_secs(1)).unwrap();
        let permits = Permits { count: 2, size: 3 };
        let claims = [
            Read.claim(&Read.place(b"a").unwrap(), "me".into()),
            permits.claim(&permits.place(b"a").unwrap(), "me".into()),
        ];
        kv.commit_one(super::semaphore::init(&permits.place(b"a").unwrap(), 3))
            .await
            .unwrap();
        for claim in claims {
            kv.commit(claim.acquire(lease).unwrap()).await.unwrap();
            clock.advance(Duration::from_millis(999));
            assert!(kv.commit_one(claim.renew(lease)).await.unwrap().applied);
            clock.advance(Duration::from_secs(1));
            assert!(!kv.commit_one(claim.renew(lease)).await.unwrap().applied);
            assert!(
                !kv.commit_one(claim.number(lease).unwrap())
                    .await
                    .unwrap()
                    .applied
            );
        }
    }
}
