//! Every layer by itself, and the stack that a service has; what each may cost on memory.

use kv_core::{Kv, KvBuilder, Result, layer_fn};
use kv_memory::MemoryStore;
use kv_wrappers::{
    Algorithm, CircuitBreaker, CircuitBreakerConfig, Compress, CompressConfig, ConcurrencyLimit,
    ConcurrencyLimitConfig, DefaultTtl, Encrypt, EncryptConfig, EncryptionKey, Fallback,
    FallbackConfig, Hedge, HedgeConfig, KeyResolver, KeySettings, Observe, ObserveConfig, ReadOnly,
    Retry, RetryConfig, SingleFlight, SingleFlightConfig, SizeLimit, SizeLimitConfig, Timeout,
    TimeoutConfig, TtlClamp, TtlClampConfig,
};
use std::time::Duration;

/// Longer than any benchmark: what has a deadline is there to the end.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// A layer, or several.
#[derive(Clone, Copy)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) around: Around,
    pub(crate) limits: Limits,
    pub(crate) writes: Writes,
}

/// Puts it around a stack.
pub(crate) type Around = fn(KvBuilder) -> Result<KvBuilder>;

/// What it may add to a call.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) nanos: f64,
    pub(crate) allocations: f64,
}

/// What becomes of writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    Untouched,
    /// Those that say nothing of a deadline get one of an hour: without the layer the caller has to
    /// give it.
    WithDeadline,
    /// The same, each another one of up to a tenth less.
    WithSpreadDeadline,
    Refused,
}

const REWRITES: Limits = Limits {
    nanos: 40.0,
    allocations: 0.0,
};
/// One that looks at the answer, in a box of its own.
const AWAITS: Limits = Limits {
    nanos: 60.0,
    allocations: 1.0,
};
/// The same, and the clock, the counters and the span that nobody wants.
const OBSERVES: Limits = Limits {
    nanos: 150.0,
    allocations: 1.0,
};
/// A table that readers enter and leave, and what they share: as its documentation says.
const SHARES: Limits = Limits {
    nanos: 1_000.0,
    allocations: 8.0,
};

/// Every layer on its own.
pub(crate) fn layers() -> Vec<Subject> {
    let subject = |name, limits, around| Subject {
        name,
        around,
        limits,
        writes: Writes::Untouched,
    };
    vec![
        subject("layer_fn", REWRITES, |it| {
            Ok(it.layer(layer_fn("pass", |request, next| next.call(request))))
        }),
        Subject {
            writes: Writes::WithDeadline,
            ..subject("default_ttl", REWRITES, |it| {
                Ok(it.layer(DefaultTtl::new(HOUR)?))
            })
        },
        subject("key_resolver", REWRITES, |it| Ok(it.layer(resolver()?))),
        Subject {
            writes: Writes::Refused,
            ..subject("read_only", REWRITES, |it| Ok(it.layer(ReadOnly::new())))
        },
        subject("size_limit", REWRITES, |it| {
            Ok(it.layer(SizeLimit::new(SizeLimitConfig::new(1 << 20))?))
        }),
        Subject {
            writes: Writes::WithSpreadDeadline,
            ..subject("ttl_clamp", REWRITES, |it| {
                let config = TtlClampConfig::default().max(HOUR).jitter(0.1);
                Ok(it.layer(TtlClamp::new(config)?))
            })
        },
        subject("timeout", AWAITS, |it| Ok(it.layer(timeout()?))),
        subject("retry", AWAITS, |it| Ok(it.layer(retry()?))),
        subject("circuit_breaker", AWAITS, |it| Ok(it.layer(breaker()?))),
        subject("concurrency_limit", AWAITS, |it| {
            let config = ConcurrencyLimitConfig::new(1024);
            Ok(it.layer(ConcurrencyLimit::new(config)?))
        }),
        subject("hedge", AWAITS, |it| {
            Ok(it.layer(Hedge::new(HedgeConfig::new(HOUR))?))
        }),
        subject("fallback", AWAITS, |it| {
            let second = Kv::builder(MemoryStore::default()).build();
            Ok(it.layer(Fallback::new(FallbackConfig::default(), second)))
        }),
        subject("single_flight", SHARES, |it| {
            let config = SingleFlightConfig::default();
            Ok(it.layer(SingleFlight::new(config)?))
        }),
        subject("observe", OBSERVES, |it| Ok(it.layer(observe()?))),
    ]
}

/// Layers that store values in another form: what they cost depends on the value.
pub(crate) fn transforming() -> [(&'static str, Around); 3] {
    [
        ("compress_zstd", |it| {
            Ok(it.layer(compress(Algorithm::Zstd)?))
        }),
        ("compress_lz4", |it| Ok(it.layer(compress(Algorithm::Lz4)?))),
        ("encrypt", |it| {
            let config = EncryptConfig::new("k", EncryptionKey::new([7; 32]));
            Ok(it.layer(Encrypt::new(config)?))
        }),
    ]
}

/// What a service has: the sum of what its layers may cost.
pub(crate) fn full() -> Subject {
    Subject {
        name: "full",
        around: |it| {
            Ok(it
                .layer(timeout()?)
                .layer(retry()?)
                .layer(breaker()?)
                .layer(DefaultTtl::new(HOUR)?)
                .layer(resolver()?)
                .layer(observe()?))
        },
        limits: Limits {
            nanos: 3.0 * AWAITS.nanos + 2.0 * REWRITES.nanos + OBSERVES.nanos,
            allocations: 3.0 * AWAITS.allocations + OBSERVES.allocations,
        },
        writes: Writes::WithDeadline,
    }
}

fn timeout() -> Result<Timeout> {
    Timeout::new(TimeoutConfig::new(HOUR))
}

fn retry() -> Result<Retry> {
    Retry::new(RetryConfig::default())
}

fn breaker() -> Result<CircuitBreaker> {
    CircuitBreaker::new(CircuitBreakerConfig::default())
}

fn resolver() -> Result<KeyResolver> {
    KeyResolver::new(KeySettings::default())
}

fn observe() -> Result<Observe> {
    Observe::new(ObserveConfig::new("sessions"))
}

fn compress(algorithm: Algorithm) -> Result<Compress> {
    Compress::new(CompressConfig::default().algorithm(algorithm))
}
