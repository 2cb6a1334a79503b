//! The defaults in the reference are those that count where a setting is absent.

use super::{KEY, catalogue, settings};
use crate::builtin::{
    DefaultTtlSettings, KeyResolverSettings, resilience::FallbackSettings, shape::NoSettings,
};
use crate::schema::catalogue::OPTIONAL;
use kv_wrappers::{
    CircuitBreakerConfig, CompressConfig, ConcurrencyLimitConfig, EncryptConfig, HedgeConfig,
    NearCacheConfig, ObserveConfig, RetryConfig, SingleFlightConfig, SizeLimitConfig,
    TimeoutConfig, TtlClampConfig,
};
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// A table as its type, printed.
type Printed = fn(&str) -> String;

/// Everything that is registered, with the type of its settings.
const TYPES: [(&str, Printed); 19] = [
    ("circuit_breaker", printed::<CircuitBreakerConfig>),
    ("compress", printed::<CompressConfig>),
    ("concurrency_limit", printed::<ConcurrencyLimitConfig>),
    ("default_ttl", printed::<DefaultTtlSettings>),
    ("encrypt", printed::<EncryptConfig>),
    ("etcd", printed::<kv_etcd::EtcdConfig>),
    ("fallback", printed::<FallbackSettings>),
    ("hedge", printed::<HedgeConfig>),
    ("key_resolver", printed::<KeyResolverSettings>),
    ("memory", printed::<kv_memory::MemoryConfig>),
    ("near_cache", printed::<NearCacheConfig>),
    ("observe", printed::<ObserveConfig>),
    ("read_only", printed::<NoSettings>),
    ("redis", printed::<kv_redis::RedisConfig>),
    ("retry", printed::<RetryConfig>),
    ("single_flight", printed::<SingleFlightConfig>),
    ("size_limit", printed::<SizeLimitConfig>),
    ("timeout", printed::<TimeoutConfig>),
    ("ttl_clamp", printed::<TtlClampConfig>),
];

fn printed<T: DeserializeOwned + Debug>(toml: &str) -> String {
    let toml = &toml.replace("${KV_KEY}", KEY);
    let config: T = toml::from_str(toml).unwrap_or_else(|error| panic!("{error}\n{toml}"));
    format!("{config:?}")
}

#[test]
fn writing_a_default_out_changes_nothing() {
    for (entry, _) in catalogue() {
        let name = &entry.name;
        let own = TYPES.iter().find(|(it, _)| it == name);
        let (_, printed) = own.unwrap_or_else(|| panic!("give `{name}` a line in TYPES"));
        let settings = settings(entry.settings.as_ref().unwrap());
        let line = |name: &str, value: &str| format!("{name} = {value}\n");
        let required = settings
            .iter()
            .filter(|it| it.is_required && !it.is_in_optional_table);
        let required: String = required
            .map(|it| line(&it.name, &it.example().unwrap()))
            .collect();
        let plain = printed(&required);
        for setting in settings.iter().filter(|it| !it.is_in_optional_table) {
            let Some(default) = setting.default() else {
                continue;
            };
            let toml = required.clone() + &line(&setting.name, &default);
            assert_eq!(printed(&toml), plain, "{name}: {toml}");
        }
    }
}

/// A default that the reference leaves out would not be missed above.
#[test]
fn what_is_neither_required_nor_has_a_default_is_absent_by_default() {
    for (entry, _) in catalogue() {
        let settings = settings(entry.settings.as_ref().unwrap());
        for setting in settings.iter().filter(|it| !it.is_in_optional_table) {
            let is_told = setting.is_required
                || setting.default().is_some()
                || setting.get(OPTIONAL).is_some()
                || setting.kind() == "table";
            assert!(
                is_told,
                "{}: {} has a default that is not told",
                entry.name, setting.name
            );
        }
    }
}
