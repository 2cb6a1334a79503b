//! Every case of the contract on every stack, each as a test of its own, named like
//! `memory/bare/A-03 set then get`.
//!
//! Redis comes in three columns: one server, a cluster of two primaries, and one server behind a proxy
//! that holds every piece back. etcd comes in two, as it is and behind such a proxy. Of what is behind
//! a proxy, the sections run where order matters most; `KV_MATRIX=full` runs all of it, and puts both
//! servers under each layer alone, too.

use kv_conformance::{
    Fixture, Settings, Tenancy,
    proxy::{FaultProxy, Mode},
};
use kv_core::{Kv, KvBuilder, Layer, Store, layer_fn};
use kv_etcd::{EtcdConfig, EtcdStore};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_redis::{RedisConfig, RedisStore};
use kv_tests::server::Cluster;
use kv_wrappers::{
    Algorithm, CircuitBreaker, CircuitBreakerConfig, Compress, CompressConfig, ConcurrencyLimit,
    ConcurrencyLimitConfig, DefaultTtl, Encrypt, EncryptConfig, EncryptionKey, Fallback,
    FallbackConfig, FallbackOn, FallbackWrites, Hedge, HedgeConfig, Integers, KeyResolver,
    KeySettings, NearCache, NearCacheConfig, Observe, ObserveConfig, Retry, RetryConfig,
    SingleFlight, SingleFlightConfig, SizeLimit, SizeLimitConfig, Timeout, TimeoutConfig, TtlClamp,
    TtlClampConfig,
};
use std::{
    env,
    error::Error,
    net::{SocketAddr, ToSocketAddrs},
    num::NonZeroUsize,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

const HOUR: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    let mut args = libtest_mimic::Arguments::from_args();
    // Most cases wait for a deadline, not for a processor.
    args.test_threads.get_or_insert(16);
    let (Ok(redis), Ok(etcd)) = (env::var("KV_REDIS_URL"), env::var("KV_ETCD_URL")) else {
        eprintln!(
            "the conformance tests need a Redis server and an etcd: run cargo xtask test, or set \
             KV_REDIS_URL and KV_ETCD_URL"
        );
        return ExitCode::FAILURE;
    };
    let matrix = match env::var("KV_MATRIX").as_deref() {
        Ok("full") => Matrix::Full,
        _ => Matrix::Usual,
    };
    match run(&args, &Servers { redis, etcd }, matrix) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("the stacks could not be built: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Where they are.
struct Servers {
    redis: String,
    etcd: String,
}

fn run(
    args: &libtest_mimic::Arguments,
    servers: &Servers,
    matrix: Matrix,
) -> Result<ExitCode, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()?;
    let cluster = Cluster::start();
    let url = &servers.redis;
    let proxies = [url, &servers.etcd].map(|url| {
        let proxy = runtime.block_on(FaultProxy::start(address(url)?))?;
        proxy.set(Mode::Delay(DELAY));
        Ok::<_, Box<dyn Error>>(proxy)
    });
    let [before_redis, before_etcd] = proxies;
    let (before_redis, before_etcd) = (before_redis?, before_etcd?);
    let behind = |scheme, proxy: &FaultProxy| format!("{scheme}://{}", proxy.address());

    let (bare, mut layers, full) = (bare(), Vec::from(layers()?), full_stack()?);
    layers.extend(shaping_layers()?);
    let mut fixtures = Vec::new();
    for stack in [&bare, &full].into_iter().chain(&layers) {
        fixtures.push(memory(stack));
    }
    fixtures.push(near_cache()?);
    fixtures.push(memory(&single_flight()?));
    for stack in [&bare, &full] {
        fixtures.push(redis("redis", stack, url));
        fixtures.push(redis("cluster", stack, &cluster.url()));
        fixtures.push(etcd("etcd", stack, &servers.etcd));
    }
    if matrix == Matrix::Full {
        fixtures.extend(layers.iter().map(|stack| redis("redis", stack, url)));
        fixtures.extend(
            layers
                .iter()
                .map(|stack| etcd("etcd", stack, &servers.etcd)),
        );
    }
    let delayed = [
        redis("delayed", &full, &behind("redis", &before_redis)),
        etcd("etcd-delayed", &full, &behind("etcd", &before_etcd)),
    ];
    let trials = |fixture| kv_conformance::trials(fixture, runtime.handle());
    let mut all: Vec<_> = fixtures.iter().flat_map(trials).collect();
    let mut slow: Vec<_> = delayed.iter().flat_map(trials).collect();
    if matrix == Matrix::Usual {
        slow.retain(|trial| is_about_order(trial.name()));
    }
    all.extend(slow);
    Ok(libtest_mimic::run(args, all).exit_code())
}

/// How long the proxy holds back every piece, in both directions.
const DELAY: Duration = Duration::from_micros(500);

/// Whether a case is about transactions, watches or limits, or is one of those that they rest on.
fn is_about_order(name: &str) -> bool {
    let case = name.rsplit('/').next().unwrap_or(name);
    let sections = [
        "I-", "J-", "T-", "C-38 ", "C-45 ", "D-54 ", "E-64 ", "G-88 ", "L-129 ",
    ];
    sections.iter().any(|it| case.starts_with(it))
}

/// Where the server of a `redis://host:port/db` listens.
fn address(url: &str) -> Result<SocketAddr, Box<dyn Error>> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    let found = host.to_socket_addrs()?.next();
    found.ok_or_else(|| format!("no address for {host}").into())
}

/// Which stacks are put on Redis; memory is cheap and has them all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Matrix {
    /// None, and all layers.
    Usual,
    /// Each layer alone, too.
    Full,
}

/// Layers, from the provider outwards, and what the suite must know about them.
#[derive(Clone)]
struct Stack {
    name: &'static str,
    layers: Vec<Arc<dyn Layer>>,
    limits: Limits,
    settings: Settings,
}

/// How long keys and values may be on the store.
#[derive(Clone, Copy)]
enum Limits {
    /// The provider's own.
    Usual,
    /// Low enough to be tried.
    Low,
}

const LOW_KEY: NonZeroUsize = NonZeroUsize::new(4 << 10).unwrap();
const LOW_VALUE: NonZeroUsize = NonZeroUsize::new(64 << 10).unwrap();

fn bare() -> Stack {
    Stack {
        name: "bare",
        layers: Vec::new(),
        limits: Limits::Usual,
        settings: Settings::default(),
    }
}

fn layers() -> kv_core::Result<Vec<Stack>> {
    let pass = layer_fn("pass", |request, next| next.call(request));
    let stack = |name, layer: Arc<dyn Layer>, settings| Stack {
        name,
        layers: vec![layer],
        limits: Limits::Low,
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

fn single_flight() -> kv_core::Result<Stack> {
    let layer = SingleFlight::new(SingleFlightConfig::default())?;
    Ok(Stack {
        name: "single_flight",
        layers: vec![Arc::new(layer)],
        ..bare()
    })
}

/// What others write shows a little later through it, so a case's second handle is a clone.
fn near_cache() -> kv_core::Result<Fixture> {
    let near = NearCache::new(NearCacheConfig::default())?;
    let fixture = Fixture::in_process("memory/near_cache", move || {
        let builder = Kv::builder(MemoryStore::default()).layer(near.clone());
        builder.connect()
    });
    Ok(fixture.settings(Settings::default().slack(Duration::ZERO)))
}

/// The layers that shape what is written. `read_only` keeps no promise about writes.
fn shaping_layers() -> kv_core::Result<[Stack; 6]> {
    let stack = |name, layer: Arc<dyn Layer>, settings| Stack {
        name,
        layers: vec![layer],
        limits: Limits::Low,
        settings,
    };
    let plain = Settings::default();
    // So low that most values of the suite are packed, and that the layer's own limit is met.
    let packed = CompressConfig::default()
        .threshold_bytes(16)
        .max_unpacked_bytes(LOW_VALUE.get() / 2);
    let keys = EncryptConfig::new("2026", EncryptionKey::new([7; 32]));
    let counting = keys.clone().integers(Integers::Plain);
    let clamp = TtlClampConfig::default()
        .min(Duration::from_millis(1))
        .missing_ttl(HOUR);
    let limit = SizeLimitConfig::new(LOW_VALUE.get() / 2);
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
            Arc::new(TtlClamp::new(clamp)?),
            plain.clone().unset_ttl(HOUR),
        ),
        stack("size_limit", Arc::new(SizeLimit::new(limit)?), plain),
    ])
}

/// What a service in production has, in the order that the documentation recommends.
fn full_stack() -> kv_core::Result<Stack> {
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
        settings: Settings::default().unset_ttl(HOUR).tenancy(Tenancy::InKeys),
    })
}

/// What a busy machine takes is not the matter here.
fn timeout() -> kv_core::Result<Timeout> {
    Timeout::new(TimeoutConfig::new(Duration::from_secs(60)))
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
    ConcurrencyLimit::new(config.waiting(100_000, Duration::from_secs(60)))
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

/// Every case has a store of its own, which all of the case's handles share.
fn memory(stack: &Stack) -> Fixture {
    let config = match stack.limits {
        Limits::Usual => MemoryConfig::default(),
        Limits::Low => MemoryConfig::default()
            .max_key_bytes(LOW_KEY)
            .max_value_bytes(LOW_VALUE),
    };
    let stack = stack.clone();
    let settings = stack.settings.clone();
    Fixture::per_case(format!("memory/{}", stack.name), move || {
        let (store, stack) = (MemoryStore::new(config.clone()), stack.clone());
        move || connect(store.clone(), stack.clone())
    })
    // It looks at the clock whenever it is asked, so no key may be late.
    .settings(settings.slack(Duration::ZERO))
}

fn redis(column: &str, stack: &Stack, url: &str) -> Fixture {
    let mut config = RedisConfig::from_url(url);
    // What a busy machine does to deadlines is another test's matter.
    config.response_timeout = Duration::from_secs(10);
    if matches!(stack.limits, Limits::Low) {
        config.max_key_bytes = LOW_KEY.get();
        config.max_value_bytes = LOW_VALUE.get();
    }
    let stack = stack.clone();
    // Redis reads its clock once per turn of its loop.
    let settings = stack.settings.clone().slack(Duration::from_millis(50));
    Fixture::new(format!("{column}/{}", stack.name), move || {
        let (config, stack) = (config.clone(), stack.clone());
        async move { connect(RedisStore::new(config)?, stack).await }
    })
    .settings(settings)
}

/// Below a root of its own, so that one server does for all runs.
fn etcd(column: &str, stack: &Stack, url: &str) -> Fixture {
    let mut config = EtcdConfig::from_url(url);
    config.root = Some(format!("conformance-{:016x}/", fastrand::u64(..)));
    // What a busy machine does to deadlines is another test's matter.
    config.response_timeout = Duration::from_secs(10);
    config.conflict_timeout = Duration::from_secs(30);
    // There is one clock here.
    config.max_clock_skew = Duration::ZERO;
    if matches!(stack.limits, Limits::Low) {
        config.max_key_bytes = LOW_KEY.get();
        config.max_value_bytes = LOW_VALUE.get();
    }
    let stack = stack.clone();
    // Readers look at the clock; but what is held goes with its lease.
    let settings = stack.settings.clone();
    let settings = settings
        .slack(Duration::from_millis(50))
        .held_slack(HELD)
        // Where writers meet, etcd takes more exchanges, and each writes to its log.
        .case_deadline(Duration::from_secs(180));
    Fixture::new(format!("{column}/{}", stack.name), move || {
        let (config, stack) = (config.clone(), stack.clone());
        async move { connect(EtcdStore::new(config)?, stack).await }
    })
    .settings(settings)
}

/// How late a lease may be: a bucket of two seconds, full seconds twice, and the half a second in which
/// etcd looks for what has ended; the rest is for a busy machine.
const HELD: Duration = Duration::from_secs(6);

async fn connect(store: impl Store, stack: Stack) -> kv_core::Result<Kv> {
    let builder = stack
        .layers
        .into_iter()
        .fold(Kv::builder(store), KvBuilder::layer);
    builder.connect().await
}
