//! A lock whose holder publishes a value.

use super::exclusive;
use crate::{Fence, Leader, election::Place};
use kv_core::{
    Expiry, Guard, Key, Lifetime, Mark, Notice, Op, Read, Result, TimeToLive, Ttl, Txn, TxnReply,
    Value,
};

/// Acquires the lock, and publishes.
pub(crate) fn campaign(place: &Place, holder: &Mark, value: Value, lease: Lifetime) -> Result<Txn> {
    Ok(exclusive::acquire(&place.lock, holder, lease)?
        .then(publish(place, value, lease))
        .then(elected(place)))
}

/// The value ends with the lease.
pub(crate) fn renew(place: &Place, holder: &Mark, lease: Lifetime) -> Txn {
    exclusive::renew(&place.lock, holder, lease).then(Op::Expire {
        key: place.leader.clone(),
        expiry: Expiry::Held(lease),
    })
}

/// Applied if it is still this holder's. Not with the time to live of the value before: if that one was gone,
/// this one would stay for ever.
pub(crate) fn proclaim(place: &Place, holder: &Mark, value: Value, lease: Lifetime) -> Txn {
    Txn::new()
        .when(Guard::value_is(&place.lock.holder, holder.clone()))
        .then(publish(place, value, lease))
        .then(elected(place))
}

/// Releases the lock, and takes the value back.
pub(crate) fn resign(place: &Place, holder: &Mark) -> Txn {
    exclusive::release(&place.lock, holder)
        .then(Op::Delete {
            key: place.leader.clone(),
        })
        .then(elected(place))
}

/// Who leads, as of one moment.
pub(crate) fn look(place: &Place) -> Txn {
    let holder: &Key = &place.lock.holder;
    Txn::new()
        .then(Read::GetMark {
            key: holder.clone(),
        })
        .then(Read::Ttl {
            key: holder.clone(),
        })
        .then(Read::Get {
            key: place.leader.clone(),
        })
        .then(Read::LastToken {
            key: place.lock.fence.clone(),
        })
}

/// Nobody leads without the lock, whatever value is left. With it goes for how long, if nobody tells.
pub(crate) fn seen(mut reply: TxnReply) -> Result<(Option<Leader>, TimeToLive)> {
    let holder = reply.mark(0)?;
    let (left, value) = (reply.ttl(1)?, reply.value(2)?);
    let term = Fence::from_number(reply.token(3)?);
    let leader = holder.and(value).map(|value| Leader { value, term });
    Ok((leader, left))
}

fn publish(place: &Place, value: Value, lease: Lifetime) -> Op {
    Op::Set {
        key: place.leader.clone(),
        content: value.into(),
        ttl: Ttl::Held(lease),
    }
}

fn elected(place: &Place) -> Op {
    Op::Notify(Notice::new(&place.elected, ""))
}
