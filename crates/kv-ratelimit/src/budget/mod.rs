//! Budgets: sums that are reserved before they are spent.

mod error;
mod hold;
mod keys;
mod reserve;
#[cfg(test)]
mod tests;

pub use self::{
    error::{AmountError, BudgetError},
    hold::Hold,
    reserve::{Over, Reserve},
};

use self::{error::amount, keys::Keys};
use crate::telemetry::BudgetMeters;
use kv_core::{
    Capability, Clock, Error, ErrorKind, Kv, Lifetime, Outcome, Result as StoreResult, SystemClock,
    Timers, Txn, TxnReply,
};
use std::{fmt, sync::Arc, time::Duration};

/// How long a call may take, unless something else is said.
const DEADLINE: Duration = Duration::from_secs(5);
/// A step of which nobody knows whether it was done is sent so often.
const SENT_AT_MOST: u32 = 3;
/// Who settles by the id alone reads the amount first; it may have changed so often meanwhile.
const LOOKS: u32 = 5;

/// Budgets on one store: sums of money, tokens or bytes that nobody may exceed together. A clone is the same;
/// a program needs one for each store.
///
/// What will be spent is reserved first, by an estimate, and settled when it is known. A reservation that is neither
/// settled nor released, because its holder died, lapses and gives its room back. The context of who asks, or that the
/// handle is bound to, is what layers see: with tenants in the keys each tenant has its own budgets.
///
/// Reservations are known by the ids that callers give them, one for each thing that is paid for: the id of a request or of a
/// task. Each step is bound to its id, so it is done once, however often it is sent; that is why a step whose answer was
/// lost can be sent again, which is done here, and why a caller that crashed can reserve and settle again by the same id.
/// An id should not be used for something else once it is settled: who still holds the first reservation could settle the second.
///
/// ```
/// use kv_ratelimit::{Budgets, Reserve, Settlement};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// let budgets = Budgets::new(&kv)?;
/// // So many tokens of a language model for this customer.
/// let budget = budgets.budget("tokens/ann", 10_000)?;
/// let Reserve::Reserved(hold) = budget.reserve("request-7", 2_000, Duration::from_secs(60)).await? else {
///     panic!("nothing has been spent yet");
/// };
/// // It took less than was thought.
/// assert_eq!(hold.settle(1_200).await?, Settlement::Settled);
/// assert_eq!(budget.standing().await?.left(), 8_800);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Budgets(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kv: Kv,
    clock: Arc<dyn Clock>,
    timers: Timers,
    meters: BudgetMeters,
}

/// One budget: a name and a limit. The limit is not stored: who asks with a smaller one is refused earlier.
#[derive(Clone)]
#[must_use]
pub struct Budget {
    shared: Arc<Shared>,
    /// For whom, where it is used elsewhere.
    kv: Kv,
    keys: Arc<Keys>,
    limit: u64,
}

/// What came of a settlement or a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settlement {
    /// It counts now.
    Settled,
    /// There is no such reservation, and nothing was changed: it was never made, was settled or released before, or lapsed
    /// and its room was given to another.
    Unknown,
    /// The answer of the store was lost, and when it was asked again there was no such reservation any more: it was
    /// settled just then, unless it had lapsed before.
    Unsure,
}

/// How a budget stands, as if all were of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// The limit of the [`Budget`] that was asked.
    pub limit: u64,
    /// What is settled and what is reserved, together.
    pub used: u64,
    /// What is reserved, lapsed reservations included.
    pub reserved: u64,
    /// How many reservations there are, lapsed ones included.
    pub pending: u64,
    /// How many of them have lapsed: who needs their room will have it.
    pub lapsed: u64,
}

impl Standing {
    /// What is settled.
    pub fn spent(&self) -> u64 {
        self.used.saturating_sub(self.reserved)
    }

    /// What can be reserved, without the room of lapsed reservations.
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

impl Budgets {
    /// Budgets on this store.
    ///
    /// # Errors
    /// As [`BudgetsBuilder::build`].
    pub fn new(kv: &Kv) -> Result<Self, BudgetError> {
        Self::builder(kv).build()
    }

    /// The same with another clock or deadline.
    pub fn builder(kv: &Kv) -> BudgetsBuilder {
        BudgetsBuilder {
            kv: kv.clone(),
            clock: Arc::new(SystemClock),
            deadline: DEADLINE,
        }
    }

    /// A budget, which begins unused. Any bytes are a name.
    ///
    /// # Errors
    /// [`BudgetError::Amount`] for a limit of 2^53 and more; [`BudgetError::Store`] if the key would be too long.
    pub fn budget(&self, name: impl AsRef<[u8]>, limit: u64) -> Result<Budget, BudgetError> {
        Ok(Budget {
            shared: self.0.clone(),
            kv: self.0.kv.clone(),
            keys: Arc::new(Keys::new(name.as_ref())?),
            limit: amount("the limit of a budget", limit, 0)?,
        })
    }
}

/// Makes [`Budgets`].
#[derive(Clone, Debug)]
#[must_use]
pub struct BudgetsBuilder {
    kv: Kv,
    clock: Arc<dyn Clock>,
    deadline: Duration,
}

impl BudgetsBuilder {
    /// How long a call may take, all that it sends included: 5 s unless said otherwise.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Another clock than the machine's: for tests and simulations.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The budgets.
    ///
    /// # Errors
    /// [`BudgetError::Store`] if the store, or a layer on it, cannot do what budgets need, or the deadline is zero.
    pub fn build(self) -> Result<Budgets, BudgetError> {
        if !self.kv.capabilities().has(Capability::Commit) {
            let text = "budgets need transactions, which this store, or a layer on it, cannot do";
            return Err(Error::new(ErrorKind::Unsupported, text).into());
        }
        if self.deadline.is_zero() {
            let text = "the deadline of a budget must not be zero";
            return Err(Error::new(ErrorKind::InvalidArgument, text).into());
        }
        Ok(Budgets(Arc::new(Shared {
            kv: self.kv,
            timers: Timers::new(self.clock.clone(), self.deadline),
            clock: self.clock,
            meters: BudgetMeters::new(),
        })))
    }
}

impl Budget {
    /// What may be reserved and settled in all.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Counts what a reservation really cost, which may be more than was reserved, and more than is left. One that has lapsed
    /// can be settled as long as nobody has needed its room.
    ///
    /// # Errors
    /// [`BudgetError::Amount`] for 2^53 and more; [`BudgetError::Store`], after which it can be settled again: it
    /// counts once.
    ///
    /// # Cancel safety
    /// Dropped, it may have been settled or not.
    pub async fn settle(
        &self,
        id: impl AsRef<[u8]>,
        actual: u64,
    ) -> Result<Settlement, BudgetError> {
        let actual = amount("what a reservation cost", actual, 0)?;
        let settled = self.within(self.settle_by_id(id.as_ref(), actual)).await?;
        Ok(settled)
    }

    /// Gives all that was reserved back.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    ///
    /// # Cancel safety
    /// As [`settle`](Self::settle).
    pub async fn release(&self, id: impl AsRef<[u8]>) -> Result<Settlement, BudgetError> {
        self.settle(id, 0).await
    }

    /// Lets a reservation lapse this long from now, whenever it would have. Tells whether it is there.
    ///
    /// # Errors
    /// [`BudgetError::Store`], also for a time to live of zero.
    ///
    /// # Cancel safety
    /// Dropped, it may have been extended or not.
    pub async fn extend(&self, id: impl AsRef<[u8]>, ttl: Duration) -> Result<bool, BudgetError> {
        let ttl = Lifetime::new(ttl)?.as_duration();
        let extended = self.within(self.extend_by_id(id.as_ref(), ttl)).await?;
        Ok(extended)
    }

    /// How it stands. With more than 200 reservations the sum of those is read after the rest.
    ///
    /// # Errors
    /// [`BudgetError::Store`].
    pub async fn standing(&self) -> Result<Standing, BudgetError> {
        let standing = self.within(self.read()).await?;
        Ok(standing)
    }

    /// Makes it unused, and forgets all reservations: settling one of them changes nothing any more.
    ///
    /// # Errors
    /// [`BudgetError::Store`].
    pub async fn reset(&self) -> Result<(), BudgetError> {
        self.within(self.commit(self.keys.reset())).await?;
        Ok(())
    }

    async fn settle_by_id(&self, id: &[u8], actual: u64) -> StoreResult<Settlement> {
        for _ in 0..LOOKS {
            let Some(reserved) = self.reserved(id).await? else {
                return Ok(Settlement::Unknown);
            };
            let settled = self.settle_amount(id, reserved, actual).await?;
            // It was reserved anew with another amount, or is gone.
            if settled != Settlement::Unknown {
                return Ok(settled);
            }
        }
        Ok(Settlement::Unknown)
    }

    async fn settle_amount(
        &self,
        id: &[u8],
        reserved: u64,
        actual: u64,
    ) -> StoreResult<Settlement> {
        let sent = self.commit(self.keys.settle(id, reserved, actual)).await?;
        if sent.reply.applied {
            self.shared.meters.settled(actual);
        }
        Ok(match (sent.reply.applied, sent.lost) {
            (true, _) => Settlement::Settled,
            (false, 0) => Settlement::Unknown,
            (false, _) => Settlement::Unsure,
        })
    }

    async fn extend_by_id(&self, id: &[u8], ttl: Duration) -> StoreResult<bool> {
        for _ in 0..LOOKS {
            let Some(reserved) = self.reserved(id).await? else {
                return Ok(false);
            };
            let sent = self.commit(self.keys.extend(id, reserved, ttl)).await?;
            if sent.reply.applied {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How much, if it is reserved.
    async fn reserved(&self, id: &[u8]) -> StoreResult<Option<u64>> {
        let mut sent = self.commit(self.keys.amount(id)).await?;
        keys::number(sent.reply.mark(0)?)
    }

    async fn read(&self) -> StoreResult<Standing> {
        let mut sent = self.commit(self.keys.standing()).await?;
        let used = keys::number(sent.reply.mark(0)?)?.unwrap_or(0);
        let (pending, lapsed) = (sent.reply.count(1)?, sent.reply.count(2)?);
        let mut members = sent.reply.members(3)?;
        if pending > members.len() as u64 {
            members = self.keys.all(&self.kv).await?;
        }
        let amounts = members.iter().filter_map(|it| keys::parse(&it.member));
        Ok(Standing {
            limit: self.limit,
            used,
            reserved: amounts.map(|(amount, _)| amount).sum(),
            pending,
            lapsed,
        })
    }

    /// One step, sent again while nobody knows whether it was done. That does no harm: each is bound to its id,
    /// and refused if it was done.
    async fn commit(&self, txn: Txn) -> StoreResult<Sent> {
        let mut lost = 0;
        loop {
            match self.kv.commit_one(txn.clone()).await {
                Ok(reply) => return Ok(Sent { reply, lost }),
                Err(error) if error.outcome() == Outcome::Unknown && lost + 1 < SENT_AT_MOST => {
                    lost += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// All of a call, for no longer than its deadline.
    async fn within<T>(&self, call: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        let timers = &self.shared.timers;
        timers.timeout(call).await.unwrap_or_else(|| {
            let text = format!("the store has not answered within {:?}", timers.limit());
            Err(Error::new(ErrorKind::Timeout, text)
                .with_outcome(Outcome::Unknown)
                .with_key(self.keys.used()))
        })
    }

    /// The same for who calls now, also where another goes on with it.
    fn for_caller(&self) -> Self {
        let kv = match self.kv.caller() {
            Some(caller) => self.kv.bind(caller),
            None => self.kv.clone(),
        };
        Self { kv, ..self.clone() }
    }
}

/// An answer, and how many were lost before it.
struct Sent {
    reply: TxnReply,
    lost: u32,
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({:?}, limit {})", self.keys.used(), self.limit)
    }
}
