//! A lock by order of arrival. Who waits stands in a set by the time it came, and says now and then that it
//! lives in another. Each takes the lock itself when its turn has come, so that it is never given to a dead one.

use super::{exclusive, keep, left, member_of, next_token, remove};
use crate::{Fence, fair::Place};
use kv_core::{
    Guard, Lifetime, Mark, Member, Op, Read, RelativeRange, RelativeScore, Result, Score,
    ScoreBound, TimeToLive, Ttl, Txn, TxnReply,
};
use std::time::Duration;

/// Others may have come to wait, and died: looked for this often.
const LOOK: Duration = Duration::from_secs(5);

/// What came of asking.
#[derive(Debug)]
pub(crate) enum Asked {
    Granted {
        fence: Fence,
        /// Who is the first now, to be told when the lock is free again.
        next: Option<Member>,
    },
    Refused {
        outlook: Outlook,
        /// When it is worth asking again, if nobody tells.
        left: TimeToLive,
    },
}

/// What who waits learns.
#[derive(Debug, Default)]
pub(crate) struct Outlook {
    /// When it came, by the store's clock; none if it has no place.
    pub(crate) ticket: Option<Score>,
    pub(crate) is_head: bool,
    /// Those who said nothing for too long, some of them.
    pub(crate) silent: Vec<Member>,
    /// The last fence: its own, if it is the holder.
    pub(crate) mine: Option<Fence>,
}

/// If nobody holds it, and nobody waits who is alive: the dead may stand in the queue for long.
pub(crate) fn take(place: &Place, me: &Mark, lease: Lifetime) -> Result<Txn> {
    let nobody = Guard::count_below(&place.alive, super::live(), 1);
    let txn = hold(place, me, lease)?.when(nobody);
    Ok(outlook(place, me).into_iter().fold(txn, Txn::otherwise))
}

/// Takes a place at the end of the queue.
pub(crate) fn arrive(place: &Place, me: &Mark, patience: Lifetime) -> Txn {
    let now = Op::ZAdd {
        key: place.queue.clone(),
        members: vec![(member_of(me), RelativeScore::NOW)],
        notify_if_first: None,
    };
    Txn::new()
        .when(Guard::member_absent(&place.queue, member_of(me)))
        .then(now)
        .then(keep(&place.alive, me, patience))
}

/// If nobody holds it, and nobody else waits.
pub(crate) fn take_alone(place: &Place, me: &Mark, lease: Lifetime) -> Result<Txn> {
    Ok(take_place(place, me, lease)?
        .when(Guard::member_exists(&place.queue, member_of(me)))
        .when(Guard::count_below(&place.queue, RelativeRange::ALL, 2)))
}

/// If nobody holds it, and nobody came before this ticket.
pub(crate) fn take_in_turn(
    place: &Place,
    me: &Mark,
    ticket: Score,
    lease: Lifetime,
) -> Result<Txn> {
    let before = RelativeRange::new(RelativeRange::ALL.min, ScoreBound::Excluded(ticket));
    Ok(take_place(place, me, lease)?
        .when(Guard::score_is(&place.queue, member_of(me), ticket))
        .when(Guard::count_below(&place.queue, before, 1)))
}

pub(crate) fn asked(me: &Mark, mut reply: TxnReply) -> Result<Asked> {
    if reply.applied {
        let fence = Fence::from_number(reply.token(1)?);
        let next = match reply.answers.len() {
            2 => None,
            _ => reply.members(4)?.pop().map(|it| it.member),
        };
        return Ok(Asked::Granted { fence, next });
    }
    let me_too = member_of(me);
    let is_mine = reply.mark(1)?.is_some_and(|it| it == *me);
    let first = reply.members(4)?.pop();
    let (mut silent, mut wait) = (Vec::new(), LOOK);
    for other in reply.members(5)? {
        let (Some(now), Some(deadline)) = (reply.now, other.score) else {
            continue;
        };
        if other.member == me_too {
            continue;
        }
        let left = left(now, deadline);
        if left.is_zero() {
            silent.push(other.member);
        }
        wait = wait.min(left);
    }
    let is_head = first.is_some_and(|it| it.member == me_too);
    // Whoever waits may die without a word, and is to be out of the way before the lock is free.
    let left = match reply.ttl(2)? {
        TimeToLive::In(left) => TimeToLive::In(left.min(wait)),
        TimeToLive::Missing if !is_head => TimeToLive::In(wait),
        left => left,
    };
    let mine = match is_mine {
        true => Some(Fence::from_number(reply.token(3)?)),
        false => None,
    };
    let outlook = Outlook {
        ticket: reply.score(0)?,
        is_head,
        silent,
        mine,
    };
    Ok(Asked::Refused { outlook, left })
}

/// Says that it still waits. Refused if it was taken for dead.
pub(crate) fn stay(place: &Place, me: &Mark, patience: Lifetime) -> Txn {
    Txn::new()
        .when(Guard::member_exists(&place.queue, member_of(me)))
        .then(keep(&place.alive, me, patience))
}

/// Takes who is silent out of the queue, unless it has spoken up meanwhile.
pub(crate) fn skip(place: &Place, silent: &Member) -> Txn {
    let remove = |key: &kv_core::Key| Op::ZRem {
        key: key.clone(),
        members: vec![silent.clone()],
    };
    Txn::new()
        .when(Guard::score_within(
            &place.alive,
            silent.clone(),
            super::lapsed(),
        ))
        .then(remove(&place.alive))
        .then(remove(&place.queue))
}

pub(crate) fn leave(place: &Place, me: &Mark) -> Txn {
    Txn::new()
        .then(remove(&place.queue, me))
        .then(remove(&place.alive, me))
        .then(exclusive::free(&place.lock, ""))
}

/// Also drops a place that an arrival left behind which was sent again. Tells who is next, if known.
pub(crate) fn release(place: &Place, me: &Mark, next: Option<&Member>) -> Txn {
    let next = next.map(|it| it.as_bytes().to_vec()).unwrap_or_default();
    Txn::new()
        .when(Guard::value_is(&place.lock.holder, me.clone()))
        .then(Op::Delete {
            key: place.lock.holder.clone(),
        })
        .then(exclusive::free(&place.lock, next))
        .then(remove(&place.queue, me))
        .then(remove(&place.alive, me))
}

fn take_place(place: &Place, me: &Mark, lease: Lifetime) -> Result<Txn> {
    let txn = hold(place, me, lease)?
        .then(remove(&place.queue, me))
        .then(remove(&place.alive, me))
        .then(first(place));
    Ok(outlook(place, me).into_iter().fold(txn, Txn::otherwise))
}

fn hold(place: &Place, me: &Mark, lease: Lifetime) -> Result<Txn> {
    Ok(Txn::new()
        .when(Guard::absent(&place.lock.holder))
        .then(Op::Set {
            key: place.lock.holder.clone(),
            content: me.clone().into(),
            ttl: Ttl::Held(lease),
        })
        .then(next_token(&place.lock.fence, lease)?))
}

fn outlook(place: &Place, me: &Mark) -> [Read; 7] {
    [
        Read::ZScore {
            key: place.queue.clone(),
            member: member_of(me),
        },
        Read::GetMark {
            key: place.lock.holder.clone(),
        },
        Read::Ttl {
            key: place.lock.holder.clone(),
        },
        Read::LastToken {
            key: place.lock.fence.clone(),
        },
        first(place),
        Read::ZRange {
            key: place.alive.clone(),
            range: RelativeRange::ALL,
            limit: 8,
        },
        Read::Now,
    ]
}

fn first(place: &Place) -> Read {
    Read::ZRange {
        key: place.queue.clone(),
        range: RelativeRange::ALL,
        limit: 1,
    }
}
