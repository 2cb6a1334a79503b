//! The level on the store: every call has a deadline, and is made for one caller.

mod caller;
mod fallback;
mod nonce;
pub(crate) mod tagging;
mod time;
pub(crate) mod transitions;

pub use self::fallback::Fallback;
pub(crate) use self::{caller::FarCaller, fallback::LIFE};

use self::{
    fallback::{Rank, Second},
    nonce::{Nonce, Nonces},
    time::StoreTime,
    transitions::{Answer, Found, Issue},
};
use crate::{
    across::{Channel, Number, What},
    place::{Entry, TagKeys},
    policy::Policy,
    tags::Sight,
};
use kv_core::{
    Capability, Clock, Error, ErrorKind, Events, Kv, Lifetime, Mark, Result, Timestamp, Txn,
    TxnReply, Value, Watch,
};
use std::{fmt, sync::Arc, time::Duration};

/// How long one call to the store may take, unless something else is said.
pub(crate) const DEADLINE: Duration = Duration::from_millis(500);

/// How long it may be at most.
const LONGEST_DEADLINE: Duration = Duration::from_secs(3600);

/// How long the records of a tag last, at least and at most.
const TAG_LIVES: (Duration, Duration) = (
    Duration::from_secs(7 * 24 * 3600),
    Duration::from_secs(3650 * 24 * 3600),
);

/// What the level cannot do without. What it compares are marks, which layers that change values leave alone.
const NEEDS: [Capability; 3] = [
    Capability::HeldExpiry,
    Capability::Commit,
    Capability::Channels,
];

/// The level on a store, which all processes share.
#[derive(Clone, Debug)]
pub struct Far {
    kv: Kv,
    deadline: Duration,
    fallback: Option<Fallback>,
}

impl Far {
    /// On this store. It is used for whoever calls the cache, unless the handle is bound.
    pub fn new(kv: &Kv) -> Self {
        Self {
            kv: kv.clone(),
            deadline: DEADLINE,
            fallback: None,
        }
    }

    /// How long one call to the store may take; after that the cache goes on without. Half a second, unless
    /// this is said.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// With a second store, which takes the place of this one while it is in trouble: then one process still loads for all, and
    /// they share what it brings, for a short [life](Fallback::life). Once this store answers again it is asked as before, at
    /// the latest when what came from the other has been trusted for as long as anything is.
    ///
    /// What is removed, expired or written is removed or expired on both at the same time. What the second has not taken
    /// nobody is told: while processes disagree on whether this store is in trouble, one of them may be shown what
    /// was removed by a process that reached this one only, for the life of an entry there. A fallback that does not answer
    /// costs a removal its deadline as well.
    ///
    /// A call that fails here costs this store's deadline before the second one is asked, unless a layer `circuit_breaker` on
    /// this store answers at once.
    ///
    /// ```
    /// use kv_cache::{Cache, Fallback, Far, Near};
    /// # use kv_core::Kv;
    /// # use kv_memory::MemoryStore;
    /// # use std::{convert::Infallible, time::Duration};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = async || Kv::builder(MemoryStore::default()).connect().await;
    /// # let (redis, etcd) = (store().await?, store().await?);
    /// let second = Fallback::new(&etcd).life(Duration::from_secs(10));
    /// let prices = Cache::<str, u32>::builder("prices")
    ///     .near(Near::megabytes(64))
    ///     .far(Far::new(&redis).fallback(second))
    ///     .build()?;
    /// redis.close().await;
    /// prices.cached("apple", async { Ok::<u32, Infallible>(7) }).await?;
    /// prices.idle().await;
    ///
    /// // Another process, whose store is in trouble as well.
    /// # let others = Cache::<str, u32>::builder("prices").far(Far::new(&redis).fallback(&etcd)).build()?;
    /// assert_eq!(*others.cached("apple", async { Ok::<u32, Infallible>(8) }).await?, 7);
    /// assert_eq!(others.stats().fallback_hits, 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn fallback(self, fallback: impl Into<Fallback>) -> Self {
        Self {
            fallback: Some(fallback.into()),
            ..self
        }
    }
}

impl From<&Kv> for Far {
    fn from(kv: &Kv) -> Self {
        Self::new(kv)
    }
}

/// The level, for all callers.
pub(crate) struct FarLevel {
    kv: Kv,
    clock: Arc<dyn Clock>,
    time: Arc<StoreTime>,
    deadline: Duration,
    /// How long a load may take on the store: longer than the longest in this process.
    lease: Lifetime,
    nonces: Nonces,
    tags: TagKeys,
    tag_life: Lifetime,
    second: Option<Second>,
}

/// One entry, for one caller.
#[derive(Clone)]
pub(crate) struct FarEntry {
    pub(crate) caller: FarCaller,
    entry: Entry,
    /// What others call it.
    name: Box<[u8]>,
    lease: Lifetime,
    nonce: Nonce,
}

/// What is asked for with a lease, and what the answer means.
type Question = (
    fn(&Entry, &Mark, Lifetime) -> Txn,
    fn(&Mark, TxnReply) -> Result<Answer>,
);

/// What became of a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    Taken,
    /// The lease was gone: something has been removed, or written, since.
    Dropped,
}

impl FarLevel {
    pub(crate) fn new(
        far: Far,
        policy: &Policy,
        tags: TagKeys,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let capabilities = far.kv.capabilities();
        if let Some(missing) = NEEDS.into_iter().find(|&it| !capabilities.has(it)) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "a cache needs what this store, or a layer on it, cannot do",
            )
            .with_context("missing", missing));
        }
        if far.deadline.is_zero() {
            return Err(Error::new(
                ErrorKind::Config,
                "the deadline of the store must be longer than zero, or it is never asked",
            ));
        }
        let [base, _] = tags.of(None);
        let second = far.fallback;
        let second = second.map(|it| Second::new(it, &far.kv, base.as_bytes()));
        let second = second.transpose()?;
        let deadlines = second.iter().filter_map(|it| it.deadline);
        let deadline = deadlines.fold(far.deadline, Duration::max);
        if deadline > LONGEST_DEADLINE {
            return Err(Error::new(
                ErrorKind::Config,
                "the deadline of a store must be no longer than an hour: a cache goes on without one that takes so long",
            ));
        }
        // Asked, loaded for as long as that may take, filled.
        let lease = policy.longest_load() + deadline * 2 + Duration::from_secs(1);
        Ok(Self {
            kv: far.kv,
            clock,
            time: Arc::default(),
            deadline: far.deadline,
            lease: Lifetime::new(lease)?,
            nonces: Nonces::new(),
            tags,
            tag_life: Lifetime::new(tag_life(policy))?,
            second,
        })
    }

    pub(crate) fn resolve_in(&self, key: &mut Vec<u8>) -> Result<()> {
        self.kv.resolve_in(key)
    }

    /// For who calls now, also where it is used in the background.
    pub(crate) fn caller(
        &self,
        channel: impl FnOnce(Kv, Duration) -> Option<Arc<Channel>>,
    ) -> FarCaller {
        let kv = match self.kv.caller() {
            Some(caller) => self.kv.bind(caller),
            None => self.kv.clone(),
        };
        let mut caller = FarCaller {
            channel: channel(kv.clone(), self.deadline),
            kv,
            clock: self.clock.clone(),
            time: self.time.clone(),
            deadline: self.deadline,
            tags: self.tags.clone(),
            tag_life: self.tag_life,
            rank: Rank::Only,
        };
        if let Some(second) = &self.second {
            caller.rank = Rank::First(Box::new(second.beside(&caller)));
        }
        caller
    }

    /// Whether there is a second store.
    pub(crate) fn has_second(&self) -> bool {
        self.second.is_some()
    }

    pub(crate) fn entry(&self, key: &[u8], caller: FarCaller) -> Result<FarEntry> {
        Ok(FarEntry {
            caller,
            entry: Entry::new(key)?,
            name: key.into(),
            lease: self.lease,
            nonce: self.nonces.next(),
        })
    }
}

impl FarEntry {
    /// The entry, or the lease on it; and the versions of the tags.
    pub(crate) async fn get_or_lease(&self, tags: &mut Sight) -> Result<Answer> {
        self.ask((transitions::get_or_lease, transitions::answered), tags)
            .await
    }

    /// The lease, whatever is there; and the versions of the tags.
    pub(crate) async fn refresh_lease(&self, tags: &mut Sight) -> Result<Answer> {
        self.ask((transitions::refresh_lease, transitions::answered), tags)
            .await
    }

    /// The lease, if nobody has it, without a look at what is there; and the versions of the tags.
    pub(crate) async fn lease_unread(&self, tags: &mut Sight) -> Result<Answer> {
        self.ask(
            (transitions::lease_unread, transitions::answered_unread),
            tags,
        )
        .await
    }

    async fn ask(&self, (question, answer): Question, tags: &mut Sight) -> Result<Answer> {
        let asked = self.caller.clock.monotonic();
        let nonce = self.nonce.mark();
        let txn = question(&self.entry, &nonce, self.lease);
        let reply = self.caller.commit_seeing(txn, tags).await?;
        let answer = answer(&nonce, reply)?;
        self.caller.told(answer.now, asked);
        Ok(answer)
    }

    /// The lease, whoever has it; and the versions of the tags.
    pub(crate) async fn seize(&self, tags: &mut Sight) -> Result<Issue> {
        let asked = self.caller.clock.monotonic();
        let txn = transitions::seize(&self.entry, &self.nonce.mark(), self.lease);
        let issue = transitions::seized(self.caller.commit_seeing(txn, tags).await?)?;
        self.caller.told(issue.at, asked);
        Ok(issue)
    }

    /// What is there, and the versions of the tags; the least is asked that will do.
    pub(crate) async fn look(&self, tags: &mut Sight) -> Result<Option<Found>> {
        if let Some(now) = self.may_glance(tags) {
            let found = Self::glance(&[self], now).await?.pop();
            return Ok(found.flatten());
        }
        let asked = self.caller.clock.monotonic();
        let txn = transitions::look(&self.entry);
        let (found, now) = transitions::looked(self.caller.commit_seeing(txn, tags).await?)?;
        self.caller.told(now, asked);
        Ok(found)
    }

    /// The store's time, if that and the versions of the tags are known, so that a [`glance`](Self::glance) will do.
    pub(crate) fn may_glance(&self, tags: &Sight) -> Option<Timestamp> {
        let now = self.caller.time.at(self.caller.clock.monotonic())?;
        tags.is_all_known().then_some(now)
    }

    /// What is there of entries of one caller, by plain reads.
    pub(crate) async fn glance(entries: &[&Self], now: Timestamp) -> Result<Vec<Option<Found>>> {
        let Some(Self { caller, .. }) = entries.first() else {
            return Ok(Vec::new());
        };
        let keys = transitions::glance(entries.iter().map(|it| &it.entry));
        transitions::glanced(caller.read(keys).await?, now)
    }

    pub(crate) async fn fill(&self, envelope: Value, life: Lifetime) -> Result<Filled> {
        let txn = transitions::fill(&self.entry, &self.nonce.mark(), envelope, life);
        self.caller.commit(txn).await.map(|it| filled(&it))
    }

    /// As [`fill`](Self::fill), of what is not a copy of what others have: theirs go.
    pub(crate) async fn write(&self, envelope: Value, life: Lifetime) -> Result<Filled> {
        let txn = transitions::fill(&self.entry, &self.nonce.mark(), envelope, life);
        let what = What::Removed(self.name.to_vec());
        let done = self.caller.commit_and_tell(txn, what).await;
        done.map(|it| filled(&it))
    }

    pub(crate) async fn give_up(&self) -> Result<()> {
        let txn = transitions::give_up(&self.entry, &self.nonce.mark());
        self.caller.commit(txn).await.map(drop)
    }

    pub(crate) async fn invalidate(&self) -> Result<()> {
        let txn = transitions::invalidate(&self.entry);
        let what = What::Removed(self.name.to_vec());
        self.caller.commit_and_tell(txn, what).await.map(drop)
    }

    pub(crate) async fn expire(&self, life: Lifetime) -> Result<()> {
        let txn = transitions::expire(&self.entry, life);
        let what = What::Expired(self.name.to_vec());
        self.caller.commit_and_tell(txn, what).await.map(drop)
    }

    /// Hears of the end of loads, from before this returns on.
    pub(crate) async fn listen(&self) -> Result<Events> {
        let channel = self.entry.told();
        let watch = Watch::Channels(vec![channel]);
        self.caller.within().watch(watch).await
    }

    /// Where it would be told that the entry does not hold any more, if anybody listens.
    pub(crate) fn heard(&self) -> Option<Number> {
        self.caller.heard()
    }
}

/// The records of a tag are not prolonged by their use, and what has the tag is loaded anew when they end: so they
/// last for several lives of an entry, and not for ever, since there may be any number of tags.
fn tag_life(policy: &Policy) -> Duration {
    let entry = policy.fresh.saturating_add(policy.stale);
    (entry.saturating_mul(2).min(TAG_LIVES.1)).max(TAG_LIVES.0)
}

fn filled(reply: &TxnReply) -> Filled {
    match reply.applied {
        true => Filled::Taken,
        false => Filled::Dropped,
    }
}

impl fmt::Debug for FarLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FarLevel")
            .field("kv", &self.kv)
            .field("deadline", &self.deadline)
            .field("lease", &self.lease)
            .field("second", &self.second)
            .finish()
    }
}
