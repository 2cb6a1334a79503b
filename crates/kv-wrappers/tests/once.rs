//! The layers against trouble together, around a store whose calls and replies get lost.

#![allow(clippy::unwrap_used, reason = "a test")]

use kv_core::{Error, ErrorKind, Kv, Layer, Outcome, VirtualClock, layer_fn};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_wrappers::{
    CircuitBreaker, CircuitBreakerConfig, ConcurrencyLimit, ConcurrencyLimitConfig, Hedge,
    HedgeConfig, Retry, RetryConfig, Timeout, TimeoutConfig,
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// What was really injected.
#[derive(Clone, Default)]
struct Injected {
    calls: Arc<AtomicU64>,
    lost_calls: Arc<AtomicU64>,
    lost_replies: Arc<AtomicU64>,
}

impl Injected {
    fn read(count: &AtomicU64) -> u64 {
        count.load(Ordering::Relaxed)
    }

    /// Loses one call and one reply in five each.
    fn layer(&self, seed: u64) -> impl Layer + use<> {
        let injected = self.clone();
        let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        layer_fn("lossy", move |request, next| {
            let injected = injected.clone();
            injected.calls.fetch_add(1, Ordering::Relaxed);
            let fate = random.lock().unwrap().u8(..5);
            Box::pin(async move {
                let lost = Error::new(ErrorKind::Unavailable, "lost");
                if fate == 0 {
                    injected.lost_calls.fetch_add(1, Ordering::Relaxed);
                    return Err(lost.with_outcome(Outcome::NotApplied));
                }
                let reply = next.call(request).await?;
                if fate == 1 {
                    injected.lost_replies.fetch_add(1, Ordering::Relaxed);
                    return Err(lost.with_outcome(Outcome::Unknown));
                }
                Ok(reply)
            })
        })
    }
}

async fn stack(seed: u64, injected: &Injected) -> Kv {
    let clock = Arc::new(VirtualClock::default());
    let mut retry = RetryConfig::default();
    retry.attempts = 5;
    retry.delay = Duration::ZERO;
    retry.budget.ratio = 10.0;
    // Never opens: it is about what happens to calls that are sent.
    let mut breaker = CircuitBreakerConfig::default();
    breaker.failure_ratio = 1.0;
    let second = Duration::from_secs(1);
    let store = MemoryStore::with_clock(MemoryConfig::default(), clock.clone());
    Kv::builder(store)
        .layer(injected.layer(seed))
        .layer(ConcurrencyLimit::new(ConcurrencyLimitConfig::new(8)).unwrap())
        .layer(
            Timeout::new(TimeoutConfig::new(second))
                .unwrap()
                .clock(clock.clone()),
        )
        .layer(
            Hedge::new(HedgeConfig::new(second))
                .unwrap()
                .clock(clock.clone()),
        )
        .layer(Retry::new(retry).unwrap().clock(clock.clone()).seed(seed))
        .layer(CircuitBreaker::new(breaker).unwrap().clock(clock))
        .connect()
        .await
        .unwrap()
}

#[tokio::test]
async fn an_increment_is_applied_once_or_its_outcome_is_told_as_unknown() {
    for seed in 0..20 {
        let injected = Injected::default();
        let kv = stack(seed, &injected).await;
        let (mut done, mut unknown) = (0, 0);
        for _ in 0..500 {
            match kv.increment("n", 1).await {
                Ok(_) => done += 1,
                Err(error) if error.outcome() == Outcome::Unknown => unknown += 1,
                Err(_) => {}
            }
        }
        let calls = Injected::read(&injected.calls);
        let lost_calls = Injected::read(&injected.lost_calls);
        let lost_replies = Injected::read(&injected.lost_replies);
        assert!(
            lost_calls > 0 && lost_replies > 0 && calls > 500,
            "seed {seed}"
        );
        // Each reply that was lost was that of an increment, told as unknown and not sent again.
        assert_eq!(unknown, lost_replies, "seed {seed}");
        let sum = loop {
            if let Ok(sum) = kv.get("n").await {
                break sum.unwrap();
            }
        };
        assert_eq!(
            sum.to_str().unwrap(),
            (done + lost_replies).to_string(),
            "seed {seed}"
        );
    }
}

#[tokio::test]
async fn no_error_becomes_a_miss() {
    let injected = Injected::default();
    let kv = stack(7, &injected).await;
    while kv.set("a", "value").await.is_err() {}
    let mut found = 0;
    for _ in 0..2_000 {
        if let Ok(value) = kv.get("a").await {
            assert_eq!(value, Some("value".into()));
            found += 1;
        }
    }
    // Two in five attempts fail, and five in a row one call in a hundred.
    assert!((1_900..2_000).contains(&found), "{found} of 2000");
}
