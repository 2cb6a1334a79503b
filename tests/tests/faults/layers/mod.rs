//! The layers as a service stacks them, with faults inside: calls and replies that are lost, held back
//! or never end, and on the servers a network that breaks.

mod proof;
mod saboteurs;

use self::proof::{Report, Subject, prove, recovers};
use crate::site::{Backend, SLACK, Site, on_each_server};
use futures_util::future::{Either, select};
use kv_conformance::{
    faults::{Fault, FaultCounts, FaultsLayer, Odds, Plan},
    proxy::Mode,
};
use kv_core::{Clock, Kv, KvBuilder, Layer, Result, SystemClock, VirtualClock};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_tests::patience::{pause, until};
use kv_wrappers::{
    CircuitBreaker, CircuitBreakerConfig, ConcurrencyLimit, ConcurrencyLimitConfig, DefaultTtl,
    Hedge, HedgeConfig, KeyResolver, KeySettings, Retry, RetryConfig, Timeout, TimeoutConfig,
};
use std::{
    convert::Infallible,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

on_each_server! {
    the_whole_stack_keeps_its_promises_on_a_broken_network
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The timeout of an attempt.
const ATTEMPT: Duration = millis(200);
const ATTEMPTS: u32 = 3;
/// The longest pauses between three attempts, with jitter.
const PAUSES: Duration = millis(40 + 80);
/// How long the breaker rests, and how far it looks back.
const REST: Duration = millis(20);
const WINDOW: Duration = Duration::from_secs(1);

/// A quarter of the calls, and a little.
fn faults(seed: u64, clock: &Arc<dyn Clock>) -> FaultsLayer {
    let odds = Odds::none()
        .and(Fault::FailBefore, 0.1)
        .and_then(|it| it.and(Fault::ApplyThenFail, 0.1))
        .and_then(|it| it.and(Fault::Delay(millis(5)), 0.05))
        .and_then(|it| it.and(Fault::Hang, 0.02));
    let plan = Plan::random(seed, odds.unwrap());
    FaultsLayer::new(plan).clock(Arc::clone(clock))
}

fn resolver() -> KeyResolver {
    KeyResolver::new(KeySettings::default()).unwrap()
}

/// Everything that is there against trouble, and what a service has besides.
fn stack(builder: KvBuilder, faults: &FaultsLayer, clock: &Arc<dyn Clock>) -> Result<KvBuilder> {
    let mut retry = RetryConfig::default();
    retry.attempts = ATTEMPTS;
    // It is about what is repeated, so nothing is spared.
    retry.budget.ratio = 10.0;
    let mut breaker = CircuitBreakerConfig::default();
    breaker.open_for = REST;
    breaker.window = WINDOW;
    let timeout = TimeoutConfig::new(ATTEMPT);
    Ok(builder
        .layer(faults.clone())
        .layer(Timeout::new(timeout)?.clock(clock.clone()))
        .layer(Hedge::new(HedgeConfig::new(millis(50)))?.clock(clock.clone()))
        .layer(Retry::new(retry)?.clock(clock.clone()).seed(7))
        .layer(CircuitBreaker::new(breaker)?.clock(clock.clone()))
        .layer(ConcurrencyLimit::new(ConcurrencyLimitConfig::new(64))?.clock(clock.clone()))
        .layer(DefaultTtl::new(Duration::from_secs(3600))?)
        .layer(resolver()))
}

fn injected(name: &str, report: &Report, counts: FaultCounts) {
    println!("{name}: {report:?}; {counts}");
    let each = [
        counts.fail_before,
        counts.apply_then_fail,
        counts.delay,
        counts.hang,
    ];
    assert!(each.iter().all(|&it| it > 0), "{counts}");
    assert!(report.increments.unknown > 0, "{report:?}");
    assert!(report.read > report.unread, "{report:?}");
}

/// On memory, by the virtual clock, so that the bound is exact; with one more layer outside.
async fn on_memory(
    seed: u64,
    more: Option<Arc<dyn Layer>>,
) -> Result<(Report, FaultCounts), String> {
    let hands = VirtualClock::default();
    let clock: Arc<dyn Clock> = Arc::new(hands.clone());
    let store = MemoryStore::with_clock(MemoryConfig::default(), clock.clone());
    let faults = faults(seed, &clock);
    let mut builder = stack(Kv::builder(store.clone()), &faults, &clock).unwrap();
    if let Some(layer) = more {
        builder = builder.layer(layer);
    }
    let direct = Kv::builder(store).layer(resolver());
    let subject = Subject {
        kv: builder.connect().await.unwrap(),
        direct: direct.connect().await.unwrap(),
        faults: faults.switch(),
        // Each wait ends at the first whole millisecond after it.
        bound: ATTEMPT * ATTEMPTS + PAUSES + millis(10),
        clock,
        rounds: 50,
        progress: Arc::default(),
    };
    let report = moving(&hands, prove(&subject)).await?;
    moving(&hands, recovers(&subject)).await?;
    Ok((report, faults.switch().counts()))
}

/// Runs a future and lets a millisecond pass whenever it waits.
async fn moving<T>(clock: &VirtualClock, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|task| {
        if let Poll::Ready(end) = future.as_mut().poll(task) {
            return Poll::Ready(end);
        }
        clock.advance(millis(1));
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

#[tokio::test]
async fn the_whole_stack_keeps_its_promises_on_memory() {
    for seed in 0..10 {
        let (report, counts) = on_memory(seed, None).await.unwrap();
        injected(&format!("memory, seed {seed}"), &report, counts);
        // The bound is no empty promise: some call hung in every attempt or nearly so.
        assert!(report.longest >= ATTEMPT, "{report:?}");
    }
}

async fn the_whole_stack_keeps_its_promises_on_a_broken_network<S: Backend>() {
    let site = Site::<S>::start().await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let faults = faults(7, &clock);
    let through = Kv::builder(S::store_at(site.proxy.address()));
    let direct = Kv::builder(S::store_at(site.server.address())).layer(resolver());
    let progress = Arc::<AtomicU64>::default();
    let subject = Subject {
        kv: stack(through, &faults, &clock)
            .unwrap()
            .connect()
            .await
            .unwrap(),
        direct: direct.connect().await.unwrap(),
        faults: faults.switch(),
        bound: ATTEMPT * ATTEMPTS + PAUSES + SLACK,
        clock,
        rounds: 60,
        progress: progress.clone(),
    };
    let chaos = async || -> Infallible {
        loop {
            goes_on(&progress, 100).await;
            site.proxy.reset_all();
            goes_on(&progress, 100).await;
            site.proxy.close_all();
            goes_on(&progress, 100).await;
            // Long enough that attempts are given up, and in the end that the breaker has seen
            // nothing else for a while.
            for (mode, span) in [
                (Mode::HalfOpen, ATTEMPT * 2),
                (Mode::BlackHole, ATTEMPT * 2),
                (Mode::Reset, WINDOW + ATTEMPT),
            ] {
                site.proxy.set(mode);
                pause(span).await;
                site.proxy.set(Mode::Pass);
                goes_on(&progress, 100).await;
            }
        }
    };
    let Either::Left((report, _)) = select(pin!(prove(&subject)), pin!(chaos())).await;
    let report = report.unwrap();
    site.proxy.set(Mode::Pass);
    recovers(&subject).await.unwrap();
    injected(S::SCHEME, &report, faults.switch().counts());
    let counts = site.proxy.counts();
    println!("{}{counts}", S::SCHEME);
    assert!(counts.reset > 0 && counts.lost_requests > 0, "{counts}");
    assert!(report.refused > 0, "the breaker never opened: {report:?}");
}

async fn goes_on(progress: &AtomicU64, more: u64) {
    let goal = progress.load(Ordering::Acquire) + more;
    until("calls end", async || {
        progress.load(Ordering::Acquire) >= goal
    })
    .await;
}
