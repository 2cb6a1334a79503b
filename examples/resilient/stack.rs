//! The layers, as a service stacks them.

use crate::site::Server;
use kv_core::{Access, Error, Kv, KvBuilder, Layer, Result, layer_fn};
use kv_memory::MemoryStore;
use kv_redis::{RedisConfig, RedisStore};
use kv_wrappers::{
    CircuitBreaker, CircuitBreakerConfig, CircuitState, ConcurrencyLimit, ConcurrencyLimitConfig,
    Fallback, FallbackConfig, FallbackOn, FallbackWrites, Retry, RetryConfig, Timeout,
    TimeoutConfig,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// How long an attempt may take.
const ATTEMPT: Duration = Duration::from_millis(100);

/// How long a call waits for its turn.
const TURN: Duration = Duration::from_millis(50);

/// The longest that a call can take: its turn, three attempts, and the pauses between them with jitter.
pub(crate) const LONGEST: Duration = Duration::from_millis(50 + 3 * 100 + 40 + 80);

/// Three ways to one server.
pub(crate) struct Stack {
    /// Everything that a store can do, without a second store: two stores have no transactions
    /// together, so the layer that falls back subtracts them.
    pub(crate) writes: Kv,
    /// Strings, from the second store while the first is away.
    pub(crate) reads: Kv,
    /// Past all layers: tells the truth.
    pub(crate) direct: Kv,
    /// The one breaker of both.
    breaker: CircuitBreaker,
    attempts: Arc<AtomicU64>,
    fallbacks: Arc<AtomicU64>,
}

impl Stack {
    pub(crate) async fn open(server: &Server) -> Result<Self> {
        let attempts = Arc::<AtomicU64>::default();
        let fallbacks = Arc::<AtomicU64>::default();
        let timeout = Timeout::new(TimeoutConfig::new(ATTEMPT))?;
        let retry = Retry::new(RetryConfig::default())?;
        let mut rest = CircuitBreakerConfig::default();
        rest.window = Duration::from_secs(1);
        rest.open_for = Duration::from_millis(500);
        let breaker = CircuitBreaker::new(rest)?;
        let limit = ConcurrencyLimitConfig::new(8).waiting(8, TURN);
        let limit = ConcurrencyLimit::new(limit)?;
        // Clones of a layer share its budget, its state and its places.
        let guarded = || {
            Ok::<_, Error>(
                builder(server)?
                    .layer(count_attempts(&attempts))
                    .layer(timeout.clone())
                    .layer(retry.clone())
                    .layer(breaker.clone())
                    .layer(limit.clone()),
            )
        };
        let second = Kv::builder(MemoryStore::default()).layer(count_reads(&fallbacks));
        let through = FallbackConfig::new(FallbackOn::Error, FallbackWrites::Through);
        let fallback = Fallback::new(through, second.build());
        Ok(Self {
            writes: guarded()?.connect().await?,
            reads: guarded()?.layer(fallback).connect().await?,
            direct: builder(server)?.connect().await?,
            breaker,
            attempts,
            fallbacks,
        })
    }

    pub(crate) fn breaker(&self) -> CircuitState {
        self.breaker.state()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.breaker() == CircuitState::Closed
    }

    /// How many attempts were sent so far.
    pub(crate) fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// How many reads the second store has answered so far.
    pub(crate) fn fallbacks(&self) -> u64 {
        self.fallbacks.load(Ordering::Relaxed)
    }
}

fn builder(server: &Server) -> Result<KvBuilder> {
    match server {
        Server::Redis(server) => {
            let config = RedisConfig::from_url(server.url());
            Ok(Kv::builder(RedisStore::new(config)?))
        }
        Server::Etcd(server) => etcd(&server.url()),
    }
}

#[cfg(feature = "etcd")]
fn etcd(url: &str) -> Result<KvBuilder> {
    let config = kv_etcd::EtcdConfig::from_url(url);
    Ok(Kv::builder(kv_etcd::EtcdStore::new(config)?))
}

#[cfg(not(feature = "etcd"))]
fn etcd(_: &str) -> Result<KvBuilder> {
    let message = "this example was built without etcd; `cargo xtask example resilient --store etcd` builds it in";
    Err(Error::new(kv_core::ErrorKind::Unsupported, message))
}

/// Stands next to the provider, where each attempt passes.
fn count_attempts(attempts: &Arc<AtomicU64>) -> impl Layer + use<> {
    let attempts = Arc::clone(attempts);
    layer_fn("count_attempts", move |request, next| {
        attempts.fetch_add(1, Ordering::Relaxed);
        next.call(request)
    })
}

fn count_reads(reads: &Arc<AtomicU64>) -> impl Layer + use<> {
    let reads = Arc::clone(reads);
    layer_fn("count_reads", move |request, next| {
        if request.command.spec().access == Access::Read {
            reads.fetch_add(1, Ordering::Relaxed);
        }
        next.call(request)
    })
}
