//! The cache as callers have it.

use crate::{
    builder::CacheBuilder,
    entry::{Entry, Kept, Tier},
    error::LoadError,
    far::FarEntry,
    flights::Held,
    freshness::{Freshness, Look},
    glance::{Hint, Own},
    key::CacheKey,
    load::{LoadContext, Loaded},
    place::Physical,
    shared::{CacheValue, NotRead, Shared},
    start::Reason,
    stats::Stats,
    tags::{Sight, TagName},
    wait::{Instead, wait},
};
use kv_core::{ErrorKind, Result};
use std::{fmt, marker::PhantomData, sync::Arc};

/// A cache of values by name: in this process, on a store, or both. Clones are handles on the same one.
///
/// Entries are apart for each tenant and user as far as the store's keys are; without a store, for each of both.
///
/// # Cancel safety
/// Every future may be dropped at any time. A load goes on without those who wait for it. A removal or expiry that is
/// under way is done all the same, in the background, and so is a removal in place of a write that is.
pub struct Cache<K: ?Sized, V> {
    pub(crate) shared: Arc<Shared<V>>,
    /// Of what is loaded and written by this handle.
    pub(crate) tags: Option<Arc<[TagName]>>,
    pub(crate) key: PhantomData<fn(&K)>,
}

/// What is here of an entry.
pub(crate) enum Sought<V> {
    Hit(Held<V>),
    Miss(Physical, Option<(Kept<V>, Look)>),
}

/// The key as the store sees it, and what is here.
pub(crate) type Near<V> = (Physical, Option<Kept<V>>);

impl<K: CacheKey + ?Sized, V: CacheValue> Cache<K, V> {
    /// Begins a cache of this name. Caches on the same store have the same entries if their names are the same.
    pub fn builder(name: impl Into<String>) -> CacheBuilder<K, V> {
        CacheBuilder::new(name.into())
    }

    /// The value; if there is none, or none that is fresh, the loader is run. However many ask for the same
    /// one, here or in other processes, one loader is, and all get what it brings.
    ///
    /// The loader runs in a task of its own, for the tenant and user of this caller. Nobody waits until the store has what it
    /// brings: until then `get` does not have it, and who asks here shares the load. [`idle`](Self::idle) waits for that.
    ///
    /// # Errors
    /// [`LoadError`]; none for a store in trouble. Callers share a load if their loaders' errors have the same
    /// type.
    pub async fn get_or_load<F, Fut, T, E>(&self, key: &K, load: F) -> Result<Arc<V>, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<Loaded<V>>,
        E: Send + Sync + 'static,
    {
        let found = self.find_or_load(key, load).await?;
        found.ok_or(LoadError::Missing)
    }

    /// As [`get_or_load`](Self::get_or_load), for what may not be there: `None` if the loader says so, or said
    /// so not long ago.
    ///
    /// # Errors
    /// As [`get_or_load`](Self::get_or_load), but not [`LoadError::Missing`].
    pub async fn find_or_load<F, Fut, T, E>(
        &self,
        key: &K,
        load: F,
    ) -> Result<Option<Arc<V>>, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<Loaded<V>>,
        E: Send + Sync + 'static,
    {
        let (physical, kept) = match self.seek(key).map_err(LoadError::Refused)? {
            Sought::Hit(value) => return Ok(value),
            Sought::Miss(physical, kept) => (physical, kept),
        };
        let (reason, stale) = match kept {
            Some((kept, Look::ServeAndRefresh)) => {
                let value = kept.value;
                self.shared.counts.near_hits.add();
                let _ = self.start(key, &physical, (Reason::Due, Hint::Unseen), load);
                return Ok(value);
            }
            Some((kept, Look::Refresh)) => {
                let stale = kept.value;
                ((Reason::Stale, Hint::Unseen), Some(stale))
            }
            kept => {
                let own = self.glance((key, &physical, kept.as_ref())).await;
                match own.map_err(LoadError::Refused)? {
                    Own::Hit(value) => return Ok(value),
                    Own::Not(hint) => ((Reason::Nothing, hint), None),
                }
            }
        };
        let watching = self.start(key, &physical, reason, load);
        let watching = watching.map_err(LoadError::Refused)?;
        wait(&self.shared, watching, Instead::Stale(stale)).await
    }

    /// Runs the loader whatever there is, unless it is running already, and gives what it brings. A load is shared until
    /// the store has what it has brought; until then `get` has what was there before.
    ///
    /// # Errors
    /// As [`get_or_load`](Self::get_or_load).
    pub async fn refresh<F, Fut, T, E>(
        &self,
        key: &K,
        load: F,
    ) -> Result<Option<Arc<V>>, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<Loaded<V>>,
        E: Send + Sync + 'static,
    {
        let (physical, _) = self.find_near(key).map_err(LoadError::Refused)?;
        let watching = self.start(key, &physical, (Reason::Wanted, Hint::Unseen), load);
        let watching = watching.map_err(LoadError::Refused)?;
        wait(&self.shared, watching, Instead::Nothing).await
    }

    /// The value, if there is a fresh one. It waits for no load, and if the store does not answer that is an error, unless
    /// something here will do: it does not say that there is none.
    ///
    /// # Errors
    /// The store's, if nothing here will do.
    pub async fn get(&self, key: &K) -> Result<Option<Arc<V>>> {
        let entry = self.get_entry(key).await?;
        let fresh = entry.filter(|it| it.freshness == Freshness::Fresh);
        Ok(fresh.and_then(|it| it.value))
    }

    /// The entry with what is known about it, fresh or stale.
    ///
    /// # Errors
    /// The store's, if nothing here will do.
    pub async fn get_entry(&self, key: &K) -> Result<Option<Entry<V>>> {
        let shared = &self.shared;
        let (physical, kept) = self.find_near(key)?;
        let now = shared.now();
        let kept = kept.map(|it| (shared.look(&it, now), it));
        let known = match kept {
            Some((Look::Serve | Look::ServeAndRefresh | Look::Refresh, kept)) => {
                shared.counts.near_hits.add();
                return Ok(Some(kept.seen(now, Tier::Near)));
            }
            Some((Look::Confirm, kept)) => Some(kept),
            Some((Look::Ended, _)) | None => None,
        };
        let Some(far) = self.far(key)? else {
            return Ok(None);
        };
        let ticket = shared.ticket(&physical);
        // Before anything is read.
        let mut sight = Sight::new(shared.scope()?);
        for tag in known.iter().flat_map(|it| it.marks.tags()) {
            sight.see(tag, |it| shared.trusts(it, now));
        }
        sight.renew(|it| shared.trusts(it, now));
        let read = match far.look(&mut sight).await {
            Ok(None) => return Ok(None),
            Ok(Some(found)) => {
                let tags = (&far.caller, &mut sight);
                shared
                    .read(&physical, found, now, known.as_ref(), tags)
                    .await
            }
            // The store is well: something that it has a layer cannot read.
            Err(error) if error.kind() == ErrorKind::Codec => {
                shared.tell_unreadable(&error);
                return Ok(None);
            }
            Err(error) => Err(NotRead::Failed(error)),
        };
        if let Err(NotRead::Failed(error)) = &read {
            let second = self.look_at_second(&far, &physical, &sight, error);
            if let Some(entry) = second.await {
                return Ok(Some(entry));
            }
        }
        let kept = match (read, known) {
            (Ok(kept), _) => kept,
            (Err(NotRead::Failed(error)), Some(known)) => {
                shared.trouble(&far.caller, &error, "looking");
                return Ok(Some(known.seen(now, Tier::Near)));
            }
            (Err(NotRead::Failed(error)), None) => return Err(error),
            // What cannot be read is as if it were not there.
            (Err(_), _) => return Ok(None),
        };
        if shared.look(&kept, now) == Look::Ended {
            return Ok(None);
        }
        shared.counts.far_hits.add();
        shared.keep(ticket, &physical, kept.clone());
        Ok(Some(kept.seen(now, Tier::Far)))
    }

    /// What has been counted.
    pub fn stats(&self) -> Stats {
        self.shared.counts.read()
    }

    /// How many entries this process has, and what they weigh in bytes.
    pub fn near_size(&self) -> (u64, u64) {
        self.shared.near.as_ref().map_or((0, 0), |it| it.size())
    }

    /// Ends when no load is under way any more: what is loaded may still be on its way to the store when its
    /// caller has it. For the end of a program.
    pub async fn idle(&self) {
        self.shared.flights.idle().await;
    }

    /// Whether it is here, with the least work if so.
    pub(crate) fn seek(&self, key: &K) -> Result<Sought<V>> {
        let shared = &*self.shared;
        shared.place.with_key(key, |bytes| {
            shared.resolve_in(bytes)?;
            let Some(kept) = shared.here(bytes) else {
                return Ok(Sought::Miss(bytes.as_slice().into(), None));
            };
            match shared.look(&kept, shared.now()) {
                Look::Serve => {
                    shared.counts.near_hits.add();
                    Ok(Sought::Hit(kept.value.clone()))
                }
                look => {
                    let kept = (*kept).clone();
                    Ok(Sought::Miss(bytes.as_slice().into(), Some((kept, look))))
                }
            }
        })
    }

    /// The key as the store sees it, and what is here.
    pub(crate) fn find_near(&self, key: &K) -> Result<Near<V>> {
        let shared = &*self.shared;
        shared.place.with_key(key, |bytes| {
            shared.resolve_in(bytes)?;
            let kept = shared.here(bytes);
            let kept = kept.map(|it| (*it).clone());
            Ok((bytes.as_slice().into(), kept))
        })
    }

    /// The entry on the store, for this caller.
    pub(crate) fn far(&self, key: &K) -> Result<Option<FarEntry>> {
        let Some(far) = &self.shared.far else {
            return Ok(None);
        };
        let shared = &self.shared;
        let caller = far.caller(|kv, deadline| shared.channel(kv, deadline));
        let entry = shared.place.with_key(key, |bytes| far.entry(bytes, caller));
        entry.map(Some)
    }
}

impl<K: ?Sized, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            tags: self.tags.clone(),
            key: PhantomData,
        }
    }
}

impl<K: ?Sized, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("name", &self.shared.name)
            .field("far", &self.shared.far)
            .field("policy", &self.shared.policy)
            .finish_non_exhaustive()
    }
}
