//! The provider: each command goes to the module of its kind.

use crate::{
    RedisConfig, batch, clear, connect::Single, error::Failure, handshake::Settings, hashes,
    link::Link, scan, strings, target::Target, zsets,
};
use kv_core::{
    Capabilities, Capability, CapabilitySet, Error, Expiry, Field, Key, Member, Prefixes,
    RangeOptions, Result, ScanFrom, ScanPage, Score, ScoreRange, ScoredMember, Scores, SetOptions,
    SetReply, Store, TimeToLive, Timestamp, Ttl, Value,
};
use std::{
    any::{Any, TypeId},
    fmt,
    sync::OnceLock,
};

/// A Redis or Valkey server as a store.
///
/// All commands share one connection, which is restored when it is lost. `Debug` shows the address
/// and no credentials.
pub struct RedisStore {
    config: RedisConfig,
    target: Target,
    link: OnceLock<Link>,
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
            link: OnceLock::new(),
        })
    }

    /// A store by its address, all else as usual: `redis://user:password@host:port/db`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_url(uri: &str) -> Result<Self> {
        Self::new(RedisConfig::from_url(uri))
    }

    fn link(&self) -> Result<&Link> {
        self.link.get().ok_or_else(|| Failure::closed().into())
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("config", &self.config)
            .field("connected", &self.link.get().is_some())
            .finish_non_exhaustive()
    }
}

impl Store for RedisStore {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn capabilities(&self) -> Capabilities {
        const CAN: CapabilitySet = CapabilitySet::ALL
            .without(Capability::ScanAfter)
            .without(Capability::Watch);
        Capabilities::new(CAN).with_limits(self.config.max_key_bytes, self.config.max_value_bytes)
    }

    async fn connect(&self) -> Result<()> {
        let settings = Settings {
            address: self.target.address(),
            connect_timeout: self.config.connect_timeout,
            response_timeout: self.config.response_timeout,
            client_name: self.config.client_name.clone(),
        };
        let single = Single::connect(self.target.client()?, settings).await?;
        // Called once; should it be called twice all the same, the first connection stays.
        let _ = self.link.set(Link::Single(single));
        Ok(())
    }

    async fn close(&self) {
        if let Some(link) = self.link.get() {
            link.close();
        }
    }

    async fn ping(&self) -> Result<()> {
        Ok(strings::ping(self.link()?).await?)
    }

    fn native(&self, wanted: TypeId) -> Option<Box<dyn Any + Send>> {
        self.link.get()?.native(wanted)
    }

    async fn get(&self, key: Key) -> Result<Option<Value>> {
        strings::get(self.link()?, key).await
    }

    async fn get_many(&self, keys: Vec<Key>) -> Result<Vec<Option<Value>>> {
        Ok(batch::get(self.link()?, keys).await?)
    }

    async fn set_with(&self, key: Key, value: Value, options: SetOptions) -> Result<SetReply> {
        strings::set(self.link()?, key, value, options).await
    }

    async fn set_many_with(
        &self,
        items: Vec<(Key, Value)>,
        options: SetOptions,
    ) -> Result<Vec<Result<bool>>> {
        Ok(batch::set(self.link()?, &self.capabilities(), items, options).await)
    }

    async fn delete_many(&self, keys: Vec<Key>) -> Result<u64> {
        batch::delete(self.link()?, keys).await
    }

    async fn exists_many(&self, keys: Vec<Key>) -> Result<u64> {
        batch::exists(self.link()?, keys).await
    }

    async fn increment_with(&self, key: Key, by: i64, ttl_if_created: Ttl) -> Result<i64> {
        strings::increment(self.link()?, key, by, ttl_if_created).await
    }

    async fn expire(&self, key: Key, expiry: Expiry) -> Result<bool> {
        strings::expire(self.link()?, key, expiry).await
    }

    async fn persist(&self, key: Key) -> Result<bool> {
        strings::persist(self.link()?, key).await
    }

    async fn time_to_live(&self, key: Key) -> Result<TimeToLive> {
        strings::time_to_live(self.link()?, key).await
    }

    async fn scan_page(&self, prefixes: Prefixes, from: ScanFrom, limit: u32) -> Result<ScanPage> {
        scan::page(self.link()?, &prefixes, from, limit).await
    }

    async fn clear_prefixes(&self, prefixes: Prefixes) -> Result<u64> {
        if prefixes.as_slice().iter().any(kv_core::Prefix::is_all) && !self.config.allow_clear_all {
            return Err(clear::denied());
        }
        clear::clear(self.link()?, &prefixes).await
    }

    async fn hset_many(&self, key: Key, fields: Vec<(Field, Value)>) -> Result<u64> {
        hashes::set(self.link()?, key, fields).await
    }

    async fn hget(&self, key: Key, field: Field) -> Result<Option<Value>> {
        hashes::get(self.link()?, key, field).await
    }

    async fn hget_many(&self, key: Key, fields: Vec<Field>) -> Result<Vec<Option<Value>>> {
        hashes::get_many(self.link()?, key, fields).await
    }

    async fn hgetall(&self, key: Key) -> Result<Vec<(Field, Value)>> {
        hashes::get_all(self.link()?, key).await
    }

    async fn hincrement(&self, key: Key, field: Field, by: i64) -> Result<i64> {
        hashes::increment(self.link()?, key, field, by).await
    }

    async fn hdel(&self, key: Key, fields: Vec<Field>) -> Result<u64> {
        hashes::delete(self.link()?, key, fields).await
    }

    async fn hlen(&self, key: Key) -> Result<u64> {
        hashes::len(self.link()?, key).await
    }

    async fn zadd(&self, key: Key, members: Vec<(Member, Score)>) -> Result<u64> {
        zsets::add(self.link()?, key, members).await
    }

    async fn zrem(&self, key: Key, members: Vec<Member>) -> Result<u64> {
        zsets::remove(self.link()?, key, members).await
    }

    async fn zscore(&self, key: Key, member: Member) -> Result<Option<Score>> {
        zsets::score(self.link()?, key, member).await
    }

    async fn zcount(&self, key: Key, range: ScoreRange) -> Result<u64> {
        zsets::count(self.link()?, key, range).await
    }

    async fn zrange(
        &self,
        key: Key,
        start: i64,
        stop: i64,
        scores: Scores,
    ) -> Result<Vec<ScoredMember>> {
        zsets::range_by_rank(self.link()?, key, start, stop, scores).await
    }

    async fn zrangebyscore_with(
        &self,
        key: Key,
        range: ScoreRange,
        options: RangeOptions,
    ) -> Result<Vec<ScoredMember>> {
        zsets::range_by_score(self.link()?, key, range, options).await
    }

    async fn zpopbyscore_with(
        &self,
        key: Key,
        max: Score,
        limit: u32,
        scores: Scores,
    ) -> Result<Vec<ScoredMember>> {
        zsets::pop_by_score(self.link()?, key, max, limit, scores).await
    }

    async fn now(&self) -> Result<Timestamp> {
        Ok::<_, Error>(strings::now(self.link()?).await?)
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
        // Nobody listens on a port that was just given up.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
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
