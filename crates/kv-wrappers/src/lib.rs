#![doc = include_str!("../README.md")]

mod circuit_breaker;
mod concurrency_limit;
mod default_ttl;
mod fallback;
mod hedge;
mod key_resolver;
mod named;
mod near_cache;
mod patience;
mod read_only;
mod retry;
#[cfg(test)]
mod script;
mod single_flight;
mod timeout;
mod touched;
mod size_limit;
mod timeout;
mod ttl_clamp;
mod window;

pub use self::{
    circuit_breaker::{CircuitBreaker, CircuitBreakerConfig, CircuitState},
    concurrency_limit::{ConcurrencyLimit, ConcurrencyLimitConfig},
    default_ttl::DefaultTtl,
    fallback::{Fallback, FallbackConfig, FallbackOn, FallbackWrites},
    hedge::{Hedge, HedgeConfig},
    key_resolver::{KeyResolver, KeySettings},
    near_cache::{
        Deadlines, Invalidate, NearCache, NearCacheConfig, NearCacheState, NearCacheStats,
    },
    retry::{BudgetConfig, Retry, RetryConfig},
    single_flight::{SingleFlight, SingleFlightConfig},
    read_only::ReadOnly,
    retry::{BudgetConfig, Retry, RetryConfig},
    size_limit::{SizeLimit, SizeLimitConfig},
    timeout::{Timeout, TimeoutConfig},
    ttl_clamp::{TtlClamp, TtlClampConfig},
};
