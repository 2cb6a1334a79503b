//! Permits: a number of them, shared by all.

use crate::{
    Lock, LockError, LockManager, PermitGuard, SizeMismatch, TooManyPermits,
    claim::{Acquired, Claim, Claims, Kind, Line},
    place::group,
    store::PATIENCE,
    transitions::semaphore::{self, Asked, Asks},
};
use bytes::Bytes;
use kv_core::{Key, Lifetime, Mark, Result, Txn, TxnReply};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// As many as one acquisition may take, so that a purge clears it in one step; some stores take fewer.
const MOST: u32 = 200;

/// A semaphore by its name: a number of permits, of which each acquisition holds some.
///
/// ```
/// # use kv_lock::LockManager;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// let locks = LockManager::new(&kv)?;
/// let exports = locks.semaphore("exports", 5);
/// let small = exports.acquire(1).await?;
/// let large = exports.acquire(4).await?;
/// assert!(exports.permits(1)?.try_acquire().await?.is_none());
/// large.release().await;
/// assert!(exports.permits(3)?.try_acquire().await?.is_some());
/// # drop(small);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Semaphore {
    locks: LockManager,
    name: Bytes,
    size: u64,
}

impl Semaphore {
    pub(crate) fn new(locks: LockManager, name: &[u8], size: u64) -> Self {
        Self {
            locks,
            name: Bytes::copy_from_slice(name),
            size,
        }
    }

    /// So many of its permits, to be acquired together, with a lease and a time to wait of their own.
    ///
    /// # Errors
    /// [`LockError::TooManyPermits`] for none, for more than there are, or for more than the store
    /// moves in one step: 200, on etcd 38.
    pub fn permits(&self, count: u32) -> Result<Lock<Permits>, LockError> {
        let steps = self.locks.store().kv.capabilities().max_txn_ops;
        // Beside them each acquisition purges and takes a fence.
        let most = u64::from(MOST).min(self.size);
        let most = most.min(steps.saturating_sub(2) as u64) as u32;
        if count == 0 || count > most {
            return Err(TooManyPermits { asked: count, most }.into());
        }
        let kind = Permits {
            count,
            size: self.size,
        };
        Ok(self.locks.of_kind(kind, &self.name))
    }

    /// Acquires so many of its permits, waiting without end. Those of one process come in turn: many who
    /// want little do not keep one from coming who wants much. Between processes they may.
    ///
    /// # Errors
    /// As [`permits`](Self::permits) and [`Lock::acquire`]; [`LockError::SizeMismatch`] if the store says
    /// that there are more or fewer permits than this handle, also while waiting.
    ///
    /// # Cancel safety
    /// As [`Lock::acquire`].
    pub async fn acquire(&self, count: u32) -> Result<PermitGuard, LockError> {
        self.permits(count)?.acquire().await
    }

    /// Changes the number of permits for all, and gives a handle that knows it; every other is refused
    /// from now on with [`LockError::SizeMismatch`]. Nothing is taken away: where there are fewer now, nobody
    /// is let in until enough have come back.
    ///
    /// # Errors
    /// The store's. The number may have been changed then; it does no harm to ask again.
    pub async fn resize(&self, size: u64) -> Result<Self, LockError> {
        let place = Place::of(&self.name)?;
        let txn = semaphore::resize(&place, size);
        self.locks.store().commit(txn, PATIENCE).await?;
        Ok(Self {
            size,
            ..self.clone()
        })
    }
}

/// So many permits of a semaphore.
#[derive(Clone, Copy, Debug)]
pub struct Permits {
    pub(crate) count: u32,
    pub(crate) size: u64,
}

/// The keys of a semaphore.
#[derive(Clone, Debug)]
pub struct Place {
    /// How many permits there are.
    pub(crate) size: Key,
    /// Those that are held, each with the end of its lease.
    pub(crate) holders: Key,
    pub(crate) fence: Key,
    /// The channel that tells that some came back.
    pub(crate) free: Key,
}

impl Place {
    pub(crate) fn of(name: &[u8]) -> Result<Self> {
        let group = group("semaphore", name)?;
        Ok(Self {
            size: group.key(":size"),
            holders: group.key(":holders"),
            fence: group.key(":fence"),
            free: group.key(":free"),
        })
    }
}

impl Kind for Permits {
    type Guard = PermitGuard;
}

impl Claims for Permits {
    const NAME: &'static str = "semaphore";

    const ARE_SHARED: bool = true;
    type Place = Place;

    fn place(&self, name: &[u8]) -> Result<Place> {
        Place::of(name)
    }

    fn line(place: &Place) -> Line<'_> {
        Line {
            key: &place.holders,
            free: &place.free,
        }
    }

    fn claim(&self, place: &Place, holder: Mark) -> Arc<dyn Claim> {
        let (count, size) = (self.count, self.size);
        Arc::new(PermitsClaim {
            place: place.clone(),
            asks: Asks {
                holder,
                count,
                size,
            },
            is_unsized: AtomicBool::new(false),
        })
    }
}

#[derive(Debug)]
struct PermitsClaim {
    place: Place,
    asks: Asks,
    /// The first to come says how many there are.
    is_unsized: AtomicBool,
}

impl Claim for PermitsClaim {
    fn acquire(&self, lease: Lifetime) -> Result<Vec<Txn>> {
        let acquire = semaphore::acquire(&self.place, &self.asks, lease)?;
        Ok(match self.is_unsized.load(Ordering::Relaxed) {
            true => vec![semaphore::init(&self.place, self.asks.size), acquire],
            false => vec![acquire],
        })
    }

    fn acquired(&self, mut replies: Vec<TxnReply>) -> Result<Acquired> {
        let Some(reply) = replies.pop() else {
            return Ok(Acquired::Again);
        };
        Ok(match semaphore::asked(&self.asks, reply)? {
            Asked::Granted(fence) => Acquired::Now(fence),
            Asked::IsMine => Acquired::Unnumbered,
            Asked::Unsized => {
                self.is_unsized.store(true, Ordering::Relaxed);
                Acquired::Again
            }
            Asked::OtherSize(store) => Acquired::OtherSize(SizeMismatch {
                here: self.asks.size,
                store,
            }),
            Asked::Busy { left } => Acquired::Busy { left },
        })
    }

    fn renew(&self, lease: Lifetime) -> Txn {
        semaphore::renew(&self.place, &self.asks, lease)
    }

    fn release(&self) -> Txn {
        semaphore::release(&self.place, &self.asks)
    }

    fn kind(&self) -> &'static str {
        Permits::NAME
    }

    fn key(&self) -> &Key {
        &self.place.holders
    }

    fn number(&self, lease: Lifetime) -> Result<Txn> {
        semaphore::number(&self.place, &self.asks, lease)
    }
}
