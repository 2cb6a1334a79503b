//! The stores that every test runs on.

use kv_core::{
    BoxFuture, Capabilities, Capability, Context, Events, Kv, KvBuilder, Layer, Reply, Request,
    Result, Scope, Service, Watch,
};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_tests::{patience, server::Redis};
use kv_wrappers::{KeyResolver, KeySettings};
use std::{fmt::Debug, sync::Arc, time::Duration};

/// Longer than any test takes: a wait that reaches it is a failure.
pub(crate) const LONG: Duration = patience::PATIENCE;

/// Short, and reached in every test that uses it.
pub(crate) const SHORT: Duration = Duration::from_millis(100);

/// A store, and what else is on it.
pub(crate) struct Site {
    pub(crate) name: &'static str,
    pub(crate) kv: Kv,
    /// Another tenant of the same store, or the same handle where there are none.
    pub(crate) neighbour: Option<Kv>,
}

impl Site {
    pub(crate) fn scope(&self) -> Scope {
        self.kv.scope("training", "workers").unwrap()
    }
}

/// Runs a test on each store in turn.
pub(crate) async fn everywhere(test: impl AsyncFn(&Site)) {
    let server = Redis::start();
    for site in sites(&server).await {
        eprintln!("on {}", site.name);
        test(&site).await;
        site.kv.close().await;
    }
}

async fn sites(server: &Redis) -> Vec<Site> {
    vec![
        bare("memory", memory()).await,
        with_tenants("memory with tenants", memory()).await,
        bare("redis", redis(server)).await,
        with_tenants("redis with tenants", redis(server)).await,
    ]
}

pub(crate) fn memory() -> KvBuilder {
    Kv::builder(MemoryStore::new(MemoryConfig::default()))
}

pub(crate) fn redis(server: &Redis) -> KvBuilder {
    Kv::builder(patience::redis(&server.url()))
}

async fn bare(name: &'static str, stack: KvBuilder) -> Site {
    Site {
        name,
        kv: stack.connect().await.unwrap(),
        neighbour: None,
    }
}

/// The neighbour writes the same keys all the time; nobody is to see them.
async fn with_tenants(name: &'static str, stack: KvBuilder) -> Site {
    let settings = KeySettings {
        multi_tenancy_enabled: Some(true),
        ..KeySettings::default()
    };
    let stack = stack.layer(KeyResolver::new(settings).unwrap());
    let kv = stack.connect().await.unwrap();
    let neighbour = kv.bind(Context::tenant("t"));
    let scope = neighbour.scope("training", "workers").unwrap();
    for key in ["k", "rank:0/ready", "rank:1/ready", "{t}:rank:0/ready"] {
        scope.set(key, "1").await.unwrap();
    }
    Site {
        name,
        kv: kv.bind(Context::tenant("t1")),
        neighbour: Some(neighbour),
    }
}

/// Sees that a wait is not over yet, and lets it fall asleep.
///
/// # Panics
/// If it is over.
pub(crate) async fn asleep<T: Debug>(wait: impl Future<Output = T> + Unpin) {
    let early = tokio::time::timeout(SHORT, wait).await;
    assert!(early.is_err(), "a wait ended before its time: {early:?}");
}

/// A layer that takes one capability away.
pub(crate) struct Without(pub(crate) Capability);

impl Layer for Without {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        Arc::new(Lacking {
            inner,
            lacks: self.0,
        })
    }
}

struct Lacking {
    inner: Arc<dyn Service>,
    lacks: Capability,
}

impl Service for Lacking {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        self.inner.call(request)
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        self.inner.watch(watch, context)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities().without(self.lacks)
    }

    fn name(&self) -> String {
        format!("without({})", self.lacks)
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}
