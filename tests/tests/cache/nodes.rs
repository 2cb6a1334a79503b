//! Three nodes on one Redis, each behind a network that loses, delays and cuts, while they read and write.
//!
//! All is judged by one clock and by order: what was replaced when a write had been acknowledged must not be given to
//! who asks longer than `max_stale` after that. However late a busy machine is, it makes nothing older.

use kv_cache::{Cache, Far, Near, Policy, Stats};
use kv_conformance::proxy::{FaultProxy, Mode};
use kv_core::{Clock, Kv, SystemClock};
use kv_tests::{
    patience::{self, PATIENCE, pause, until},
    server::Redis,
};
use parking_lot::Mutex;
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::task::{JoinSet, yield_now};

const MAX_STALE: Duration = Duration::from_millis(500);
/// How long a call to the store may take.
const DEADLINE: Duration = Duration::from_millis(100);
/// For how long a node waits for another one's load, which may have gone down with its network.
const HARD: Duration = Duration::from_millis(300);
const KEYS: u32 = 4;
const MILLI: Duration = Duration::from_millis(1);

type Numbers = Cache<u32, u32>;

struct Node {
    cache: Numbers,
    proxy: FaultProxy,
}

/// Where values come from, and when which of them was replaced for certain.
#[derive(Default)]
struct Origin {
    keys: [Product; KEYS as usize],
    is_over: AtomicBool,
}

#[derive(Default)]
struct Product {
    value: AtomicU32,
    /// Values and when it was acknowledged that they had taken the place of those before, in order.
    replaced: Mutex<Vec<(u32, Duration)>>,
}

/// What readers were given.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    reads: u32,
    /// Older than the last one that was acknowledged.
    old: u32,
    oldest: Duration,
}

impl Product {
    fn value(&self) -> u32 {
        self.value.load(Ordering::SeqCst)
    }

    /// For how long it had been replaced when somebody asked.
    fn age(&self, value: u32, asked: Duration) -> Option<Duration> {
        let replaced = self.replaced.lock();
        let next = replaced.partition_point(|(it, _)| *it <= value);
        let (_, at) = replaced.get(next)?;
        asked.checked_sub(*at)
    }
}

impl Origin {
    fn of(&self, key: u32) -> &Product {
        &self.keys[key as usize]
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::SeqCst)
    }
}

impl Node {
    async fn on(server: &Redis) -> Self {
        let proxy = FaultProxy::start(server.address()).await.unwrap();
        let store = patience::redis(&format!("redis://{}", proxy.address()));
        let kv = Kv::builder(store).connect().await.unwrap();
        let cache = Cache::builder("c")
            .near(Near::megabytes(1).max_stale(MAX_STALE))
            .far(Far::new(&kv).deadline(DEADLINE))
            .policy(Policy::ttl(PATIENCE * 60).hard_timeout(HARD))
            .build()
            .unwrap();
        Self { cache, proxy }
    }

    /// Asks, alone in this process: who joins a load is given what it read before. `None` if a load of another node
    /// or a machine that is busy has taken too long.
    async fn get(&self, origin: &Arc<Origin>, key: u32) -> Option<u32> {
        let origin = origin.clone();
        let load = self.cache.get_or_load(&key, move |_| async move {
            let value = origin.of(key).value();
            yield_now().await;
            Ok::<_, Infallible>(value)
        });
        let value = load.await.ok().map(|it| *it);
        self.cache.idle().await;
        value
    }

    /// Changes a product and says so; whether that was acknowledged.
    async fn change(&self, origin: &Origin, key: u32, writes: bool) -> bool {
        let product = origin.of(key);
        let value = product.value.fetch_add(1, Ordering::SeqCst) + 1;
        let changed = match writes {
            true => self.cache.set(&key, value).await,
            false => self.cache.remove(&key).await,
        };
        let is_done = changed.is_ok();
        if is_done {
            let now = SystemClock.monotonic();
            product.replaced.lock().push((value, now));
        }
        is_done
    }
}

/// Reads all there is again and again.
async fn read(node: Arc<Node>, origin: Arc<Origin>, seen: Arc<Mutex<Seen>>) {
    while origin.goes_on() {
        for key in 0..KEYS {
            let asked = SystemClock.monotonic();
            let Some(value) = node.get(&origin, key).await else {
                continue;
            };
            let age = origin.of(key).age(value, asked);
            let mut seen = seen.lock();
            seen.reads += 1;
            if let Some(age) = age {
                seen.old += 1;
                seen.oldest = seen.oldest.max(age);
            }
        }
        yield_now().await;
    }
}

/// Changes one product after the other, now by this node and now by that.
async fn change(nodes: Vec<Arc<Node>>, origin: Arc<Origin>) {
    let mut random = fastrand::Rng::with_seed(7);
    while origin.goes_on() {
        let node = &nodes[random.usize(..nodes.len())];
        let key = random.u32(..KEYS);
        node.change(&origin, key, random.u32(..3) == 0).await;
        pause(MILLI * random.u32(1..30)).await;
    }
}

/// Does to a node's network whatever comes to its mind.
async fn trouble(node: Arc<Node>, origin: Arc<Origin>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    while origin.goes_on() {
        pause(MILLI * random.u32(1..400)).await;
        let proxy = &node.proxy;
        match random.u32(..7) {
            0 => proxy.set(Mode::BlackHole),
            1 => proxy.set(Mode::HalfOpen),
            2 => proxy.set(Mode::Reset),
            3 => proxy.close_all(),
            4 => proxy.reset_all(),
            _ => proxy.set(Mode::Delay(MILLI * random.u32(1..200))),
        }
        pause(MILLI * random.u32(1..1200)).await;
        proxy.set(Mode::Pass);
    }
}

/// K4 and K5.
#[tokio::test(flavor = "multi_thread")]
async fn no_node_shows_what_was_replaced_for_long_and_in_the_end_all_agree() {
    let server = Redis::start();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Arc::new(Node::on(&server).await));
    }
    let origin = Arc::new(Origin::default());
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut running = JoinSet::new();
    running.spawn(change(nodes.clone(), origin.clone()));
    for (seed, node) in (0..).zip(&nodes) {
        running.spawn(trouble(node.clone(), origin.clone(), seed));
        running.spawn(read(node.clone(), origin.clone(), seen.clone()));
    }
    let sum = |of: fn(&Stats) -> u64| nodes.iter().map(|it| of(&it.cache.stats())).sum::<u64>();
    until("enough has happened", async || {
        let old = seen.lock().old;
        old > 50 && sum(|it| it.doubts) > 20 && sum(|it| it.tried_again) > 5
    })
    .await;
    origin.is_over.store(true, Ordering::SeqCst);
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    let seen = *seen.lock();
    println!(
        "{seen:?}; {} heard, {} doubts, {} calls failed, {} removals tried again, {} hits here",
        sum(|it| it.heard),
        sum(|it| it.doubts),
        sum(|it| it.far_errors),
        sum(|it| it.tried_again),
        sum(|it| it.near_hits)
    );
    for node in &nodes {
        println!("{}", node.proxy.counts());
        node.proxy.set(Mode::Pass);
    }
    assert!(seen.oldest <= MAX_STALE, "{seen:?}");
    // Also what was not acknowledged.
    for key in 0..KEYS {
        until("all agree", async || {
            let mut agree = true;
            for node in &nodes {
                agree &= node.get(&origin, key).await == Some(origin.of(key).value());
            }
            agree
        })
        .await;
        until("a change is acknowledged", async || {
            nodes[0].change(&origin, key, false).await
        })
        .await;
    }
    pause(MAX_STALE).await;
    for key in 0..KEYS {
        let last = origin.of(key).value();
        for node in &nodes {
            let value = until_some(async || node.get(&origin, key).await).await;
            assert_eq!(value, last);
        }
    }
}

async fn until_some<T>(mut find: impl AsyncFnMut() -> Option<T>) -> T {
    let mut found = None;
    until("there is an answer", async || {
        found = find().await;
        found.is_some()
    })
    .await;
    found.unwrap()
}
