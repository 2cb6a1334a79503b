//! Many clients of a store that fails everything for a while, on the virtual clock: what they send
//! meanwhile is bounded, and they are back as soon as the store is.

#![allow(clippy::unwrap_used, reason = "a test")]

use futures_util::{FutureExt, future::join_all};
use kv_core::{Clock, Error, ErrorKind, Kv, KvBuilder, Outcome, VirtualClock, layer_fn};
use kv_memory::MemoryStore;
use kv_wrappers::{CircuitBreaker, CircuitBreakerConfig, Retry, RetryConfig};
use std::{
    future::poll_fn,
    ops::Range,
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

/// Each with a budget of its own.
const PROCESSES: u64 = 20;
const CLIENTS_EACH: u64 = 5;
/// How long a client rests between two calls.
const EVERY: Duration = Duration::from_millis(100);
/// When the store is down.
const DOWN: Range<Duration> = Duration::from_secs(20)..Duration::from_secs(50);
const END: Duration = Duration::from_secs(60);
/// The clock goes in steps of this length.
const STEP: Duration = Duration::from_millis(5);

const RATIO: f64 = 0.1;
const RESERVE_PER_SECOND: f64 = 1.0;
const WINDOW: Duration = Duration::from_secs(10);

#[derive(Clone, Default)]
struct World {
    clock: VirtualClock,
    /// When each attempt reached the store.
    attempts: Arc<Mutex<Vec<Duration>>>,
    calls: Arc<Mutex<Vec<Call>>>,
}

struct Call {
    start: Duration,
    is_answered: bool,
}

impl World {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }

    /// A store that notes down who comes and is down when it is.
    fn store(&self) -> KvBuilder {
        let world = self.clone();
        let gate = layer_fn("gate", move |request, next| {
            let now = world.clock.monotonic();
            world.attempts.lock().unwrap().push(now);
            if !DOWN.contains(&now) {
                return next.call(request);
            }
            let error = Error::new(ErrorKind::Unavailable, "down");
            Box::pin(async { Err(error.with_outcome(Outcome::NotApplied)) })
        });
        Kv::builder(MemoryStore::default()).layer(gate)
    }

    /// Calls at its own pace, from some moment on.
    async fn client(&self, kv: Kv, from: Duration) {
        self.clock.sleep(from).await;
        while self.clock.monotonic() < END {
            let start = self.clock.monotonic();
            let is_answered = kv.get("a").await.is_ok();
            let call = Call { start, is_answered };
            self.calls.lock().unwrap().push(call);
            self.clock.sleep(EVERY).await;
        }
    }

    /// All clients, on stacks that this makes of a store.
    async fn run(&self, stack: impl Fn(KvBuilder, u64) -> KvBuilder) {
        let mut clients = Vec::new();
        for process in 0..PROCESSES {
            let kv = stack(self.store(), process).connect();
            let kv = kv.now_or_never().unwrap().unwrap();
            clients.extend((0..CLIENTS_EACH).map(|client| {
                let place = (process * CLIENTS_EACH + client) as u32;
                let from = EVERY * place / (PROCESSES * CLIENTS_EACH) as u32;
                self.client(kv.clone(), from)
            }));
        }
        let mut all = pin!(join_all(clients));
        poll_fn(|task| {
            if all.as_mut().poll(task).is_ready() {
                return Poll::Ready(());
            }
            self.clock.advance(STEP);
            task.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    fn attempts(&self, during: Range<Duration>) -> usize {
        let attempts = self.attempts.lock().unwrap();
        attempts.iter().filter(|it| during.contains(it)).count()
    }

    /// The calls that began then.
    fn calls(&self, during: Range<Duration>) -> usize {
        let calls = self.calls.lock().unwrap();
        let began = calls.iter().filter(|call| during.contains(&call.start));
        began.count()
    }

    /// The last call that failed began then.
    fn last_failure(&self) -> Duration {
        let calls = self.calls.lock().unwrap();
        let failed = calls.iter().filter(|call| !call.is_answered);
        failed.map(|call| call.start).max().unwrap()
    }
}

fn retry(world: &World, ratio: f64, seed: u64) -> Retry {
    let mut config = RetryConfig::default();
    config.budget.ratio = ratio;
    config.budget.min_per_second = RESERVE_PER_SECOND;
    config.budget.window = WINDOW;
    Retry::new(config).unwrap().clock(world.clock()).seed(seed)
}

/// Attempts per call while the store is down.
fn load(world: &World) -> f64 {
    world.attempts(DOWN) as f64 / world.calls(DOWN) as f64
}

#[tokio::test]
async fn without_a_budget_the_clients_triple_the_load() {
    let world = World::default();
    let stack = |store: KvBuilder, seed| store.layer(retry(&world, 10.0, seed));
    world.run(stack).await;
    let load = load(&world);
    println!("attempts per call: {load:.2}");
    assert!(load > 2.9, "{load}");
}

#[tokio::test]
async fn a_budget_bounds_what_all_clients_send_to_a_store_that_is_down() {
    let world = World::default();
    let stack = |store: KvBuilder, seed| store.layer(retry(&world, RATIO, seed));
    world.run(stack).await;

    // Over the whole time: a share of the calls, and of each process the reserve.
    let calls = world.calls(DOWN) as f64;
    let reserve = RESERVE_PER_SECOND * PROCESSES as f64;
    let outage = (DOWN.end - DOWN.start + WINDOW).as_secs_f64();
    let bound = calls * (1.0 + RATIO) + reserve * outage;
    let attempts = world.attempts(DOWN) as f64;
    println!("{attempts} attempts for {calls} calls, at most {bound}");
    assert!(attempts <= bound);
    // The budget is there to be used.
    assert!(attempts > calls * (1.0 + RATIO));

    // In any window, too: the storm does not come at once when the store goes down. Slots of a
    // tenth of a window are forgotten whole.
    let mut start = DOWN.start;
    while start + WINDOW <= DOWN.end {
        let window = start..start + WINDOW;
        let calls = world.calls(window.clone()) as f64;
        let most = calls * (1.0 + RATIO) + reserve * WINDOW.as_secs_f64();
        let attempts = world.attempts(window.clone()) as f64;
        assert!(attempts <= most * 1.05, "{window:?}: {attempts} of {most}");
        start += Duration::from_secs(1);
    }

    // As soon as the store is back every call is answered by its first attempt, except those that
    // were in a pause.
    assert!(world.last_failure() < DOWN.end);
    let settled = DOWN.end + Duration::from_millis(200)..END - EVERY;
    assert_eq!(world.attempts(settled.clone()), world.calls(settled));
}

#[tokio::test]
async fn a_breaker_outside_leaves_the_store_alone_and_lets_all_back_within_its_rest() {
    let world = World::default();
    let config = CircuitBreakerConfig::default();
    let (rest, probes, window) = (config.open_for, config.probes, config.window);
    let stack = |store: KvBuilder, seed| {
        let breaker = CircuitBreaker::new(config).unwrap().clock(world.clock());
        store.layer(retry(&world, RATIO, seed)).layer(breaker)
    };
    world.run(stack).await;

    // Open when half of a window's calls have failed; from then on there are only probes.
    let open = DOWN.start + window..DOWN.end;
    let rounds = (open.end - open.start).as_secs_f64() / rest.as_secs_f64();
    let attempts_each = RetryConfig::default().attempts;
    let most = (rounds + 1.0) * f64::from(probes * attempts_each) * PROCESSES as f64;
    let attempts = world.attempts(open.clone());
    println!("{attempts} attempts for {} calls", world.calls(open));
    assert!(
        attempts as f64 <= most,
        "{attempts} attempts, at most {most}"
    );
    let back = world.last_failure().saturating_sub(DOWN.end);
    assert!(back <= rest + STEP, "the last refusal came after {back:?}");
}
