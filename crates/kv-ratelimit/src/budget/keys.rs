//! The keys of a budget, and the steps on them. What each is for stands in decision 0001.
//!
//! `used` is a counter of all that is settled or reserved, `costs` has the amount of each reservation by its id, and
//! `pending` when it lapses. Its members say the amount as well, so that whoever finds one lapsed can give it back.

use crate::place;
use bytes::Bytes;
use kv_core::{
    Error, ErrorKind, Guard, Key, Kv, MAX_MEMBERS, Mark, Member, Op, Read, RelativeRange,
    RelativeScore, Result, ScoredMember, Scores, Ttl, Txn,
};
use std::time::Duration;

/// A refusal names so many lapsed reservations.
pub(super) const REAPED_AT_ONCE: u32 = 20;

#[derive(Clone)]
pub(super) struct Keys {
    used: Key,
    costs: Key,
    pending: Key,
}

impl Keys {
    pub(super) fn new(name: &[u8]) -> Result<Self> {
        let group = place::budget(name)?;
        Ok(Self {
            used: group.key(":used"),
            costs: group.key(":costs"),
            pending: group.key(":pending"),
        })
    }

    pub(super) fn used(&self) -> &Key {
        &self.used
    }

    /// A refusal tells whether the reservation is there already, what is used, and what has lapsed.
    pub(super) fn reserve(&self, id: &[u8], amount: u64, limit: u64, ttl: Duration) -> Txn {
        Txn::new()
            .when(Guard::field_absent(&self.costs, id))
            .when(Guard::at_most(&self.used, signed(limit) - signed(amount)))
            .then(self.add(signed(amount)))
            .then(Op::HSet {
                key: self.costs.clone(),
                fields: vec![(id.into(), Mark::from(amount.to_string()).into())],
            })
            .then(self.lapse(id, amount, ttl))
            .otherwise(self.amount_of(id))
            .otherwise(self.used_up())
            .otherwise(Read::ZRange {
                key: self.pending.clone(),
                range: lapsed(),
                limit: REAPED_AT_ONCE,
            })
    }

    /// One that is there already, and has lapsed, is given a new time; a refusal tells whether it is there, and when it
    /// lapses.
    pub(super) fn revive(&self, id: &[u8], amount: u64, ttl: Duration) -> Txn {
        self.extend(id, amount, ttl)
            .when(self.has_lapsed(id, amount))
            .otherwise(self.amount_of(id))
            .otherwise(Read::ZScore {
                key: self.pending.clone(),
                member: member(id, amount),
            })
    }

    pub(super) fn extend(&self, id: &[u8], amount: u64, ttl: Duration) -> Txn {
        Txn::new()
            .when(Guard::field_is(&self.costs, id, amount.to_string()))
            .then(self.lapse(id, amount, ttl))
    }

    pub(super) fn settle(&self, id: &[u8], amount: u64, actual: u64) -> Txn {
        Txn::new()
            .when(Guard::field_is(&self.costs, id, amount.to_string()))
            .then(Op::HDel {
                key: self.costs.clone(),
                fields: vec![id.into()],
            })
            .then(Op::ZRem {
                key: self.pending.clone(),
                members: vec![member(id, amount)],
            })
            .then(self.add(signed(actual) - signed(amount)))
    }

    /// Gives a lapsed one back, unless it was settled or extended meanwhile.
    pub(super) fn expire(&self, id: &[u8], amount: u64) -> Txn {
        self.settle(id, amount, 0).when(self.has_lapsed(id, amount))
    }

    pub(super) fn amount(&self, id: &[u8]) -> Txn {
        Txn::new().then(self.amount_of(id))
    }

    pub(super) fn standing(&self) -> Txn {
        let count = |range| Read::ZCount {
            key: self.pending.clone(),
            range,
        };
        Txn::new()
            .then(self.used_up())
            .then(count(RelativeRange::ALL))
            .then(count(lapsed()))
            .then(Read::ZRange {
                key: self.pending.clone(),
                range: RelativeRange::ALL,
                limit: MAX_MEMBERS,
            })
    }

    pub(super) fn reset(&self) -> Txn {
        let keys = [&self.used, &self.costs, &self.pending].into_iter();
        keys.fold(Txn::new(), |txn, key| {
            txn.then(Op::Delete { key: key.clone() })
        })
    }

    /// All reservations.
    pub(super) async fn all(&self, kv: &Kv) -> Result<Vec<ScoredMember>> {
        kv.zrange(&self.pending, 0, -1, Scores::Omit).await
    }

    fn add(&self, amount: i64) -> Op {
        Op::Increment {
            key: self.used.clone(),
            by: amount,
            ttl_if_created: Ttl::Never,
        }
    }

    fn lapse(&self, id: &[u8], amount: u64, ttl: Duration) -> Op {
        Op::ZAdd {
            key: self.pending.clone(),
            members: vec![(member(id, amount), RelativeScore::after(ttl))],
            notify_if_first: None,
        }
    }

    fn has_lapsed(&self, id: &[u8], amount: u64) -> Guard {
        Guard::score_within(&self.pending, member(id, amount), lapsed())
    }

    fn amount_of(&self, id: &[u8]) -> Read {
        Read::HGetMark {
            key: self.costs.clone(),
            field: id.into(),
        }
    }

    fn used_up(&self) -> Read {
        Read::GetMark {
            key: self.used.clone(),
        }
    }
}

/// The amount and the id of a reservation.
pub(super) fn parse(member: &Member) -> Option<(u64, Bytes)> {
    let bytes = member.as_bytes();
    let colon = bytes.iter().position(|&it| it == b':')?;
    let amount = str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
    Some((amount, Bytes::copy_from_slice(&bytes[colon + 1..])))
}

/// A number as the store has it; nothing if there is none.
pub(super) fn number(mark: Option<Mark>) -> Result<Option<u64>> {
    let Some(mark) = mark else {
        return Ok(None);
    };
    match mark.to_str()?.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(Error::new(
            ErrorKind::Unexpected,
            "something else than a number is where a budget counts",
        )),
    }
}

fn member(id: &[u8], amount: u64) -> Member {
    let mut member = amount.to_string().into_bytes();
    member.push(b':');
    member.extend_from_slice(id);
    member.into()
}

fn lapsed() -> RelativeRange {
    RelativeRange::up_to(RelativeScore::NOW)
}

/// Amounts are below 2^53.
fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}
