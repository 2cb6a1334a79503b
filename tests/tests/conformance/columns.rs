//! The stores that the stacks are put on.

use crate::stacks::{LOW_KEY, LOW_VALUE, Limits, Stack};
use kv_conformance::{Fixture, Settings};
use kv_core::{Kv, KvBuilder, Store};
use kv_etcd::{EtcdConfig, EtcdStore};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_redis::{RedisConfig, RedisStore};
use kv_wrappers::{NearCache, NearCacheConfig};
use std::time::Duration;

/// What others write shows a little later through it, so a case's second handle is a clone.
pub(crate) fn near_cache() -> kv_core::Result<Fixture> {
    let near = NearCache::new(NearCacheConfig::default())?;
    let fixture = Fixture::in_process("memory/near_cache", move || {
        let builder = Kv::builder(MemoryStore::default()).layer(near.clone());
        builder.connect()
    });
    Ok(fixture.settings(Settings::default().slack(Duration::ZERO)))
}

/// Every case has a store of its own, which all of the case's handles share.
pub(crate) fn memory(stack: &Stack) -> Fixture {
    let config = match stack.limits {
        Limits::Usual => MemoryConfig::default(),
        Limits::Low => MemoryConfig::default()
            .max_key_bytes(LOW_KEY)
            .max_value_bytes(LOW_VALUE),
    };
    let stack = stack.clone();
    let settings = stack.settings.clone();
    Fixture::per_case(format!("memory/{}", stack.name), move || {
        let (store, stack) = (MemoryStore::new(config.clone()), stack.clone());
        move || connect(store.clone(), stack.clone())
    })
    // It looks at the clock whenever it is asked, so no key may be late.
    .settings(settings.slack(Duration::ZERO))
}

pub(crate) fn redis(column: &str, stack: &Stack, url: &str) -> Fixture {
    let mut config = RedisConfig::from_url(url);
    // What a busy machine does to deadlines is another test's matter.
    config.response_timeout = Duration::from_secs(10);
    if matches!(stack.limits, Limits::Low) {
        config.max_key_bytes = LOW_KEY.get();
        config.max_value_bytes = LOW_VALUE.get();
    }
    let stack = stack.clone();
    // Redis reads its clock once per turn of its loop.
    let settings = stack.settings.clone().slack(Duration::from_millis(50));
    Fixture::new(format!("{column}/{}", stack.name), move || {
        let (config, stack) = (config.clone(), stack.clone());
        async move { connect(RedisStore::new(config)?, stack).await }
    })
    .settings(settings)
}

/// Below a root of its own, so that one server does for all runs.
pub(crate) fn etcd(column: &str, stack: &Stack, url: &str) -> Fixture {
    let mut config = EtcdConfig::from_url(url);
    config.root = Some(format!("conformance-{:016x}/", fastrand::u64(..)));
    // What a busy machine does to deadlines is another test's matter.
    config.response_timeout = Duration::from_secs(10);
    config.conflict_timeout = Duration::from_secs(30);
    // There is one clock here.
    config.max_clock_skew = Duration::ZERO;
    if matches!(stack.limits, Limits::Low) {
        config.max_key_bytes = LOW_KEY.get();
        config.max_value_bytes = LOW_VALUE.get();
    }
    let stack = stack.clone();
    // Readers look at the clock; but what is held goes with its lease.
    let settings = stack.settings.clone();
    let settings = settings
        .slack(Duration::from_millis(50))
        .held_slack(HELD)
        // Where writers meet, etcd takes more exchanges, and each writes to its log.
        .case_deadline(Duration::from_secs(180));
    Fixture::new(format!("{column}/{}", stack.name), move || {
        let (config, stack) = (config.clone(), stack.clone());
        async move { connect(EtcdStore::new(config)?, stack).await }
    })
    .settings(settings)
}

/// How late a lease may be: a bucket of two seconds, full seconds twice, and the half a second in which
/// etcd looks for what has ended; the rest is for a busy machine.
const HELD: Duration = Duration::from_secs(6);

async fn connect(store: impl Store, stack: Stack) -> kv_core::Result<Kv> {
    let builder = stack
        .layers
        .into_iter()
        .fold(Kv::builder(store), KvBuilder::layer);
    builder.connect().await
}
