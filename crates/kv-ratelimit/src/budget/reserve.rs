//! Reserving.

use super::{
    Budget, BudgetError, Hold,
    error::amount,
    keys::{self, REAPED_AT_ONCE},
};
use kv_core::{Lifetime, Outcome, Result as StoreResult, Score, ScoredMember, Timestamp};
use std::time::Duration;

/// So often lapsed reservations are looked for: a thousand of them are given back for one that needs their room.
const ROUNDS: u32 = 1_000 / REAPED_AT_ONCE;

/// What came of a reservation.
#[derive(Debug)]
#[must_use]
pub enum Reserve {
    /// It is reserved.
    Reserved(Hold),
    /// There is not so much left; nothing was changed.
    Over(Over),
}

/// Not so much is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Over {
    /// What was asked for.
    pub amount: u64,
    /// The limit.
    pub limit: u64,
    /// What is settled and what is reserved, together. More than the limit if more was settled than reserved.
    pub used: u64,
}

impl Over {
    /// What could be reserved.
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

impl Budget {
    /// Reserves this amount under an id for this time, if what is used and the amount together do not exceed the limit. An
    /// id that is reserved already answers the same, with the amount that it has and the time that it has left; one that
    /// has lapsed has its time anew.
    ///
    /// Where not enough is left, reservations that have lapsed are given back, up to a thousand.
    ///
    /// # Errors
    /// [`BudgetError::Amount`] for an amount of zero or of 2^53 and more; [`BudgetError::Store`], also for a time to live of
    /// zero. After an error it may have been reserved; asked again by the same id it is not reserved twice.
    ///
    /// # Cancel safety
    /// Dropped, it may have been reserved: then it lapses.
    pub async fn reserve(
        &self,
        id: impl AsRef<[u8]>,
        amount: u64,
        ttl: Duration,
    ) -> Result<Reserve, BudgetError> {
        let amount = self::amount("a reservation", amount, 1)?;
        let ttl = Lifetime::new(ttl)?.as_duration();
        let budget = self.for_caller();
        let wanted = Wanted {
            id: id.as_ref(),
            amount,
            ttl,
        };
        let done = budget.within(budget.reserve_or_reap(wanted)).await;
        self.shared.meters.reserved(done.as_ref().ok());
        Ok(done?)
    }

    async fn reserve_or_reap(&self, wanted: Wanted<'_>) -> StoreResult<Reserve> {
        let Wanted { id, amount, ttl } = wanted;
        let mut over = Over {
            amount,
            limit: self.limit,
            used: 0,
        };
        // What the last round gave back is asked for once more.
        for round in 0..=ROUNDS {
            let before = self.shared.clock.monotonic();
            let txn = self.keys.reserve(id, amount, self.limit, ttl);
            let mut sent = self.commit(txn).await?;
            if sent.reply.applied {
                return Ok(self.hold(wanted, before + ttl));
            }
            if let Some(there) = keys::number(sent.reply.mark(0)?)? {
                let there = Wanted {
                    amount: there,
                    ..wanted
                };
                match self.again(there).await? {
                    Some(reserve) => return Ok(reserve),
                    // It was settled just now.
                    None => continue,
                }
            }
            over.used = keys::number(sent.reply.mark(1)?)?.unwrap_or(0);
            let lapsed = sent.reply.members(2)?;
            // All that could be given back would not do, or it was tried often enough.
            if lapsed.is_empty() || amount > self.limit || round == ROUNDS {
                break;
            }
            self.reap(&lapsed).await?;
        }
        Ok(Reserve::Over(over))
    }

    /// What is there already; nothing if it is gone by now.
    async fn again(&self, there: Wanted<'_>) -> StoreResult<Option<Reserve>> {
        let Wanted { id, amount, ttl } = there;
        let before = self.shared.clock.monotonic();
        let mut sent = self.commit(self.keys.revive(id, amount, ttl)).await?;
        if sent.reply.applied {
            return Ok(Some(self.hold(there, before + ttl)));
        }
        let is_same = keys::number(sent.reply.mark(0)?)? == Some(amount);
        let lapses = sent.reply.score(1)?;
        let (Some(lapses), Some(now), true) = (lapses, sent.reply.now, is_same) else {
            return Ok(None);
        };
        Ok(Some(self.hold(there, before + until(lapses, now))))
    }

    /// Gives lapsed reservations back. Where an answer is lost the next refusal tells how it stands.
    async fn reap(&self, lapsed: &[ScoredMember]) -> StoreResult<()> {
        let found = lapsed.iter().filter_map(|it| keys::parse(&it.member));
        let expire = found.map(|(amount, id)| self.keys.expire(&id, amount));
        let replies = match self.kv.commit(expire.collect::<Vec<_>>()).await {
            Ok(replies) => replies,
            Err(error) => vec![Err(error)],
        };
        for reply in replies {
            match reply {
                Ok(reply) if reply.applied => self.shared.meters.lapsed(),
                Err(error) if error.outcome() != Outcome::Unknown => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn hold(&self, of: Wanted<'_>, lapses_at: Duration) -> Reserve {
        Reserve::Reserved(Hold::new(self.clone(), of.id, of.amount, lapses_at))
    }
}

#[derive(Clone, Copy)]
struct Wanted<'a> {
    id: &'a [u8],
    amount: u64,
    ttl: Duration,
}

/// How long it is until then.
fn until(lapses: Score, now: Timestamp) -> Duration {
    let micros = lapses.get() - Score::from(now).get();
    Duration::try_from_secs_f64(micros / 1e6).unwrap_or_default()
}
