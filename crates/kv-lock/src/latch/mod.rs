//! Waiting until so many have arrived.

mod barrier;
mod error;

pub use self::{barrier::Barrier, error::LatchError};

use crate::{
    lock::is_final,
    news::{LOOK, News},
    place,
    store::{PATIENCE, Store},
    transitions::latch::{self, Found},
};
use bytes::Bytes;
use futures_util::future::{Either, select};
use kv_core::{Arg, Error, ErrorKind, Key, Lifetime, Member, Result};
use parking_lot::Mutex;
use std::{pin::pin, time::Duration};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A count-down latch: who waits at it waits until so many participants have arrived. Then it is open, also
/// for those who come later.
///
/// Each participant has a name and counts once, however often it says that it has arrived: a process that is
/// started again under the same name does no harm. That a participant has died is not noticed. All
/// of it is forgotten a day, or its [`lifetime`](Self::lifetime), after the last arrival: then it is closed, and
/// counts from nothing.
///
/// ```
/// # use kv_lock::LockManager;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// # let locks = LockManager::new(&kv)?;
/// let loaded = locks.latch("loaded/2026-11-22", 2);
/// assert_eq!(loaded.arrive("orders").await?.missing(), 1);
/// assert_eq!(loaded.arrive("orders").await?.missing(), 1);
/// loaded.arrive("customers").await?;
/// loaded.wait().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Latch {
    store: Store,
    what: What,
    name: Bytes,
    count: u32,
    lifetime: Duration,
    timeout: Option<Duration>,
}

/// How far a [`Latch`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// So many have arrived; it may be more than are needed.
    pub arrived: u64,
    /// So many are needed.
    pub count: u32,
}

/// The latches that there are, by what their keys begin and go on with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Latch,
    Enter,
    Leave,
}

/// The keys of a latch, in one group.
#[derive(Debug)]
pub(crate) struct Place {
    /// How many are needed.
    pub(crate) count: Key,
    /// Who has arrived.
    pub(crate) arrived: Key,
    /// The channel that tells each arrival.
    pub(crate) arrivals: Key,
}

impl Latch {
    pub(crate) fn new(store: Store, what: What, name: &[u8], count: u32) -> Self {
        Self {
            store,
            what,
            name: Bytes::copy_from_slice(name),
            count,
            lifetime: DAY,
            timeout: None,
        }
    }

    /// How long it is remembered after an arrival, a day if nothing is said.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// How long [`wait`](Self::wait) waits; without end if nothing is said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Says that this participant has arrived: one round trip. The name is stored as it is, no layer
    /// encrypts it.
    ///
    /// # Errors
    /// [`LatchError::Mismatch`] if others count to another number, then it does not count; or the store's,
    /// then it may have arrived: say it again.
    ///
    /// # Cancel safety
    /// Dropped, it may have arrived.
    pub async fn arrive(&self, participant: impl Arg<Member>) -> Result<Progress, LatchError> {
        let participant = participant.into_arg()?;
        let (store, place) = self.site()?;
        let keep = Lifetime::new(self.lifetime)?;
        let txns = latch::arrive(&place, &participant, self.count, keep);
        for _ in 0..3 {
            let found = latch::arrive_seen(store.commit_again(&txns).await?)?;
            // It has ended in between: this one begins it anew.
            if !matches!(found, Found::Other(None)) {
                return self.progress_of(found);
            }
        }
        let message = "the latch was deleted again and again";
        Err(Error::new(ErrorKind::Unavailable, message).into())
    }

    /// How far it is: one round trip.
    ///
    /// # Errors
    /// [`LatchError::Mismatch`] if others count to another number, or the store's.
    pub async fn progress(&self) -> Result<Progress, LatchError> {
        let (store, place) = self.site()?;
        self.look(&store, &place).await
    }

    /// Waits until it is open. Who waits is woken by those who arrive, not by each: about when the last
    /// does; and looks by itself once a minute.
    ///
    /// # Errors
    /// [`LatchError::Timeout`] if too few have arrived in time; [`LatchError::Mismatch`] if others count to
    /// another number; or the store's. Without a timeout, errors of the store that may pass are waited out.
    ///
    /// # Cancel safety
    /// It may be dropped and asked for again.
    pub async fn wait(&self) -> Result<(), LatchError> {
        self.wait_beyond(None).await
    }

    /// With what is known already.
    async fn wait_beyond(&self, known: Option<Progress>) -> Result<(), LatchError> {
        let (store, place) = self.site()?;
        // How far it was, or why that is unknown.
        let last = Mutex::new(Ok(known.unwrap_or(self.closed())));
        let work = pin!(self.follow(&store, &place, known, &last));
        let Some(timeout) = self.timeout else {
            return work.await;
        };
        match select(work, store.clock.sleep(timeout)).await {
            Either::Left((done, _)) => done,
            Either::Right(_) => match std::mem::replace(&mut *last.lock(), Ok(self.closed())) {
                Ok(progress) => Err(LatchError::Timeout(progress)),
                Err(error) => Err(LatchError::Store(error)),
            },
        }
    }

    async fn follow(
        &self,
        store: &Store,
        place: &Place,
        known: Option<Progress>,
        last: &Mutex<Result<Progress>>,
    ) -> Result<(), LatchError> {
        let mut news: Option<News> = known.map(|_| News::default());
        if known.is_some_and(Progress::is_open) {
            return Ok(());
        }
        let mut pause = Duration::from_millis(10);
        loop {
            let looked = async {
                if let Some(news) = &mut news {
                    news.listen(store, &[&place.arrivals]).await?;
                }
                self.look(store, place).await
            };
            match looked.await {
                Ok(progress) if progress.is_open() => return Ok(()),
                Ok(progress) => {
                    *last.lock() = Ok(progress);
                    pause = Duration::from_millis(10);
                    // What is open already needs no subscription; else it is looked once more with it.
                    if let Some(news) = &mut news {
                        let time = LOOK.mul_f64(0.9 + 0.1 * fastrand::f64());
                        news.heard(store, progress.missing(), time).await;
                    }
                    news.get_or_insert_default();
                }
                Err(LatchError::Store(error)) if !is_final(&error) => {
                    *last.lock() = Err(error);
                    let pause_now = pause.mul_f64(0.5 + fastrand::f64());
                    store.clock.sleep(pause_now).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn look(&self, store: &Store, place: &Place) -> Result<Progress, LatchError> {
        let look = latch::look(place, self.count);
        self.progress_of(latch::seen(store.commit(look, PATIENCE).await?)?)
    }

    fn progress_of(&self, found: Found) -> Result<Progress, LatchError> {
        let theirs = match found {
            Found::Arrived(arrived) => {
                return Ok(Progress {
                    arrived,
                    count: self.count,
                });
            }
            Found::Other(None) => return Ok(self.closed()),
            Found::Other(Some(theirs)) => theirs,
        };
        let theirs = theirs.to_str()?.parse().map_err(|source| {
            Error::new(ErrorKind::Codec, "what a latch counts to is no number").with_source(source)
        })?;
        Err(LatchError::Mismatch {
            ours: self.count,
            theirs,
        })
    }

    fn closed(&self) -> Progress {
        Progress {
            arrived: 0,
            count: self.count,
        }
    }

    /// The store for who calls now, and where on it this is.
    fn site(&self) -> Result<(Store, Place)> {
        if self.count == 0 {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "a latch needs at least one participant",
            ));
        }
        let place = Place::of(self.what, &self.name)?;
        Ok((self.store.for_caller(), place))
    }
}

impl Place {
    pub(crate) fn of(what: What, name: &[u8]) -> Result<Self> {
        let (group, part) = match what {
            What::Latch => ("latch", ""),
            What::Enter => ("barrier", ":enter"),
            What::Leave => ("barrier", ":leave"),
        };
        let group = place::group(group, name)?;
        let key = |name| group.key(format!("{part}:{name}"));
        Ok(Self {
            count: key("count"),
            arrived: key("arrived"),
            arrivals: key("arrivals"),
        })
    }
}

impl Progress {
    /// Whether enough have arrived.
    pub fn is_open(self) -> bool {
        self.missing() == 0
    }

    /// How many have not arrived.
    pub fn missing(self) -> u64 {
        u64::from(self.count).saturating_sub(self.arrived)
    }
}
