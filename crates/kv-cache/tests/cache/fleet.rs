//! Several processes on one store.

use crate::{SECOND, bad::Bad};
use kv_cache::{Cache, Far, LoadError, Near, Policy};
use kv_core::{Key, KeyGroup, Kv, KvBuilder, Layer, VirtualClock, layer_fn};
use kv_memory::{MemoryConfig, MemoryStore};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Notify, task::JoinHandle};

/// For how long a process trusts what it has.
pub(crate) const SURE: Duration = Duration::from_secs(3);

pub(crate) type Products = Cache<str, u32>;

pub(crate) struct Fleet {
    pub(crate) store: MemoryStore,
    pub(crate) clock: VirtualClock,
}

/// What a process has sent to the store.
#[derive(Clone, Default)]
pub(crate) struct Sent(Arc<Mutex<Vec<&'static str>>>);

impl Sent {
    pub(crate) fn put(&self, name: &'static str) {
        self.0.lock().push(name);
    }

    pub(crate) fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock())
    }
}

/// Holds answers of the store up.
#[derive(Clone, Default)]
pub(crate) struct Gates(Arc<Mutex<Vec<Gate>>>);

/// The command whose answer it holds up, and what lets it go.
type Gate = (&'static str, Arc<Notify>);

impl Gates {
    /// The next answer to this command, until it is let go.
    pub(crate) fn hold(&self, command: &'static str) -> Arc<Notify> {
        let gate = Arc::new(Notify::new());
        self.0.lock().push((command, gate.clone()));
        gate
    }

    /// Whether all that were to be held up are.
    pub(crate) fn are_taken(&self) -> bool {
        self.0.lock().is_empty()
    }

    pub(crate) fn layer(&self) -> impl Layer + use<> {
        let gates = self.clone();
        layer_fn("gates", move |request, next| {
            let name = request.command.spec().name;
            let mut gates = gates.0.lock();
            let gate = gates.iter().position(|it| it.0 == name);
            let gate = gate.map(|at| gates.remove(at).1);
            Box::pin(async move {
                let reply = next.call(request).await;
                if let Some(gate) = gate {
                    gate.notified().await;
                }
                reply
            })
        })
    }
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let clock = VirtualClock::default();
        clock.advance(SECOND * 1000);
        let store = MemoryStore::with_clock(MemoryConfig::default(), Arc::new(clock.clone()));
        Self { store, clock }
    }

    pub(crate) fn builder(&self) -> KvBuilder {
        Kv::builder(self.store.clone())
    }

    pub(crate) async fn kv(&self) -> Kv {
        self.builder().connect().await.unwrap()
    }

    pub(crate) fn on(&self, kv: &Kv, policy: Policy) -> Products {
        let cache = Cache::builder("c")
            .near(Near::megabytes(1).max_stale(SURE))
            .far(Far::new(kv).deadline(SECOND))
            .policy(policy)
            .clock(Arc::new(self.clock.clone()));
        cache.build().unwrap()
    }

    pub(crate) async fn process(&self, policy: Policy) -> Products {
        self.on(&self.kv().await, policy)
    }

    /// A process that hears nothing.
    pub(crate) async fn deaf(&self, policy: Policy) -> Products {
        let bad = Bad {
            clock: self.clock.clone(),
            lost: 1.0,
            held: 0.0,
            random: Arc::default(),
        };
        let kv = self.builder().layer(bad).connect().await.unwrap();
        self.on(&kv, policy)
    }

    pub(crate) async fn counted(&self, policy: Policy) -> (Products, Sent) {
        let sent = Sent::default();
        let list = sent.clone();
        let layer = layer_fn("count", move |request, next| {
            // Signs of life are another matter.
            if request.command.spec().name != "notify" {
                list.put(request.command.spec().name);
            }
            next.call(request)
        });
        let kv = self.builder().layer(layer).connect().await.unwrap();
        (self.on(&kv, policy), sent)
    }
}

/// A record of the tags of the caches here.
pub(crate) fn record(kind: &str) -> Key {
    KeyGroup::new("cache:c").unwrap().key(kind)
}

/// Asks for what comes when the gate opens.
pub(crate) fn ask(
    cache: &Products,
    gate: &Arc<Notify>,
    value: u32,
) -> JoinHandle<Result<u32, LoadError<&'static str>>> {
    let (cache, gate) = (cache.clone(), gate.clone());
    tokio::spawn(async move {
        let load = cache.get_or_load("k", move |_| async move {
            gate.notified().await;
            Ok(value)
        });
        load.await.map(|it| *it)
    })
}

/// Asks for what comes at once.
pub(crate) async fn get(cache: &Products, value: u32) -> u32 {
    let load = cache.get_or_load("k", move |_| async move { Ok::<_, &'static str>(value) });
    *load.await.unwrap()
}
