//! A reservation that was made.

use super::{Budget, BudgetError, Settlement, error::amount};
use bytes::Bytes;
use kv_core::Lifetime;
use std::time::Duration;

/// A reservation. Dropped, it does nothing by itself: it lapses when its time is over, and can be settled by its id until
/// then.
#[derive(Debug)]
#[must_use = "settle or release it; else it is reserved until it lapses"]
pub struct Hold {
    budget: Budget,
    id: Bytes,
    amount: u64,
    /// On the monotonic clock.
    lapses_at: Duration,
}

impl Hold {
    pub(super) fn new(budget: Budget, id: &[u8], amount: u64, lapses_at: Duration) -> Self {
        Self {
            budget,
            id: Bytes::copy_from_slice(id),
            amount,
            lapses_at,
        }
    }

    /// The id by which it is known.
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    /// How much is reserved.
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// How long it is reserved still; rounded so that it is over here before it is on the store.
    pub fn remaining(&self) -> Duration {
        let now = self.budget.shared.clock.monotonic();
        self.lapses_at.saturating_sub(now)
    }

    /// As [`Budget::settle`], of this reservation alone: if its id was reserved anew with another amount, that is spared.
    ///
    /// # Errors
    /// As [`Budget::settle`].
    ///
    /// # Cancel safety
    /// As [`Budget::settle`].
    pub async fn settle(&self, actual: u64) -> Result<Settlement, BudgetError> {
        let actual = amount("what a reservation cost", actual, 0)?;
        let settles = self.budget.settle_amount(&self.id, self.amount, actual);
        let settled = self.budget.within(settles).await?;
        Ok(settled)
    }

    /// Gives all of it back.
    ///
    /// # Errors
    /// As [`Budget::settle`].
    ///
    /// # Cancel safety
    /// As [`Budget::settle`].
    pub async fn release(&self) -> Result<Settlement, BudgetError> {
        self.settle(0).await
    }

    /// Lets it lapse this long from now, whenever it would have. Tells whether it is there; if not, it was settled, or had
    /// lapsed and its room was given to another.
    ///
    /// # Errors
    /// As [`Budget::extend`].
    ///
    /// # Cancel safety
    /// As [`Budget::extend`].
    pub async fn extend(&mut self, ttl: Duration) -> Result<bool, BudgetError> {
        let ttl = Lifetime::new(ttl)?.as_duration();
        let before = self.budget.shared.clock.monotonic();
        let txn = self.budget.keys.extend(&self.id, self.amount, ttl);
        let sent = self.budget.within(self.budget.commit(txn)).await?;
        if sent.reply.applied {
            self.lapses_at = before + ttl;
        }
        Ok(sent.reply.applied)
    }
}
