#![doc = include_str!("../README.md")]

#[cfg(test)]
mod capture;
mod circuit_breaker;
#[cfg(feature = "compress")]
mod compress;
mod concurrency_limit;
mod default_ttl;
#[cfg(feature = "encrypt")]
mod encrypt;
mod fallback;
mod hedge;
mod key_resolver;
mod named;
mod near_cache;
mod observe;
mod read_only;
mod retry;
#[cfg(test)]
mod script;
mod single_flight;
mod size_limit;
pub mod telemetry;
mod timeout;
mod touched;
#[cfg(all(test, any(feature = "compress", feature = "encrypt")))]
mod tour;
#[cfg(any(feature = "compress", feature = "encrypt"))]
mod transformed;
mod ttl_clamp;
mod window;

#[cfg(feature = "compress")]
pub use self::compress::{Algorithm, Compress, CompressConfig, LegacyValues};
#[cfg(feature = "encrypt")]
pub use self::encrypt::{Encrypt, EncryptConfig, EncryptionKey, Integers, PlainValues};
pub use self::{
    circuit_breaker::{CircuitBreaker, CircuitBreakerConfig, CircuitState},
    concurrency_limit::{ConcurrencyLimit, ConcurrencyLimitConfig},
    default_ttl::DefaultTtl,
    fallback::{Fallback, FallbackConfig, FallbackOn, FallbackWrites},
    hedge::{Hedge, HedgeConfig},
    key_resolver::{KeyResolver, KeySettings},
    near_cache::{
        NearCache, NearCacheConfig, NearCacheDeadlines, NearCacheInvalidation, NearCacheState,
        NearCacheStats,
    },
    observe::{Observe, ObserveConfig, ObserveLevel, ShowKeys},
    read_only::ReadOnly,
    retry::{BudgetConfig, Retry, RetryConfig},
    single_flight::{SingleFlight, SingleFlightConfig},
    size_limit::{SizeLimit, SizeLimitConfig},
    timeout::{Timeout, TimeoutConfig},
    ttl_clamp::{TtlClamp, TtlClampConfig},
};
