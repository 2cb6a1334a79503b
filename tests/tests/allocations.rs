//! How often a call allocates: what a layer costs must not creep up unseen.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kv_core::{CallOptions, Context, Deadline, Key, Kv, KvBuilder, Layer, VirtualClock, layer_fn};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_wrappers::{
    CircuitBreaker, CircuitBreakerConfig, Compress, CompressConfig, ConcurrencyLimit,
    ConcurrencyLimitConfig, DefaultTtl, Encrypt, EncryptConfig, EncryptionKey, Fallback,
    FallbackConfig, Hedge, HedgeConfig, KeyResolver, KeySettings, Observe, ObserveConfig, ReadOnly,
    Retry, RetryConfig, SizeLimit, SizeLimitConfig, Timeout, TimeoutConfig, TtlClamp,
    TtlClampConfig,
};
use std::{
    pin::pin,
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

/// The boxed future of the seam; the value is shared, not copied.
const BARE_GET: u64 = 1;
/// The boxed future of a layer that looks at the answer.
const ONE_BOX: u64 = 1;
#[test]
fn a_hot_get_allocates_its_boxed_future_and_nothing_else() {
    assert_eq!(allocations_of_get(&bare()), BARE_GET);
}

#[test]
fn default_ttl_adds_no_box() {
    let kv =
        connected(Kv::builder(store()).layer(DefaultTtl::new(Duration::from_secs(60)).unwrap()));
    assert_eq!(allocations_of_get(&kv), BARE_GET);
}

#[test]
fn a_layer_that_only_passes_requests_on_adds_no_box() {
    let layer = layer_fn("pass", |request, next| next.call(request));
    let kv = connected(Kv::builder(store()).layer(layer));
    assert_eq!(allocations_of_get(&kv), BARE_GET);
}

#[test]
fn key_resolver_adds_nothing() {
    let settings = KeySettings {
        use_user_uid: true,
        ..KeySettings::default()
    };
    let kv = connected(Kv::builder(store()).layer(KeyResolver::new(settings).unwrap()));
    let kv = kv.bind(Context::tenant("tenant-123").with_user("ann"));
    assert_eq!(allocations_of_get(&kv), BARE_GET);
}

/// A boxed future of the layer's own; what is not packed is not copied.
const UNPACKED: u64 = 1;
/// The same, the place of the value, what the tag vouches for, and the plain text.
const DECRYPTED: u64 = 4;

#[test]
fn what_only_looks_at_requests_adds_no_box() {
    let limit = SizeLimit::new(SizeLimitConfig::new(4096)).unwrap();
    let clamp = TtlClampConfig::default().max(Duration::from_secs(60));
    let clamp = TtlClamp::new(clamp.jitter(0.1)).unwrap();
    let kv = connected(Kv::builder(store()).layer(limit).layer(clamp));
    assert_eq!(allocations_of_get(&kv), BARE_GET);

    let written = store();
    now(bare_on(&written).set("key", "value")).unwrap();
    let kv = connected(Kv::builder(written).layer(ReadOnly::new()));
    assert_eq!(
        allocations_of_getting(&kv, &Key::new("key").unwrap()),
        BARE_GET
    );
}

#[test]
fn values_that_change_cost_a_box_and_their_own_bytes() {
    let compress = Compress::new(CompressConfig::default()).unwrap();
    let kv = connected(Kv::builder(store()).layer(compress));
    assert_eq!(allocations_of_get(&kv), BARE_GET + UNPACKED);
    let keys = EncryptConfig::new("k", EncryptionKey::new([7; 32]));
    let kv = connected(Kv::builder(store()).layer(Encrypt::new(keys).unwrap()));
    assert_eq!(allocations_of_get(&kv), BARE_GET + DECRYPTED);
}

#[test]
fn observe_adds_its_box_where_nobody_listens() {
    let config = ObserveConfig::new("sessions").namespace("cache");
    let kv = connected(Kv::builder(store()).layer(Observe::new(config).unwrap()));
    assert_eq!(allocations_of_get(&kv), BARE_GET + ONE_BOX);
}

#[test]
fn the_usual_stack_adds_nothing() {
    let kv = connected(
        Kv::builder(store())
            .layer(DefaultTtl::new(Duration::from_secs(60)).unwrap())
            .layer(KeyResolver::new(KeySettings::default()).unwrap()),
    );
    let kv = kv.bind(Context::tenant("tenant-123"));
    assert_eq!(allocations_of_get(&kv), BARE_GET);
}

#[test]
fn an_awaiting_layer_adds_one_box() {
    let hour = Duration::from_secs(3600);
    let layers: [Arc<dyn Layer>; 6] = [
        Arc::new(Timeout::new(TimeoutConfig::new(hour)).unwrap()),
        Arc::new(Hedge::new(HedgeConfig::new(hour)).unwrap()),
        Arc::new(Retry::new(RetryConfig::default()).unwrap()),
        Arc::new(CircuitBreaker::new(CircuitBreakerConfig::default()).unwrap()),
        Arc::new(ConcurrencyLimit::new(ConcurrencyLimitConfig::new(8)).unwrap()),
        Arc::new(Fallback::new(FallbackConfig::default(), bare())),
    ];
    for layer in layers {
        let kv = connected(Kv::builder(store()).layer(layer));
        assert_eq!(allocations_of_get(&kv), BARE_GET + 1, "{kv:?}");
    }
}

#[test]
fn a_deadline_of_a_call_adds_a_box_and_takes_no_timer_for_what_ends_at_once() {
    let kv = bare();
    assert_eq!(allocations_of_get(&kv.with(CallOptions::new())), BARE_GET);
    let once = kv.with(CallOptions::new().without_retry());
    assert_eq!(allocations_of_get(&once), BARE_GET);
    let clock = Arc::new(VirtualClock::default());
    let deadline = Deadline::on(clock, Duration::from_secs(1));
    let bounded = kv.with(CallOptions::new().with_deadline(deadline));
    assert_eq!(allocations_of_get(&bounded), BARE_GET + 1);
}

/// What the cache does for a hit: the key in a buffer that is used again, below its tenant, and looked up by bytes.
#[test]
fn a_hit_of_the_cache_allocates_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.unwrap();
    let settings = KeySettings {
        use_user_uid: true,
        ..KeySettings::default()
    };
    let kv = connected(Kv::builder(store()).layer(KeyResolver::new(settings).unwrap()));
    let kv = kv.bind(Context::tenant("tenant-123").with_user("ann"));
    let cache = kv_cache::Cache::<u64, String>::builder("products")
        .near(kv_cache::Near::megabytes(1).max_stale(Duration::from_secs(3600)))
        .far(&kv)
        .build()
        .unwrap();
    runtime.block_on(cache.set(&42, "a".to_owned())).unwrap();
    let hit = || {
        let load = cache.get_or_load(&42, |_| async { Err::<String, _>("it is there") });
        assert_eq!(*now(load).unwrap(), "a");
    };
    for _ in 0..200 {
        hit();
    }
    // What moka does now and then besides is its own.
    let counts = (0..100).map(|_| allocation_counter::measure(hit).count_total);
    assert_eq!(counts.filter(|it| *it > 0).count(), 0);
}

#[test]
fn the_counter_counts() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![1; 100])));
    assert_eq!(counted.count_total, 1);
}

fn store() -> MemoryStore {
    MemoryStore::new(MemoryConfig::default())
}

fn bare() -> Kv {
    bare_on(&store())
}

fn bare_on(store: &MemoryStore) -> Kv {
    connected(Kv::builder(store.clone()))
}

fn connected(builder: KvBuilder) -> Kv {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(builder.connect()).unwrap()
}

fn allocations_of_get(kv: &Kv) -> u64 {
    let key = Key::new("key").unwrap();
    now(kv.set(&key, "value")).unwrap();
    allocations_of_getting(kv, &key)
}

fn allocations_of_getting(kv: &Kv, key: &Key) -> u64 {
    let get = || now(kv.get(key)).unwrap().unwrap();
    // What is made once, by the first call of a thread or the first clone of a key, is not the call's.
    get();
    let counted = allocation_counter::measure(|| {
        let value = get();
        assert_eq!(value, "value");
    });
    counted.count_total
}

/// The result of a future that is ready at once, without a runtime that would allocate.
fn now<F: Future>(future: F) -> F::Output {
    let mut context = std::task::Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a memory store never waits"),
    }
}
