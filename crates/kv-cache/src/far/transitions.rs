//! What is done to an entry on the store: transactions and what their answers mean, without any I/O.
//!
//! A loader holds a lease on the entry, and a fill without its lease is dropped; so an invalidation, which takes
//! the lease away, wins against every load that began before it.

use crate::place::Entry;
use kv_core::{
    Error, ErrorKind, Guard, Key, Lifetime, Mark, Notice, Op, Read, Result, Timestamp, Ttl, Txn,
    TxnReply, Value,
};
use std::time::Duration;

/// The record of an entry's versions outlives all that is compared with them.
const REMEMBER: Duration = Duration::from_secs(24 * 3600);

/// What the store answers to who would load.
pub(crate) struct Answer {
    /// What is there.
    pub(crate) found: Option<Found>,
    pub(crate) lease: Lease,
    /// The store's time then.
    pub(crate) now: Timestamp,
}

/// An envelope as it lies there.
pub(crate) struct Found {
    pub(crate) value: Value,
    /// The store's time when it was read, or when it was asked for.
    pub(crate) now: Timestamp,
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
    /// Whoever asked, from now on or since an earlier sending.
    Granted(Issue),
    /// Somebody else does.
    Other,
    /// Nobody does, and nobody need.
    Free,
}

/// What comes with a lease, and goes into the envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Issue {
    pub(crate) version: u64,
    /// The store's time: what is loaded by it is not older.
    pub(crate) at: Timestamp,
}

/// An absent entry is leased to the first who asks. Others get it, or learn that somebody loads it.
pub(crate) fn get_or_lease(entry: &Entry, nonce: &Mark, lease: Lifetime) -> Txn {
    let absent = Guard::absent(entry.data());
    seen(entry, take_lease(entry, nonce, lease).when(absent))
}

/// For an entry that the reader found stale or soon to be: the lease, and what is there by now.
pub(crate) fn refresh_lease(entry: &Entry, nonce: &Mark, lease: Lifetime) -> Txn {
    let taken = take_lease(entry, nonce, lease)
        .then(get(entry))
        .then(mark_of_expired(entry));
    seen(entry, taken)
}

/// For an entry that a layer cannot read: the lease, or who has it, and nothing of what is there.
pub(crate) fn lease_unread(entry: &Entry, nonce: &Mark, lease: Lifetime) -> Txn {
    take_lease(entry, nonce, lease)
        .otherwise(Read::GetMark { key: entry.lease() })
        .otherwise(Read::LastToken {
            key: entry.version(),
        })
        .otherwise(Read::Now)
}

/// The answer to it.
pub(crate) fn answered_unread(nonce: &Mark, mut reply: TxnReply) -> Result<Answer> {
    let now = time(&reply)?;
    let is_ours = reply.applied || reply.mark(0)?.as_ref() == Some(nonce);
    let lease = match is_ours {
        true => Lease::Granted(Issue {
            version: reply.token(1)?,
            at: now,
        }),
        false => Lease::Other,
    };
    let found = None;
    Ok(Answer { found, lease, now })
}

/// The answer to either of the first two.
pub(crate) fn answered(nonce: &Mark, mut reply: TxnReply) -> Result<Answer> {
    let now = time(&reply)?;
    if reply.applied {
        let lease = Lease::Granted(Issue {
            version: reply.token(1)?,
            at: now,
        });
        let found = match reply.answers.len() > 3 {
            true => found(reply.value(3)?, reply.value(4)?, now),
            false => None,
        };
        return Ok(Answer { found, lease, now });
    }
    let lease = match reply.mark(1)? {
        Some(own) if own == *nonce => Lease::Granted(Issue {
            version: reply.token(2)?,
            at: now,
        }),
        Some(_) => Lease::Other,
        None => Lease::Free,
    };
    let found = found(reply.value(0)?, reply.value(3)?, now);
    Ok(Answer { found, lease, now })
}

/// For who only looks, and asks what time it is.
pub(crate) fn look(entry: &Entry) -> Txn {
    Txn::new()
        .then(get(entry))
        .then(mark_of_expired(entry))
        .then(Read::Now)
}

pub(crate) fn looked(mut reply: TxnReply) -> Result<(Option<Found>, Timestamp)> {
    let now = time(&reply)?;
    Ok((found(reply.value(0)?, reply.value(1)?, now), now))
}

/// The same of any number, for who knows what time it is: reads without a transaction. The marks come first: what is
/// read after them was expired later, if at all.
pub(crate) fn glance<'a>(entries: impl Iterator<Item = &'a Entry> + Clone) -> Vec<Key> {
    let marks = entries.clone().map(|it| it.expired());
    marks.chain(entries.map(|it| it.data())).collect()
}

pub(crate) fn glanced(
    mut values: Vec<Option<Value>>,
    now: Timestamp,
) -> Result<Vec<Option<Found>>> {
    if !values.len().is_multiple_of(2) {
        let message = "the store did not answer for each key";
        return Err(Error::new(ErrorKind::Unexpected, message));
    }
    let entries = values.split_off(values.len() / 2);
    let both = entries.into_iter().zip(values);
    Ok(both.map(|(value, mark)| found(value, mark, now)).collect())
}

/// The message is for those who wait for this entry; it evicts nobody's copy.
pub(crate) fn fill(entry: &Entry, nonce: &Mark, envelope: Value, life: Lifetime) -> Txn {
    Txn::new()
        .when(Guard::value_is(entry.lease(), nonce.clone()))
        .then(Op::Set {
            key: entry.data(),
            content: envelope.into(),
            ttl: Ttl::In(life),
        })
        .then(delete(entry.lease()))
        .then(delete(entry.expired()))
        .then(tell(entry, "filled"))
        .otherwise(Read::GetMark { key: entry.lease() })
}

/// The load brought nothing: the next one need not wait.
pub(crate) fn give_up(entry: &Entry, nonce: &Mark) -> Txn {
    Txn::new()
        .when(Guard::value_is(entry.lease(), nonce.clone()))
        .then(delete(entry.lease()))
        .then(tell(entry, "failed"))
}

pub(crate) fn invalidate(entry: &Entry) -> Txn {
    Txn::new()
        .then(delete(entry.data()))
        .then(delete(entry.lease()))
        .then(delete(entry.expired()))
        .then(next_token(entry))
        .then(tell(entry, "removed"))
}

/// From now on stale, though it may still be given out where a loader fails. The mark lasts for so long, which is
/// no less than the entry does.
pub(crate) fn expire(entry: &Entry, life: Lifetime) -> Txn {
    Txn::new()
        .then(Op::Set {
            key: entry.expired(),
            content: Value::from("1").into(),
            ttl: Ttl::In(life),
        })
        .then(delete(entry.lease()))
        .then(next_token(entry))
        .then(tell(entry, "expired"))
}

/// A write past the loader, or of who has waited for another's load in vain: first of two calls, the second is
/// a [`fill`] with the version that it got.
pub(crate) fn seize(entry: &Entry, nonce: &Mark, lease: Lifetime) -> Txn {
    Txn::new()
        .then(hold_lease(entry, nonce, lease))
        .then(next_token(entry))
        .then(Read::Now)
}

pub(crate) fn seized(mut reply: TxnReply) -> Result<Issue> {
    Ok(Issue {
        version: reply.token(1)?,
        at: time(&reply)?,
    })
}

fn take_lease(entry: &Entry, nonce: &Mark, lease: Lifetime) -> Txn {
    Txn::new()
        .when(Guard::absent(entry.lease()))
        .then(hold_lease(entry, nonce, lease))
        .then(next_token(entry))
        .then(Read::Now)
}

/// Held: it ends late where clocks differ, never early.
fn hold_lease(entry: &Entry, nonce: &Mark, lease: Lifetime) -> Op {
    Op::Set {
        key: entry.lease(),
        content: nonce.clone().into(),
        ttl: Ttl::Held(lease),
    }
}

fn seen(entry: &Entry, txn: Txn) -> Txn {
    txn.otherwise(get(entry))
        .otherwise(Read::GetMark { key: entry.lease() })
        .otherwise(Read::LastToken {
            key: entry.version(),
        })
        .otherwise(mark_of_expired(entry))
        .otherwise(Read::Now)
}

fn found(value: Option<Value>, expired: Option<Value>, now: Timestamp) -> Option<Found> {
    let marked = match expired {
        Some(_) => Marked::Expired,
        None => Marked::No,
    };
    value.map(|value| Found { value, now, marked })
}

fn time(reply: &TxnReply) -> Result<Timestamp> {
    let missing = || Error::new(ErrorKind::Unexpected, "the store did not tell its time");
    reply.now.ok_or_else(missing)
}

fn get(entry: &Entry) -> Read {
    Read::Get { key: entry.data() }
}

fn mark_of_expired(entry: &Entry) -> Read {
    Read::Get {
        key: entry.expired(),
    }
}

fn delete(key: Key) -> Op {
    Op::Delete { key }
}

fn next_token(entry: &Entry) -> Op {
    Op::NextToken {
        key: entry.version(),
        ttl: Lifetime::new(REMEMBER).map_or(Ttl::Never, Ttl::In),
    }
}

fn tell(entry: &Entry, what: &'static str) -> Op {
    Op::Notify(Notice::new(entry.told(), what))
}
