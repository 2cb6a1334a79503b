//! The tables against what is really told.
#![allow(clippy::unwrap_used, reason = "a test")]

mod reads;
#[cfg(all(feature = "compress", feature = "encrypt"))]
mod values;

use super::{FIELDS, LABELS, METRICS, MetricKind, TARGET};
use crate::{
    CircuitBreaker, CircuitBreakerConfig, ConcurrencyLimit, ConcurrencyLimitConfig, Fallback,
    FallbackConfig, FallbackOn, FallbackWrites, Hedge, HedgeConfig, Observe, ObserveConfig, Retry,
    RetryConfig, ShowKeys,
    capture::{Capture, Counted, Told, block_on, counted},
    script::{DOWN, Script, Step, poll},
};
use futures_util::StreamExt;
use kv_core::{
    COMMANDS, Error, ErrorKind, Expiry, Key, Kv, Layer, Lifetime, RangeOptions, ScanFrom,
    ScoreRange, Scores, Throttle, Ttl, Txn, Watch, ZMove, layer_fn,
};
use kv_memory::MemoryStore;
use std::{collections::BTreeSet, time::Duration};
use tracing::subscriber::with_default;

fn observe() -> Observe {
    let config = ObserveConfig::new("sessions")
        .namespace("cache")
        .server("127.0.0.1", 6379)
        .slow_after(Duration::from_nanos(1))
        .show_keys(ShowKeys::up_to(":"));
    Observe::new(config).unwrap()
}

/// Every command once, a watch, and a call that fails.
async fn every_operation(kv: &Kv) -> kv_core::Result<()> {
    let key = |name: &str| Key::new(format!("{{g}}:{name}"));
    let span = Lifetime::new(Duration::from_secs(60))?;
    let watched = Watch::Keys(vec![key("a")?]);
    let mut events = kv.watch(watched).await?;
    kv.set_with(key("a")?, "value", Ttl::Never).await?;
    events.next().await;
    kv.set_many_with([(key("b")?, "1")], Ttl::Never).await?;
    kv.get(key("a")?).await?;
    kv.get(key("none")?).await?;
    kv.get_many([key("a")?, key("none")?]).await?;
    kv.exists_many([key("a")?]).await?;
    kv.increment_with(key("b")?, 1, Ttl::Never).await?;
    kv.expire(key("a")?, Expiry::In(span)).await?;
    kv.time_to_live(key("a")?).await?;
    kv.persist(key("a")?).await?;
    kv.scan_page("", ScanFrom::Start, 10_u32).await?;
    kv.hset_many(key("h")?, [("f", "v")]).await?;
    kv.hget(key("h")?, "f").await?;
    kv.hget_many(key("h")?, ["f", "g"]).await?;
    kv.hgetall(key("h")?).await?;
    kv.hincrement(key("h")?, "n", 1).await?;
    kv.hlen(key("h")?).await?;
    kv.hdel(key("h")?, ["f"]).await?;
    kv.zadd(key("z")?, [("m", 1), ("n", 2)]).await?;
    kv.zscore(key("z")?, "m").await?;
    kv.zcount(key("z")?, ScoreRange::ALL).await?;
    kv.zrange(key("z")?, 0, -1, Scores::Include).await?;
    let options = RangeOptions::default();
    kv.zrangebyscore_with(key("z")?, ScoreRange::ALL, options)
        .await?;
    kv.zmove(ZMove::new(1).from(key("z")?, 5).to(key("y")?, 9))
        .await?;
    kv.zpopbyscore_with(key("z")?, 5, 1_u32, Scores::Omit)
        .await?;
    kv.zrem(key("y")?, ["m"]).await?;
    kv.now().await?;
    kv.commit([Txn::new()]).await?;
    let rule = kv_core::Rule::gcra(1, Duration::from_secs(60), 1)?;
    kv.throttle(Throttle::new().limit(key("t")?, rule)).await?;
    kv.notify(key("c")?, "payload").await?;
    kv.delete_many([key("a")?]).await?;
    kv.clear_prefixes("x").await?;
    kv.hget(key("b")?, "f").await.unwrap_err();
    Ok(())
}

/// What the layers against trouble do when there is some.
fn every_trouble() {
    // Two attempts fail; the third is refused for want of attempts.
    let config = RetryConfig {
        attempts: 2,
        ..RetryConfig::default()
    };
    let script = Script::new([DOWN, DOWN]);
    let kv = script.under(Retry::new(config).unwrap().clock(script.clock()).store("a"));
    script.run(kv.get("a")).unwrap_err();

    let config = CircuitBreakerConfig {
        minimum_calls: 1,
        probes: 1,
        ..CircuitBreakerConfig::default()
    };
    let script = Script::new([DOWN]);
    let breaker = CircuitBreaker::new(config).unwrap().clock(script.clock());
    let kv = script.under(breaker.store("a"));
    script.run(kv.get("a")).unwrap_err();
    script.run(kv.get("a")).unwrap_err();
    script.clock.advance(config.open_for);
    script.run(kv.get("a")).unwrap();

    let script = Script::new([Step::Hang]);
    let limit = ConcurrencyLimitConfig::new(1).waiting(1, Duration::from_secs(1));
    let limit = ConcurrencyLimit::new(limit).unwrap();
    let kv = script.under(limit.clock(script.clock()).store("a"));
    let (mut first, mut second) = (Box::pin(kv.get("a")), Box::pin(kv.get("a")));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    script.run(kv.get("a")).unwrap_err();
    script.run(second).unwrap_err();

    let script = Script::new([Step::Hang, Step::Answer]);
    let hedge = HedgeConfig::new(Duration::from_millis(5));
    let kv = script.under(Hedge::new(hedge).unwrap().clock(script.clock()).store("a"));
    script.run(kv.get("a")).unwrap();

    let second = Kv::builder(MemoryStore::default());
    let second = block_on(second.connect()).unwrap();
    let config = FallbackConfig::new(FallbackOn::MissOrError, FallbackWrites::Around);
    let script = Script::new([DOWN]);
    let kv = script.under(Fallback::new(config, second).store("a"));
    script.run(kv.get("a")).unwrap();
}

fn run() -> (Capture, Counted) {
    let capture = Capture::default();
    let ((), counted) = counted(|| {
        with_default(capture.clone(), || {
            let kv = Kv::builder(MemoryStore::default()).layer(observe());
            block_on(async {
                every_operation(&kv.connect().await.unwrap()).await.unwrap();
            });
            every_trouble();
            reads::every_read();
            #[cfg(all(feature = "compress", feature = "encrypt"))]
            values::every_value();
        });
    });
    (capture, counted)
}

#[test]
fn the_metrics_that_are_told_are_those_of_the_table() {
    let (_, counted) = run();
    let told: BTreeSet<_> = counted.metrics.keys().map(String::as_str).collect();
    let compiled = || METRICS.iter().filter(|it| is_compiled(it.layer));
    let documented: BTreeSet<_> = compiled().map(|it| it.name).collect();
    assert_eq!(told, documented);
    for spec in compiled() {
        let told = &counted.metrics[spec.name];
        let labels: BTreeSet<_> = spec.labels.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(told.labels, labels, "{}", spec.name);
        assert_eq!(told.kind, spec.kind.name(), "{}", spec.name);
        assert_eq!(told.meaning.as_deref(), Some(spec.meaning));
        assert_eq!(told.unit, Some(spec.unit.of_recorder().as_str()));
        // A gauge may well be back at zero.
        assert!(
            spec.kind == MetricKind::Gauge || told.total > 0.0,
            "{} is told but never moves",
            spec.name
        );
    }
    let operations: BTreeSet<_> = counted
        .series
        .keys()
        .filter_map(|it| {
            it.split(' ')
                .find_map(|it| it.strip_prefix("db_operation_name="))
        })
        .collect();
    let mut all: BTreeSet<_> = COMMANDS.iter().map(|it| it.name).collect();
    all.insert("watch");
    assert_eq!(operations, all);
}

fn is_compiled(layer: &str) -> bool {
    let values = cfg!(all(feature = "compress", feature = "encrypt"));
    values || !["compress", "encrypt"].contains(&layer)
}

#[test]
fn the_labels_that_metrics_have_are_those_of_the_table() {
    let used: BTreeSet<_> = METRICS.iter().flat_map(|it| it.labels).copied().collect();
    let documented: BTreeSet<_> = LABELS.iter().map(|it| it.name).collect();
    assert_eq!(used, documented);
}

/// So that the documentation of the labels' values is true.
#[test]
fn the_values_of_the_small_labels_are_documented() {
    let (_, counted) = run();
    let kinds: Vec<_> = ErrorKind::ALL.iter().map(|it| it.name()).collect();
    for series in counted.series.keys() {
        for word in series.split(' ').skip(1) {
            let (name, value) = word.split_once('=').unwrap();
            let spec = LABELS.iter().find(|it| it.name == name).unwrap();
            let is_free = matches!(name, "store" | "db_operation_name" | "key_name");
            let is_told = spec.meaning.contains(&format!("`{value}`")) || kinds.contains(&value);
            assert!(is_free || is_told, "{word}");
        }
    }
}

#[test]
fn the_fields_that_are_told_are_those_of_the_table() {
    let (capture, _) = run();
    let names = |told: Vec<Told>| -> BTreeSet<&'static str> {
        told.iter()
            .flat_map(|it| it.fields.keys())
            .copied()
            .collect()
    };
    let documented = |on: fn(&super::FieldSpec) -> bool| -> BTreeSet<_> {
        FIELDS
            .iter()
            .filter(|it| on(it))
            .map(|it| it.name)
            .collect()
    };
    assert_eq!(names(capture.spans()), documented(|it| it.on_span));
    assert_eq!(names(capture.events()), documented(|it| it.on_event));
    assert_eq!(TARGET, "kv");
}

#[test]
fn without_anybody_who_listens_all_is_as_before() {
    let broken = layer_fn("broken", |_, _| {
        Box::pin(async { Err(Error::new(ErrorKind::Unavailable, "down")) })
    });
    let script = Script::default();
    let kv = Kv::from_service(observe().wrap(broken.wrap(std::sync::Arc::new(script.clone()))));
    script.run(kv.connect()).unwrap();
    let error = script.run(kv.get("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[test]
fn trouble_is_counted_once() {
    let ((), counted) = counted(every_trouble);
    let told = |name: &str, labels: &[&str]| counted.of(&format!("kv_{name}"), labels);
    assert_eq!(told("retries_total", &["store=a"]), 1.0);
    assert_eq!(told("retries_given_up_total", &["reason=attempts"]), 1.0);
    assert_eq!(told("retries_given_up_total", &[]), 1.0);
    for state in ["to=open", "to=half_open", "to=closed"] {
        assert_eq!(told("circuit_breaker_transitions_total", &[state]), 1.0);
    }
    assert_eq!(told("circuit_breaker_refused_total", &[]), 1.0);
    assert_eq!(told("circuit_breaker_state", &[]), 0.0);
    for reason in ["reason=full", "reason=waited"] {
        assert_eq!(told("concurrency_limit_refused_total", &[reason]), 1.0);
    }
    assert_eq!(told("concurrency_limit_waiting", &[]), 0.0);
    assert_eq!(told("hedges_total", &[]), 1.0);
    assert_eq!(told("hedges_won_total", &[]), 1.0);
    let fallbacks = ["reason=error", "outcome=miss"];
    assert_eq!(told("fallbacks_total", &fallbacks), 1.0);
}

#[test]
fn a_state_is_shown_while_it_lasts() {
    let (_kept, counted) = counted(|| {
        let config = CircuitBreakerConfig {
            minimum_calls: 1,
            ..CircuitBreakerConfig::default()
        };
        let script = Script::new([DOWN]);
        let breaker = CircuitBreaker::new(config).unwrap().store("a");
        let kv = script.under(breaker.clock(script.clock()));
        script.run(kv.get("a")).unwrap_err();

        let script = Script::new([Step::Hang]);
        let limit = ConcurrencyLimitConfig::new(1).waiting(1, Duration::from_secs(1));
        let limit = ConcurrencyLimit::new(limit).unwrap();
        let limited = script.under(limit.clock(script.clock()).store("b"));
        let (mut first, mut second) = (Box::pin(limited.get("a")), Box::pin(limited.get("a")));
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        // It waits for as long as the test looks.
        std::mem::forget((first, second));
        kv
    });
    assert_eq!(counted.of("kv_circuit_breaker_state", &["store=a"]), 2.0);
    assert_eq!(
        counted.of("kv_concurrency_limit_waiting", &["store=b"]),
        1.0
    );
}
