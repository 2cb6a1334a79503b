//! Permits: each is a member of a set, with its deadline. Their number is on the store, so that all agree on it.

use super::{live, next_token, purge, until_first};
use crate::{Fence, semaphore::Place};
use kv_core::{
    Guard, Lifetime, Mark, Member, Notice, Op, Read, RelativeScore, Result, TimeToLive, Ttl, Txn,
    TxnReply,
};
use std::num::ParseIntError;

/// Who asks, and for how many of how many.
#[derive(Clone, Debug)]
pub(crate) struct Asks {
    pub(crate) holder: Mark,
    pub(crate) count: u32,
    pub(crate) size: u64,
}

/// What came of asking.
pub(crate) enum Asked {
    Granted(Fence),
    /// By an earlier send of the same.
    IsMine,
    /// Nobody has said how many there are.
    Unsized,
    OtherSize(u64),
    Busy {
        left: TimeToLive,
    },
}

impl Asks {
    /// All of one acquisition; the first of them stands for it.
    fn members(&self) -> impl Iterator<Item = Member> {
        (0..self.count).map(|place| self.member(place))
    }

    fn member(&self, place: u32) -> Member {
        let mut name = self.holder.as_bytes().to_vec();
        name.extend(format!("#{place}").bytes());
        Member::from(name)
    }
}

/// If as many are free, and there are as many as this one believes.
pub(crate) fn acquire(place: &Place, asks: &Asks, lease: Lifetime) -> Result<Txn> {
    let most = asks
        .size
        .saturating_add(1)
        .saturating_sub(asks.count.into());
    Ok(Txn::new()
        .when(Guard::value_is(&place.size, mark(asks.size)))
        .when(Guard::count_below(&place.holders, live(), most))
        .then(purge(&place.holders))
        .then(keep(place, asks, lease))
        .then(next_token(&place.fence, lease)?)
        .otherwise(Read::GetMark {
            key: place.size.clone(),
        })
        .otherwise(Read::ZScore {
            key: place.holders.clone(),
            member: asks.member(0),
        })
        .otherwise(Read::ZRange {
            key: place.holders.clone(),
            range: live(),
            limit: 1,
        }))
}

pub(crate) fn asked(asks: &Asks, mut reply: TxnReply) -> Result<Asked> {
    if reply.applied {
        return Ok(Asked::Granted(Fence::from_number(reply.token(2)?)));
    }
    if reply.score(1)?.is_some() {
        return Ok(Asked::IsMine);
    }
    let Some(size) = reply.mark(0)? else {
        return Ok(Asked::Unsized);
    };
    let size = size.to_str()?.parse().map_err(|source: ParseIntError| {
        kv_core::Error::new(
            kv_core::ErrorKind::Codec,
            "the size of the semaphore on the store is no number",
        )
        .with_source(source)
    })?;
    if size != asks.size {
        return Ok(Asked::OtherSize(size));
    }
    let holders = reply.members(2)?;
    let left = until_first(&reply, &holders);
    Ok(Asked::Busy { left })
}

/// How many there are, if nobody has said.
pub(crate) fn init(place: &Place, size: u64) -> Txn {
    Txn::new()
        .when(Guard::absent(&place.size))
        .then(set(place, size))
}

/// Takes nothing away from those who hold some; who waits learns of it.
pub(crate) fn resize(place: &Place, size: u64) -> Txn {
    Txn::new().then(set(place, size)).then(free(place))
}

/// What has lapsed must not come back: others may have them.
pub(crate) fn renew(place: &Place, asks: &Asks, lease: Lifetime) -> Txn {
    Txn::new()
        .when(Guard::score_within(&place.holders, asks.member(0), live()))
        .then(keep(place, asks, lease))
}

/// The same, with a new fence.
pub(crate) fn number(place: &Place, asks: &Asks, lease: Lifetime) -> Result<Txn> {
    Ok(renew(place, asks, lease).then(next_token(&place.fence, lease)?))
}

pub(crate) fn release(place: &Place, asks: &Asks) -> Txn {
    Txn::new()
        .when(Guard::member_exists(&place.holders, asks.member(0)))
        .then(Op::ZRem {
            key: place.holders.clone(),
            members: asks.members().collect(),
        })
        .then(free(place))
}

fn keep(place: &Place, asks: &Asks, lease: Lifetime) -> Op {
    let until = RelativeScore::after(lease.as_duration());
    Op::ZAdd {
        key: place.holders.clone(),
        members: asks.members().map(|it| (it, until)).collect(),
        notify_if_first: None,
    }
}

fn set(place: &Place, size: u64) -> Op {
    Op::Set {
        key: place.size.clone(),
        content: mark(size).into(),
        ttl: Ttl::Never,
    }
}

fn free(place: &Place) -> Op {
    Op::Notify(Notice::new(&place.free, ""))
}

fn mark(size: u64) -> Mark {
    Mark::from(size.to_string())
}
