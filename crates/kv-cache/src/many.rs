//! Many entries at once.
//!
//! Where most are on the store they are looked for there in one question. Each of the others goes its own way, as if it
//! were asked for alone, and all at the same time; only when it comes to loading do they meet. A batch waits for no
//! entry that another process loads.

use crate::{
    cache::{Cache, Sought},
    error::LoadError,
    flights::{Progress, Stage, Watching},
    freshness::Look,
    glance::Own,
    key::CacheKey,
    load::Loaded,
    shared::CacheValue,
    start::Reason,
    wait::{Instead, wait},
};
use futures_util::{
    StreamExt,
    future::{Either, join_all, select},
    stream::FuturesUnordered,
};
use kv_core::Context;
use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    pin::pin,
    sync::Arc,
};
use tokio::sync::{mpsc, oneshot};

/// So many are loaded together to warm a cache up.
const AT_ONCE: usize = 256;

impl<K: CacheKey + Clone + Eq + Hash + Send + Sync + 'static, V: CacheValue> Cache<K, V> {
    /// The values of many names, in one load of those that have to be loaded. What the loader leaves out is not
    /// there. It is run again only for what another process was to load and did not.
    ///
    /// The loader has no [`LoadContext`](crate::LoadContext): tags are those of the handle
    /// ([`tagged`](Self::tagged)), and lives those of the policy.
    ///
    /// Each entry is fresh, stale or gone for itself, and whoever asks for one of them alone waits for the same
    /// load.
    ///
    /// # Errors
    /// As [`get_or_load`](Self::get_or_load), if there is an error for any of them; [`LoadError::Missing`] is
    /// none.
    pub async fn get_many_or_load<F, Fut, T, E>(
        &self,
        keys: impl IntoIterator<Item = K>,
        load: F,
    ) -> Result<HashMap<K, Arc<V>>, LoadError<E>>
    where
        F: Fn(Vec<K>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: IntoIterator<Item = (K, V)> + Send + 'static,
        E: Clone + Send + Sync + 'static,
    {
        let keys: HashSet<K> = keys.into_iter().collect();
        let mut found = HashMap::with_capacity(keys.len());
        let mut waiting = Vec::new();
        let (calls, heard) = mpsc::unbounded_channel();
        let mut watched = HashMap::new();
        let mut sought = Vec::new();
        for key in keys {
            match self.seek(&key).map_err(LoadError::Refused)? {
                Sought::Hit(value) => found.extend(value.map(|value| (key, value))),
                Sought::Miss(physical, kept) => sought.push((key, physical, kept)),
            }
        }
        let entries: Vec<_> = sought
            .iter()
            .map(|(key, physical, kept)| (key, &**physical, kept.as_ref()))
            .collect();
        let own = self
            .glance_many(&entries)
            .await
            .map_err(LoadError::Refused)?;
        for ((key, physical, kept), own) in sought.into_iter().zip(own) {
            let hint = match own {
                Own::Hit(value) => {
                    found.extend(value.map(|value| (key, value)));
                    continue;
                }
                Own::Not(hint) => hint,
            };
            let is_in_hand = matches!(kept, Some((_, Look::ServeAndRefresh)));
            let (reason, stale) = match kept {
                Some((kept, Look::ServeAndRefresh)) => {
                    found.extend(kept.value.clone().map(|value| (key.clone(), value)));
                    (Reason::Due, None)
                }
                Some((kept, Look::Refresh)) => {
                    let value = Some(kept.value.clone());
                    (Reason::Stale, value)
                }
                _ => (Reason::Nothing, None),
            };
            let part = Part {
                key: Some(key.clone()),
                calls: calls.clone(),
            };
            let watching = self.start(&key, &physical, (reason, hint), move |_| part.load());
            let watching = watching.map_err(LoadError::Refused)?;
            watched.insert(key.clone(), watching.clone());
            // What is in hand already is loaded anew in the background.
            if !is_in_hand {
                waiting.push((key, watching, stale));
            }
        }
        drop(calls);
        if !watched.is_empty() {
            let batch = batch(heard, watched, load);
            // For the tenant and user of this caller.
            match Context::current() {
                Some(caller) => drop(tokio::spawn(caller.scope(batch))),
                None => drop(tokio::spawn(batch)),
            }
        }
        let waits = waiting.into_iter().map(|(key, watching, stale)| async {
            let stale = Instead::Stale(stale);
            (key, wait(&self.shared, watching, stale).await)
        });
        for (key, value) in join_all(waits).await {
            found.extend(value?.map(|value| (key, value)));
        }
        Ok(found)
    }
}

impl<K: CacheKey + Clone + Eq + Hash + Send + Sync + 'static, V: CacheValue> Cache<K, V> {
    /// Loads what is not there yet, by 256 at a time, before anybody asks for it: at the start of a program, say. Gives the
    /// number of those that are there now.
    ///
    /// # Errors
    /// As [`get_many_or_load`](Self::get_many_or_load), of the first that fails; what was loaded before stays.
    pub async fn warm_up<F, Fut, T, E>(
        &self,
        keys: impl IntoIterator<Item = K>,
        load: F,
    ) -> Result<usize, LoadError<E>>
    where
        F: Fn(Vec<K>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: IntoIterator<Item = (K, V)> + Send + 'static,
        E: Clone + Send + Sync + 'static,
    {
        let load = Arc::new(load);
        let mut keys = keys.into_iter();
        let mut there = 0;
        loop {
            let some: Vec<_> = keys.by_ref().take(AT_ONCE).collect();
            if some.is_empty() {
                return Ok(there);
            }
            let load = load.clone();
            let found = self.get_many_or_load(some, move |keys| load(keys));
            there += found.await?.len();
        }
    }
}

/// One entry's part in a batch: its loader, or that it needs none.
struct Part<K, V, E> {
    /// Until it has spoken up.
    key: Option<K>,
    calls: mpsc::UnboundedSender<Call<K, V, E>>,
}

enum Call<K, V, E> {
    Load(K, Answer<V, E>),
    Settled(K),
}

type Answer<V, E> = oneshot::Sender<Result<Loaded<V>, E>>;

impl<K, V, E> Part<K, V, E> {
    async fn load(mut self) -> Result<Loaded<V>, E> {
        let (answer, answered) = oneshot::channel();
        if let Some(key) = self.key.take() {
            let _ = self.calls.send(Call::Load(key, answer));
        }
        match answered.await {
            Ok(loaded) => loaded,
            Err(_) => panic!("the loader of many entries panicked"),
        }
    }
}

impl<K, V, E> Drop for Part<K, V, E> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            let _ = self.calls.send(Call::Settled(key));
        }
    }
}

/// Loads together what has to be loaded, once that is known of all but those that another process loads.
async fn batch<K, V, F, Fut, T, E>(
    mut heard: mpsc::UnboundedReceiver<Call<K, V, E>>,
    watched: HashMap<K, Watching<V, E>>,
    load: F,
) where
    K: Clone + Eq + Hash,
    F: Fn(Vec<K>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    T: IntoIterator<Item = (K, V)>,
    E: Clone,
{
    let mut open: HashSet<K> = watched.keys().cloned().collect();
    let mut elsewhere: FuturesUnordered<_> = watched
        .into_iter()
        .map(|(key, mut watching)| async move {
            let is_out = |it: &Progress<V, E>| it.stage == Stage::Elsewhere || it.outcome.is_some();
            let _ = watching.wait_for(is_out).await.map(drop);
            key
        })
        .collect();
    let mut called = Vec::new();
    loop {
        if open.is_empty() && !called.is_empty() {
            load_together(std::mem::take(&mut called), &load).await;
        }
        let next = match elsewhere.is_empty() {
            true => Either::Left(heard.recv().await),
            false => match select(pin!(heard.recv()), elsewhere.next()).await {
                Either::Left((call, _)) => Either::Left(call),
                Either::Right((key, _)) => Either::Right(key),
            },
        };
        let settled = match next {
            Either::Left(Some(Call::Load(key, answer))) => {
                called.push((key.clone(), answer));
                Some(key)
            }
            Either::Left(Some(Call::Settled(key))) => Some(key),
            Either::Left(None) => return,
            Either::Right(key) => key,
        };
        if let Some(key) = settled {
            open.remove(&key);
        }
    }
}

/// For as long as anybody waits for it.
async fn load_together<K, V, F, Fut, T, E>(mut called: Vec<(K, Answer<V, E>)>, load: &F)
where
    K: Clone + Eq + Hash,
    F: Fn(Vec<K>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    T: IntoIterator<Item = (K, V)>,
    E: Clone,
{
    let loading = load(called.iter().map(|(key, _)| key.clone()).collect());
    let loaded = {
        let given_up = join_all(called.iter_mut().map(|(_, answer)| answer.closed()));
        match select(pin!(loading), pin!(given_up)).await {
            Either::Left((loaded, _)) => loaded,
            Either::Right(_) => return,
        }
    };
    let mut loaded = loaded.map(|it| it.into_iter().collect::<HashMap<K, V>>());
    for (key, answer) in called {
        // Whoever has given up hears nothing.
        let _ = answer.send(match &mut loaded {
            Ok(values) => Ok(values.remove(&key).into()),
            Err(error) => Err(error.clone()),
        });
    }
}
