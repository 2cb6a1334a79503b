//! The provider: each command goes to the module of its kind.

use crate::{
    RedisConfig, batch, clear, cluster::Cluster, commit, handshake::Settings, hashes, link::Link,
    scan, strings, target::Target, throttle, watch, zmove, zsets,
};
use kv_core::{
    Capabilities, Capability, CapabilitySet, Events, Expiry, Field, Key, Member, Prefixes,
    RangeOptions, Result, ScanFrom, ScanPage, Score, ScoreRange, ScoredMember, Scores, SetOptions,
    SetReply, Store, Throttle, Throttled, TimeToLive, Timestamp, Ttl, Txn, TxnReply, Value, Watch,
    ZMove, ZMoved,
};
use std::{
    any::{Any, TypeId},
    fmt,
};

/// A Redis or Valkey server, or a cluster of them, as a store.
///
/// All commands share one connection to each server, which is restored when it is lost. `Debug`
/// shows the address and no credentials.
pub struct RedisStore {
    config: RedisConfig,
    target: Target,
    link: Link,
    commits: commit::Scripts,
    moves: commit::Scripts,
}

impl RedisStore {
    /// A store that is not connected yet; nothing is read or sent.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](kv_core::ErrorKind::Config) if the configuration does not parse or
    /// contradicts itself.
    pub fn new(config: RedisConfig) -> Result<Self> {
        config.check()?;
        let target = Target::parse(&config)?;
        Ok(Self {
            config,
            target,
            link: Link::default(),
            commits: commit::Scripts::new(commit::generate),
            moves: commit::Scripts::new(zmove::generate),
        })
    }

    /// A store by its address, all else as usual: `redis://user:password@host:port/db` or
    /// `redis-cluster://user:password@host:port,host:port`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_url(uri: &str) -> Result<Self> {
        Self::new(RedisConfig::from_url(uri))
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("config", &self.config)
            .field("connected", &self.link.is_connected())
            .finish_non_exhaustive()
    }
}

impl Store for RedisStore {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn capabilities(&self) -> Capabilities {
        const CAN: CapabilitySet = CapabilitySet::ALL.without(Capability::ScanAfter);
        let can = Capabilities::new(CAN);
        let can = match self.link.tracks() {
            true => can,
            false => can.without(Capability::PushedChanges),
        };
        can.with_limits(self.config.max_key_bytes, self.config.max_value_bytes)
    }

    async fn connect(&self) -> Result<()> {
        let settings = Settings {
            address: self.target.address(),
            connect_timeout: self.config.connect_timeout,
            response_timeout: self.config.response_timeout,
            client_name: self.config.client_name.clone(),
        };
        match self.target.seeds() {
            [] => self.link.connect(self.target.client()?, settings).await?,
            seeds => {
                let (target, seeds) = (self.target.clone(), seeds.to_vec());
                self.link
                    .connected(Cluster::connect(target, seeds, settings).await?);
            }
        }
        Ok(())
    }

    async fn close(&self) {
        self.link.close();
    }

    async fn ping(&self) -> Result<()> {
        Ok(strings::ping(&self.link).await?)
    }

    fn native(&self, wanted: TypeId) -> Option<Box<dyn Any + Send>> {
        self.link.native(wanted)
    }

    fn get(&self, key: Key) -> impl Future<Output = Result<Option<Value>>> + Send {
        strings::get(&self.link, key)
    }

    async fn get_many(&self, keys: Vec<Key>) -> Result<Vec<Option<Value>>> {
        Ok(batch::get(&self.link, keys).await?)
    }

    fn set_with(
        &self,
        key: Key,
        value: Value,
        options: SetOptions,
    ) -> impl Future<Output = Result<SetReply>> + Send {
        strings::set(&self.link, key, value, options)
    }

    async fn set_many_with(
        &self,
        items: Vec<(Key, Value)>,
        options: SetOptions,
    ) -> Result<Vec<Result<bool>>> {
        Ok(batch::set(&self.link, &self.capabilities(), items, options).await)
    }

    fn delete_many(&self, keys: Vec<Key>) -> impl Future<Output = Result<u64>> + Send {
        batch::delete(&self.link, keys)
    }

    fn exists_many(&self, keys: Vec<Key>) -> impl Future<Output = Result<u64>> + Send {
        batch::exists(&self.link, keys)
    }

    fn increment_with(
        &self,
        key: Key,
        by: i64,
        ttl_if_created: Ttl,
    ) -> impl Future<Output = Result<i64>> + Send {
        strings::increment(&self.link, key, by, ttl_if_created)
    }

    fn expire(&self, key: Key, expiry: Expiry) -> impl Future<Output = Result<bool>> + Send {
        strings::expire(&self.link, key, expiry)
    }

    fn persist(&self, key: Key) -> impl Future<Output = Result<bool>> + Send {
        strings::persist(&self.link, key)
    }

    fn time_to_live(&self, key: Key) -> impl Future<Output = Result<TimeToLive>> + Send {
        strings::time_to_live(&self.link, key)
    }

    async fn scan_page(&self, prefixes: Prefixes, from: ScanFrom, limit: u32) -> Result<ScanPage> {
        scan::page(&self.link, &prefixes, from, limit).await
    }

    async fn clear_prefixes(&self, prefixes: Prefixes) -> Result<u64> {
        if prefixes.as_slice().iter().any(kv_core::Prefix::is_all) && !self.config.allow_clear_all {
            return Err(clear::denied());
        }
        clear::clear(&self.link, &prefixes).await
    }

    fn hset_many(
        &self,
        key: Key,
        fields: Vec<(Field, Value)>,
    ) -> impl Future<Output = Result<u64>> + Send {
        hashes::set(&self.link, key, fields)
    }

    fn hget(&self, key: Key, field: Field) -> impl Future<Output = Result<Option<Value>>> + Send {
        hashes::get(&self.link, key, field)
    }

    fn hget_many(
        &self,
        key: Key,
        fields: Vec<Field>,
    ) -> impl Future<Output = Result<Vec<Option<Value>>>> + Send {
        hashes::get_many(&self.link, key, fields)
    }

    fn hgetall(&self, key: Key) -> impl Future<Output = Result<Vec<(Field, Value)>>> + Send {
        hashes::get_all(&self.link, key)
    }

    fn hincrement(
        &self,
        key: Key,
        field: Field,
        by: i64,
    ) -> impl Future<Output = Result<i64>> + Send {
        hashes::increment(&self.link, key, field, by)
    }

    fn hdel(&self, key: Key, fields: Vec<Field>) -> impl Future<Output = Result<u64>> + Send {
        hashes::delete(&self.link, key, fields)
    }

    fn hlen(&self, key: Key) -> impl Future<Output = Result<u64>> + Send {
        hashes::len(&self.link, key)
    }

    fn zadd(
        &self,
        key: Key,
        members: Vec<(Member, Score)>,
    ) -> impl Future<Output = Result<u64>> + Send {
        zsets::add(&self.link, key, members)
    }

    fn zrem(&self, key: Key, members: Vec<Member>) -> impl Future<Output = Result<u64>> + Send {
        zsets::remove(&self.link, key, members)
    }

    fn zscore(
        &self,
        key: Key,
        member: Member,
    ) -> impl Future<Output = Result<Option<Score>>> + Send {
        zsets::score(&self.link, key, member)
    }

    fn zcount(&self, key: Key, range: ScoreRange) -> impl Future<Output = Result<u64>> + Send {
        zsets::count(&self.link, key, range)
    }

    fn zrange(
        &self,
        key: Key,
        start: i64,
        stop: i64,
        scores: Scores,
    ) -> impl Future<Output = Result<Vec<ScoredMember>>> + Send {
        zsets::range_by_rank(&self.link, key, start, stop, scores)
    }

    fn zrangebyscore_with(
        &self,
        key: Key,
        range: ScoreRange,
        options: RangeOptions,
    ) -> impl Future<Output = Result<Vec<ScoredMember>>> + Send {
        zsets::range_by_score(&self.link, key, range, options)
    }

    fn zpopbyscore_with(
        &self,
        key: Key,
        max: Score,
        limit: u32,
        scores: Scores,
    ) -> impl Future<Output = Result<Vec<ScoredMember>>> + Send {
        zsets::pop_by_score(&self.link, key, max, limit, scores)
    }

    async fn now(&self) -> Result<Timestamp> {
        Ok(strings::now(&self.link).await?)
    }

    async fn commit(&self, txns: Vec<Txn>) -> Result<Vec<Result<TxnReply>>> {
        Ok(commit::commit(&self.link, &self.commits, txns).await)
    }

    fn zmove(&self, step: Box<ZMove>) -> impl Future<Output = Result<ZMoved>> + Send {
        zmove::zmove(&self.link, &self.moves, step)
    }

    async fn notify(&self, channel: Key, payload: Value) -> Result<()> {
        watch::notify(&self.link, &channel, &payload).await
    }

    fn watch(&self, watch: Watch) -> impl Future<Output = Result<Events>> + Send {
        watch::watch(&self.link, watch)
    }

    fn throttle(&self, request: Throttle) -> impl Future<Output = Result<Throttled>> + Send {
        throttle::throttle(&self.link, request)
    }
}

#[cfg(test)]
mod tests {
    use super::RedisStore;
    use kv_core::{ErrorKind, Kv};

    #[test]
    fn debug_shows_the_address_and_no_credentials() {
        let store = RedisStore::from_url("redis://zoe:s3cret@cache:7000/1").unwrap();
        let shown = format!("{store:?}");
        assert!(shown.contains("cache:7000"), "{shown}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("zoe"),
            "{shown}"
        );
    }

    #[tokio::test]
    async fn an_unreachable_server_is_named_without_credentials() {
        // The port is taken, and nobody listens.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = socket.local_addr().unwrap().port();
        let store = RedisStore::from_url(&format!("redis://zoe:s3cret@127.0.0.1:{port}")).unwrap();
        let error = Kv::builder(store).connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(&format!("127.0.0.1:{port}")), "{shown}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("zoe"),
            "{shown}"
        );
    }

    #[tokio::test]
    async fn a_peer_that_never_answers_does_not_hold_connect_up() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        let mut config = crate::RedisConfig::from_url(format!("redis://{address}"));
        config.connect_timeout = std::time::Duration::from_millis(100);
        let error = Kv::builder(RedisStore::new(config).unwrap())
            .connect()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("within 100ms"), "{error}");
    }

    #[tokio::test]
    async fn without_a_connection_every_command_answers_closed() {
        let kv = Kv::builder(RedisStore::from_url("redis://cache").unwrap()).build();
        assert_eq!(kv.get("k").await.unwrap_err().kind(), ErrorKind::Closed);
        assert!(kv.native::<redis::Client>().is_err());
    }
}
