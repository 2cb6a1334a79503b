//! The stacks that the suite runs through.

use crate::columns::CASE_DEADLINE;
use kv_conformance::{Settings, Tenancy};
use kv_core::{Kv, Layer, layer_fn};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_wrappers::{
    Algorithm, CircuitBreaker, CircuitBreakerConfig, Compress, CompressConfig, ConcurrencyLimit,
    ConcurrencyLimitConfig, DefaultTtl, Encrypt, EncryptConfig, EncryptionKey, Fallback,
    FallbackConfig, FallbackOn, FallbackWrites, Hedge, HedgeConfig, Integers, KeyResolver,
    KeySettings, NearCache, NearCacheConfig, Observe, ObserveConfig, Retry, RetryConfig,
    SingleFlight, SingleFlightConfig, SizeLimit, SizeLimitConfig, Timeout, TimeoutConfig, TtlClamp,
    TtlClampConfig,
};
use std::{num::NonZeroUsize, sync::Arc, time::Duration};

const HOUR: Duration = Duration::from_secs(3600);

/// Layers, from the provider outwards, and what the suite must know about them.
#[derive(Clone)]
pub(crate) struct Stack {
    pub(crate) name: &'static str,
    pub(crate) layers: Vec<Arc<dyn Layer>>,
    pub(crate) limits: Limits,
    pub(crate) handles: Handles,
    pub(crate) settings: Settings,
}

/// What a case's second handle is.
#[derive(Clone, Copy)]
pub(crate) enum Handles {
    /// Another one on the same store.
    Anew,
    /// A clone of the first: what others write shows a little later through the stack, and that is what
    /// it promises.
    Clones,
}

/// How long keys and values may be on the store.
#[derive(Clone, Copy)]
pub(crate) enum Limits {
    /// The provider's own.
    Usual,
    /// Low enough to be tried.
    Low,
}

pub(crate) const LOW_KEY: NonZeroUsize = NonZeroUsize::new(4 << 10).unwrap();
pub(crate) const LOW_VALUE: NonZeroUsize = NonZeroUsize::new(64 << 10).unwrap();

pub(crate) fn bare() -> Stack {
    Stack {
        name: "bare",
        layers: Vec::new(),
        limits: Limits::Usual,
        handles: Handles::Anew,
        settings: Settings::default(),
    }
}

pub(crate) fn layers() -> kv_core::Result<Vec<Stack>> {
    let pass = layer_fn("pass", |request, next| next.call(request));
    let stack = |name, layer: Arc<dyn Layer>, settings| Stack {
        name,
        layers: vec![layer],
        limits: Limits::Low,
        handles: Handles::Anew,
        settings,
    };
    let plain = Settings::default();
    let mut all = vec![
        stack("layer_fn", Arc::new(pass), plain.clone()),
        stack(
            "default_ttl",
            Arc::new(DefaultTtl::new(HOUR)?),
            plain.clone().unset_ttl(HOUR),
        ),
        stack(
            "key_resolver",
            Arc::new(resolver()?),
            plain.clone().tenancy(Tenancy::InKeys),
        ),
        stack(
            "observe",
            Arc::new(Observe::new(ObserveConfig::default())?),
            plain.clone(),
        ),
    ];
    let against_trouble: [(_, Arc<dyn Layer>); 6] = [
        ("timeout", Arc::new(timeout()?)),
        ("retry", Arc::new(Retry::new(RetryConfig::default())?)),
        ("circuit_breaker", Arc::new(breaker()?)),
        ("concurrency_limit", Arc::new(few_at_once()?)),
        // Every read that is not answered at the first look is asked for again.
        (
            "hedge",
            Arc::new(Hedge::new(
                HedgeConfig::new(Duration::from_nanos(1)).max_ratio(1.0),
            )?),
        ),
        ("fallback", Arc::new(fallback())),
    ];
    let alone = against_trouble.map(|(name, layer)| stack(name, layer, plain.clone()));
    all.extend(alone);
    Ok(all)
}

/// The layers that answer what they, or somebody else, were told before.
pub(crate) fn sharing_layers() -> kv_core::Result<[Stack; 2]> {
    let stack = |name, layer: Arc<dyn Layer>| Stack {
        name,
        layers: vec![layer],
        handles: Handles::Clones,
        ..bare()
    };
    Ok([
        stack("near_cache", Arc::new(near_cache()?)),
        stack("single_flight", Arc::new(single_flight()?)),
    ])
}

/// The layers that shape what is written. `read_only` keeps no promise about writes.
pub(crate) fn shaping_layers() -> kv_core::Result<[Stack; 6]> {
    let stack = |name, layer: Arc<dyn Layer>, settings| Stack {
        name,
        layers: vec![layer],
        limits: Limits::Low,
        handles: Handles::Anew,
        settings,
    };
    let plain = Settings::default();
    let (packed, keys) = (packed(), keys());
    let counting = keys.clone().integers(Integers::Plain);
    Ok([
        stack("zstd", Arc::new(Compress::new(packed)?), plain.clone()),
        stack(
            "lz4",
            Arc::new(Compress::new(packed.algorithm(Algorithm::Lz4))?),
            plain.clone(),
        ),
        stack("encrypt", Arc::new(Encrypt::new(keys)?), plain.clone()),
        stack(
            "encrypt_but_integers",
            Arc::new(Encrypt::new(counting)?),
            plain.clone(),
        ),
        stack(
            "ttl_clamp",
            Arc::new(clamp()?),
            plain.clone().unset_ttl(HOUR),
        ),
        stack("size_limit", Arc::new(size_limit()?), plain),
    ])
}

/// What a service in production has, in the order that the documentation recommends.
pub(crate) fn full_stack() -> kv_core::Result<Stack> {
    Ok(Stack {
        name: "full",
        layers: vec![
            Arc::new(timeout()?),
            Arc::new(Retry::new(RetryConfig::default())?),
            Arc::new(breaker()?),
            Arc::new(DefaultTtl::new(HOUR)?),
            Arc::new(resolver()?),
        ],
        limits: Limits::Low,
        handles: Handles::Anew,
        settings: Settings::default().unset_ttl(HOUR).tenancy(Tenancy::InKeys),
    })
}

/// All layers together, in the documented order: but `read_only`, which keeps no promise about writes, and
/// `fallback`, above which there are strings only.
pub(crate) fn whole_stack() -> kv_core::Result<Stack> {
    let limit = ConcurrencyLimitConfig::new(64).waiting(100_000, CASE_DEADLINE);
    Ok(Stack {
        name: "whole",
        layers: vec![
            Arc::new(timeout()?),
            Arc::new(Hedge::new(HedgeConfig::new(Duration::from_millis(5)))?),
            Arc::new(Retry::new(RetryConfig::default())?),
            Arc::new(breaker()?),
            Arc::new(ConcurrencyLimit::new(limit)?),
            Arc::new(near_cache()?),
            Arc::new(Encrypt::new(keys().integers(Integers::Plain))?),
            Arc::new(Compress::new(packed())?),
            Arc::new(single_flight()?),
            Arc::new(size_limit()?),
            Arc::new(clamp()?),
            Arc::new(DefaultTtl::new(HOUR)?),
            Arc::new(resolver()?),
            Arc::new(Observe::new(ObserveConfig::default())?),
        ],
        handles: Handles::Clones,
        ..full_stack()?
    })
}

fn near_cache() -> kv_core::Result<NearCache> {
    NearCache::new(NearCacheConfig::default())
}

fn single_flight() -> kv_core::Result<SingleFlight> {
    SingleFlight::new(SingleFlightConfig::default())
}

/// So low that most values of the suite are packed, and that the layer's own limit is met.
fn packed() -> CompressConfig {
    CompressConfig::default()
        .threshold_bytes(16)
        .max_unpacked_bytes(LOW_VALUE.get() / 2)
}

fn keys() -> EncryptConfig {
    EncryptConfig::new("2026", EncryptionKey::new([7; 32]))
}

fn clamp() -> kv_core::Result<TtlClamp> {
    let band = TtlClampConfig::default().min(Duration::from_millis(1));
    TtlClamp::new(band.missing_ttl(HOUR))
}

fn size_limit() -> kv_core::Result<SizeLimit> {
    SizeLimit::new(SizeLimitConfig::new(LOW_VALUE.get() / 2))
}

/// What a busy machine takes is not the matter here.
fn timeout() -> kv_core::Result<Timeout> {
    Timeout::new(TimeoutConfig::new(CASE_DEADLINE / 2))
}

/// It would open if it took an answer for a failure.
fn breaker() -> kv_core::Result<CircuitBreaker> {
    let mut config = CircuitBreakerConfig::default();
    config.failure_ratio = 0.01;
    config.minimum_calls = 1;
    CircuitBreaker::new(config)
}

/// So few that calls wait.
fn few_at_once() -> kv_core::Result<ConcurrencyLimit> {
    let config = ConcurrencyLimitConfig::new(2);
    ConcurrencyLimit::new(config.waiting(100_000, CASE_DEADLINE))
}

/// The second store has what the first has, and is never asked: the first is there.
fn fallback() -> Fallback {
    let config = FallbackConfig::new(FallbackOn::Error, FallbackWrites::Through);
    let second = MemoryStore::new(MemoryConfig::default());
    Fallback::new(config, Kv::builder(second).build())
}

fn resolver() -> kv_core::Result<KeyResolver> {
    KeyResolver::new(KeySettings {
        namespace: "conformance".to_owned(),
        ..KeySettings::default()
    })
}
