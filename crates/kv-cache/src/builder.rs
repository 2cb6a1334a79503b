//! How a cache is put together.

use crate::{
    across::Across,
    again::Again,
    cache::Cache,
    events::Teller,
    far::{Far, FarLevel},
    flights::Flights,
    glance::Outlook,
    key::CacheKey,
    near::{MAX_STALE, Near, NearLevel, OVERHEAD},
    place::Place,
    policy::Policy,
    shared::{CacheValue, Shared},
    stats::Counts,
    tags::Tags,
};
use kv_core::{Clock, Codec, Error, ErrorKind, Result, SystemClock};
use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

/// How long entries are fresh unless a policy is given.
pub(crate) const TTL: Duration = Duration::from_secs(300);

/// See [`Cache::builder`].
pub struct CacheBuilder<K: ?Sized, V> {
    name: String,
    near: Option<Near>,
    far: Option<Far>,
    policy: Policy,
    codec: Codec,
    clock: Arc<dyn Clock>,
    of: PhantomData<fn(&K) -> V>,
}

impl<K: CacheKey + ?Sized, V: CacheValue> CacheBuilder<K, V> {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            near: None,
            far: None,
            policy: Policy::ttl(TTL),
            codec: Codec::default(),
            clock: Arc::new(SystemClock),
            of: PhantomData,
        }
    }

    /// With a level in this process.
    #[must_use]
    pub fn near(self, near: Near) -> Self {
        Self {
            near: Some(near),
            ..self
        }
    }

    /// With a level on a store, which other processes share.
    #[must_use]
    pub fn far(self, far: impl Into<Far>) -> Self {
        Self {
            far: Some(far.into()),
            ..self
        }
    }

    /// How long entries are fresh, and what is done about those that are not; five minutes and no more, unless
    /// this is said.
    #[must_use]
    pub fn policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// How values become bytes on the store; JSON, unless this is said. Another codec is for another name:
    /// what one wrote the other cannot read, and loads.
    #[must_use]
    pub fn codec(self, codec: Codec) -> Self {
        Self { codec, ..self }
    }

    /// Another clock than the machine's: for tests and simulations.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The cache. Nothing is sent to the store yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it has no level, or a policy that makes no sense;
    /// [`ErrorKind::Unsupported`] if the store cannot do what is needed: transactions, keys that are held,
    /// channels.
    pub fn build(self) -> Result<Cache<K, V>> {
        let named = |error: Error| error.with_context("cache", &self.name);
        self.policy.check().map_err(named)?;
        let config = |message| named(Error::new(ErrorKind::Config, message));
        if self.near.is_none() && self.far.is_none() {
            return Err(config(
                "a cache needs a level: say near, far, or both of them",
            ));
        }
        if self.near.is_some_and(|it| it.bytes < OVERHEAD as u64) {
            return Err(config(
                "near must have room for an entry, which is some hundred bytes at least; leave it out to have entries on the store only",
            ));
        }
        let sure = match (&self.far, self.near) {
            (Some(_), Some(near)) => near.max_stale,
            _ => Duration::MAX,
        };
        let far = self.far.clone();
        let place = Place::new(&self.name)?;
        let tags = place.tags()?;
        let [tag_base, _] = tags.of(None);
        let far = far.map(|it| FarLevel::new(it, &self.policy, tags, self.clock.clone()));
        let name: Arc<str> = self.name.as_str().into();
        let max_stale = self.near.map_or(MAX_STALE, |it| it.max_stale);
        let across = self.far.as_ref().map(|_| place.news());
        let across = across.transpose()?;
        let shared = Shared {
            place,
            across: across.map(|key| Across::new(key, max_stale)),
            near: self.near.map(NearLevel::new),
            far: far.transpose().map_err(named)?,
            sure,
            sure_of_tags: max_stale,
            tags: Tags::default(),
            second_tags: Tags::default(),
            tag_base: tag_base.as_bytes().into(),
            policy: self.policy,
            codec: self.codec,
            flights: Arc::new(Flights::new()),
            outlook: Outlook::new(),
            counts: Counts::new(&name),
            events: Teller::new(),
            again: Again::default(),
            last_version: AtomicU64::new(0),
            name,
            clock: self.clock,
        };
        Ok(Cache {
            shared: Arc::new(shared),
            tags: None,
            key: PhantomData,
        })
    }
}

impl<K: ?Sized, V> fmt::Debug for CacheBuilder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("name", &self.name)
            .field("near", &self.near)
            .field("far", &self.far)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
