//! Processes on two stores, each with a wire of its own to each of them.

use crate::{
    SECOND,
    fleet::{Fleet, Products, SURE},
};
use kv_cache::{Cache, Fallback, Far, Near, Policy};
use kv_core::{Error, ErrorKind, Kv, KvBuilder, Layer, Outcome, layer_fn};
use kv_memory::{MemoryConfig, MemoryStore};
use parking_lot::Mutex;
use std::{future::pending, sync::Arc, time::Duration};

/// How long entries live on the second store.
pub(crate) const LIFE: Duration = Duration::from_secs(20);

/// How long a call to it may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(3);

/// What a wire does with a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Passes,
    /// It is not done, and fails.
    Fails,
    /// It is done, and fails.
    Loses,
    /// It is not done, and never ends.
    Hangs,
}

/// The way of a process to a store.
#[derive(Clone, Default)]
pub(crate) struct Wire(Arc<Mutex<(Mode, usize)>>);

pub(crate) struct Process {
    pub(crate) cache: Products,
    pub(crate) first: Wire,
    pub(crate) second: Wire,
}

pub(crate) struct Pair {
    pub(crate) fleet: Fleet,
    pub(crate) second: MemoryStore,
}

impl Wire {
    pub(crate) fn set(&self, mode: Mode) {
        self.0.lock().0 = mode;
    }

    /// How many calls there were since this was asked last.
    pub(crate) fn take(&self) -> usize {
        std::mem::take(&mut self.0.lock().1)
    }

    pub(crate) fn layer(&self) -> impl Layer + use<> {
        let wire = self.clone();
        layer_fn("wire", move |request, next| {
            // Signs of life are another matter.
            if request.command.spec().name == "notify" {
                return next.call(request);
            }
            let mut wire = wire.0.lock();
            wire.1 += 1;
            let error = |outcome| Error::new(ErrorKind::Unavailable, "cut").with_outcome(outcome);
            match wire.0 {
                Mode::Passes => next.call(request),
                Mode::Fails => Box::pin(async move { Err(error(Outcome::NotApplied)) }),
                Mode::Loses => Box::pin(async move {
                    let _ = next.call(request).await;
                    Err(error(Outcome::Unknown))
                }),
                Mode::Hangs => Box::pin(pending()),
            }
        })
    }
}

impl Pair {
    pub(crate) fn new() -> Self {
        let fleet = Fleet::new();
        let clock = Arc::new(fleet.clock.clone());
        let second = MemoryStore::with_clock(MemoryConfig::default(), clock);
        Self { fleet, second }
    }

    /// A process with both.
    pub(crate) async fn process(&self, policy: Policy) -> Process {
        self.with(policy, |it| it, |it| it).await
    }

    /// A process that cannot reach its first store.
    pub(crate) async fn cut(&self, policy: Policy) -> Process {
        let process = self.process(policy).await;
        process.first.set(Mode::Fails);
        process
    }

    /// With layers between wires and stores.
    pub(crate) async fn with(
        &self,
        policy: Policy,
        first: impl Fn(KvBuilder) -> KvBuilder,
        second: impl Fn(KvBuilder) -> KvBuilder,
    ) -> Process {
        let wires = [Wire::default(), Wire::default()];
        let first = first(self.fleet.builder()).layer(wires[0].layer());
        let second = second(Kv::builder(self.second.clone())).layer(wires[1].layer());
        let first = first.connect().await.unwrap();
        let second = second.connect().await.unwrap();
        let [one, other] = wires;
        Process {
            cache: self.on(&first, &second, policy).unwrap(),
            first: one,
            second: other,
        }
    }

    pub(crate) fn on(&self, first: &Kv, second: &Kv, policy: Policy) -> kv_core::Result<Products> {
        let fallback = Fallback::new(second).life(LIFE).deadline(DEADLINE);
        Cache::builder("c")
            .near(Near::megabytes(1).max_stale(SURE))
            .far(Far::new(first).deadline(SECOND).fallback(fallback))
            .policy(policy)
            .clock(Arc::new(self.fleet.clock.clone()))
            .build()
    }

    pub(crate) async fn second(&self) -> Kv {
        Kv::builder(self.second.clone()).connect().await.unwrap()
    }
}
