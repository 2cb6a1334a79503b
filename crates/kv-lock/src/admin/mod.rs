//! What operators see of locks, and do about them.

mod cursor;
mod error;
mod holder;
mod info;
mod kind;
mod seen;
mod transitions;

pub use self::{
    cursor::LockCursor,
    error::ControlError,
    holder::HolderName,
    info::{
        ForcedRelease, HolderInfo, LockInfo, LockPage, PermitsInfo, Role, UnreadableLock,
        WaiterInfo,
    },
    kind::LockKind,
};

use self::{kind::Part, seen::Seen, transitions::Site};
use crate::{
    LockManager,
    latch::What,
    store::{PATIENCE, Store},
};
use bytes::Bytes;
use kv_core::{Error, ErrorKind, Result, ScanFrom, Txn, TxnReply};

/// So many keys are looked at for a page, at most.
const PAGE: u32 = 500;

/// For operators. In the context of a tenant all of it is about this tenant's locks only. Locks of
/// several kinds may have one name; while more than one of them is held, it must be said which is meant.
///
/// ```
/// # use kv_lock::{ForcedRelease, LockManager};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// let locks = LockManager::new(&kv)?;
/// # let _ann = locks.rw("report").read().metadata("host=a").acquire().await?;
/// # let _bob = locks.rw("report").read().metadata("host=b").acquire().await?;
/// for lock in locks.list(100, None).await?.locks {
///     for it in &lock.holders {
///         println!("{:?}: {:?} by {:?}, for {:?} yet", lock.name, it.role, it.metadata, it.left);
///     }
/// }
/// let report = locks.inspect("report").await?.expect("somebody reads it");
/// let stuck = report.holders.iter().find(|it| it.metadata == "host=b");
/// let stuck = stuck.and_then(|it| it.holder.clone()).expect("its name can be read");
/// assert_eq!(locks.force_release_from("report", &stuck).await?, ForcedRelease::Released);
/// // The other goes on reading.
/// assert_eq!(locks.inspect("report").await?.unwrap().holders.len(), 1);
/// # Ok(())
/// # }
/// ```
impl LockManager {
    /// Who holds what has this name now, and who waits for it; `None` if nobody holds it. One round trip, and one
    /// more for a lock that more than 200 share.
    ///
    /// # Errors
    /// [`ControlError::SeveralKinds`] if locks of several kinds are held under this name: then
    /// [`inspect_as`](Self::inspect_as) tells of each. [`ControlError::Latch`] and [`ControlError::Barrier`], if
    /// nothing else has this name; or the store's.
    pub async fn inspect(&self, name: impl AsRef<[u8]>) -> Result<Option<LockInfo>, ControlError> {
        self.look(name.as_ref()).await?.only()
    }

    /// The same of the lock of this kind.
    ///
    /// # Errors
    /// [`ControlError::OtherKind`] if nobody holds that, but something else of this name; else as
    /// [`inspect`](Self::inspect). What has this name and is of another kind need not be readable.
    pub async fn inspect_as(
        &self,
        kind: LockKind,
        name: impl AsRef<[u8]>,
    ) -> Result<Option<LockInfo>, ControlError> {
        Ok(self.look_for(kind, name.as_ref()).await?.1)
    }

    /// Frees a lock of all who hold it by now: two round trips. Who waits for it is told.
    ///
    /// Each holder learns of it at its next renewal, within a little more than a third of its lease,
    /// as [`LostReason::Taken`](crate::LostReason::Taken); until then it works on beside the next one.
    /// Fences go on rising, so what is written with fences is safe.
    ///
    /// # Errors
    /// As [`inspect`](Self::inspect); where several kinds are held nothing is freed. If the
    /// [outcome](kv_core::Error::outcome) of an error of the store is unknown, look before this is done
    /// again: it would free the next holder's.
    pub async fn force_release(
        &self,
        name: impl AsRef<[u8]>,
    ) -> Result<ForcedRelease, ControlError> {
        let looked = self.look(name.as_ref()).await?;
        looked.free(looked.only()?).await
    }

    /// The same of the lock of this kind.
    ///
    /// # Errors
    /// As [`inspect_as`](Self::inspect_as) and [`force_release`](Self::force_release).
    pub async fn force_release_as(
        &self,
        kind: LockKind,
        name: impl AsRef<[u8]>,
    ) -> Result<ForcedRelease, ControlError> {
        let (looked, held) = self.look_for(kind, name.as_ref()).await?;
        looked.free(held).await
    }

    /// Frees a lock of this holder: of one reader among several, of all its permits of a semaphore. It never takes
    /// anything from others: two round trips. Else as [`force_release`](Self::force_release), but that it does no
    /// harm to do it again, and that no kind need be said, since no two holders have the same name.
    ///
    /// # Errors
    /// [`ControlError::Latch`], [`ControlError::Barrier`], or the store's.
    pub async fn force_release_from(
        &self,
        name: impl AsRef<[u8]>,
        holder: &HolderName,
    ) -> Result<ForcedRelease, ControlError> {
        let mut looked = self.look(name.as_ref()).await?;
        if let Some(txn) = looked.free_of(holder)? {
            if looked.store.commit(txn, PATIENCE).await?.applied {
                return Ok(ForcedRelease::Released);
            }
            // It has released it itself.
            looked = self.look(name.as_ref()).await?;
        }
        Ok(match looked.held.is_empty() {
            true => looked.only().map(|_| ForcedRelease::Free)?,
            false => ForcedRelease::HeldBy(looked.held),
        })
    }

    /// Lists the locks of all kinds that are held, from so many keys at a time: 1 to 500. One that the same holder
    /// holds throughout comes at least once, where a store repeats itself twice. Latches and
    /// barriers are held by nobody, and not listed.
    ///
    /// It looks at keys: at those of all locks that were held during the last day, since the records
    /// of their fences are still there, of all semaphores that there ever were, and on Redis at all keys of the
    /// database. A page is a call that
    /// lists keys and one that inspects them: on etcd a few requests, on Redis up to a hundred where few
    /// keys are locks'. It is for people at times, not for programs often.
    ///
    /// # Errors
    /// The store's, also if a layer does not let keys be listed.
    pub async fn list(&self, limit: u32, after: Option<&LockCursor>) -> Result<LockPage> {
        let store = self.store().for_caller();
        let from = after.map_or(ScanFrom::Start, |it| ScanFrom::Cursor(it.0.clone()));
        let limit = limit.clamp(1, PAGE);
        let page = store.scan(LockKind::prefixes(), from, limit).await?;
        let (mut sites, mut txns) = (Vec::with_capacity(page.keys.len()), Vec::new());
        for (part, name) in page.keys.iter().filter_map(Part::of) {
            let site = Site::of(part.kind(), &name)?;
            txns.push(site.look());
            sites.push((part, site, name));
        }
        let (mut locks, mut unreadable) = (Vec::with_capacity(sites.len()), Vec::new());
        let replies = ask(&store, txns).await?;
        for ((part, site, name), reply) in sites.into_iter().zip(replies) {
            match reply.and_then(|reply| Seen::of(&site, &name, reply)) {
                Ok(seen) => locks.extend(seen.held().filter(|it| is_found_by(part, it))),
                Err(error) => unreadable.push(UnreadableLock {
                    name: name.into(),
                    kind: part.kind(),
                    error,
                }),
            }
        }
        Ok(LockPage {
            locks,
            unreadable,
            next: page.next.map(LockCursor),
        })
    }

    /// What has this name, and the lock of this kind; what is of other kinds matters only if that is not held.
    async fn look_for(
        &self,
        kind: LockKind,
        name: &[u8],
    ) -> Result<(Looked, Option<LockInfo>), ControlError> {
        let looked = self.look_at(&[kind], name).await?;
        let held = looked.only()?;
        if held.is_some() {
            return Ok((looked, held));
        }
        // They are told as a help only.
        match self.look(name).await {
            Ok(all) if all.error.is_none() => all.of_kind(kind).map(|held| (all, held)),
            _ => Ok((looked, None)),
        }
    }

    async fn look(&self, name: &[u8]) -> Result<Looked> {
        self.look_at(&LockKind::ALL, name).await
    }

    async fn look_at(&self, kinds: &[LockKind], name: &[u8]) -> Result<Looked> {
        let store = self.store().for_caller();
        let (mut sites, mut txns) = (Vec::new(), Vec::new());
        for &kind in kinds {
            let site = Site::of(kind, name)?;
            txns.push(site.look());
            sites.push(site);
        }
        if kinds.len() > 1 {
            for what in [What::Latch, What::Enter] {
                txns.push(transitions::meeting(what, name)?);
            }
        }
        let mut replies = ask(&store, txns).await?.into_iter();
        let (mut held, mut error) = (Vec::new(), None);
        for (site, reply) in sites.iter().zip(replies.by_ref()) {
            match see(&store, site, name, reply).await {
                Ok(seen) => held.extend(seen.held()),
                Err(other) => error = error.or(Some(other)),
            }
        }
        let mut is_there = || match replies.next().map_or(Ok(false), is_marked) {
            Ok(is_there) => is_there,
            Err(other) => {
                error.get_or_insert(other);
                false
            }
        };
        Ok(Looked {
            name: Bytes::copy_from_slice(name),
            held,
            is_latch: is_there(),
            is_barrier: is_there(),
            error,
            store,
        })
    }
}

/// All that has one name.
struct Looked {
    name: Bytes,
    /// The locks, at most one of a kind.
    held: Vec<LockInfo>,
    is_latch: bool,
    is_barrier: bool,
    /// Why there may be more.
    error: Option<Error>,
    store: Store,
}

impl Looked {
    fn only(&self) -> Result<Option<LockInfo>, ControlError> {
        if let Some(error) = &self.error {
            return Err(error.duplicate().into());
        }
        match &self.held[..] {
            [] => self.nobody().map(|()| None),
            [held] => Ok(Some(held.clone())),
            _ => Err(ControlError::SeveralKinds {
                name: self.name.clone(),
                found: self.kinds(),
            }),
        }
    }

    fn of_kind(&self, asked: LockKind) -> Result<Option<LockInfo>, ControlError> {
        match self.held.iter().find(|it| it.kind == asked) {
            Some(held) => Ok(Some(held.clone())),
            None if self.held.is_empty() => self.only(),
            None => Err(ControlError::OtherKind {
                name: self.name.clone(),
                asked,
                found: self.kinds(),
            }),
        }
    }

    /// Nobody holds anything, which is an error if nobody ever can.
    fn nobody(&self) -> Result<(), ControlError> {
        let name = self.name.clone();
        match (self.is_latch, self.is_barrier) {
            (true, _) => Err(ControlError::Latch { name }),
            (_, true) => Err(ControlError::Barrier { name }),
            _ => Ok(()),
        }
    }

    async fn free(&self, held: Option<LockInfo>) -> Result<ForcedRelease, ControlError> {
        let Some(held) = held else {
            return Ok(ForcedRelease::Free);
        };
        let site = Site::of(held.kind, &self.name)?;
        let reply = self.store.commit(site.free(), PATIENCE).await?;
        Ok(match site.is_freed(reply)? {
            true => ForcedRelease::Released,
            false => ForcedRelease::Free,
        })
    }

    /// What frees it of this one, if this one holds it.
    fn free_of(&self, holder: &HolderName) -> Result<Option<Txn>> {
        for held in &self.held {
            let mut holders = held.holders.iter();
            let found = holders.find(|it| it.holder.as_ref() == Some(holder));
            if let Some(found) = found {
                return Ok(Site::of(held.kind, &self.name)?.free_of(found));
            }
        }
        Ok(None)
    }

    fn kinds(&self) -> Vec<LockKind> {
        self.held.iter().map(|it| it.kind).collect()
    }
}

/// A read/write lock may have two keys; it is told by that of those who hold it.
fn is_found_by(part: Part, held: &LockInfo) -> bool {
    let is_written = held.holders.iter().any(|it| it.role == Role::Writer);
    match part {
        Part::Holder | Part::Permits => true,
        Part::Writer => is_written,
        Part::Readers => !is_written,
    }
}

/// All in one call; each alone if what is wrong with one of them has all refused.
async fn ask(store: &Store, txns: Vec<Txn>) -> Result<Vec<Result<TxnReply>>> {
    if txns.is_empty() {
        return Ok(Vec::new());
    }
    match store.commit_all(txns.clone(), PATIENCE).await {
        Err(error) if txns.len() > 1 && is_about_one(&error) => {}
        answered => return answered,
    }
    let mut replies = Vec::with_capacity(txns.len());
    for txn in txns {
        replies.push(store.commit(txn, PATIENCE).await);
    }
    Ok(replies)
}

/// Whether another request might be taken.
fn is_about_one(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidArgument | ErrorKind::TooLarge
    )
}

async fn see(store: &Store, site: &Site, name: &[u8], reply: Result<TxnReply>) -> Result<Seen> {
    let mut seen = Seen::of(site, name, reply?)?;
    if let (true, Some(key)) = (seen.is_cut(), site.members()) {
        seen.complete(store.members(key).await?);
    }
    Ok(seen)
}

fn is_marked(reply: Result<TxnReply>) -> Result<bool> {
    Ok(reply?.mark(0)?.is_some())
}
