//! Loads under way: who asks for an entry that is being loaded waits for that load.
//!
//! A load goes on in a task of its own, so whoever gives up waiting for it stops nobody. There is a bound on how
//! many are known; past it a load is one that nobody joins.

use crate::{load::Keeping, place::Physical, tags::Scope};
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    hash::BuildHasher,
    sync::Arc,
};
use tokio::sync::watch;

/// So many loads are known at a time.
const MOST: usize = 16_384;
const SHARDS: usize = 64;

pub(crate) struct Flights {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    under_way: watch::Sender<usize>,
}

/// By the key as the store sees it: the loads whose errors are of one type, each by that type.
type Shard = HashMap<Physical, Vec<Listed>, RandomState>;

struct Listed {
    of: TypeId,
    scope: Arc<Scope>,
    flight: Arc<dyn Any + Send + Sync>,
}

/// How a load is going.
pub(crate) struct Progress<V, E> {
    pub(crate) stage: Stage,
    /// What may be given out meanwhile.
    pub(crate) stale: Option<Held<V>>,
    pub(crate) outcome: Option<Outcome<V, E>>,
}

impl<V, E> Progress<V, E> {
    fn is_asking(&self) -> bool {
        self.stage == Stage::Asking && self.outcome.is_none()
    }
}

/// A value, or that there is none.
pub(crate) type Held<V> = Option<Arc<V>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The store is asked.
    Asking,
    /// The store has not answered: another one is asked, or none.
    AskingAnew,
    /// Another process loads.
    Elsewhere,
    /// The loader runs.
    Loading,
}

/// How a load has ended.
pub(crate) enum Outcome<V, E> {
    Loaded(Held<V>),
    Failed(Arc<E>),
    TimedOut,
    Panicked,
}

pub(crate) type Watching<V, E> = watch::Receiver<Progress<V, E>>;

pub(crate) enum Role<V: Send + Sync + 'static, E: Send + Sync + 'static> {
    /// Whoever has this loads.
    Lead(Lead<V, E>, Watching<V, E>),
    Join(Watching<V, E>),
}

/// Which loads are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joining {
    Any,
    /// Not one that waits for the store's answer: who has waited for it in vain does not wait again.
    PastStore,
}

/// Held by the load itself.
pub(crate) struct Lead<V: Send + Sync + 'static, E: Send + Sync + 'static> {
    flights: Arc<Flights>,
    key: Physical,
    flight: Arc<watch::Sender<Progress<V, E>>>,
}

impl Flights {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::default(),
            under_way: watch::Sender::new(0),
        }
    }

    /// Joins the load of this key, or leads one.
    pub(crate) fn enter<V, E>(
        self: &Arc<Self>,
        key: &[u8],
        scope: &Arc<Scope>,
        joining: Joining,
    ) -> Role<V, E>
    where
        V: Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        let of = TypeId::of::<watch::Sender<Progress<V, E>>>();
        let mut shard = self.shard(key).lock();
        let listed = shard.get(key).into_iter().flatten().find(|it| it.of == of);
        if let Some(Listed { flight, .. }) = listed
            && let Ok(flight) = flight.clone().downcast::<watch::Sender<Progress<V, E>>>()
        {
            let watching = flight.subscribe();
            let is_asking = watching.borrow().is_asking();
            if joining == Joining::Any || !is_asking {
                return Role::Join(watching);
            }
            if let Some(listed) = shard.get_mut(key) {
                listed.retain(|it| it.of != of);
                if listed.is_empty() {
                    shard.remove(key);
                }
            }
        }
        let (flight, watching) = watch::channel(Progress {
            stage: Stage::Asking,
            stale: None,
            outcome: None,
        });
        let flight = Arc::new(flight);
        let mut under_way = 0;
        self.under_way.send_modify(|it| {
            *it += 1;
            under_way = *it;
        });
        if under_way <= MOST {
            let listed = Listed {
                of,
                scope: scope.clone(),
                flight: flight.clone(),
            };
            shard.entry(key.into()).or_default().push(listed);
        }
        let lead = Lead {
            flights: self.clone(),
            key: key.into(),
            flight,
        };
        Role::Lead(lead, watching)
    }

    /// Whoever asks from now on joins none of the loads of this key that have begun.
    pub(crate) fn detach(&self, key: &[u8]) {
        self.shard(key).lock().remove(key);
    }

    /// Whoever asks from now on joins none of the loads of this caller that have begun.
    pub(crate) fn detach_all(&self, scope: &Arc<Scope>) {
        for shard in &self.shards {
            shard.lock().retain(|_, listed| {
                listed.retain(|it| !Arc::ptr_eq(&it.scope, scope));
                !listed.is_empty()
            });
        }
    }

    /// Ends when no load is under way.
    pub(crate) async fn idle(&self) {
        let mut watching = self.under_way.subscribe();
        // The sender is our own.
        let _ = watching.wait_for(|it| *it == 0).await;
    }

    fn shard(&self, key: &[u8]) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

impl<V: Send + Sync + 'static, E: Send + Sync + 'static> Lead<V, E> {
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Tells how it is going, and what may be given out meanwhile.
    pub(crate) fn tell(&self, stage: Stage, stale: Option<Held<V>>) {
        self.flight.send_modify(|progress| {
            progress.stage = stage;
            progress.stale = stale;
        });
    }

    /// Answers all who wait. They need not wait for what is done besides.
    pub(crate) fn answer(&self, outcome: Outcome<V, E>, keeping: Keeping) {
        if keeping == Keeping::NotKept {
            // Who asks from now on is not to get it.
            self.delist();
        }
        self.flight
            .send_modify(|progress| progress.outcome = Some(outcome));
    }

    /// Who asks from now on does not join.
    pub(crate) fn delist(&self) {
        let mut shard = self.flights.shard(&self.key).lock();
        let Some(listed) = shard.get_mut(&self.key) else {
            return;
        };
        // Another one may be there since this one was detached.
        let own: *const () = Arc::as_ptr(&self.flight).cast();
        listed.retain(|it| Arc::as_ptr(&it.flight).cast() != own);
        if listed.is_empty() {
            shard.remove(&self.key);
        }
    }
}

impl<V: Send + Sync + 'static, E: Send + Sync + 'static> Drop for Lead<V, E> {
    fn drop(&mut self) {
        self.delist();
        self.flights.under_way.send_modify(|it| *it -= 1);
    }
}

impl<V, E> Clone for Outcome<V, E> {
    fn clone(&self) -> Self {
        match self {
            Self::Loaded(held) => Self::Loaded(held.clone()),
            Self::Failed(error) => Self::Failed(error.clone()),
            Self::TimedOut => Self::TimedOut,
            Self::Panicked => Self::Panicked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Flights, Joining, Role};
    use crate::tags::Tags;
    use std::sync::Arc;

    #[test]
    fn who_joins_nobody_that_asks_leaves_other_loads_alone() {
        let flights = Arc::new(Flights::new());
        let scope = Tags::default().scope(b"");
        let other = flights.enter::<u32, String>(b"k", &scope, Joining::Any);
        assert!(matches!(other, Role::Lead(..)));
        let asking = flights.enter::<u32, ()>(b"k", &scope, Joining::Any);
        assert!(matches!(asking, Role::Lead(..)));
        let past = flights.enter::<u32, ()>(b"k", &scope, Joining::PastStore);
        assert!(matches!(past, Role::Lead(..)));
        let joined = flights.enter::<u32, String>(b"k", &scope, Joining::Any);
        assert!(matches!(joined, Role::Join(_)));
        // The newest is the one that others join.
        drop(asking);
        let joined = flights.enter::<u32, ()>(b"k", &scope, Joining::Any);
        assert!(matches!(joined, Role::Join(_)));
    }
}
