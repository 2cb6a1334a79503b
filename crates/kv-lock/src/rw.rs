//! The lock that many read or one writes.

use crate::{
    Lock, LockManager, ReadGuard, WriteGuard,
    claim::{Acquired, Claim, Claims, Kind, Line},
    place::group,
    transitions::rw,
};
use bytes::Bytes;
use kv_core::{Key, Lifetime, Mark, Result, Txn, TxnReply};
use std::sync::Arc;

/// A read/write lock by its name: many read at once, or one writes.
///
/// Writers come first: while one waits, no new reader is let in, so readers that come and go for ever keep
/// no writer out. The reverse may happen: writers that come and go for ever starve readers. Nothing is
/// upgraded or downgraded: who reads and wants to write releases first, and looks again at what it read.
///
/// ```
/// # use kv_lock::LockManager;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// let locks = LockManager::new(&kv)?;
/// let catalog = locks.rw("catalog");
/// let (ann, bob) = (catalog.read().acquire().await?, catalog.read().acquire().await?);
/// assert!(catalog.write().try_acquire().await?.is_none());
/// ann.release().await;
/// bob.release().await;
/// let writer = catalog.write().acquire().await?;
/// writer.fenced_put("catalog/index", "v2").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RwLock {
    locks: LockManager,
    name: Bytes,
}

impl RwLock {
    pub(crate) fn new(locks: LockManager, name: &[u8]) -> Self {
        Self {
            locks,
            name: Bytes::copy_from_slice(name),
        }
    }

    /// The side that many may hold at once, while no writer holds it or waits.
    pub fn read(&self) -> Lock<Read> {
        self.locks.of_kind(Read, &self.name)
    }

    /// The side that one at a time may hold, while nobody reads. Waiting, it keeps new readers out;
    /// [`try_acquire`](Lock::try_acquire) does not.
    pub fn write(&self) -> Lock<Write> {
        self.locks.of_kind(Write, &self.name)
    }
}

/// The side of a read/write lock that many may hold at once.
#[derive(Clone, Copy, Debug)]
pub struct Read;

/// The side of a read/write lock that one at a time may hold.
#[derive(Clone, Copy, Debug)]
pub struct Write;

/// The keys of a read/write lock.
#[derive(Clone, Debug)]
pub struct Place {
    /// Who writes, with the lease.
    pub(crate) writer: Key,
    /// Who reads, each with the end of its lease.
    pub(crate) readers: Key,
    /// Writers that wait, each with the end of its patience.
    pub(crate) intents: Key,
    pub(crate) fence: Key,
    /// The channel that tells readers that no writer is in the way.
    pub(crate) read: Key,
    /// The channel that tells writers that somebody has left.
    pub(crate) write: Key,
}

impl Place {
    pub(crate) fn of(name: &[u8]) -> Result<Self> {
        let group = group("rw", name)?;
        Ok(Self {
            writer: group.key(":writer"),
            readers: group.key(":readers"),
            intents: group.key(":intents"),
            fence: group.key(":fence"),
            read: group.key(":read"),
            write: group.key(":write"),
        })
    }
}

impl Kind for Read {
    type Guard = ReadGuard;
}

impl Claims for Read {
    const NAME: &'static str = "read";
    const ARE_SHARED: bool = true;

    type Place = Place;

    fn place(&self, name: &[u8]) -> Result<Place> {
        Place::of(name)
    }

    fn line(place: &Place) -> Line<'_> {
        Line {
            key: &place.readers,
            free: &place.read,
        }
    }

    fn claim(&self, place: &Place, holder: Mark) -> Arc<dyn Claim> {
        let place = place.clone();
        Arc::new(Reader { place, holder })
    }
}

impl Kind for Write {
    type Guard = WriteGuard;
}

impl Claims for Write {
    const NAME: &'static str = "write";

    type Place = Place;

    fn place(&self, name: &[u8]) -> Result<Place> {
        Place::of(name)
    }

    fn line(place: &Place) -> Line<'_> {
        Line {
            key: &place.writer,
            free: &place.write,
        }
    }

    fn claim(&self, place: &Place, holder: Mark) -> Arc<dyn Claim> {
        let place = place.clone();
        Arc::new(Writer { place, holder })
    }
}

#[derive(Debug)]
struct Reader {
    place: Place,
    holder: Mark,
}

impl Claim for Reader {
    fn acquire(&self, lease: Lifetime) -> Result<Vec<Txn>> {
        Ok(vec![rw::read(&self.place, &self.holder, lease)?])
    }

    fn acquired(&self, replies: Vec<TxnReply>) -> Result<Acquired> {
        rw::is_reading(replies)
    }

    fn renew(&self, lease: Lifetime) -> Txn {
        rw::read_on(&self.place, &self.holder, lease)
    }

    fn release(&self) -> Txn {
        rw::read_no_more(&self.place, &self.holder)
    }

    fn kind(&self) -> &'static str {
        Read::NAME
    }

    fn key(&self) -> &Key {
        &self.place.readers
    }

    fn number(&self, lease: Lifetime) -> Result<Txn> {
        rw::number(&self.place, &self.holder, lease)
    }
}

#[derive(Debug)]
struct Writer {
    place: Place,
    holder: Mark,
}

impl Claim for Writer {
    fn acquire(&self, lease: Lifetime) -> Result<Vec<Txn>> {
        Ok(vec![rw::write(&self.place, &self.holder, lease)?])
    }

    fn acquired(&self, replies: Vec<TxnReply>) -> Result<Acquired> {
        rw::is_writing(&self.holder, replies)
    }

    fn renew(&self, lease: Lifetime) -> Txn {
        rw::write_on(&self.place, &self.holder, lease)
    }

    fn release(&self) -> Txn {
        rw::write_no_more(&self.place, &self.holder)
    }

    fn kind(&self) -> &'static str {
        Write::NAME
    }

    fn key(&self) -> &Key {
        &self.place.writer
    }

    fn standing(&self) -> Option<Arc<dyn Claim>> {
        let (place, holder) = (self.place.clone(), self.holder.clone());
        Some(Arc::new(Intent { place, holder }))
    }
}

/// That a writer waits.
#[derive(Debug)]
struct Intent {
    place: Place,
    holder: Mark,
}

impl Claim for Intent {
    fn acquire(&self, lease: Lifetime) -> Result<Vec<Txn>> {
        Ok(vec![rw::intend(&self.place, &self.holder, lease)])
    }

    fn acquired(&self, _: Vec<TxnReply>) -> Result<Acquired> {
        Ok(Acquired::Unnumbered)
    }

    fn renew(&self, lease: Lifetime) -> Txn {
        rw::intend_on(&self.place, &self.holder, lease)
    }

    fn release(&self) -> Txn {
        rw::intend_no_more(&self.place, &self.holder)
    }

    fn kind(&self) -> &'static str {
        Write::NAME
    }

    fn key(&self) -> &Key {
        &self.place.intents
    }
}
