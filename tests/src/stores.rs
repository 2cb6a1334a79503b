//! Each store there is, bare and behind layers, to run the same tests on.

use crate::{
    patience::{self, PATIENCE},
    server::{Etcd, Redis},
};
use kv_core::{Kv, KvBuilder};
use kv_memory::MemoryStore;
use kv_wrappers::{
    Compress, CompressConfig, DefaultTtl, Encrypt, EncryptConfig, EncryptionKey, KeyResolver,
    KeySettings, Observe, ObserveConfig, Retry, RetryConfig, Timeout, TimeoutConfig,
};
use std::time::Duration;

/// A store, and what it needs to live as long.
#[derive(Debug)]
pub enum Site {
    /// In this process.
    Memory(MemoryStore),
    /// The same behind the layers that a service has, and those that change what is stored.
    Layered(MemoryStore),
    /// A server of its own.
    Redis(Redis),
    /// A server of its own.
    Etcd(Etcd),
}

impl Site {
    /// A store in this process.
    pub fn memory() -> Self {
        Self::Memory(MemoryStore::default())
    }

    /// The same behind layers.
    pub fn layered() -> Self {
        Self::Layered(MemoryStore::default())
    }

    /// A server of its own.
    pub fn redis() -> Self {
        Self::Redis(Redis::start())
    }

    /// A server of its own.
    pub fn etcd() -> Self {
        Self::Etcd(Etcd::start())
    }

    /// What another process would build its handle of: nothing is shared but the store.
    pub fn builder(&self) -> KvBuilder {
        match self {
            Self::Memory(store) => Kv::builder(store.clone()),
            Self::Layered(store) => layered(store.clone()),
            Self::Redis(server) => Kv::builder(patience::redis(&server.url())),
            Self::Etcd(server) => Kv::builder(patience::etcd(&server.url())),
        }
    }

    /// A handle of another process.
    ///
    /// # Panics
    /// If the store cannot be reached.
    pub async fn kv(&self) -> Kv {
        match self.builder().connect().await {
            Ok(kv) => kv,
            Err(error) => panic!("{error}"),
        }
    }
}

fn layered(store: MemoryStore) -> KvBuilder {
    let keys = EncryptConfig::new("2026", EncryptionKey::new([7; 32]));
    let settings = KeySettings {
        namespace: "app".to_owned(),
        ..KeySettings::default()
    };
    let config = TimeoutConfig::new(PATIENCE);
    let layers = || -> kv_core::Result<_> {
        Ok(Kv::builder(store)
            .layer(Timeout::new(config)?)
            .layer(Retry::new(RetryConfig::default())?)
            .layer(Encrypt::new(keys)?)
            .layer(Compress::new(CompressConfig::default())?)
            .layer(DefaultTtl::new(Duration::from_millis(1))?)
            .layer(KeyResolver::new(settings)?)
            .layer(Observe::new(ObserveConfig::default())?))
    };
    match layers() {
        Ok(builder) => builder,
        Err(error) => panic!("{error}"),
    }
}

/// Makes each `async fn(Site)` of a module a test per store.
#[macro_export]
macro_rules! on_each_store_there_is {
    ($($name:ident)*) => {
        $crate::on_each_store_there_is! { @ memory $($name)* }
        $crate::on_each_store_there_is! { @ layered $($name)* }
        $crate::on_each_store_there_is! { @ redis $($name)* }
        $crate::on_each_store_there_is! { @ etcd $($name)* }
    };
    (@ $store:ident $($name:ident)*) => {
        mod $store {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::stores::Site::$store()).await;
            })*
        }
    };
}
