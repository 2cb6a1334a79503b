//! What operators do to a lock on the store, without any I/O.

use super::{HolderInfo, LockKind, Role};
use crate::{
    claim::Claims,
    election::Candidate,
    fair::{self, Fair},
    latch::{self, What},
    rw, semaphore,
    transitions::{self, semaphore::Asks},
};
use kv_core::{Guard, Key, MAX_MEMBERS, Notice, Op, Read, RelativeRange, Result, Txn, TxnReply};

/// Where a lock of some kind is on the store.
pub(super) enum Site {
    Exclusive {
        lock: fair::Place,
        /// What a leader publishes.
        leader: Key,
    },
    ReadWrite(rw::Place),
    Semaphore(semaphore::Place),
}

impl Site {
    pub(super) fn of(kind: LockKind, name: &[u8]) -> Result<Self> {
        Ok(match kind {
            LockKind::Exclusive => Self::Exclusive {
                lock: Fair.place(name)?,
                leader: Candidate::default().place(name)?.leader,
            },
            LockKind::ReadWrite => Self::ReadWrite(rw::Place::of(name)?),
            LockKind::Semaphore => Self::Semaphore(semaphore::Place::of(name)?),
        })
    }

    pub(super) fn kind(&self) -> LockKind {
        match self {
            Self::Exclusive { .. } => LockKind::Exclusive,
            Self::ReadWrite(_) => LockKind::ReadWrite,
            Self::Semaphore(_) => LockKind::Semaphore,
        }
    }

    /// Those who share the lock, if it is of a kind that is shared.
    pub(super) fn members(&self) -> Option<&Key> {
        match self {
            Self::Exclusive { .. } => None,
            Self::ReadWrite(place) => Some(&place.readers),
            Self::Semaphore(place) => Some(&place.holders),
        }
    }

    /// Who holds it and who waits, as of one moment; what the answers mean [`Seen`](super::seen::Seen) knows.
    pub(super) fn look(&self) -> Txn {
        let txn = Txn::new();
        match self {
            Self::Exclusive { lock, leader } => txn
                .then(mark(&lock.lock.holder))
                .then(ttl(&lock.lock.holder))
                .then(last_token(&lock.lock.fence))
                .then(ttl(leader))
                .then(first(&lock.queue, RelativeRange::ALL))
                .then(first(&lock.alive, RelativeRange::ALL))
                .then(Read::Now),
            Self::ReadWrite(place) => txn
                .then(mark(&place.writer))
                .then(ttl(&place.writer))
                .then(last_token(&place.fence))
                .then(first(&place.readers, transitions::live()))
                .then(count(&place.readers))
                .then(first(&place.intents, transitions::live())),
            Self::Semaphore(place) => txn
                .then(mark(&place.size))
                .then(last_token(&place.fence))
                .then(first(&place.holders, transitions::live()))
                .then(count(&place.holders)),
        }
    }

    /// Frees it of whoever holds it by now, and tells those who wait. The fence stays, so the next is greater.
    pub(super) fn free(&self) -> Txn {
        let txn = Txn::new();
        match self {
            Self::Exclusive { lock, leader } => txn
                .then(delete(&lock.lock.holder))
                .then(delete(leader))
                .then(tell(&lock.lock.free)),
            Self::ReadWrite(place) => txn
                .then(delete(&place.writer))
                .then(delete(&place.readers))
                .then(tell(&place.read))
                .then(tell(&place.write)),
            Self::Semaphore(place) => txn.then(delete(&place.holders)).then(tell(&place.free)),
        }
    }

    /// Whether anybody held what was [freed](Self::free).
    pub(super) fn is_freed(&self, mut reply: TxnReply) -> Result<bool> {
        Ok(match self {
            Self::Exclusive { .. } | Self::Semaphore(_) => reply.flag(0)?,
            Self::ReadWrite(_) => reply.flag(0)? || reply.flag(1)?,
        })
    }

    /// Applied if this one holds it still; never takes anything from others. `None` where a name cannot be read.
    pub(super) fn free_of(&self, holder: &HolderInfo) -> Option<Txn> {
        let mark = holder.holder.as_ref()?.record(&holder.metadata);
        Some(match (self, holder.role) {
            (Self::Exclusive { lock, leader }, _) => Txn::new()
                .when(Guard::value_is(&lock.lock.holder, mark))
                .then(delete(&lock.lock.holder))
                .then(delete(leader))
                .then(tell(&lock.lock.free)),
            (Self::ReadWrite(place), Role::Writer) => transitions::rw::write_no_more(place, &mark),
            (Self::ReadWrite(place), _) => transitions::rw::read_no_more(place, &mark),
            (Self::Semaphore(place), role) => {
                let asks = Asks {
                    holder: mark,
                    count: match role {
                        Role::Permits(count) => count,
                        _ => 1,
                    },
                    size: 0,
                };
                transitions::semaphore::release(place, &asks)
            }
        })
    }
}

/// Answers whether there is such a latch, or barrier.
pub(super) fn meeting(what: What, name: &[u8]) -> Result<Txn> {
    Ok(Txn::new().then(mark(&latch::Place::of(what, name)?.count)))
}

fn mark(key: &Key) -> Read {
    Read::GetMark { key: key.clone() }
}

fn ttl(key: &Key) -> Read {
    Read::Ttl { key: key.clone() }
}

fn last_token(key: &Key) -> Read {
    Read::LastToken { key: key.clone() }
}

fn first(key: &Key, range: RelativeRange) -> Read {
    Read::ZRange {
        key: key.clone(),
        range,
        limit: MAX_MEMBERS,
    }
}

fn count(key: &Key) -> Read {
    Read::ZCount {
        key: key.clone(),
        range: transitions::live(),
    }
}

fn delete(key: &Key) -> Op {
    Op::Delete { key: key.clone() }
}

fn tell(channel: &Key) -> Op {
    Op::Notify(Notice::new(channel, ""))
}
