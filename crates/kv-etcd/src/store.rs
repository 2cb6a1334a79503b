//! The provider: each command goes to the module of its kind.

use crate::{
    batch, commit,
    config::{EtcdConfig, Target},
    deadlines, hashes,
    layout::Layout,
    optimistic::Optimist,
    reads, scan, strings, throttle,
    watch::{self, Line},
    zmove, zsets,
};
use kv_core::{
    Capabilities, CapabilitySet, Clock, DeadlineClock, Events, Expiry, Field, Key, Member, Prefix,
    Prefixes, RangeOptions, Result, ScanFrom, ScanPage, Score, ScoreRange, ScoredMember, Scores,
    SetOptions, SetReply, Store, SystemClock, Throttle, Throttled, TimeToLive, Timestamp, Ttl, Txn,
    TxnReply, Value, Watch, ZMove, ZMoved,
};
use std::{
    any::{Any, TypeId},
    fmt,
    sync::Arc,
};

/// How many conditions, and elements written, one transaction takes: each is up to three operations
/// of the 128 that etcd takes.
const MOST_TXN_OPS: usize = 40;

/// An etcd cluster as a store.
///
/// `Debug` shows the endpoints and no credentials.
pub struct EtcdStore {
    config: EtcdConfig,
    target: Target,
    optimist: Arc<Optimist>,
    watches: Arc<Line>,
}

impl EtcdStore {
    /// A store that is not connected yet; nothing is read or sent.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](kv_core::ErrorKind::Config) if the configuration does not parse or
    /// contradicts itself.
    pub fn new(config: EtcdConfig) -> Result<Self> {
        Self::with_clock(config, Arc::new(SystemClock))
    }

    /// The same by another clock than the machine's.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_clock(config: EtcdConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        let target = config.target()?;
        let layout = Layout::new(target.root.clone().unwrap_or_default());
        let optimist = Arc::new(Optimist::new(layout, clock, &config));
        let watches = Line::new(
            Arc::clone(&optimist),
            config.connect_timeout,
            config.response_timeout,
        );
        Ok(Self {
            config,
            target,
            optimist,
            watches,
        })
    }

    /// A store by its address, all else as usual: `etcd://user:password@host:port,host:port/root`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_url(uri: &str) -> Result<Self> {
        Self::new(EtcdConfig::from_url(uri))
    }
}

/// A store that is dropped without `close` leaves no task behind.
impl Drop for EtcdStore {
    fn drop(&mut self) {
        self.watches.close();
    }
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdStore")
            .field("config", &self.config)
            .field("connected", &self.optimist.link.is_connected())
            .finish_non_exhaustive()
    }
}

impl Store for EtcdStore {
    fn name(&self) -> &'static str {
        "etcd"
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new(CapabilitySet::ALL)
            .with_limits(self.config.max_key_bytes, self.config.max_value_bytes)
            .with_max_txn_ops(MOST_TXN_OPS);
        capabilities.deadline_clock = DeadlineClock::Client {
            skew: self.config.max_clock_skew,
        };
        capabilities
    }

    async fn connect(&self) -> Result<()> {
        self.optimist
            .link
            .connect(&self.config, &self.target)
            .await?;
        self.watches.open();
        Ok(())
    }

    async fn close(&self) {
        self.watches.close();
        self.optimist.link.close();
    }

    async fn ping(&self) -> Result<()> {
        self.optimist.link.get(vec![0], None).await?;
        Ok(())
    }

    fn native(&self, wanted: TypeId) -> Option<Box<dyn Any + Send>> {
        if wanted != TypeId::of::<etcd_client::Client>() {
            return None;
        }
        self.optimist.link.client().ok().map(|it| Box::new(it) as _)
    }

    async fn get(&self, key: Key) -> Result<Option<Value>> {
        strings::get(&self.optimist, &key)
            .await
            .map_err(|it| it.about(&key))
    }

    async fn get_many(&self, keys: Vec<Key>) -> Result<Vec<Option<Value>>> {
        Ok(reads::get_many(&self.optimist, &keys).await?)
    }

    async fn set_with(&self, key: Key, value: Value, options: SetOptions) -> Result<SetReply> {
        let set = strings::set(&self.optimist, &key, value, &options).await;
        set.map_err(|it| it.about(&key))
    }

    async fn set_many_with(
        &self,
        items: Vec<(Key, Value)>,
        options: SetOptions,
    ) -> Result<Vec<Result<bool>>> {
        let limits = self.capabilities();
        Ok(batch::set(&self.optimist, &limits, items, &options).await)
    }

    async fn delete_many(&self, keys: Vec<Key>) -> Result<u64> {
        batch::delete(&self.optimist, keys).await
    }

    async fn exists_many(&self, keys: Vec<Key>) -> Result<u64> {
        batch::exists(&self.optimist, keys).await
    }

    async fn expire(&self, key: Key, expiry: Expiry) -> Result<bool> {
        let done = deadlines::expire(&self.optimist, &key, expiry).await;
        done.map_err(|it| it.about(&key))
    }

    async fn persist(&self, key: Key) -> Result<bool> {
        let done = deadlines::persist(&self.optimist, &key).await;
        done.map_err(|it| it.about(&key))
    }

    async fn time_to_live(&self, key: Key) -> Result<TimeToLive> {
        let told = deadlines::time_to_live(&self.optimist, &key).await;
        told.map_err(|it| it.about(&key))
    }

    async fn scan_page(&self, prefixes: Prefixes, from: ScanFrom, limit: u32) -> Result<ScanPage> {
        scan::page(&self.optimist, &prefixes, from, limit).await
    }

    async fn clear_prefixes(&self, prefixes: Prefixes) -> Result<u64> {
        let all = prefixes.as_slice().iter().any(Prefix::is_all);
        if all && !self.config.allow_clear_all {
            return Err(scan::denied());
        }
        scan::clear(&self.optimist, &prefixes).await
    }

    async fn increment_with(&self, key: Key, by: i64, ttl_if_created: Ttl) -> Result<i64> {
        let sum = strings::increment(&self.optimist, &key, by, ttl_if_created).await;
        sum.map_err(|it| it.about(&key))
    }

    async fn hset_many(&self, key: Key, fields: Vec<(Field, Value)>) -> Result<u64> {
        let set = hashes::set(&self.optimist, &key, &fields).await;
        set.map_err(|it| it.about(&key))
    }

    async fn hget(&self, key: Key, field: Field) -> Result<Option<Value>> {
        let mut read = self.hget_many(key, vec![field]).await?;
        Ok(read.pop().flatten())
    }

    async fn hget_many(&self, key: Key, fields: Vec<Field>) -> Result<Vec<Option<Value>>> {
        let read = hashes::get_many(&self.optimist, &key, &fields).await;
        read.map_err(|it| it.about(&key))
    }

    async fn hgetall(&self, key: Key) -> Result<Vec<(Field, Value)>> {
        let read = hashes::get_all(&self.optimist, &key).await;
        read.map_err(|it| it.about(&key))
    }

    async fn hincrement(&self, key: Key, field: Field, by: i64) -> Result<i64> {
        let sum = hashes::increment(&self.optimist, &key, &field, by).await;
        sum.map_err(|it| it.about(&key))
    }

    async fn hdel(&self, key: Key, fields: Vec<Field>) -> Result<u64> {
        let deleted = hashes::delete(&self.optimist, &key, &fields).await;
        deleted.map_err(|it| it.about(&key))
    }

    async fn hlen(&self, key: Key) -> Result<u64> {
        let counted = hashes::len(&self.optimist, &key).await;
        counted.map_err(|it| it.about(&key))
    }

    async fn zadd(&self, key: Key, members: Vec<(Member, Score)>) -> Result<u64> {
        let added = zsets::add(&self.optimist, &key, &members).await;
        added.map_err(|it| it.about(&key))
    }

    async fn zrem(&self, key: Key, members: Vec<Member>) -> Result<u64> {
        let removed = zsets::remove(&self.optimist, &key, &members).await;
        removed.map_err(|it| it.about(&key))
    }

    async fn zscore(&self, key: Key, member: Member) -> Result<Option<Score>> {
        let read = zsets::score(&self.optimist, &key, &member).await;
        read.map_err(|it| it.about(&key))
    }

    async fn zcount(&self, key: Key, range: ScoreRange) -> Result<u64> {
        let counted = zsets::count(&self.optimist, &key, range).await;
        counted.map_err(|it| it.about(&key))
    }

    async fn zrange(
        &self,
        key: Key,
        start: i64,
        stop: i64,
        scores: Scores,
    ) -> Result<Vec<ScoredMember>> {
        let read = zsets::by_rank(&self.optimist, &key, (start, stop), scores).await;
        read.map_err(|it| it.about(&key))
    }

    async fn zrangebyscore_with(
        &self,
        key: Key,
        range: ScoreRange,
        options: RangeOptions,
    ) -> Result<Vec<ScoredMember>> {
        let read = zsets::by_score(&self.optimist, &key, range, &options).await;
        read.map_err(|it| it.about(&key))
    }

    async fn zpopbyscore_with(
        &self,
        key: Key,
        max: Score,
        limit: u32,
        scores: Scores,
    ) -> Result<Vec<ScoredMember>> {
        let popped = zsets::pop(&self.optimist, &key, (max, limit), scores).await;
        popped.map_err(|it| it.about(&key))
    }

    async fn commit(&self, txns: Vec<Txn>) -> Result<Vec<Result<TxnReply>>> {
        Ok(commit::commit(&self.optimist, txns).await)
    }

    async fn zmove(&self, step: Box<ZMove>) -> Result<ZMoved> {
        zmove::zmove(&self.optimist, step).await
    }

    async fn throttle(&self, request: Throttle) -> Result<Throttled> {
        throttle::throttle(&self.optimist, &request).await
    }

    async fn now(&self) -> Result<Timestamp> {
        Ok(self.optimist.clock.now())
    }

    async fn notify(&self, channel: Key, payload: Value) -> Result<()> {
        let told = watch::notify(&self.optimist, &channel, &payload).await;
        told.map_err(|it| it.about(&channel))
    }

    async fn watch(&self, watch: Watch) -> Result<Events> {
        watch::watch(&self.watches, watch).await
    }
}
