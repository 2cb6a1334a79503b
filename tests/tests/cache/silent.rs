//! Servers that take whatever is sent and say nothing: who asks the cache gets a value all the same, and soon.

use kv_cache::{Cache, Far, Near, Policy};
use kv_conformance::proxy::{FaultProxy, Mode};
use kv_core::{Clock, Kv, KvBuilder, Stopwatch, SystemClock};
use kv_tests::{
    patience::{self, PATIENCE, until},
    server::{Etcd, Redis, Server},
};
use std::{convert::Infallible, time::Duration};
use tokio::task::JoinSet;

/// How long a call to the store may take; its driver would wait for a minute.
const DEADLINE: Duration = Duration::from_millis(100);
const LOADING: Duration = Duration::from_millis(50);
/// More than a hundred times as long as it should take, and less than the driver waits: a machine is busy, too.
const SOON: Duration = Duration::from_secs(20);

const KEYS: u32 = 200;
const CALLERS: u32 = 5;

type Numbers = Cache<u32, u32>;

#[derive(Clone, Copy, Debug)]
enum Silence {
    /// The network takes what is sent and loses it.
    BlackHole,
    /// The server gets it, and the network loses what it answers.
    HalfOpen,
    /// The process is stopped.
    Frozen,
}

struct Wire<S> {
    server: S,
    proxy: FaultProxy,
}

impl<S: Server> Wire<S> {
    fn fall_silent(&self, silence: Silence) {
        match silence {
            Silence::BlackHole => self.proxy.set(Mode::BlackHole),
            Silence::HalfOpen => self.proxy.set(Mode::HalfOpen),
            Silence::Frozen => self.server.pause(),
        }
    }

    fn heal(&self) {
        self.server.resume();
        self.proxy.set(Mode::Pass);
    }
}

async fn a_silent_server_costs_the_deadline<S: Server>(open: impl Fn(String) -> KvBuilder) {
    let server = S::start();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let kv = open(proxy.address().to_string()).connect().await.unwrap();
    let wire = Wire { server, proxy };
    let cache = Cache::builder("c")
        .near(Near::megabytes(1).max_stale(Duration::ZERO))
        .far(Far::new(&kv).deadline(DEADLINE))
        .policy(Policy::ttl(PATIENCE * 60).hard_timeout(PATIENCE))
        .build()
        .unwrap();
    for silence in [Silence::BlackHole, Silence::HalfOpen, Silence::Frozen] {
        until("the store is asked", async || is_on_the_store(&cache).await).await;
        let errors = cache.stats().far_errors;
        wire.fall_silent(silence);
        let spans = all_ask(&cache).await;
        wire.heal();
        let part = |percent| spans[spans.len() * percent / 100];
        let (half, most) = (part(50), part(99));
        println!("{silence:?}: half within {half:.1?}, 99 of 100 within {most:.1?}");
        assert!(most <= SOON, "{silence:?}: {most:?}");
        // Nobody was answered by the store.
        assert!(cache.stats().far_errors >= errors + u64::from(KEYS));
    }
    until("the store has it again", async || {
        is_on_the_store(&cache).await
    })
    .await;
}

/// Many callers of many names; how long they waited, in order.
async fn all_ask(cache: &Numbers) -> Vec<Duration> {
    let mut asking = JoinSet::new();
    for caller in 0..KEYS * CALLERS {
        let (cache, key) = (cache.clone(), caller % KEYS);
        asking.spawn(async move {
            let asked = Stopwatch::start();
            let load = cache.get_or_load(&key, move |_| async move {
                SystemClock.sleep(LOADING).await;
                Ok::<_, Infallible>(key + 1)
            });
            assert_eq!(*load.await.unwrap(), key + 1);
            asked.elapsed()
        });
    }
    let mut spans = asking.join_all().await;
    cache.idle().await;
    spans.sort_unstable();
    spans
}

/// Nobody trusts what is here, so a hit is the store's.
async fn is_on_the_store(cache: &Numbers) -> bool {
    let hits = cache.stats().far_hits;
    let load = cache.get_or_load(&KEYS, |_| async { Ok::<_, Infallible>(0) });
    load.await.unwrap();
    cache.idle().await;
    cache.stats().far_hits > hits
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_redis_costs_the_deadline() {
    let open = |at| Kv::builder(patience::redis(&format!("redis://{at}")));
    a_silent_server_costs_the_deadline::<Redis>(open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_etcd_costs_the_deadline() {
    let open = |at| Kv::builder(patience::etcd(&format!("etcd://{at}")));
    a_silent_server_costs_the_deadline::<Etcd>(open).await;
}
