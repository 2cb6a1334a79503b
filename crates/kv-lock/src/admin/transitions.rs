//! What operators do to a lock on the store, without any I/O.

use super::{HolderName, LockInfo};
use crate::{Fence, place::Place};
use bytes::Bytes;
use kv_core::{Guard, Mark, Notice, Op, Read, Result, TimeToLive, Txn, TxnReply};

/// Refused if it is held; then it tells by whom, with which fence, and for how long.
pub(super) fn inspect(place: &Place) -> Txn {
    told(place, Txn::new().when(Guard::absent(&place.holder)))
}

/// Applied if anybody held it.
pub(super) fn release_any(place: &Place) -> Txn {
    freed(place, Txn::new().when(Guard::exists(&place.holder)))
}

/// Applied if this is what the store has; else as [`inspect`] is refused.
pub(super) fn release(place: &Place, seen: &Mark) -> Txn {
    let guard = Guard::value_is(&place.holder, seen.clone());
    told(place, freed(place, Txn::new().when(guard)))
}

/// What the store has of a holder.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) mark: Mark,
    fence: Option<Fence>,
    left: TimeToLive,
}

pub(super) enum After {
    Released,
    Free,
    Held(Seen),
}

impl Seen {
    pub(super) fn holder(&self) -> Option<HolderName> {
        HolderName::in_record(self.mark.as_bytes()).map(|(name, _)| name)
    }

    pub(super) fn info(self, name: Bytes) -> LockInfo {
        let (holder, metadata) = HolderName::in_record(self.mark.as_bytes()).unzip();
        LockInfo {
            name,
            holder,
            metadata: Bytes::copy_from_slice(metadata.unwrap_or_default()),
            fence: self.fence,
            left: match self.left {
                TimeToLive::In(left) => Some(left),
                _ => None,
            },
        }
    }
}

pub(super) fn inspected(reply: TxnReply) -> Result<Option<Seen>> {
    match reply.applied {
        true => Ok(None),
        false => seen(reply),
    }
}

pub(super) fn released(reply: TxnReply) -> Result<After> {
    if reply.applied {
        return Ok(After::Released);
    }
    Ok(seen(reply)?.map_or(After::Free, After::Held))
}

fn told(place: &Place, txn: Txn) -> Txn {
    let key = &place.holder;
    txn.otherwise(Read::GetMark { key: key.clone() })
        .otherwise(Read::Ttl { key: key.clone() })
        .otherwise(Read::LastToken {
            key: place.fence.clone(),
        })
}

fn seen(mut reply: TxnReply) -> Result<Option<Seen>> {
    let Some(mark) = reply.mark(0)? else {
        return Ok(None);
    };
    let fence = reply.token(2)?;
    Ok(Some(Seen {
        mark,
        fence: (fence > 0).then(|| Fence::from_number(fence)),
        left: reply.ttl(1)?,
    }))
}

fn freed(place: &Place, txn: Txn) -> Txn {
    txn.then(Op::Delete {
        key: place.holder.clone(),
    })
    .then(Op::Notify(Notice::new(&place.free, "")))
}
