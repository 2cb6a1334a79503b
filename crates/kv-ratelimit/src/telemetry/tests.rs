#![allow(clippy::unwrap_used, reason = "a test")]

use super::{LABELS, METRICS};
use crate::{Budgets, Policy, RateLimitSettings, RateLimiter, Reserve, Settlement};
use kv_core::{Error, ErrorKind, Kv, VirtualClock, layer_fn};
use kv_memory::{MemoryConfig, MemoryStore};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const MINUTE: Duration = Duration::from_secs(60);

/// What was told: each metric's labels, and the sum of each series.
#[derive(Default)]
struct Told {
    labels: BTreeMap<String, BTreeSet<String>>,
    sums: BTreeMap<String, f64>,
}

/// Runs it with somebody who listens.
fn told(work: impl Future<Output = ()>) -> Told {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(work));
    let mut told = Told::default();
    for (key, _, meaning, value) in snapshotter.snapshot().into_vec() {
        let (_, key) = key.into_parts();
        assert!(meaning.is_some(), "{} has no description", key.name());
        let mut series = key.name().to_owned();
        let labels = told.labels.entry(series.clone()).or_default();
        for label in key.labels() {
            write!(series, " {}={}", label.key(), label.value()).unwrap();
            labels.insert(label.key().to_owned());
        }
        let sum = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(it) => it.into_inner(),
            DebugValue::Histogram(all) => all.iter().map(|it| it.into_inner()).sum(),
        };
        told.sums.insert(series, sum);
    }
    told
}

/// A limit and a budget, and whatever can become of a reservation.
async fn everything() {
    let clock = VirtualClock::default();
    let store = MemoryStore::with_clock(MemoryConfig::default(), Arc::new(clock.clone()));
    let is_cut_off = Arc::new(AtomicBool::new(false));
    let cut_off = is_cut_off.clone();
    let layer = layer_fn("cut", move |request, next| {
        let answer = next.call(request);
        let is_cut_off = cut_off.load(Ordering::Relaxed);
        Box::pin(async move {
            match is_cut_off {
                true => Err(Error::new(ErrorKind::Unavailable, "cut off")),
                false => answer.await,
            }
        })
    });
    let kv = Kv::builder(store).layer(layer).connect().await.unwrap();

    let limiter = RateLimiter::builder(&kv)
        .clock(Arc::new(clock.clone()))
        .policy("api", Policy::new("1/h".parse().unwrap()));
    let limiter = limiter.build().unwrap();
    for allowed in [true, false] {
        let decision = limiter.check("api", "ann").await.unwrap();
        assert_eq!(decision.is_allowed(), allowed);
    }

    let eve = limiter.limit("api", "eve").unwrap();
    for _ in 0..2 {
        let _ = eve.reserve(Duration::ZERO).await.unwrap();
    }

    let budgets = Budgets::builder(&kv).clock(Arc::new(clock.clone()));
    let budget = budgets.build().unwrap().budget("ann", 10).unwrap();
    let settled = budget.reserve("a", 4, MINUTE).await.unwrap();
    let Reserve::Reserved(settled) = settled else {
        panic!("{settled:?}");
    };
    // Again, by the same id.
    let _ = budget.reserve("a", 4, MINUTE).await.unwrap();
    assert_eq!(settled.settle(5).await.unwrap(), Settlement::Settled);
    assert_eq!(settled.settle(5).await.unwrap(), Settlement::Unknown);
    let _ = budget.reserve("released", 2, MINUTE).await.unwrap();
    assert_eq!(
        budget.release("released").await.unwrap(),
        Settlement::Settled
    );
    let _ = budget.reserve("lapses", 5, MINUTE).await.unwrap();
    let over = budget.reserve("b", 1, MINUTE).await.unwrap();
    assert!(matches!(over, Reserve::Over(_)), "{over:?}");
    clock.advance(MINUTE);
    let _ = budget.reserve("b", 1, MINUTE).await.unwrap();

    let following = limiter.follow(MINUTE, || {
        serde_json::from_str::<RateLimitSettings>(r#"{"policies": {"api": "2/h"}}"#)
    });
    while limiter.policies()[0].1.quota().limit() == 1 {
        tokio::task::yield_now().await;
    }
    drop(following);

    is_cut_off.store(true, Ordering::Relaxed);
    let _ = budget.reserve("c", 1, MINUTE).await.unwrap_err();
    limiter.check("api", "bob").await.unwrap_err();
}

#[test]
fn what_is_told_is_what_the_tables_say() {
    let told = told(everything());
    let names: BTreeSet<_> = told.labels.keys().map(String::as_str).collect();
    assert_eq!(names, METRICS.iter().map(|it| it.name).collect());
    for spec in METRICS {
        let labels = spec.labels.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(told.labels[spec.name], labels, "{}", spec.name);
    }
    let used: BTreeSet<_> = METRICS.iter().flat_map(|it| it.labels).collect();
    assert_eq!(used, LABELS.iter().map(|it| &it.name).collect());

    for (series, sum) in [
        (
            "decisions_total policy=api verdict=allowed source=store",
            2.0,
        ),
        (
            "decisions_total policy=api verdict=denied source=store",
            2.0,
        ),
        ("cost_allowed_total policy=api", 2.0),
        ("store_errors_total policy=api error_type=unavailable", 1.0),
        ("budget_reservations_total outcome=reserved", 5.0),
        ("budget_reservations_total outcome=over", 1.0),
        ("budget_reservations_total outcome=failed", 1.0),
        ("policy_changes_total outcome=applied", 1.0),
        ("budget_settled_total", 5.0),
        ("budget_lapsed_total", 1.0),
    ] {
        assert_eq!(
            told.sums[&format!("kv_ratelimit_{series}")],
            sum,
            "{series}"
        );
    }
}
