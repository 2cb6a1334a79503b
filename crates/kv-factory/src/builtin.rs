//! The providers and wrappers that need no registration.

mod observe;
pub(crate) mod resilience;
pub(crate) mod shape;
mod sharing;

#[cfg(feature = "schema")]
use crate::schema::Described;
use crate::{Instance, Settings, WrapperBuilder, order, registry::Registry};
use kv_core::{Error, ErrorKind, Layer, Result};
use kv_wrappers::{
    CircuitBreakerConfig, ConcurrencyLimitConfig, DefaultTtl, HedgeConfig, KeyResolver,
    KeySettings, NearCacheConfig, ObserveConfig, RetryConfig, SingleFlightConfig, SizeLimitConfig,
    TimeoutConfig, TtlClampConfig,
};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

/// The feature that compiles a known provider in, unless it is in.
pub(crate) fn feature_of(provider: &str) -> Option<&'static str> {
    match provider {
        "memory" if !cfg!(feature = "memory") => Some("memory"),
        "etcd" if !cfg!(feature = "etcd") => Some("etcd"),
        "redis" if !cfg!(feature = "redis") => Some("redis"),
        _ => None,
    }
}

/// The feature that compiles a known wrapper in, unless it is in.
pub(crate) fn feature_of_wrapper(wrapper: &str) -> Option<&'static str> {
    match wrapper {
        "compress" if !cfg!(feature = "compress") => Some("compress"),
        "encrypt" if !cfg!(feature = "encrypt") => Some("encrypt"),
        _ => None,
    }
}

/// The provider of a URL scheme that is known, whether it is compiled in or not.
pub(crate) fn provider_of_scheme(scheme: &str) -> Option<&'static str> {
    let mut all = SCHEMES.iter();
    let found = all.find(|(_, schemes)| schemes.contains(&scheme));
    found.map(|(provider, _)| *provider)
}

pub(crate) const SCHEMES: [(&str, &[&str]); 3] = [
    ("etcd", ETCD_SCHEMES),
    ("memory", MEMORY_SCHEMES),
    ("redis", REDIS_SCHEMES),
];

const ETCD_SCHEMES: &[&str] = &["etcd", "etcds"];
const MEMORY_SCHEMES: &[&str] = &["memory"];
const REDIS_SCHEMES: &[&str] = &[
    "redis",
    "rediss",
    "redis-cluster",
    "rediss-cluster",
    "redis+unix",
    "unix",
    "valkey",
    "valkeys",
    "valkey-cluster",
    "valkeys-cluster",
    "valkey+unix",
];

pub(crate) fn registry() -> Registry {
    let mut registry = Registry::default();
    // The names differ, so none of these can fail.
    #[cfg(feature = "memory")]
    let _ = registry.add_provider("memory", of::<kv_memory::MemoryConfig, _>(memory::Memory));
    #[cfg(feature = "etcd")]
    let _ = registry.add_provider("etcd", of::<kv_etcd::EtcdConfig, _>(etcd::Etcd));
    #[cfg(feature = "redis")]
    let _ = registry.add_provider("redis", of::<kv_redis::RedisConfig, _>(redis::Redis));
    let _ = registry.add_wrapper(
        "circuit_breaker",
        ours::<CircuitBreakerConfig, _>(resilience::BreakerBuilder),
    );
    #[cfg(feature = "compress")]
    let _ = registry.add_wrapper(
        "compress",
        ours::<kv_wrappers::CompressConfig, _>(shape::compress::CompressBuilder),
    );
    let _ = registry.add_wrapper(
        "concurrency_limit",
        ours::<ConcurrencyLimitConfig, _>(resilience::LimitBuilder),
    );
    let _ = registry.add_wrapper(
        "default_ttl",
        ours::<DefaultTtlSettings, _>(DefaultTtlBuilder),
    );
    #[cfg(feature = "encrypt")]
    let _ = registry.add_wrapper(
        "encrypt",
        ours::<kv_wrappers::EncryptConfig, _>(shape::encrypt::EncryptBuilder),
    );
    let _ = registry.add_wrapper(
        "fallback",
        ours::<resilience::FallbackSettings, _>(resilience::FallbackBuilder),
    );
    let _ = registry.add_wrapper("hedge", ours::<HedgeConfig, _>(resilience::HedgeBuilder));
    let _ = registry.add_wrapper(
        "key_resolver",
        ours::<KeyResolverSettings, _>(KeyResolverBuilder),
    );
    let _ = registry.add_wrapper(
        "near_cache",
        ours::<NearCacheConfig, _>(sharing::NearCacheBuilder),
    );
    let _ = registry.add_wrapper("observe", ours::<ObserveConfig, _>(observe::ObserveBuilder));
    let _ = registry.add_wrapper(
        "read_only",
        ours::<shape::NoSettings, _>(shape::ReadOnlyBuilder),
    );
    let _ = registry.add_wrapper("retry", ours::<RetryConfig, _>(resilience::RetryBuilder));
    let _ = registry.add_wrapper(
        "single_flight",
        ours::<SingleFlightConfig, _>(sharing::SingleFlightBuilder),
    );
    let _ = registry.add_wrapper(
        "size_limit",
        ours::<SizeLimitConfig, _>(shape::SizeLimitBuilder),
    );
    let _ = registry.add_wrapper(
        "timeout",
        ours::<TimeoutConfig, _>(resilience::TimeoutBuilder),
    );
    let _ = registry.add_wrapper(
        "ttl_clamp",
        ours::<TtlClampConfig, _>(shape::TtlClampBuilder),
    );
    registry
}

/// A provider together with the type of its settings, where that is asked for.
#[cfg(feature = "schema")]
fn of<T: schemars::JsonSchema, B>(builder: B) -> Arc<Described<T, B>> {
    Arc::new(Described::new(builder))
}

/// The same of a wrapper of ours.
#[cfg(feature = "schema")]
fn ours<T: schemars::JsonSchema, B>(builder: B) -> Arc<Ours<Described<T, B>>> {
    Arc::new(Ours(Described::new(builder)))
}

#[cfg(not(feature = "schema"))]
#[expect(
    clippy::extra_unused_type_parameters,
    reason = "of use with the feature only"
)]
fn of<T, B>(builder: B) -> Arc<B> {
    Arc::new(builder)
}

#[cfg(not(feature = "schema"))]
#[expect(
    clippy::extra_unused_type_parameters,
    reason = "of use with the feature only"
)]
fn ours<T, B>(builder: B) -> Arc<Ours<B>> {
    Arc::new(Ours(builder))
}

/// A wrapper whose place is in the tables of [`order`].
struct Ours<B>(B);

impl<B: WrapperBuilder> WrapperBuilder for Ours<B> {
    fn build(&self, settings: Settings, instance: &Instance) -> Result<Arc<dyn Layer>> {
        self.0.build(settings, instance)
    }

    fn check_order(&self, position: usize, stack: &[&str]) -> Result<(), String> {
        order::check(position, stack)
    }

    #[cfg(feature = "schema")]
    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> Option<schemars::Schema> {
        self.0.schema(generator)
    }
}

#[cfg(feature = "memory")]
mod memory {
    use crate::{ProviderBuilder, Settings, StoreUrl};
    use kv_core::{Error, ErrorKind, Kv, KvBuilder, Result};
    use kv_memory::{MemoryConfig, MemoryStore};

    pub(super) struct Memory;

    impl ProviderBuilder for Memory {
        fn build(&self, settings: Settings) -> Result<KvBuilder> {
            let config: MemoryConfig = settings.parse()?;
            Ok(Kv::builder(MemoryStore::new(config)))
        }

        fn schemes(&self) -> &[&str] {
            super::MEMORY_SCHEMES
        }

        fn is_shared(&self) -> bool {
            false
        }

        fn build_url(&self, url: &StoreUrl) -> Result<KvBuilder> {
            if !url.is_bare() {
                return Err(Error::new(
                    ErrorKind::Config,
                    "a `memory:` URL has no host, credentials or path; write `memory://`, and settings as `memory://?name=value`",
                ));
            }
            self.build(url.query_fields())
        }
    }
}

#[cfg(feature = "etcd")]
mod etcd {
    use crate::{ProviderBuilder, Settings};
    use kv_core::{Kv, KvBuilder, Result};
    use kv_etcd::{EtcdConfig, EtcdStore};

    pub(super) struct Etcd;

    impl ProviderBuilder for Etcd {
        fn build(&self, settings: Settings) -> Result<KvBuilder> {
            let config: EtcdConfig = settings.parse()?;
            Ok(Kv::builder(EtcdStore::new(config)?))
        }

        fn schemes(&self) -> &[&str] {
            super::ETCD_SCHEMES
        }
    }
}

#[cfg(feature = "redis")]
mod redis {
    use crate::{ProviderBuilder, Settings};
    use kv_core::{Kv, KvBuilder, Result};
    use kv_redis::{RedisConfig, RedisStore};

    pub(super) struct Redis;

    impl ProviderBuilder for Redis {
        fn build(&self, settings: Settings) -> Result<KvBuilder> {
            let config: RedisConfig = settings.parse()?;
            Ok(Kv::builder(RedisStore::new(config)?))
        }

        fn schemes(&self) -> &[&str] {
            super::REDIS_SCHEMES
        }
    }
}

struct KeyResolverBuilder;

/// Puts every key below static prefix, tenant, user and namespace. What is not set here comes from
/// the store's own namespace and the key settings that all stores share, and only then from the
/// defaults.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub(crate) struct KeyResolverSettings(KeySettings);

impl WrapperBuilder for KeyResolverBuilder {
    fn build(&self, settings: Settings, instance: &Instance) -> Result<Arc<dyn Layer>> {
        let KeyResolverSettings(settings) = instance.overridden_by(settings).parse()?;
        Ok(Arc::new(KeyResolver::new(settings)?))
    }
}

struct DefaultTtlBuilder;

/// Gives a deadline to every write that says nothing about one. One of the two settings must be there.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct DefaultTtlSettings {
    /// The deadline in seconds, below a thousand years; in place of `default_ttl`.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0.0)))]
    default_ttl_seconds: Option<f64>,
    /// The deadline as a duration, below a thousand years.
    #[serde(default, with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<kv_core::schema::HumanDuration>", example = &"1h", extend("x-exclusive-minimum" = "0s")))]
    default_ttl: Option<Duration>,
}

impl WrapperBuilder for DefaultTtlBuilder {
    fn build(&self, settings: Settings, _: &Instance) -> Result<Arc<dyn Layer>> {
        let config = |message: &str| Error::new(ErrorKind::Config, message);
        let parsed: DefaultTtlSettings = settings.parse()?;
        let span = match (parsed.default_ttl_seconds, parsed.default_ttl) {
            (Some(seconds), None) => Duration::try_from_secs_f64(seconds).map_err(|_| {
                config("default_ttl_seconds must be a number of seconds above zero and below a thousand years")
            })?,
            (None, Some(span)) => span,
            (None, None) => {
                return Err(config(
                    "default_ttl needs one of `default_ttl_seconds = 3600` and `default_ttl = \"1h\"`",
                ));
            }
            (Some(_), Some(_)) => {
                return Err(config(
                    "default_ttl_seconds and default_ttl say the same thing twice; keep one",
                ));
            }
        };
        Ok(Arc::new(DefaultTtl::new(span)?))
    }
}
