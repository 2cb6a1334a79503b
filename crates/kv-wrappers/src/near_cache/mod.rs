mod config;
mod entries;
mod keeper;
mod meters;
mod read;
mod stats;

use self::{
    entries::Entries,
    keeper::{Keeper, Post},
};
use crate::{
    telemetry::{StoreName, describe},
    touched::Touched,
};
use futures_util::{StreamExt, future::ready};
use kv_core::{
    BoxFuture, Capabilities, Capability, Clock, Command, Context, Error, ErrorKind, Events, Key,
    Layer, Prefixes, Reply, Request, Result, Service, SystemClock, Watch,
};
use std::{
    any::{Any, TypeId},
    sync::Arc,
};

pub use self::{
    config::{NearCacheConfig, NearCacheDeadlines, NearCacheInvalidation},
    stats::{NearCacheState, NearCacheStats},
};

/// Keeps in the process what `get` and `get_many` bring, and answers from there.
///
/// # What a read can see
/// Never anything older than this process's own last write through the same handle: every write
/// forgets its keys before it is sent and again when it has ended, whether it succeeded, failed, is in
/// doubt or was dropped. What others wrote shows as soon as the store has told of it, within
/// milliseconds as a rule; until then the value before is read. Whatever happens to that connection,
/// no answer is older than `max_ttl`. While the watch is known to be away, nothing is answered from
/// memory; when it returns, it begins empty.
///
/// A read that raced a write, of our own or told of, is not kept. A value is not told after the
/// deadline of its key; with [`NearCacheDeadlines::Bounded`] it may be, for at most `max_ttl`. With
/// [`NearCacheInvalidation::OwnWrites`] there is no watch, and `max_ttl` is what bounds the writes of others; so
/// it does for a write of our own that is in doubt and applied later than the error came.
///
/// Everything but `get` and `get_many` goes to the store: other reads, the reads of transactions and
/// waits, compare-and-set, and calls with
/// [`without_near_cache`](kv_core::CallOptions::without_near_cache), whose answers are kept for others. A refused write forgets its key, so a loop of read and compare makes progress.
/// Whoever watches through this handle and reads after an event, or after the watch began, reads
/// what the store has. A message of a channel says nothing about keys: what is read after one can be
/// older than it, unless that option says otherwise.
///
/// # Its place
/// It keeps keys as the store has them, hence inside of `key_resolver`: connecting is refused where
/// a layer further in changes keys. Further in than a `single_flight`: what joins an earlier read must
/// not be kept. What a layer further out encrypts, is kept encrypted.
///
/// # Cost
/// A write touches its keys twice. A read that is not answered from memory asks for the deadline as
/// well, unless [`NearCacheDeadlines::Bounded`]. One watch on all `prefixes`: the store tells of every write
/// there, so name the narrowest.
///
/// Capabilities pass through. Each store that it is put around has a cache of its own; how it does
/// tells `kv.native::<NearCacheStats>()`.
///
/// ```
/// use kv_core::Kv;
/// use kv_memory::MemoryStore;
/// use kv_wrappers::{NearCache, NearCacheConfig, NearCacheStats};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// let near = NearCache::new(NearCacheConfig::default())?;
/// let kv = Kv::builder(MemoryStore::default()).layer(near).connect().await?;
/// kv.set("a", "value").await?;
/// assert_eq!(kv.get("a").await?, Some("value".into()));
/// assert_eq!(kv.native::<NearCacheStats>()?.misses, 1);
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
/// May be dropped; a dropped write forgets its keys. The task that watches is begun by the first read,
/// and ends when the store is closed or its last handle dropped.
#[derive(Clone, Debug)]
pub struct NearCache {
    config: Arc<NearCacheConfig>,
    ranges: Prefixes,
    clock: Arc<dyn Clock>,
    store: StoreName,
}

impl NearCache {
    /// A layer with these settings, on the machine's clock.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for settings outside of their ranges.
    pub fn new(config: NearCacheConfig) -> Result<Self> {
        config.check()?;
        Ok(Self {
            ranges: config.ranges(),
            config: Arc::new(config),
            clock: Arc::new(SystemClock),
            store: StoreName::default(),
        })
    }

    /// With this clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// With this name of the store in its metrics.
    #[must_use]
    pub fn store(mut self, name: impl Into<String>) -> Self {
        self.store = StoreName::new(name);
        self
    }
}

impl Layer for NearCache {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        describe("near_cache");
        Arc::new(NearCacheService {
            inner,
            entries: Arc::new(Entries::new(&self.config, &self.store)),
            keeper: Keeper::new(),
            layer: self.clone(),
        })
    }
}

struct NearCacheService {
    inner: Arc<dyn Service>,
    entries: Arc<Entries>,
    keeper: Keeper,
    layer: NearCache,
}

impl Service for NearCacheService {
    fn call(&self, mut request: Request) -> BoxFuture<'_, Result<Reply>> {
        match &request.command {
            Command::Get { key } => match self.find(key, &request.options) {
                Some(value) => Box::pin(ready(Ok(Reply::Get(value)))),
                None => Box::pin(self.get(request)),
            },
            Command::GetMany { .. } => Box::pin(self.get_many(request)),
            _ => match Touched::by(&mut request.command) {
                Touched::Nothing => self.inner.call(request),
                touched => {
                    let writing = self.entries.write(touched);
                    let call = self.inner.call(request);
                    Box::pin(async move {
                        let reply = call.await;
                        drop(writing);
                        reply
                    })
                }
            },
        }
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        Box::pin(async move {
            let touched = Touched::watched(&watch);
            let events = self.inner.watch(watch, context).await?;
            // Whoever now reads must not be told what was before: no event would follow.
            self.entries.forget(&touched);
            let entries = Arc::clone(&self.entries);
            let events = events.inspect(move |event| {
                if let Ok(event) = event {
                    entries.forget(&Touched::told(event));
                }
            });
            Ok(Box::pin(events) as Events)
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn name(&self) -> String {
        let NearCacheConfig {
            max_bytes,
            max_ttl,
            invalidate,
            ..
        } = *self.layer.config;
        let by = match invalidate {
            NearCacheInvalidation::Watch => "watch",
            NearCacheInvalidation::OwnWrites => "own writes",
        };
        let state = self.keeper.state(&self.entries);
        format!("near_cache({max_bytes} bytes, {max_ttl:?}, by {by}, {state})")
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }

    fn native(&self, wanted: TypeId) -> Option<Box<dyn Any + Send>> {
        if wanted == TypeId::of::<NearCacheStats>() {
            let stats = self.entries.stats(self.keeper.state(&self.entries));
            return Some(Box::new(stats));
        }
        self.inner.native(wanted)
    }

    fn connect(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.inner.connect().await?;
            self.check_place()?;
            self.keeper.settle();
            if self.layer.config.invalidate == NearCacheInvalidation::OwnWrites
                && !self.entries.is_live()
            {
                self.entries.begin();
            }
            Ok(())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.keeper.close().await;
            self.entries.end();
            self.inner.close().await;
        })
    }
}

/// Without a watch there is no task that would tell it.
impl Drop for NearCacheService {
    fn drop(&mut self) {
        if self.entries.is_live() {
            self.entries.end();
        }
    }
}

impl NearCacheService {
    /// Whether it can do its work on what is inside of it.
    fn check_place(&self) -> Result<()> {
        let config = |message: &str| Err(Error::new(ErrorKind::Config, message));
        let probe = Key::new("probe")?;
        let somebody = Context::tenant("tenant").with_user("user");
        for context in [None, Some(&somebody)] {
            let physical = self.inner.resolve(&probe, context);
            if physical.is_ok_and(|it| it == probe) {
                continue;
            }
            return config(
                "near_cache stands outside of a layer that changes keys, such as key_resolver; put it further in, since it keeps and watches keys as the store has them",
            );
        }
        let can_watch = self.inner.capabilities().has(Capability::Watch);
        if self.layer.config.invalidate == NearCacheInvalidation::Watch && !can_watch {
            return config(
                "this store, or a layer on it, cannot watch, so near_cache would not hear of others' writes; say `invalidate = \"own_writes\"` to see them only after max_ttl, or drop the wrapper",
            );
        }
        Ok(())
    }

    /// Sees to it that the watch runs, if there is to be one.
    fn listen(&self) {
        if self.layer.config.invalidate == NearCacheInvalidation::Watch {
            self.keeper.begin(|| Post {
                entries: Arc::clone(&self.entries),
                inner: Arc::clone(&self.inner),
                ranges: self.layer.ranges.clone(),
                clock: Arc::clone(&self.layer.clock),
            });
        }
    }
}

#[cfg(test)]
mod tests;
