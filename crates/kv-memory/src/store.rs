//! The handle, and the commands as the contract has them.

use crate::{access::Inner, config::MemoryConfig, stats::MemoryStats};
use kv_core::{
    Capabilities, CapabilitySet, Clock, Error, ErrorKind, Events, Expiry, Field, Key, Member,
    Notice, Prefix, Prefixes, RangeOptions, Result, ScanFrom, ScanPage, Score, ScoreRange,
    ScoredMember, Scores, SetOptions, SetReply, Store, SystemClock, Throttle, Throttled,
    TimeToLive, Timestamp, Ttl, Txn, TxnReply, Value, Watch, ZMove, ZMoved,
};
use std::{
    any::{Any, TypeId},
    fmt,
    num::NonZeroUsize,
    sync::Arc,
};

/// A store in this process's memory: a cheap handle, clones share the data.
///
/// The data lives as long as any handle; closing one ends its watches and its share in the background
/// task, no more. Every command is done when its future is first polled, so dropping a future never leaves
/// half of one behind.
pub struct MemoryStore {
    inner: Arc<Inner>,
    /// Tells whose watches end when one of the handles is closed.
    handle: u64,
}

impl MemoryStore {
    /// A store with these settings, on the machine's clock.
    pub fn new(config: MemoryConfig) -> Self {
        Self::with_clock(config, Arc::new(SystemClock))
    }

    /// A store with these settings, on this clock.
    pub fn with_clock(config: MemoryConfig, clock: Arc<dyn Clock>) -> Self {
        Self::of(Arc::new(Inner::new(config, clock)))
    }

    /// What the store holds and what became of the rest.
    pub fn stats(&self) -> MemoryStats {
        self.inner.stats()
    }

    fn of(inner: Arc<Inner>) -> Self {
        let handle = inner.hub.handle();
        Self { inner, handle }
    }

    #[cfg(test)]
    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }
}

/// Another handle on the same data.
impl Clone for MemoryStore {
    fn clone(&self) -> Self {
        Self::of(Arc::clone(&self.inner))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(MemoryConfig::default())
    }
}

/// Shows numbers, never keys or contents.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("config", &self.inner.config)
            .field("stats", &self.stats())
            .finish()
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        let limit = |it: Option<NonZeroUsize>| it.map_or(usize::MAX, NonZeroUsize::get);
        let config = &self.inner.config;
        Capabilities::new(CapabilitySet::ALL)
            .with_limits(limit(config.max_key_bytes), limit(config.max_value_bytes))
    }

    async fn connect(&self) -> Result<()> {
        self.inner.sweeper.start(&self.inner)
    }

    async fn close(&self) {
        self.inner.hub.close(Some(self.handle));
        self.inner.sweeper.stop().await;
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    fn native(&self, wanted: TypeId) -> Option<Box<dyn Any + Send>> {
        (wanted == TypeId::of::<Self>()).then(|| Box::new(self.clone()) as _)
    }

    async fn watch(&self, watch: Watch) -> Result<Events> {
        self.inner.watch(watch, self.handle)
    }

    async fn get(&self, key: Key) -> Result<Option<Value>> {
        self.inner.read(&key, |shard, slot, now| {
            Ok(shard.string(slot, now)?.cloned())
        })
    }

    async fn get_many(&self, keys: Vec<Key>) -> Result<Vec<Option<Value>>> {
        let get = |key: &Key| {
            self.inner.read(key, |shard, slot, now| {
                Ok(shard.string(slot, now).ok().flatten().cloned())
            })
        };
        keys.iter().map(get).collect()
    }

    async fn set_with(&self, key: Key, mut value: Value, options: SetOptions) -> Result<SetReply> {
        self.inner.write(&key, |shard, slot, now| {
            shard.set(slot, &mut value, &options, now)
        })
    }

    async fn set_many_with(
        &self,
        items: Vec<(Key, Value)>,
        options: SetOptions,
    ) -> Result<Vec<Result<bool>>> {
        let limits = self.capabilities();
        let set = |(key, mut value): (Key, Value)| {
            limits.fits_key(&key)?;
            limits.fits_value(Some(&key), value.as_bytes().len())?;
            let reply = self.inner.write(&key, |shard, slot, now| {
                shard.set(slot, &mut value, &options, now)
            });
            reply.map(|reply| reply.applied)
        };
        Ok(items.into_iter().map(set).collect())
    }

    async fn delete_many(&self, keys: Vec<Key>) -> Result<u64> {
        let delete = |key: &Key| {
            let deleted = self
                .inner
                .write(key, |shard, slot, now| Ok(shard.delete(slot, now)));
            deleted.map(u64::from)
        };
        keys.iter().map(delete).sum()
    }

    async fn exists_many(&self, mut keys: Vec<Key>) -> Result<u64> {
        keys.sort_unstable();
        keys.dedup();
        let exists = |key: &Key| {
            let found = self
                .inner
                .read(key, |shard, slot, now| Ok(shard.get(slot, now).is_some()));
            found.map(u64::from)
        };
        keys.iter().map(exists).sum()
    }

    async fn increment_with(&self, key: Key, by: i64, ttl_if_created: Ttl) -> Result<i64> {
        self.inner.write(&key, |shard, slot, now| {
            shard.increment(slot, by, ttl_if_created, now)
        })
    }

    async fn expire(&self, key: Key, expiry: Expiry) -> Result<bool> {
        let Some(deadline) = self.inner.moment().expiry(expiry) else {
            return Err(Error::unsupported("expire").with_key(&key));
        };
        self.inner.write(&key, |shard, slot, now| {
            Ok(shard.expire(slot, deadline, now))
        })
    }

    async fn persist(&self, key: Key) -> Result<bool> {
        self.inner
            .write(&key, |shard, slot, now| Ok(shard.persist(slot, now)))
    }

    async fn time_to_live(&self, key: Key) -> Result<TimeToLive> {
        self.inner
            .read(&key, |shard, slot, now| Ok(shard.time_to_live(slot, now)))
    }

    async fn scan_page(&self, prefixes: Prefixes, from: ScanFrom, limit: u32) -> Result<ScanPage> {
        self.inner.scan(&prefixes, from, limit)
    }

    async fn clear_prefixes(&self, prefixes: Prefixes) -> Result<u64> {
        let all = prefixes.as_slice().iter().any(Prefix::is_all);
        if all && !self.inner.config.allow_clear_all {
            return Err(Error::new(
                ErrorKind::Denied,
                "clearing the whole store is not allowed; use a prefix, or set allow_clear_all in the store's configuration",
            ));
        }
        Ok(self.inner.clear(&prefixes))
    }

    async fn hset_many(&self, key: Key, mut fields: Vec<(Field, Value)>) -> Result<u64> {
        self.inner
            .write(&key, |shard, slot, now| shard.hset(slot, &mut fields, now))
    }

    async fn hget(&self, key: Key, field: Field) -> Result<Option<Value>> {
        self.inner.read(&key, |shard, slot, now| {
            let hash = shard.hash(slot, now)?;
            Ok(hash.and_then(|it| it.get(&field)).cloned())
        })
    }

    async fn hget_many(&self, key: Key, fields: Vec<Field>) -> Result<Vec<Option<Value>>> {
        if fields.is_empty() {
            return Ok(Vec::new());
        }
        self.inner.read(&key, |shard, slot, now| {
            let hash = shard.hash(slot, now)?;
            let get = |field| hash.and_then(|it| it.get(field)).cloned();
            Ok(fields.iter().map(get).collect())
        })
    }

    async fn hgetall(&self, key: Key) -> Result<Vec<(Field, Value)>> {
        self.inner.read(&key, |shard, slot, now| {
            let fields = shard.hash(slot, now)?.into_iter().flat_map(|it| it.iter());
            Ok(fields
                .map(|(field, value)| (field.clone(), value.clone()))
                .collect())
        })
    }

    async fn hincrement(&self, key: Key, field: Field, by: i64) -> Result<i64> {
        self.inner.write(&key, |shard, slot, now| {
            shard.hincrement(slot, &field, by, now)
        })
    }

    async fn hdel(&self, key: Key, fields: Vec<Field>) -> Result<u64> {
        self.inner
            .write(&key, |shard, slot, now| shard.hdel(slot, &fields, now))
    }

    async fn hlen(&self, key: Key) -> Result<u64> {
        self.inner.read(&key, |shard, slot, now| {
            Ok(shard.hash(slot, now)?.map_or(0, |it| it.len() as u64))
        })
    }

    async fn zadd(&self, key: Key, members: Vec<(Member, Score)>) -> Result<u64> {
        self.inner
            .write(&key, |shard, slot, now| shard.zadd(slot, &members, now))
    }

    async fn zrem(&self, key: Key, members: Vec<Member>) -> Result<u64> {
        self.inner
            .write(&key, |shard, slot, now| shard.zrem(slot, &members, now))
    }

    async fn zscore(&self, key: Key, member: Member) -> Result<Option<Score>> {
        self.inner.read(&key, |shard, slot, now| {
            let zset = shard.zset(slot, now)?;
            Ok(zset.and_then(|it| it.score(member.as_bytes())))
        })
    }

    async fn zcount(&self, key: Key, range: ScoreRange) -> Result<u64> {
        self.inner.read(&key, |shard, slot, now| {
            Ok(shard
                .zset(slot, now)?
                .map_or(0, |it| it.count(range) as u64))
        })
    }

    async fn zrange(
        &self,
        key: Key,
        start: i64,
        stop: i64,
        scores: Scores,
    ) -> Result<Vec<ScoredMember>> {
        self.inner.read(&key, |shard, slot, now| {
            let zset = shard.zset(slot, now)?;
            Ok(zset.map_or_else(Vec::new, |it| it.by_rank(start, stop, scores)))
        })
    }

    async fn zrangebyscore_with(
        &self,
        key: Key,
        range: ScoreRange,
        options: RangeOptions,
    ) -> Result<Vec<ScoredMember>> {
        self.inner.read(&key, |shard, slot, now| {
            let zset = shard.zset(slot, now)?;
            Ok(zset.map_or_else(Vec::new, |it| it.by_score(range, &options)))
        })
    }

    async fn zpopbyscore_with(
        &self,
        key: Key,
        max: Score,
        limit: u32,
        scores: Scores,
    ) -> Result<Vec<ScoredMember>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        self.inner.write(&key, |shard, slot, now| {
            shard.zpop(slot, max, limit, scores, now)
        })
    }

    async fn now(&self) -> Result<Timestamp> {
        Ok(self.inner.clock.now())
    }

    async fn commit(&self, txns: Vec<Txn>) -> Result<Vec<Result<TxnReply>>> {
        Ok(self.inner.commit(txns))
    }

    async fn zmove(&self, step: Box<ZMove>) -> Result<ZMoved> {
        self.inner.zmove(&step)
    }

    async fn notify(&self, channel: Key, payload: Value) -> Result<()> {
        self.inner.notify(&Notice::new(channel, payload));
        Ok(())
    }

    async fn throttle(&self, request: Throttle) -> Result<Throttled> {
        self.inner.throttle(&request)
    }
}
