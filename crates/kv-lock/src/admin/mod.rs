//! What operators see of locks, and do about them.

mod cursor;
mod holder;
mod transitions;

pub use self::{cursor::LockCursor, holder::HolderName};

use crate::{Fence, LockManager, place::Place, store::PATIENCE};
use bytes::Bytes;
use kv_core::{Result, ScanFrom};
use std::time::Duration;

/// So many keys are looked at for a page, at most.
const PAGE: u32 = 500;

/// A lock that is held, as the store had it at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockInfo {
    /// The name of the lock.
    pub name: Bytes,
    /// Who holds it; `None` if the record was not written by this version of the library.
    pub holder: Option<HolderName>,
    /// What the holder tells of itself, see [`Lock::metadata`](crate::Lock::metadata). Anybody with
    /// access to the store can have written it: escape it before it is shown.
    pub metadata: Bytes,
    /// The fence of the holder; `None` if the store has lost its record.
    pub fence: Option<Fence>,
    /// How long the store keeps others out if it is not renewed: the rest of the lease and the grace.
    /// `None` if nothing ends it, which is nothing that a lock does.
    pub left: Option<Duration>,
}

/// Some of the locks that are held, and where to go on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LockPage {
    /// The locks; can be few, even none, while more follow.
    pub locks: Vec<LockInfo>,
    /// Behind what to go on; `None` at the end.
    pub next: Option<LockCursor>,
}

/// What became of a release by force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForcedRelease {
    /// It was held, and is free.
    Released,
    /// Nobody held it.
    Free,
    /// It is held by another than was expected, and was left alone.
    HeldBy(Box<LockInfo>),
}

/// For operators. In the context of a tenant all of it is about this tenant's locks only.
///
/// ```
/// # use kv_lock::{ForcedRelease, LockManager};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// let locks = LockManager::new(&kv)?;
/// # let guard = locks.lock("report").metadata("host=a").acquire().await.unwrap();
/// for held in locks.list(100, None).await?.locks {
///     println!("{:?} by {:?}, for {:?} yet", held.name, held.metadata, held.left);
/// }
/// let seen = locks.inspect("report").await?.and_then(|it| it.holder).unwrap();
/// assert_eq!(locks.force_release_from("report", &seen).await?, ForcedRelease::Released);
/// # drop(guard);
/// # Ok(())
/// # }
/// ```
impl LockManager {
    /// Who holds a lock now; `None` if nobody does. One round trip.
    ///
    /// # Errors
    /// The store's.
    pub async fn inspect(&self, name: impl AsRef<[u8]>) -> Result<Option<LockInfo>> {
        let (name, store) = (name.as_ref(), self.store().for_caller());
        let txn = transitions::inspect(&Place::of(name)?);
        let reply = store.commit(txn, PATIENCE).await?;
        let seen = transitions::inspected(reply)?;
        Ok(seen.map(|it| it.info(Bytes::copy_from_slice(name))))
    }

    /// Frees a lock, whoever holds it by now: one round trip. Who waits for it is told.
    ///
    /// The holder learns of it at its next renewal, within a little more than a third of its lease,
    /// as [`LostReason::Taken`](crate::LostReason::Taken); until then it works on beside the next one.
    /// Fences go on rising, so what is written with fences is safe.
    ///
    /// # Errors
    /// The store's. If its [outcome](kv_core::Error::outcome) is unknown, look before this is done
    /// again: it would free the next holder's.
    pub async fn force_release(&self, name: impl AsRef<[u8]>) -> Result<ForcedRelease> {
        let txn = transitions::release_any(&Place::of(name.as_ref())?);
        let reply = self.store().for_caller().commit(txn, PATIENCE).await?;
        Ok(match reply.applied {
            true => ForcedRelease::Released,
            false => ForcedRelease::Free,
        })
    }

    /// Frees a lock if this one holds it, never the next one's: two round trips. Else as
    /// [`force_release`](Self::force_release), but that it does no harm to do it again.
    ///
    /// # Errors
    /// The store's.
    pub async fn force_release_from(
        &self,
        name: impl AsRef<[u8]>,
        holder: &HolderName,
    ) -> Result<ForcedRelease> {
        let (name, store) = (name.as_ref(), self.store().for_caller());
        let place = Place::of(name)?;
        let reply = store.commit(transitions::inspect(&place), PATIENCE).await?;
        let Some(seen) = transitions::inspected(reply)? else {
            return Ok(ForcedRelease::Free);
        };
        if seen.holder().as_ref() != Some(holder) {
            let info = seen.info(Bytes::copy_from_slice(name));
            return Ok(ForcedRelease::HeldBy(Box::new(info)));
        }
        // All of what is stored, which does not change as long as it is this one's.
        let txn = transitions::release(&place, &seen.mark);
        let reply = store.commit(txn, PATIENCE).await?;
        let after = transitions::released(reply)?;
        Ok(match after {
            transitions::After::Released => ForcedRelease::Released,
            transitions::After::Free => ForcedRelease::Free,
            transitions::After::Held(seen) => {
                let info = seen.info(Bytes::copy_from_slice(name));
                ForcedRelease::HeldBy(Box::new(info))
            }
        })
    }

    /// Lists the exclusive locks and the elections that are held, so many at a time: 1 to 500; no read/write
    /// locks and no semaphores. One that is held throughout comes
    /// at least once, where a store repeats itself twice.
    ///
    /// It looks at keys: at those of all locks that were held during the last day, since the records
    /// of their fences are still there, and on Redis at all keys of the database. A page is a call that
    /// lists keys and one that inspects them: on etcd a few requests, on Redis up to a hundred where few
    /// keys are locks'. It is for people at times, not for programs often.
    ///
    /// # Errors
    /// The store's, also if a layer does not let keys be listed.
    pub async fn list(&self, limit: u32, after: Option<&LockCursor>) -> Result<LockPage> {
        let store = self.store().for_caller();
        let from = after.map_or(ScanFrom::Start, |it| ScanFrom::Cursor(it.0.clone()));
        let page = store.scan(Place::ALL, from, limit.clamp(1, PAGE)).await?;
        let names: Vec<_> = page.keys.iter().filter_map(Place::name_of).collect();
        let mut txns = Vec::with_capacity(names.len());
        for name in &names {
            txns.push(transitions::inspect(&Place::of(name)?));
        }
        let mut locks = Vec::with_capacity(names.len());
        if !txns.is_empty() {
            let replies = store.commit_all(txns, PATIENCE).await?;
            for (name, reply) in names.into_iter().zip(replies) {
                let seen = transitions::inspected(reply?)?;
                locks.extend(seen.map(|it| it.info(name.into())));
            }
        }
        let next = page.next.map(LockCursor);
        Ok(LockPage { locks, next })
    }
}
