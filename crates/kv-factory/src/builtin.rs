//! The providers and wrappers that need no registration.

mod observe;
mod resilience;
mod shape;
mod sharing;

use crate::{Instance, Settings, WrapperBuilder, registry::Registry};
use kv_core::{Error, ErrorKind, Layer, Result};
use kv_wrappers::{DefaultTtl, KeyResolver, KeySettings};
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
    let schemes: [(&'static str, &[&str]); 3] = [
        ("etcd", ETCD_SCHEMES),
        ("memory", MEMORY_SCHEMES),
        ("redis", REDIS_SCHEMES),
    ];
    let found = schemes
        .iter()
        .find(|(_, schemes)| schemes.contains(&scheme));
    found.map(|(provider, _)| *provider)
}

const ETCD_SCHEMES: &[&str] = &["etcd", "etcds"];
const MEMORY_SCHEMES: &[&str] = &["memory"];
const REDIS_SCHEMES: &[&str] = &[
    "redis",
    "rediss",
    "redis+unix",
    "unix",
    "valkey",
    "valkeys",
    "valkey+unix",
];

pub(crate) fn registry() -> Registry {
    let mut registry = Registry::default();
    // The names differ, so none of these can fail.
    #[cfg(feature = "memory")]
    let _ = registry.add_provider("memory", Arc::new(memory::Memory));
    #[cfg(feature = "etcd")]
    let _ = registry.add_provider("etcd", Arc::new(etcd::Etcd));
    #[cfg(feature = "redis")]
    let _ = registry.add_provider("redis", Arc::new(redis::Redis));
    let _ = registry.add_wrapper("circuit_breaker", Arc::new(resilience::BreakerBuilder));
    #[cfg(feature = "compress")]
    let _ = registry.add_wrapper("compress", Arc::new(shape::compress::CompressBuilder));
    let _ = registry.add_wrapper("concurrency_limit", Arc::new(resilience::LimitBuilder));
    let _ = registry.add_wrapper("default_ttl", Arc::new(DefaultTtlBuilder));
    #[cfg(feature = "encrypt")]
    let _ = registry.add_wrapper("encrypt", Arc::new(shape::encrypt::EncryptBuilder));
    let _ = registry.add_wrapper("fallback", Arc::new(resilience::FallbackBuilder));
    let _ = registry.add_wrapper("hedge", Arc::new(resilience::HedgeBuilder));
    let _ = registry.add_wrapper("key_resolver", Arc::new(KeyResolverBuilder));
    let _ = registry.add_wrapper("near_cache", Arc::new(sharing::NearCacheBuilder));
    let _ = registry.add_wrapper("observe", Arc::new(observe::ObserveBuilder));
    let _ = registry.add_wrapper("read_only", Arc::new(shape::ReadOnlyBuilder));
    let _ = registry.add_wrapper("retry", Arc::new(resilience::RetryBuilder));
    let _ = registry.add_wrapper("single_flight", Arc::new(sharing::SingleFlightBuilder));
    let _ = registry.add_wrapper("size_limit", Arc::new(shape::SizeLimitBuilder));
    let _ = registry.add_wrapper("timeout", Arc::new(resilience::TimeoutBuilder));
    let _ = registry.add_wrapper("ttl_clamp", Arc::new(shape::TtlClampBuilder));
    registry
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

impl WrapperBuilder for KeyResolverBuilder {
    fn build(&self, settings: Settings, instance: &Instance) -> Result<Arc<dyn Layer>> {
        let settings: KeySettings = instance.overridden_by(settings).parse()?;
        Ok(Arc::new(KeyResolver::new(settings)?))
    }

    fn check_order(&self, position: usize, stack: &[&str]) -> Result<(), String> {
        once(
            position,
            stack,
            "would put the prefix in front of every key twice",
        )
    }
}

struct DefaultTtlBuilder;

/// One of the two, in seconds or as text with a unit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DefaultTtlSettings {
    default_ttl_seconds: Option<f64>,
    #[serde(default, with = "humantime_serde")]
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

    fn check_order(&self, position: usize, stack: &[&str]) -> Result<(), String> {
        once(
            position,
            stack,
            "would never act, since the outer one fills in every ttl before it",
        )
    }
}

/// Refuses the wrapper if it stands in the stack again, further out.
fn once(position: usize, stack: &[&str], otherwise: &str) -> Result<(), String> {
    match stack[position + 1..].contains(&stack[position]) {
        true => Err(format!("stands in the stack twice and {otherwise}")),
        false => Ok(()),
    }
}
