//! K8: a store that stops answering, at any call: how long who asks waits, to the instant.

use crate::{
    SECOND,
    fleet::{Fleet, Products, SURE, get},
    settle, ttl,
};
use kv_cache::{Cache, Far};
use kv_core::{
    BoxFuture, Capabilities, Clock, Context, Events, Layer, Reply, Request, Result, Service,
    VirtualClock, Watch,
};
use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

/// How long a call to the store may take.
pub(crate) const DEADLINE: Duration = SECOND;
pub(crate) const LOADING: Duration = Duration::from_secs(2);
pub(crate) const HARD: Duration = Duration::from_secs(8);

/// A layer that lets so many calls and watches through, and then none. What is told between processes is another matter.
#[derive(Clone, Default)]
pub(crate) struct Hole {
    left: Arc<AtomicUsize>,
}

impl Hole {
    pub(crate) fn opens_after(&self, calls: usize) {
        self.left.store(calls, Ordering::Relaxed);
    }

    fn swallows(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        let left = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        left.is_err()
    }
}

struct HoleService {
    inner: Arc<dyn Service>,
    hole: Hole,
}

impl Layer for Hole {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        let hole = self.clone();
        Arc::new(HoleService { inner, hole })
    }
}

impl Service for HoleService {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        let counts = request.command.spec().name != "notify";
        match counts && self.hole.swallows() {
            true => Box::pin(pending()),
            false => self.inner.call(request),
        }
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        match self.hole.swallows() {
            true => Box::pin(pending()),
            false => self.inner.watch(watch, context),
        }
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn name(&self) -> String {
        "hole".to_owned()
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}

/// A process that has used its store and listens to others.
async fn process(fleet: &Fleet) -> (Products, Hole) {
    let hole = Hole::default();
    hole.opens_after(usize::MAX);
    let kv = fleet.builder().layer(hole.clone()).connect().await.unwrap();
    let cache = fleet.on(&kv, ttl(600).stale(SECOND * 600).hard_timeout(HARD));
    cache.get("another").await.unwrap();
    settle().await;
    (cache, hole)
}

/// A process that has nothing of its own, and has always found on its store what it asked for.
async fn lucky(fleet: &Fleet) -> (Products, Hole) {
    let hole = Hole::default();
    hole.opens_after(usize::MAX);
    let kv = fleet.builder().layer(hole.clone()).connect().await.unwrap();
    let cache = Cache::builder("c")
        .far(Far::new(&kv).deadline(DEADLINE))
        .policy(ttl(600).hard_timeout(HARD))
        .clock(Arc::new(fleet.clock.clone()));
    let cache: Products = cache.build().unwrap();
    cache.set("k", 1).await.unwrap();
    for _ in 0..20 {
        assert_eq!(get(&cache, 2).await, 1);
    }
    (cache, hole)
}

/// How long this takes.
pub(crate) async fn span<T>(clock: VirtualClock, future: impl Future<Output = T>) -> (Duration, T) {
    let began = clock.monotonic();
    let output = future.await;
    (clock.monotonic() - began, output)
}

/// Asks, with a loader that takes its time and whose value is not kept: all who ask ask the store.
async fn load(cache: Products, clock: VirtualClock) -> u32 {
    let load = cache.get_or_load("k", move |context| async move {
        context.no_store();
        clock.sleep(LOADING).await;
        Ok::<_, Infallible>(2)
    });
    *load.await.unwrap()
}

/// Callers who come one after the other, while it goes on; the longest that one of them waits.
async fn longest(fleet: &Fleet, cache: &Products) -> Duration {
    let mut asking = JoinSet::new();
    for _ in 0..40 {
        for _ in 0..5 {
            let asked = load(cache.clone(), fleet.clock.clone());
            asking.spawn(span(fleet.clock.clone(), asked));
        }
        fleet.pass(SECOND / 4).await;
    }
    fleet.pass(SECOND * 30).await;
    let mut longest = Duration::ZERO;
    while let Some(answered) = asking.try_join_next() {
        let (took, value) = answered.unwrap();
        assert!([1, 2].contains(&value));
        longest = longest.max(took);
    }
    assert!(asking.is_empty(), "some wait for ever");
    longest
}

#[tokio::test]
async fn every_caller_has_an_answer_within_the_deadline_and_the_load() {
    for before in ["nothing", "on the store", "here, and not sure"] {
        for calls in 0..6 {
            let fleet = Fleet::new();
            let (cache, hole) = process(&fleet).await;
            match before {
                "nothing" => {}
                "on the store" => fleet.process(ttl(600)).await.set("k", 1).await.unwrap(),
                _ => cache.set("k", 1).await.unwrap(),
            }
            fleet.clock.advance(SURE);
            hole.opens_after(calls);
            let longest = longest(&fleet, &cache).await;
            let place = format!("{before}, {calls} calls answered: {longest:?}");
            assert!(longest <= DEADLINE + LOADING, "{place}");
            assert!(calls > 0 || longest == DEADLINE + LOADING, "{place}");
        }
    }
}

#[tokio::test]
async fn who_looks_before_loading_waits_no_longer() {
    for calls in 0..6 {
        let fleet = Fleet::new();
        let (cache, hole) = lucky(&fleet).await;
        fleet.clock.advance(SECOND);
        hole.opens_after(calls);
        let longest = longest(&fleet, &cache).await;
        let place = format!("{calls} calls answered: {longest:?}");
        assert_eq!(longest, DEADLINE + LOADING, "{place}");
    }
}

/// Whose entry another process was to load: as long as it may take that one, and then the same.
#[tokio::test]
async fn who_waits_for_another_process_waits_for_that_besides() {
    for calls in 0..8 {
        let fleet = Fleet::new();
        let (cache, hole) = process(&fleet).await;
        let dead = fleet.process(ttl(600)).await;
        let asked = tokio::spawn(async move {
            let load = dead.get_or_load("k", |_| pending::<Result<u32, Infallible>>());
            let _ = load.await;
        });
        settle().await;
        hole.opens_after(calls);
        let longest = longest(&fleet, &cache).await;
        let place = format!("{calls} calls answered: {longest:?}");
        assert!(longest <= HARD + DEADLINE + LOADING, "{place}");
        asked.abort();
    }
}

#[tokio::test]
async fn whatever_else_is_asked_ends_with_its_deadlines() {
    for calls in 0..3 {
        let fleet = Fleet::new();
        let (cache, hole) = process(&fleet).await;
        assert_eq!(get(&cache, 1).await, 1);
        cache.idle().await;
        fleet.clock.advance(SURE);
        let clock = || fleet.clock.clone();
        let passing = fleet.pass(SECOND * 30);
        let asking = async {
            let mut spans = Vec::new();
            hole.opens_after(calls);
            spans.push(span(clock(), async { drop(cache.get("k").await) }).await.0);
            hole.opens_after(calls);
            spans.push(
                span(clock(), async { drop(cache.set("k", 1).await) })
                    .await
                    .0,
            );
            hole.opens_after(calls);
            spans.push(
                span(clock(), async { drop(cache.remove("k").await) })
                    .await
                    .0,
            );
            hole.opens_after(calls);
            spans.push(
                span(clock(), async { drop(cache.expire("k").await) })
                    .await
                    .0,
            );
            spans
        };
        let spans = tokio::select! {
            spans = asking => spans,
            () = passing => panic!("{calls}: somebody waits for ever"),
        };
        assert!(spans.iter().all(|it| *it <= DEADLINE), "{calls}: {spans:?}");
        assert_eq!(calls == 0, spans.iter().all(|it| *it == DEADLINE));
    }
}
