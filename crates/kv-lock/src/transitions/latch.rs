//! Arrivals that are counted, each once.

use crate::latch::Place;
use kv_core::{
    Expiry, Guard, Key, Lifetime, Mark, Member, Notice, Op, Read, RelativeRange, Result, Ttl, Txn,
    TxnReply,
};

/// What was found.
pub(crate) enum Found {
    /// So many have arrived.
    Arrived(u64),
    /// Others count to something else; nothing if nobody has arrived.
    Other(Option<Mark>),
}

/// The first arrival says how many are needed, each keeps all of it for so long. Sent again it counts once.
pub(crate) fn arrive(place: &Place, who: &Member, count: u32, keep: Lifetime) -> [Txn; 2] {
    let begin = Txn::new()
        .when(Guard::absent(&place.count))
        .then(Op::Set {
            key: place.count.clone(),
            content: mark(count).into(),
            ttl: Ttl::In(keep),
        })
        // Of an earlier time; they end together, but not to the microsecond.
        .then(Op::Delete {
            key: place.arrived.clone(),
        });
    let keep = |key: &Key| Op::Expire {
        key: key.clone(),
        expiry: Expiry::In(keep),
    };
    let arrive = Txn::new()
        .when(Guard::value_is(&place.count, mark(count)))
        .then(Op::ZAdd {
            key: place.arrived.clone(),
            members: vec![(who.clone(), 0.into())],
            notify_if_first: None,
        })
        .then(arrived(place))
        .then(keep(&place.count))
        .then(keep(&place.arrived))
        .then(Op::Notify(Notice::new(&place.arrivals, "")))
        .otherwise(counted_to(place));
    [begin, arrive]
}

pub(crate) fn arrive_seen(replies: Vec<TxnReply>) -> Result<Found> {
    let [_, mut arrive] = super::exactly(replies)?;
    Ok(match arrive.applied {
        true => Found::Arrived(arrive.count(1)?),
        false => Found::Other(arrive.mark(0)?),
    })
}

pub(crate) fn look(place: &Place, count: u32) -> Txn {
    Txn::new()
        .when(Guard::value_is(&place.count, mark(count)))
        .then(arrived(place))
        .otherwise(counted_to(place))
}

pub(crate) fn seen(mut reply: TxnReply) -> Result<Found> {
    Ok(match reply.applied {
        true => Found::Arrived(reply.count(0)?),
        false => Found::Other(reply.mark(0)?),
    })
}

fn arrived(place: &Place) -> Read {
    Read::ZCount {
        key: place.arrived.clone(),
        range: RelativeRange::ALL,
    }
}

fn counted_to(place: &Place) -> Read {
    Read::GetMark {
        key: place.count.clone(),
    }
}

fn mark(count: u32) -> Mark {
    Mark::from(count.to_string())
}
