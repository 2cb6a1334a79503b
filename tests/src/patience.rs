//! Waiting for what has no deadline of its own: by looking, up to a deadline that only a broken test
//! reaches.

use kv_core::{Clock, SystemClock};
use kv_etcd::{EtcdConfig, EtcdStore};
use kv_redis::{RedisConfig, RedisStore};
use std::time::Duration;
use tokio::time::timeout;

/// How long we wait for what has no deadline of its own.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something holds.
///
/// # Panics
/// If it does not within [`PATIENCE`].
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            pause(Duration::from_millis(10)).await;
        }
    };
    if timeout(PATIENCE, waiting).await.is_err() {
        panic!("not within {PATIENCE:?}: {what}");
    }
}

/// Between two looks, never before one look only.
pub async fn pause(span: Duration) {
    let clock = SystemClock;
    clock.sleep_until(clock.now().saturating_add(span)).await;
}

/// A store on Redis that waits as long for a server that a busy machine holds up.
///
/// # Panics
/// If this is no address.
pub fn redis(url: &str) -> RedisStore {
    let mut config = RedisConfig::from_url(url);
    config.connect_timeout = PATIENCE;
    config.response_timeout = PATIENCE;
    match RedisStore::new(config) {
        Ok(store) => store,
        Err(error) => panic!("{url}: {error}"),
    }
}

/// The same on etcd.
///
/// # Panics
/// If this is no address.
pub fn etcd(url: &str) -> EtcdStore {
    let mut config = EtcdConfig::from_url(url);
    config.connect_timeout = PATIENCE;
    config.response_timeout = PATIENCE;
    config.conflict_timeout = PATIENCE;
    match EtcdStore::new(config) {
        Ok(store) => store,
        Err(error) => panic!("{url}: {error}"),
    }
}
