//! How a load is begun, or one that is under way joined.

use crate::{
    cache::Cache,
    entry::Kept,
    flights::{Joining, Outcome, Role, Stage, Watching},
    freshness::Look,
    glance::Hint,
    key::CacheKey,
    load::{Keeping, LoadContext, Loaded},
    run::{Loader, Run, Wish},
    shared::CacheValue,
    tags::Sight,
    telemetry,
};
use kv_core::{Context, Result};
use std::sync::Arc;
use tracing::Instrument;

/// Why a load is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// There is nothing here that could be given out unasked.
    Nothing,
    Stale,
    Due,
    /// Somebody wants a new one.
    Wanted,
}

impl<K: CacheKey + ?Sized, V: CacheValue> Cache<K, V> {
    /// Begins a load, or joins the one under way.
    pub(crate) fn start<F, Fut, T, E>(
        &self,
        key: &K,
        physical: &[u8],
        (reason, hint): (Reason, Hint),
        load: F,
    ) -> Result<Watching<V, E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<Loaded<V>>,
        E: Send + Sync + 'static,
    {
        let shared = &self.shared;
        let scope = shared.scope()?;
        let joining = match hint {
            Hint::Refused => Joining::PastStore,
            Hint::Unseen | Hint::Absent | Hint::Outdated(_) => Joining::Any,
        };
        let (lead, watching) = match shared.flights.enter(physical, &scope, joining) {
            Role::Join(watching) => {
                shared.counts.coalesced.add();
                return Ok(watching);
            }
            Role::Lead(lead, watching) => (lead, watching),
        };
        if joining == Joining::PastStore {
            lead.tell(Stage::AskingAnew, None);
        }
        // Before anything is read.
        let ticket = shared.ticket(physical);
        let sight = Sight::new(scope);
        if matches!(reason, Reason::Due) {
            shared.counts.early_refreshes.add();
        }
        // Not what the caller has found: since then a load may have ended, and something been removed.
        let here = shared.here(physical);
        if let Some(here) = &here
            && !matches!(reason, Reason::Wanted)
            && matches!(shared.look(here, shared.now()), Look::Serve)
        {
            lead.answer(Outcome::Loaded(here.value.clone()), Keeping::Kept);
            return Ok(watching);
        }
        let is_there = |it: &Arc<Kept<V>>| shared.look(it, shared.now()) != Look::Ended;
        let known = here.filter(is_there).map(|it| (*it).clone());
        let wish = match (reason, &known) {
            (Reason::Wanted, _) | (Reason::Stale | Reason::Due, Some(_)) => Wish::Refresh,
            // Also where what was to be refreshed is gone: the store may have a good one.
            (Reason::Nothing | Reason::Stale | Reason::Due, _) => Wish::Get,
        };
        let run = Run {
            shared: shared.clone(),
            lead,
            far: self.far(key)?,
            known,
            wish,
            hint,
            reason,
            ticket,
            sight,
            tags: self.tags.clone(),
            waits_until: None,
            first: None,
        };
        let span = telemetry::load(&shared.name);
        let running = run.run(loader(load)).instrument(span);
        tokio::spawn(running);
        Ok(watching)
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
