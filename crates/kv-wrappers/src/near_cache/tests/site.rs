//! A near cache on a store in memory, seen from inside and past it.

use crate::{NearCache, NearCacheConfig, NearCacheInvalidation, NearCacheState, NearCacheStats};
use futures_util::stream;
use kv_core::{
    BoxFuture, Capabilities, Clock, Context, Error, ErrorKind, Event, Events, Kv, Layer, Reply,
    Request, Result, Service, VirtualClock, Watch,
};
use kv_memory::{MemoryConfig, MemoryStore};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::sync::{RwLock, mpsc};

pub(super) const HOUR: Duration = Duration::from_secs(3600);

pub(super) struct Site {
    pub(super) near: Kv,
    /// Another handle on the same data: what other processes do.
    pub(super) other: Kv,
    pub(super) wire: Wire,
    pub(super) clock: VirtualClock,
}

/// What is kept is kept for an hour, unless something removes it.
pub(super) fn lasting(invalidate: NearCacheInvalidation) -> NearCacheConfig {
    NearCacheConfig {
        max_ttl: HOUR,
        negative_ttl: HOUR,
        invalidate,
        ..NearCacheConfig::default()
    }
}

impl Site {
    pub(super) async fn new(config: NearCacheConfig) -> Self {
        Self::of(config, Wire::default()).await
    }

    pub(super) async fn of(config: NearCacheConfig, wire: Wire) -> Self {
        let clock = VirtualClock::default();
        let dynamic: Arc<dyn Clock> = Arc::new(clock.clone());
        let store = MemoryStore::with_clock(MemoryConfig::default(), Arc::clone(&dynamic));
        let near = NearCache::new(config).unwrap().clock(dynamic);
        let builder = Kv::builder(store.clone()).layer(wire.clone()).layer(near);
        Self {
            near: builder.connect().await.unwrap(),
            other: Kv::builder(store).connect().await.unwrap(),
            wire,
            clock,
        }
    }

    /// With what is kept being answered.
    pub(super) async fn live(config: NearCacheConfig) -> Self {
        let site = Self::new(config).await;
        site.is_live().await;
        site.wire.take();
        site
    }

    pub(super) async fn is_live(&self) {
        self.near.get("first").await.unwrap();
        until("the cache is live", async || {
            self.stats().state == NearCacheState::Live
        })
        .await;
    }

    pub(super) fn stats(&self) -> NearCacheStats {
        self.near.native().unwrap()
    }

    /// Reads, and tells whether the store was asked.
    pub(super) async fn read(&self, key: &str) -> (Option<String>, Asked) {
        self.wire.take();
        let value = self.near.get(key).await.unwrap();
        let asked = match self.wire.take().contains(&"get") {
            true => Asked::Store,
            false => Asked::Memory,
        };
        (value.map(|it| it.to_str().unwrap().to_owned()), asked)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Asked {
    Memory,
    Store,
}

/// Lets other tasks run until this holds.
pub(super) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..200_000 {
        if holds().await {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("never: {what}");
}

/// A way to each watch.
type Lines = Arc<Mutex<Vec<mpsc::UnboundedSender<Result<Event>>>>>;

/// Notes what passes, holds replies back, loses them, and cuts watches.
#[derive(Clone, Default)]
pub(super) struct Wire {
    asked: Arc<Mutex<Vec<&'static str>>>,
    /// Replies to `get`, and calls of `set_with`, pass while nobody holds this for writing.
    pub(super) gate: Arc<RwLock<()>>,
    /// Watches that are to fail.
    pub(super) refusals: Arc<Mutex<u32>>,
    /// Whether a write's reply is lost.
    pub(super) loses: Arc<Mutex<bool>>,
    /// Watches are of our making if this is there.
    pub(super) lines: Option<Lines>,
}

impl Wire {
    /// With watches that tell only what the test says.
    pub(super) fn by_hand() -> Self {
        Self {
            lines: Some(Arc::default()),
            ..Self::default()
        }
    }

    /// What passed since the last look.
    pub(super) fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.asked.lock())
    }

    pub(super) fn tell(&self, event: Result<Event>) {
        let lines = self.lines.as_ref().unwrap().lock();
        lines.last().unwrap().send(event).unwrap();
    }

    pub(super) fn hang_up(&self) {
        self.lines.as_ref().unwrap().lock().clear();
    }

    /// How many watches are heard.
    pub(super) fn watches(&self) -> usize {
        let lines = self.lines.as_ref().unwrap().lock();
        lines.iter().filter(|it| !it.is_closed()).count()
    }
}

impl Layer for Wire {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        let wire = self.clone();
        Arc::new(Wired { inner, wire })
    }
}

struct Wired {
    inner: Arc<dyn Service>,
    wire: Wire,
}

impl Service for Wired {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        let name = request.command.spec().name;
        self.wire.asked.lock().push(name);
        Box::pin(async move {
            if name == "set_with" {
                drop(self.wire.gate.read().await);
            }
            let reply = self.inner.call(request).await;
            if name == "get" {
                drop(self.wire.gate.read().await);
            }
            if name == "set_with" && *self.wire.loses.lock() {
                return Err(Error::new(ErrorKind::Timeout, "lost"));
            }
            reply
        })
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        let mut refusals = self.wire.refusals.lock();
        if *refusals > 0 {
            *refusals -= 1;
            return Box::pin(async { Err(Error::new(ErrorKind::Unavailable, "no watch")) });
        }
        drop(refusals);
        let Some(lines) = &self.wire.lines else {
            return self.inner.watch(watch, context);
        };
        let (send, receive) = mpsc::unbounded_channel();
        lines.lock().push(send);
        let events = stream::unfold(receive, async |mut receive| {
            let event = receive.recv().await?;
            Some((event, receive))
        });
        Box::pin(async { Ok(Box::pin(events) as Events) })
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn name(&self) -> String {
        "wire".to_owned()
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}
