//! Every case of the contract on every stack, each as a test of its own, named like
//! `memory/bare/A-03 set then get`.
//!
//! `KV_MATRIX=full` puts Redis under each layer alone, too.

use kv_conformance::{Fixture, Settings, Tenancy};
use kv_core::{Kv, KvBuilder, Layer, Result, Store, layer_fn};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_redis::{RedisConfig, RedisStore};
use kv_wrappers::{DefaultTtl, KeyResolver, KeySettings};
use std::{env, num::NonZeroUsize, process::ExitCode, sync::Arc, time::Duration};

const HOUR: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    let mut args = libtest_mimic::Arguments::from_args();
    // Most cases wait for a deadline, not for a processor.
    args.test_threads.get_or_insert(16);
    let Ok(url) = env::var("KV_REDIS_URL") else {
        eprintln!(
            "the conformance tests need a Redis server: run cargo xtask test, or set KV_REDIS_URL"
        );
        return ExitCode::FAILURE;
    };
    let matrix = match env::var("KV_MATRIX").as_deref() {
        Ok("full") => Matrix::Full,
        _ => Matrix::Usual,
    };
    let fixtures = match fixtures(&url, matrix) {
        Ok(fixtures) => fixtures,
        Err(error) => {
            eprintln!("the stacks could not be built: {error}");
            return ExitCode::FAILURE;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let trials = fixtures
        .iter()
        .flat_map(|fixture| kv_conformance::trials(fixture, runtime.handle()))
        .collect();
    libtest_mimic::run(&args, trials).exit_code()
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

fn fixtures(url: &str, matrix: Matrix) -> Result<Vec<Fixture>> {
    let (bare, layers, full) = (bare(), layers()?, full_stack()?);
    let mut fixtures = Vec::new();
    for stack in [&bare, &full].into_iter().chain(&layers) {
        fixtures.push(memory(stack));
    }
    for stack in [&bare, &full] {
        fixtures.push(redis(stack, url));
    }
    if matrix == Matrix::Full {
        fixtures.extend(layers.iter().map(|stack| redis(stack, url)));
    }
    Ok(fixtures)
}

fn bare() -> Stack {
    Stack {
        name: "bare",
        layers: Vec::new(),
        limits: Limits::Usual,
        settings: Settings::default(),
    }
}

fn layers() -> Result<[Stack; 3]> {
    let pass = layer_fn("pass", |request, next| next.call(request));
    let stack = |name, layer: Arc<dyn Layer>, settings| Stack {
        name,
        layers: vec![layer],
        limits: Limits::Low,
        settings,
    };
    let plain = Settings::default();
    Ok([
        stack("layer_fn", Arc::new(pass), plain.clone()),
        stack(
            "default_ttl",
            Arc::new(DefaultTtl::new(HOUR)?),
            plain.clone().unset_ttl(HOUR),
        ),
        stack(
            "key_resolver",
            Arc::new(resolver()?),
            plain.tenancy(Tenancy::InKeys),
        ),
    ])
}

fn full_stack() -> Result<Stack> {
    Ok(Stack {
        name: "full",
        layers: vec![Arc::new(DefaultTtl::new(HOUR)?), Arc::new(resolver()?)],
        limits: Limits::Low,
        settings: Settings::default().unset_ttl(HOUR).tenancy(Tenancy::InKeys),
    })
}

fn resolver() -> Result<KeyResolver> {
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

fn redis(stack: &Stack, url: &str) -> Fixture {
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
    Fixture::new(format!("redis/{}", stack.name), move || {
        let (config, stack) = (config.clone(), stack.clone());
        async move { connect(RedisStore::new(config)?, stack).await }
    })
    .settings(settings)
}

async fn connect(store: impl Store, stack: Stack) -> Result<Kv> {
    let builder = stack
        .layers
        .into_iter()
        .fold(Kv::builder(store), KvBuilder::layer);
    builder.connect().await
}
