//! The locks of a program on one store.

use crate::{
    Barrier, Election, Exclusive, Latch, Lock, MultiLock, RwLock, Semaphore, claim::Kind,
    election::Candidate, keeper::Keeper, latch, store::Store, telemetry::Telemetry, terms::Terms,
    waiting::Lines,
};
use bytes::{BufMut, Bytes, BytesMut};
use foldhash::HashMap;
use kv_core::{Clock, Error, ErrorKind, Kv, Mark, Result, SystemClock};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::runtime::{Handle, Id};

/// Unless something else is said.
pub(crate) const LEASE: Duration = Duration::from_secs(10);

/// Locks on one store. A clone is the same manager; a program needs one for each store.
///
/// The context of who acquires a lock, or that the handle is bound to, is what layers see: with tenants
/// in the keys each tenant has its own locks, whatever their names.
#[derive(Clone, Debug)]
pub struct LockManager(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) lease: Duration,
    pub(crate) grace: Option<Duration>,
    pub(crate) wait: Option<Duration>,
    pub(crate) lines: Lines,
    pub(crate) names: Names,
    keepers: Mutex<HashMap<Id, Arc<Keeper>>>,
}

impl LockManager {
    /// Locks on this store, with leases of 10 seconds.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the store, or a layer on it, cannot do what locks need.
    pub fn new(kv: &Kv) -> Result<Self> {
        Self::builder(kv).build()
    }

    /// The same with other leases, or another clock.
    pub fn builder(kv: &Kv) -> LockManagerBuilder {
        LockManagerBuilder {
            kv: kv.clone(),
            clock: Arc::new(SystemClock),
            lease: LEASE,
            grace: None,
            wait: None,
            shown: 0,
        }
    }

    /// A lock by its name; any bytes.
    pub fn lock(&self, name: impl AsRef<[u8]>) -> Lock {
        self.of_kind(Exclusive, name.as_ref())
    }

    /// A read/write lock by its name; any bytes. It has nothing to do with a [`lock`](Self::lock) of the same
    /// name.
    pub fn rw(&self, name: impl AsRef<[u8]>) -> RwLock {
        RwLock::new(self.clone(), name.as_ref())
    }

    /// A semaphore by its name; any bytes. The first to acquire any of its permits tells the store how many
    /// there are; who says another number is refused.
    pub fn semaphore(&self, name: impl AsRef<[u8]>, permits: u64) -> Semaphore {
        Semaphore::new(self.clone(), name.as_ref(), permits)
    }

    /// An election by its name; any bytes.
    pub fn election(&self, name: impl AsRef<[u8]>) -> Election {
        Election::new(self.of_kind(Candidate::default(), name.as_ref()))
    }

    /// Several locks that are acquired together; any bytes are a name, and a name that comes twice
    /// counts once.
    pub fn multi(&self, names: impl IntoIterator<Item = impl AsRef<[u8]>>) -> MultiLock {
        let lock = |name: &Bytes| Lock::new(self.0.clone(), Exclusive, name.clone());
        let names = names.into_iter();
        let names: BTreeSet<_> = names
            .map(|it| Bytes::copy_from_slice(it.as_ref()))
            .collect();
        let locks = names.iter().map(lock).collect();
        MultiLock::new(names, locks, self.0.store.clock.clone(), self.0.wait)
    }

    /// A count-down latch by its name; any bytes. It opens when so many have arrived.
    pub fn latch(&self, name: impl AsRef<[u8]>, count: u32) -> Latch {
        Latch::new(
            self.0.store.clone(),
            latch::What::Latch,
            name.as_ref(),
            count,
        )
    }

    /// A barrier by its name; any bytes. So many parties wait at it for each other.
    pub fn barrier(&self, name: impl AsRef<[u8]>, parties: u32) -> Barrier {
        Barrier::new(&self.0.store, name.as_ref(), parties)
    }

    pub(crate) fn of_kind<K: Kind>(&self, kind: K, name: &[u8]) -> Lock<K> {
        Lock::new(self.0.clone(), kind, Bytes::copy_from_slice(name))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }
}

/// Makes a [`LockManager`].
#[derive(Clone, Debug)]
#[must_use]
pub struct LockManagerBuilder {
    kv: Kv,
    clock: Arc<dyn Clock>,
    lease: Duration,
    grace: Option<Duration>,
    wait: Option<Duration>,
    shown: usize,
}

impl LockManagerBuilder {
    /// The lease of locks that say nothing else; see [`Lock::lease`].
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// The grace of locks that say nothing else; see [`Lock::grace`].
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// How long to wait for locks that say nothing else; see [`Lock::wait`].
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Spans show so many characters of the beginning of names; unless this is said nothing of them,
    /// since names often tell whom they are about.
    pub fn show_names(mut self, characters: usize) -> Self {
        self.shown = characters;
        self
    }

    /// Another clock than the machine's: for tests and simulations.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The manager.
    ///
    /// # Errors
    /// As [`LockManager::new`]; and [`ErrorKind::InvalidArgument`] for a lease that makes no sense.
    pub fn build(self) -> Result<LockManager> {
        let mut store = Store::new(&self.kv, self.clock)?;
        store.telemetry = Arc::new(Telemetry::showing(self.shown));
        Terms::new(self.lease, self.grace, store.skew())?;
        Ok(LockManager(Arc::new(Shared {
            store,
            lease: self.lease,
            grace: self.grace,
            wait: self.wait,
            lines: Lines::default(),
            names: Names::new()?,
            keepers: Mutex::default(),
        })))
    }
}

impl Shared {
    /// Who looks after the locks of this runtime: a lock must not suffer when another runtime ends.
    pub(crate) fn keeper(&self) -> Result<Arc<Keeper>> {
        let runtime = Handle::try_current().map_err(|source| {
            Error::new(ErrorKind::Closed, "locks are acquired in a Tokio runtime")
                .with_source(source)
        })?;
        let mut keepers = self.keepers.lock();
        if let Some(keeper) = keepers.get(&runtime.id()) {
            return Ok(keeper.clone());
        }
        // Those of runtimes that have ended, and others that are made anew when they are needed.
        keepers.retain(|_, it| Arc::strong_count(it) > 1);
        let keeper = Arc::new(Keeper::new(runtime.clone(), self.store.clock.clone()));
        keepers.insert(runtime.id(), keeper.clone());
        Ok(keeper)
    }
}

/// Names of holders that are never used twice, by any process.
#[derive(Debug)]
pub(crate) struct Names {
    /// A version of the format, and this process.
    prefix: String,
    count: AtomicU64,
}

impl Names {
    pub(crate) fn new() -> Result<Self> {
        let mut process = [0; 16];
        getrandom::fill(&mut process).map_err(|source| {
            Error::new(
                ErrorKind::Unexpected,
                "the operating system has no random numbers",
            )
            .with_source(source)
        })?;
        Ok(Self {
            prefix: format!("1:{:032x}", u128::from_ne_bytes(process)),
            count: AtomicU64::new(0),
        })
    }

    /// A version of the format, the name, and what operators are told.
    pub(crate) fn next(&self, metadata: &[u8]) -> Mark {
        /// The longest count, and what ends it.
        const REST: usize = 17;
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut mark = BytesMut::with_capacity(self.prefix.len() + REST + metadata.len());
        mark.put_slice(self.prefix.as_bytes());
        // There is room for it.
        let _ = write!(mark, "{count:x}:");
        mark.put_slice(metadata);
        Mark::new(mark.freeze())
    }
}
