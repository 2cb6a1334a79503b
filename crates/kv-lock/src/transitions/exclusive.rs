//! A lock that one at a time holds.

use super::REMEMBER;
use crate::{Fence, claim::Acquired, place::Place};
use kv_core::{Expiry, Guard, Lifetime, Mark, Notice, Op, Read, Result, Ttl, Txn, TxnReply, Value};

/// A refusal tells who holds it, for how long, and the last fence: mine if the holder is me.
pub(crate) fn acquire(place: &Place, holder: &Mark, lease: Lifetime) -> Result<Txn> {
    let key = &place.holder;
    Ok(Txn::new()
        .when(Guard::absent(key))
        .then(Op::Set {
            key: key.clone(),
            content: holder.clone().into(),
            ttl: Ttl::Held(lease),
        })
        // Should it be forgotten, the next one is greater all the same.
        .then(Op::NextToken {
            key: place.fence.clone(),
            ttl: Ttl::In(Lifetime::new(REMEMBER + lease.as_duration())?),
        })
        .otherwise(Read::GetMark { key: key.clone() })
        .otherwise(Read::Ttl { key: key.clone() })
        .otherwise(Read::LastToken {
            key: place.fence.clone(),
        }))
}

pub(crate) fn acquired(holder: &Mark, replies: Vec<TxnReply>) -> Result<Acquired> {
    let [mut reply] = super::exactly(replies)?;
    if reply.applied {
        return Ok(Acquired::Now(Fence::from_number(reply.token(1)?)));
    }
    match reply.mark(0)? {
        Some(other) if other == *holder => {
            Ok(Acquired::Before(Fence::from_number(reply.token(2)?)))
        }
        _ => Ok(Acquired::Busy {
            left: reply.ttl(1)?,
        }),
    }
}

/// Applied if it is still this holder's. The record of the fence must outlive it, since others read it.
pub(crate) fn renew(place: &Place, holder: &Mark, lease: Lifetime) -> Txn {
    let remember = Lifetime::new(REMEMBER + lease.as_duration()).unwrap_or(lease);
    Txn::new()
        .when(Guard::value_is(&place.holder, holder.clone()))
        .then(Op::Expire {
            key: place.holder.clone(),
            expiry: Expiry::Held(lease),
        })
        .then(Op::Expire {
            key: place.fence.clone(),
            expiry: Expiry::In(remember),
        })
}

/// Applied if it was this holder's. Never frees the one after it.
pub(crate) fn release(place: &Place, holder: &Mark) -> Txn {
    Txn::new()
        .when(Guard::value_is(&place.holder, holder.clone()))
        .then(Op::Delete {
            key: place.holder.clone(),
        })
        .then(free(place, ""))
}

/// Tells those who wait; or the one of them that is named.
pub(super) fn free(place: &Place, whom: impl Into<Value>) -> Op {
    Op::Notify(Notice::new(&place.free, whom))
}
