//! The cache as callers have it.

use crate::{
    builder::CacheBuilder,
    entry::{Entry, Kept, Tier},
    error::LoadError,
    far::FarEntry,
    flights::{Held, Lead, Outcome, Role, Watching},
    freshness::{Freshness, Look, Ticket},
    key::CacheKey,
    load::{Keeping, LoadContext, Loaded},
    place::Physical,
    run::{Loader, Run, Wish},
    shared::{CacheValue, Shared},
    stats::Stats,
    telemetry,
    wait::wait,
};
use kv_core::{Context, Result};
use std::{fmt, marker::PhantomData, sync::Arc};
use tracing::Instrument;

/// A cache of values by name: in this process, on a store, or both. Clones are handles on the same one.
///
/// Entries are apart for each tenant and user as far as the store's keys are; without a store, for each of both.
///
/// # Cancel safety
/// Every future may be dropped at any time. A load goes on without those who wait for it; what was about to be
/// written or removed may be or not.
pub struct Cache<K: ?Sized, V> {
    pub(crate) shared: Arc<Shared<V>>,
    pub(crate) key: PhantomData<fn(&K)>,
}

/// What is here of an entry.
pub(crate) enum Sought<V> {
    Hit(Held<V>),
    Miss(Physical, Option<(Kept<V>, Look)>),
}

/// The key as the store sees it, and what is here.
pub(crate) type Near<V> = (Physical, Option<Kept<V>>);

/// Why a load is begun.
pub(crate) enum Reason<V> {
    /// There is nothing here that could be given out unasked.
    Nothing(Option<Kept<V>>),
    Stale(Kept<V>),
    Due(Kept<V>),
    /// Somebody wants a new one.
    Wanted(Option<Kept<V>>),
}

impl<K: CacheKey + ?Sized, V: CacheValue> Cache<K, V> {
    /// Begins a cache of this name. Caches on the same store have the same entries if their names are the same.
    pub fn builder(name: impl Into<String>) -> CacheBuilder<K, V> {
        CacheBuilder::new(name.into())
    }

    /// The value; if there is none, or none that is fresh, the loader is run. However many ask for the same
    /// one, here or in other processes, one loader is, and all get what it brings.
    ///
    /// The loader runs in a task of its own, for the tenant and user of this caller.
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
                let value = kept.value.clone();
                self.shared.counts.near_hits.add();
                let _ = self.start(key, &physical, Reason::Due(kept), load);
                return Ok(value);
            }
            Some((kept, Look::Refresh)) => {
                let stale = kept.value.clone();
                (Reason::Stale(kept), Some(stale))
            }
            Some((kept, Look::Confirm)) => (Reason::Nothing(Some(kept)), None),
            _ => (Reason::Nothing(None), None),
        };
        let watching = self.start(key, &physical, reason, load);
        let watching = watching.map_err(LoadError::Refused)?;
        wait(&self.shared, watching, stale).await
    }

    /// Runs the loader whatever there is, unless it is running already, and gives what it brings.
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
        let (physical, kept) = self.find_near(key).map_err(LoadError::Refused)?;
        let kept = kept.filter(|it| self.shared.look(it, self.shared.now()) != Look::Ended);
        let watching = self.start(key, &physical, Reason::Wanted(kept), load);
        let watching = watching.map_err(LoadError::Refused)?;
        wait(&self.shared, watching, None).await
    }

    /// The value, if there is a fresh one.
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
        let found = match (far.look().await, known.as_ref()) {
            (Ok(found), _) => found,
            (Err(error), Some(known)) => {
                shared.trouble(&error, "looking");
                return Ok(Some(known.seen(now, Tier::Near)));
            }
            (Err(error), None) => return Err(error),
        };
        let read = found.map(|it| shared.read(&physical, it, now, known.as_ref(), far.heard()));
        // What cannot be read is as if it were not there.
        let Some(Ok(kept)) = read else {
            return Ok(None);
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
            let kept = shared.near.as_ref().and_then(|it| it.get(bytes));
            let Some(kept) = kept else {
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
            let kept = shared.near.as_ref().and_then(|it| it.get(bytes));
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
        let channel = |kv, deadline| {
            let across = shared.across.as_ref();
            across.map(|it| it.channel(shared, kv, deadline))
        };
        let entry = shared
            .place
            .with_key(key, |bytes| far.entry(bytes, channel));
        entry.map(Some)
    }

    /// Begins a load, or joins the one under way.
    pub(crate) fn start<F, Fut, T, E>(
        &self,
        key: &K,
        physical: &[u8],
        reason: Reason<V>,
        load: F,
    ) -> Result<Watching<V, E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<Loaded<V>>,
        E: Send + Sync + 'static,
    {
        let shared = &self.shared;
        let (lead, watching) = match shared.flights.enter(physical) {
            Role::Join(watching) => {
                shared.counts.coalesced.add();
                return Ok(watching);
            }
            Role::Lead(lead, watching) => (lead, watching),
        };
        // Before anything is read.
        let ticket = shared.ticket(physical);
        let (known, wish) = match reason {
            Reason::Nothing(known) => (known, Wish::Get),
            Reason::Stale(known) => (Some(known), Wish::Refresh),
            Reason::Due(known) => {
                shared.counts.early_refreshes.add();
                (Some(known), Wish::Refresh)
            }
            Reason::Wanted(known) => {
                let far = self.far(key)?;
                self.spawn(lead, ticket, far, (known, Wish::Refresh), load);
                return Ok(watching);
            }
        };
        // A load may have ended since we looked.
        let here = shared.near.as_ref().and_then(|it| it.get(physical));
        if let Some(here) = here
            && matches!(shared.look(&here, shared.now()), Look::Serve)
        {
            lead.answer(Outcome::Loaded(here.value.clone()), Keeping::Kept);
            return Ok(watching);
        }
        let far = self.far(key)?;
        self.spawn(lead, ticket, far, (known, wish), load);
        Ok(watching)
    }

    fn spawn<F, Fut, T, E>(
        &self,
        lead: Lead<V, E>,
        ticket: Ticket,
        far: Option<FarEntry>,
        (known, wish): (Option<Kept<V>>, Wish),
        load: F,
    ) where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<Loaded<V>>,
        E: Send + Sync + 'static,
    {
        let run = Run {
            shared: self.shared.clone(),
            lead,
            far,
            known,
            wish,
            ticket,
        };
        let span = telemetry::load(&self.shared.name);
        let running = run.run(loader(load)).instrument(span);
        tokio::spawn(running);
    }
}

/// The loader, in the context of who calls now.
fn loader<F, Fut, T, V, E>(load: F) -> Loader<V, E>
where
    F: FnOnce(LoadContext<V>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Into<Loaded<V>>,
    V: Send + Sync + 'static,
    E: 'static,
{
    let caller = Context::current();
    Box::new(move |context| {
        let loading = async move { load(context).await.map(Into::into) };
        match caller {
            Some(caller) => Box::pin(caller.scope(loading)),
            None => Box::pin(loading),
        }
    })
}

impl<K: ?Sized, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
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
