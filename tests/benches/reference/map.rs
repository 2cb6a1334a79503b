//! The bare sharded map and the cache that the memory store is compared with.

use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::HashMap;

/// A map in 64 parts, each behind its own lock.
pub(crate) struct Sharded {
    hasher: ahash::RandomState,
    shards: Vec<RwLock<HashMap<String, Bytes, ahash::RandomState>>>,
}

impl Sharded {
    pub(crate) fn new() -> Self {
        Self {
            hasher: ahash::RandomState::new(),
            shards: (0..64).map(|_| RwLock::default()).collect(),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Bytes> {
        self.shard(key).read().get(key).cloned()
    }

    pub(crate) fn set(&self, key: &str, value: Bytes) {
        self.shard(key).write().insert(key.to_owned(), value);
    }

    fn shard(&self, key: &str) -> &RwLock<HashMap<String, Bytes, ahash::RandomState>> {
        &self.shards[self.hasher.hash_one(key) as usize % 64]
    }
}

/// A cache with room for twice the keys.
pub(crate) fn moka(keys: u64) -> moka::sync::Cache<String, Bytes> {
    moka::sync::Cache::new(2 * keys)
}
