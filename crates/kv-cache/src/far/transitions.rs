//! What is done to an entry on the store: transactions and what their answers mean, without any I/O.
//!
//! A loader holds a lease on the entry, and a fill without its lease is dropped; so an invalidation, which takes
//! the lease away, wins against every load that began before it.

use crate::place::Entry;
use kv_core::{
    Guard, Lifetime, Mark, Notice, Op, Read, Result, TimeToLive, Ttl, Txn, TxnReply, Value,
};
use std::time::Duration;

/// The record of an entry's versions outlives all that is compared with them.
const REMEMBER: Duration = Duration::from_secs(24 * 3600);

/// What the store answers to who would load.
pub(crate) struct Answer {
    /// What is there.
    pub(crate) found: Option<Found>,
    pub(crate) lease: Lease,
}

/// An envelope as it lies there.
pub(crate) struct Found {
    pub(crate) value: Value,
    /// What is left of its life; `None` if it has no end.
    pub(crate) left: Option<Duration>,
    pub(crate) marked: Marked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marked {
    /// As it was filled.
    No,
    /// It has been expired since.
    Expired,
}

/// Who may load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lease {
    /// Whoever asked, from now on or since an earlier sending, with this version.
    Granted(u64),
    /// Somebody else does.
    Other,
    /// Nobody does, and nobody need.
    Free,
}

/// An absent entry is leased to the first who asks. Others get it, or learn that somebody loads it.
pub(crate) fn get_or_lease(entry: &Entry, nonce: &Mark, lease: Lifetime) -> Txn {
    let absent = Guard::absent(&entry.data);
    seen(entry, take_lease(entry, nonce, lease).when(absent))
}

/// For an entry that the reader found stale or soon to be: the lease, and what is there by now.
pub(crate) fn refresh_lease(entry: &Entry, nonce: &Mark, lease: Lifetime) -> Txn {
    let taken = take_lease(entry, nonce, lease)
        .then(get(entry))
        .then(mark_of_expired(entry))
        .then(left(entry));
    seen(entry, taken)
}

/// The answer to either of them.
pub(crate) fn answered(nonce: &Mark, mut reply: TxnReply) -> Result<Answer> {
    if reply.applied {
        let lease = Lease::Granted(reply.token(1)?);
        let found = match reply.answers.len() > 2 {
            true => found(reply.value(2)?, reply.mark(3)?, reply.ttl(4)?),
            false => None,
        };
        return Ok(Answer { found, lease });
    }
    let lease = match reply.mark(1)? {
        Some(own) if own == *nonce => Lease::Granted(reply.token(2)?),
        Some(_) => Lease::Other,
        None => Lease::Free,
    };
    let found = found(reply.value(0)?, reply.mark(3)?, reply.ttl(4)?);
    Ok(Answer { found, lease })
}

/// For who only looks.
pub(crate) fn look(entry: &Entry) -> Txn {
    Txn::new()
        .then(get(entry))
        .then(mark_of_expired(entry))
        .then(left(entry))
}

pub(crate) fn looked(mut reply: TxnReply) -> Result<Option<Found>> {
    Ok(found(reply.value(0)?, reply.mark(1)?, reply.ttl(2)?))
}

/// The message is for those who wait for this entry; it evicts nobody's copy.
pub(crate) fn fill(entry: &Entry, nonce: &Mark, envelope: Value, life: Lifetime) -> Txn {
    Txn::new()
        .when(Guard::value_is(&entry.lease, nonce.clone()))
        .then(Op::Set {
            key: entry.data.clone(),
            content: envelope.into(),
            ttl: Ttl::In(life),
        })
        .then(delete(&entry.lease))
        .then(delete(&entry.expired))
        .then(tell(entry, "filled"))
        .otherwise(Read::GetMark {
            key: entry.lease.clone(),
        })
}

/// The load brought nothing: the next one need not wait.
pub(crate) fn give_up(entry: &Entry, nonce: &Mark) -> Txn {
    Txn::new()
        .when(Guard::value_is(&entry.lease, nonce.clone()))
        .then(delete(&entry.lease))
        .then(tell(entry, "failed"))
}

pub(crate) fn invalidate(entry: &Entry) -> Txn {
    Txn::new()
        .then(delete(&entry.data))
        .then(delete(&entry.lease))
        .then(delete(&entry.expired))
        .then(next_token(entry))
        .then(tell(entry, "removed"))
}

/// From now on stale, though it may still be given out where a loader fails. The mark lasts for so long, which is
/// no less than the entry does.
pub(crate) fn expire(entry: &Entry, life: Lifetime) -> Txn {
    Txn::new()
        .then(Op::Set {
            key: entry.expired.clone(),
            content: Mark::from("1").into(),
            ttl: Ttl::In(life),
        })
        .then(delete(&entry.lease))
        .then(next_token(entry))
        .then(tell(entry, "expired"))
}

/// A write past the loader, or of who has waited for another's load in vain: first of two calls, the second is
/// a [`fill`] with the version that it got.
pub(crate) fn seize(entry: &Entry, nonce: &Mark, lease: Lifetime) -> Txn {
    Txn::new()
        .then(hold_lease(entry, nonce, lease))
        .then(next_token(entry))
}

pub(crate) fn seized(mut reply: TxnReply) -> Result<u64> {
    reply.token(1)
}

fn take_lease(entry: &Entry, nonce: &Mark, lease: Lifetime) -> Txn {
    Txn::new()
        .when(Guard::absent(&entry.lease))
        .then(hold_lease(entry, nonce, lease))
        .then(next_token(entry))
}

/// Held: it ends late where clocks differ, never early.
fn hold_lease(entry: &Entry, nonce: &Mark, lease: Lifetime) -> Op {
    Op::Set {
        key: entry.lease.clone(),
        content: nonce.clone().into(),
        ttl: Ttl::Held(lease),
    }
}

fn seen(entry: &Entry, txn: Txn) -> Txn {
    txn.otherwise(get(entry))
        .otherwise(Read::GetMark {
            key: entry.lease.clone(),
        })
        .otherwise(Read::LastToken {
            key: entry.version.clone(),
        })
        .otherwise(mark_of_expired(entry))
        .otherwise(left(entry))
}

fn found(value: Option<Value>, expired: Option<Mark>, left: TimeToLive) -> Option<Found> {
    let value = value?;
    let left = match left {
        TimeToLive::In(left) => Some(left),
        TimeToLive::NoExpiry => None,
        // It ended between the two.
        TimeToLive::Missing => return None,
    };
    let marked = match expired {
        Some(_) => Marked::Expired,
        None => Marked::No,
    };
    Some(Found {
        value,
        left,
        marked,
    })
}

fn get(entry: &Entry) -> Read {
    Read::Get {
        key: entry.data.clone(),
    }
}

fn mark_of_expired(entry: &Entry) -> Read {
    Read::GetMark {
        key: entry.expired.clone(),
    }
}

fn left(entry: &Entry) -> Read {
    Read::Ttl {
        key: entry.data.clone(),
    }
}

fn delete(key: &kv_core::Key) -> Op {
    Op::Delete { key: key.clone() }
}

fn next_token(entry: &Entry) -> Op {
    Op::NextToken {
        key: entry.version.clone(),
        ttl: Lifetime::new(REMEMBER).map_or(Ttl::Never, Ttl::In),
    }
}

fn tell(entry: &Entry, what: &'static str) -> Op {
    Op::Notify(Notice::new(&entry.told, what))
}
