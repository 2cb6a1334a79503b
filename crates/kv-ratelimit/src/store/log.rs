//! The exact log: a sorted set with one member for each unit of cost, scored by the store's time.
//!
//! A unit counts as long as its age is less than the window. A request that is sent again counts once, since
//! its members are named by its number.

use super::{Ask, no_answer, no_reserve, part};
use kv_core::{
    Expiry, Guard, Key, Kv, Lifetime, LimitState, MAX_MEMBERS, Member, Op, Read, RelativeRange,
    RelativeScore, Result, ThrottleMode, TimeToLive, Timestamp, Txn, TxnReply,
};
use std::time::Duration;

/// A store whose deadlines are whole milliseconds cuts the time from which it counts them: the set must not
/// end before its last member does.
const CUT: Duration = Duration::from_millis(1);

pub(super) struct Log<'a> {
    kv: &'a Kv,
    key: Key,
    limit: u64,
    /// In microseconds.
    window: u64,
}

impl<'a> Log<'a> {
    pub(super) fn new(kv: &'a Kv, key: &Key, limit: u64, window: Duration) -> Result<Self> {
        Ok(Self {
            kv,
            // Other algorithms keep strings where their key is.
            key: part(key, ":log")?,
            limit,
            // Rounded up, so that no fraction is too short.
            window: u64::try_from(window.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX),
        })
    }

    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<LimitState> {
        match ask.mode {
            ThrottleMode::Debit => self.debit(ask.cost, ask.number).await,
            ThrottleMode::Peek => {
                let reply = self.kv.commit_one(self.look(ask.cost)).await?;
                self.standing(reply, ask.cost).await
            }
            ThrottleMode::Refund => {
                let refund = self.refund(ask.cost, ask.number);
                let reply = self.kv.commit_one(refund).await?;
                Ok(allowed(self.state(&seen(reply, 1)?, ask.cost)))
            }
            _ => Err(no_reserve()),
        }
    }

    pub(super) async fn reset(&self) -> Result<()> {
        self.kv.delete(&self.key).await.map(drop)
    }

    async fn debit(&self, cost: u64, number: u64) -> Result<LimitState> {
        let mut reply = self.kv.commit_one(self.take(cost, number)?).await?;
        if reply.applied {
            let used = reply.count(3)?;
            let remaining = self.limit.saturating_sub(used);
            return Ok(LimitState::new(true, remaining, 0, self.window));
        }
        let is_there = reply.score(3)?.is_some();
        let state = self.standing(reply, cost).await?;
        Ok(match is_there {
            // Sent again: it was allowed when it came first.
            true => allowed(state),
            false => state,
        })
    }

    /// If there is room for all of it. A refusal tells what a look does, and whether it is there already.
    fn take(&self, cost: u64, number: u64) -> Result<Txn> {
        let past = RelativeRange::up_to(self.horizon());
        let members = members(number, cost).map(|it| (it, RelativeScore::NOW));
        let expiry = Expiry::In(Lifetime::new(Duration::from_micros(self.window) + CUT)?);
        let room = (self.limit + 1).saturating_sub(cost);
        let take = Txn::new()
            .when(Guard::count_below(&self.key, self.recent(), room))
            .then(Op::ZRemRange {
                key: self.key.clone(),
                range: past,
                limit: MAX_MEMBERS,
            })
            .then(Op::ZAdd {
                key: self.key.clone(),
                members: members.collect(),
                notify_if_first: None,
            })
            .then(Op::Expire {
                key: self.key.clone(),
                expiry,
            })
            .then(self.count());
        let take = self.reads(cost).into_iter().fold(take, Txn::otherwise);
        Ok(take.otherwise(Read::ZScore {
            key: self.key.clone(),
            member: member(number, 0),
        }))
    }

    fn look(&self, oldest: u64) -> Txn {
        let reads = self.reads(oldest).into_iter();
        reads.fold(Txn::new(), Txn::then)
    }

    /// What has gone already stays gone, however often it is sent.
    fn refund(&self, cost: u64, number: u64) -> Txn {
        let refund = Txn::new().then(Op::ZRem {
            key: self.key.clone(),
            members: members(number, cost).collect(),
        });
        self.reads(1).into_iter().fold(refund, Txn::then)
    }

    /// How many count, the oldest of them, and how long the set lives.
    fn reads(&self, oldest: u64) -> [Read; 3] {
        let limit = u32::try_from(oldest).unwrap_or(MAX_MEMBERS);
        [
            self.count(),
            Read::ZRange {
                key: self.key.clone(),
                range: self.recent(),
                limit: limit.min(MAX_MEMBERS),
            },
            Read::Ttl {
                key: self.key.clone(),
            },
        ]
    }

    fn count(&self) -> Read {
        Read::ZCount {
            key: self.key.clone(),
            range: self.recent(),
        }
    }

    /// What counts.
    fn recent(&self) -> RelativeRange {
        RelativeRange::above(self.horizon())
    }

    fn horizon(&self) -> RelativeScore {
        RelativeScore::before(Duration::from_micros(self.window))
    }

    /// What the reads tell of a request of this cost.
    async fn standing(&self, reply: TxnReply, cost: u64) -> Result<LimitState> {
        let seen = seen(reply, 0)?;
        let mut state = self.state(&seen, cost);
        // After a quota was made smaller, more must go than the request costs.
        let surplus = seen.surplus(self.limit, cost);
        if surplus > cost {
            let reply = self.kv.commit_one(self.look(surplus)).await?;
            state.retry_after = self.state(&self::seen(reply, 0)?, cost).retry_after;
        }
        Ok(state)
    }

    fn state(&self, seen: &Seen, cost: u64) -> LimitState {
        let surplus = seen.surplus(self.limit, cost);
        let last = usize::try_from(surplus).unwrap_or(usize::MAX);
        let last = seen.oldest.get(last.min(seen.oldest.len()).wrapping_sub(1));
        let retry_after = match (surplus, last) {
            (0, _) => 0,
            (_, Some(&score)) => {
                let gone = score.saturating_add_unsigned(self.window);
                gone.saturating_sub(seen.now.as_micros()).max(0) as u64
            }
            (_, None) => self.window,
        };
        let reset_after = match seen.left {
            _ if seen.used == 0 => 0,
            TimeToLive::In(left) => self.window.min(left.as_micros() as u64),
            _ => self.window,
        };
        let remaining = self.limit.saturating_sub(seen.used);
        LimitState::new(surplus == 0, remaining, retry_after, reset_after)
    }
}

/// What was read of a log.
struct Seen {
    used: u64,
    /// When the oldest came that count, in microseconds.
    oldest: Vec<i64>,
    /// As long as the set lives, its newest member counts, or one that was given back since did.
    left: TimeToLive,
    now: Timestamp,
}

impl Seen {
    /// So many must go before there is room for this cost.
    fn surplus(&self, limit: u64, cost: u64) -> u64 {
        (self.used + cost).saturating_sub(limit)
    }
}

/// What the reads say that come after so many other steps.
fn seen(mut reply: TxnReply, first: usize) -> Result<Seen> {
    let members = reply.members(first + 1)?;
    let scores = members.iter().filter_map(|it| it.score);
    Ok(Seen {
        used: reply.count(first)?,
        oldest: scores.map(|it| it.get() as i64).collect(),
        left: reply.ttl(first + 2)?,
        now: reply.now.ok_or_else(no_answer)?,
    })
}

fn allowed(mut state: LimitState) -> LimitState {
    state.allowed = true;
    state.retry_after = Duration::ZERO;
    state
}

fn members(number: u64, cost: u64) -> impl Iterator<Item = Member> {
    (0..cost).map(move |unit| member(number, unit))
}

fn member(number: u64, unit: u64) -> Member {
    Member::from(format!("{number:016x}:{unit}"))
}
