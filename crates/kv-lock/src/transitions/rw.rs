//! A lock that many read or one writes. Readers are members of a set, each with its deadline; a writer that
//! waits says so in another, which keeps new readers out.

use super::{keep, live, member_of, next_token, purge, remove, until_first};
use crate::{Fence, claim::Acquired, rw::Place};
use kv_core::{
    Expiry, Guard, Lifetime, Mark, Notice, Op, Read, Result, TimeToLive, Ttl, Txn, TxnReply,
};

/// While there is no writer, and none that wants to be.
pub(crate) fn read(place: &Place, reader: &Mark, lease: Lifetime) -> Result<Txn> {
    Ok(Txn::new()
        .when(Guard::absent(&place.writer))
        .when(Guard::count_below(&place.intents, live(), 1))
        .then(purge(&place.readers))
        .then(keep(&place.readers, reader, lease))
        .then(next_token(&place.fence, lease)?)
        .otherwise(Read::ZScore {
            key: place.readers.clone(),
            member: member_of(reader),
        })
        .otherwise(Read::Ttl {
            key: place.writer.clone(),
        })
        .otherwise(Read::ZRange {
            key: place.intents.clone(),
            range: live(),
            limit: 1,
        }))
}

pub(crate) fn is_reading(replies: Vec<TxnReply>) -> Result<Acquired> {
    let [mut reply] = super::exactly(replies)?;
    if reply.applied {
        return Ok(Acquired::Now(Fence::from_number(reply.token(2)?)));
    }
    // An earlier send of this, before a writer came to wait.
    if reply.score(0)?.is_some() {
        return Ok(Acquired::Unnumbered);
    }
    let left = match reply.ttl(1)? {
        TimeToLive::Missing => {
            let intents = reply.members(2)?;
            until_first(&reply, &intents)
        }
        left => left,
    };
    Ok(Acquired::Busy { left })
}

/// What has lapsed must not come back: a writer may be in, whatever the clocks say.
pub(crate) fn read_on(place: &Place, reader: &Mark, lease: Lifetime) -> Txn {
    Txn::new()
        .when(Guard::absent(&place.writer))
        .when(Guard::score_within(
            &place.readers,
            member_of(reader),
            live(),
        ))
        .then(keep(&place.readers, reader, lease))
}

/// The same, with a new fence.
pub(crate) fn number(place: &Place, reader: &Mark, lease: Lifetime) -> Result<Txn> {
    Ok(read_on(place, reader, lease).then(next_token(&place.fence, lease)?))
}

/// Only writers wait for readers.
pub(crate) fn read_no_more(place: &Place, reader: &Mark) -> Txn {
    Txn::new()
        .when(Guard::member_exists(&place.readers, member_of(reader)))
        .then(remove(&place.readers, reader))
        .then(Op::Notify(Notice::new(&place.write, "")))
}

/// Keeps new readers out, for so long.
pub(crate) fn intend(place: &Place, writer: &Mark, lease: Lifetime) -> Txn {
    Txn::new().then(keep(&place.intents, writer, lease))
}

pub(crate) fn intend_on(place: &Place, writer: &Mark, lease: Lifetime) -> Txn {
    intend(place, writer, lease).when(Guard::member_exists(&place.intents, member_of(writer)))
}

pub(crate) fn intend_no_more(place: &Place, writer: &Mark) -> Txn {
    Txn::new()
        .then(remove(&place.intents, writer))
        .then(Op::Notify(Notice::new(&place.read, "")))
}

/// While nobody reads or writes.
pub(crate) fn write(place: &Place, writer: &Mark, lease: Lifetime) -> Result<Txn> {
    Ok(Txn::new()
        .when(Guard::absent(&place.writer))
        .when(Guard::count_below(&place.readers, live(), 1))
        .then(Op::Set {
            key: place.writer.clone(),
            content: writer.clone().into(),
            ttl: Ttl::Held(lease),
        })
        .then(next_token(&place.fence, lease)?)
        .then(remove(&place.intents, writer))
        .then(purge(&place.readers))
        .then(purge(&place.intents))
        .otherwise(Read::GetMark {
            key: place.writer.clone(),
        })
        .otherwise(Read::LastToken {
            key: place.fence.clone(),
        })
        .otherwise(Read::Ttl {
            key: place.writer.clone(),
        })
        .otherwise(Read::ZRange {
            key: place.readers.clone(),
            range: live(),
            limit: 1,
        }))
}

pub(crate) fn is_writing(writer: &Mark, replies: Vec<TxnReply>) -> Result<Acquired> {
    let [mut reply] = super::exactly(replies)?;
    if reply.applied {
        return Ok(Acquired::Now(Fence::from_number(reply.token(1)?)));
    }
    if reply.mark(0)?.is_some_and(|it| it == *writer) {
        return Ok(Acquired::Before(Fence::from_number(reply.token(1)?)));
    }
    let left = match reply.ttl(2)? {
        TimeToLive::Missing => {
            let readers = reply.members(3)?;
            until_first(&reply, &readers)
        }
        left => left,
    };
    Ok(Acquired::Busy { left })
}

pub(crate) fn write_on(place: &Place, writer: &Mark, lease: Lifetime) -> Txn {
    Txn::new()
        .when(Guard::value_is(&place.writer, writer.clone()))
        .then(Op::Expire {
            key: place.writer.clone(),
            expiry: Expiry::Held(lease),
        })
}

/// Also drops an intent that was sent again after it was granted.
pub(crate) fn write_no_more(place: &Place, writer: &Mark) -> Txn {
    Txn::new()
        .when(Guard::value_is(&place.writer, writer.clone()))
        .then(Op::Delete {
            key: place.writer.clone(),
        })
        .then(remove(&place.intents, writer))
        .then(Op::Notify(Notice::new(&place.read, "")))
        .then(Op::Notify(Notice::new(&place.write, "")))
}
