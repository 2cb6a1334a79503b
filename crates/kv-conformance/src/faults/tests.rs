use super::{Fault, FaultsConfig, FaultsLayer, Odds, Plan};
use futures_util::future::poll_immediate;
use kv_core::{
    Capabilities, Capability, CapabilitySet, ErrorKind, Key, Kv, Outcome, Result, Store, Timestamp,
    Ttl, Value, VirtualClock,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// One counter for all keys: enough to see what reached the store.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicI64>);

impl Store for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn capabilities(&self) -> Capabilities {
        let can = [Capability::Strings, Capability::Counters];
        Capabilities::new(CapabilitySet::from_iter(can))
    }

    async fn get(&self, _: Key) -> Result<Option<Value>> {
        Ok(Some(self.0.load(Ordering::SeqCst).to_string().into()))
    }

    async fn increment_with(&self, _: Key, by: i64, _: Ttl) -> Result<i64> {
        Ok(self.0.fetch_add(by, Ordering::SeqCst) + by)
    }
}

async fn stack(layer: &FaultsLayer) -> (Kv, Counter) {
    let store = Counter::default();
    let builder = Kv::builder(store.clone()).layer(layer.clone());
    (builder.connect().await.unwrap(), store)
}

#[tokio::test]
async fn each_fault_does_what_it_says_and_is_counted() {
    let layer = FaultsLayer::new(Plan::Script(vec![
        Fault::FailBefore,
        Fault::ApplyThenFail,
        Fault::Duplicate,
    ]));
    let (kv, store) = stack(&layer).await;
    let count = || store.0.load(Ordering::SeqCst);

    let error = kv.increment("n", 1).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome(), error.key(), count()),
        (ErrorKind::Unavailable, Outcome::NotApplied, Some("n"), 0)
    );
    let error = kv.increment("n", 1).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome(), error.operation(), count()),
        (
            ErrorKind::Unavailable,
            Outcome::Unknown,
            Some("increment_with"),
            1
        )
    );
    assert_eq!(kv.increment("n", 1).await.unwrap(), 3);
    assert_eq!(kv.increment("n", 1).await.unwrap(), 4, "the script is over");

    let counts = layer.switch().counts();
    assert_eq!(
        (
            counts.seen,
            counts.fail_before,
            counts.apply_then_fail,
            counts.duplicate
        ),
        (4, 1, 1, 1)
    );
}

#[tokio::test]
async fn a_hanging_call_ends_only_by_being_dropped_and_reaches_nobody() {
    let layer = FaultsLayer::new(Plan::Script(vec![Fault::Hang]));
    let (kv, store) = stack(&layer).await;
    let mut call = Box::pin(kv.increment("n", 1));
    for _ in 0..3 {
        assert!(poll_immediate(&mut call).await.is_none());
    }
    drop(call);
    assert_eq!(store.0.load(Ordering::SeqCst), 0);
    assert_eq!(layer.switch().counts().hang, 1);
}

#[tokio::test]
async fn a_delay_lasts_as_long_as_the_injected_clock_says() {
    let clock = VirtualClock::at(Timestamp::from_micros(0));
    let layer = FaultsLayer::new(Plan::Script(vec![Fault::Delay(Duration::from_secs(3600))]))
        .clock(Arc::new(clock.clone()));
    let (kv, store) = stack(&layer).await;
    let mut call = Box::pin(kv.increment("n", 1));
    assert!(poll_immediate(&mut call).await.is_none());
    clock.advance(Duration::from_secs(3599));
    assert!(poll_immediate(&mut call).await.is_none());
    assert_eq!(store.0.load(Ordering::SeqCst), 0);
    clock.advance(Duration::from_secs(1));
    assert_eq!(call.await.unwrap(), 1);
}

#[tokio::test]
async fn only_the_chosen_commands_are_hit_and_only_while_switched_on() {
    let layer = FaultsLayer::new(Plan::Script(vec![Fault::FailBefore; 2]))
        .only(|spec| spec.name == "increment_with");
    let (kv, _) = stack(&layer).await;
    let switch = layer.switch();
    kv.get("n").await.unwrap();
    kv.increment("n", 1).await.unwrap_err();
    switch.off();
    kv.increment("n", 1).await.unwrap();
    switch.on();
    kv.increment("n", 1).await.unwrap_err();
    assert_eq!(switch.counts().seen, 2);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults() {
    async fn run(seed: u64) -> Vec<bool> {
        let odds = Odds::none().and(Fault::FailBefore, 0.3).unwrap();
        let (kv, _) = stack(&FaultsLayer::new(Plan::random(seed, odds))).await;
        let mut outcomes = Vec::new();
        for _ in 0..200 {
            outcomes.push(kv.increment("n", 1).await.is_ok());
        }
        outcomes
    }
    let first = run(7).await;
    let failures = first.iter().filter(|ok| !**ok).count();
    assert!((30..90).contains(&failures), "{failures} of 200");
    assert_eq!(first, run(7).await);
    assert_ne!(first, run(8).await);
}

#[test]
fn settings_that_make_no_sense_are_refused_with_the_reason() {
    let parse = |text: &str| serde_json::from_str::<FaultsConfig>(text);
    let refused = |text: &str| parse(text).unwrap().into_layer().unwrap_err();

    let error = refused(r#"{"hang": 1.5}"#);
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("from 0 to 1"), "{error}");
    let error = refused(r#"{"hang": 0.6, "delay": 0.6}"#);
    assert!(error.to_string().contains("together"), "{error}");
    let error = refused(r#"{"commands": ["gett"]}"#);
    assert!(error.to_string().contains("get_many"), "{error}");
    assert!(parse(r#"{"hangs": 0.1}"#).is_err());
}
