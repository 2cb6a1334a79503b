use super::{ConcurrencyLimit, ConcurrencyLimitConfig};
use crate::script::{Script, Step, poll};
use kv_core::{Capabilities, CapabilitySet, Clock, ErrorKind, Kv, Outcome, Watch};
use std::{iter::repeat_n, time::Duration};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn layer(script: &Script, config: ConcurrencyLimitConfig) -> ConcurrencyLimit {
    ConcurrencyLimit::new(config).unwrap().clock(script.clock())
}

fn stack(script: &Script, config: ConcurrencyLimitConfig) -> Kv {
    script.under(layer(script, config))
}

#[test]
fn beyond_the_limit_calls_are_refused_without_touching_the_store() {
    let script = Script::new(repeat_n(Step::After(millis(100)), 2));
    let kv = stack(&script, ConcurrencyLimitConfig::new(2));
    let mut two = [Box::pin(kv.get("a")), Box::pin(kv.get("b"))];
    assert!(two.iter_mut().all(|call| poll(call).is_pending()));
    assert_eq!(script.calls(), 2);
    let error = script.run(kv.set("c", "value")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert!(error.is_last_word());
    assert_eq!(
        error.to_string(),
        "set_with `c`: 2 calls are under way and 0 wait, as many as may; ask for less at once, or raise the limit"
    );
    assert_eq!((script.calls(), script.clock.monotonic()), (0, millis(0)));
    let [first, second] = two;
    script.run(first).unwrap();
    script.run(kv.get("c")).unwrap();
    script.run(second).unwrap();
}

#[test]
fn those_who_may_wait_get_their_places_in_turn() {
    let script = Script::new(repeat_n(Step::After(millis(10)), 4));
    let kv = stack(
        &script,
        ConcurrencyLimitConfig::new(1).waiting(3, millis(1_000)),
    );
    let mut calls: Vec<_> = (0..4).map(|_| Box::pin(kv.get("a"))).collect();
    assert!(calls.iter_mut().all(|call| poll(call).is_pending()));
    assert_eq!(script.calls(), 1);
    assert_eq!(
        script.run(kv.get("a")).unwrap_err().kind(),
        ErrorKind::Overloaded
    );
    for (ended, mut call) in calls.into_iter().enumerate() {
        script.run(&mut call).unwrap();
        assert_eq!(script.clock.monotonic(), millis(10 * (ended as u64 + 1)));
    }
}

#[test]
fn nobody_waits_for_longer_than_told() {
    let script = Script::new([Step::Hang]);
    let kv = stack(
        &script,
        ConcurrencyLimitConfig::new(1).waiting(5, millis(30)),
    );
    let mut hanging = Box::pin(kv.get("a"));
    assert!(poll(&mut hanging).is_pending());
    let error = script.run(kv.get_many(["b", "c"])).unwrap_err();
    assert_eq!(script.clock.monotonic(), millis(30));
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!(
        error.to_string(),
        "get_many: none of 1 places became free within 30ms; ask for less at once, or raise the limit"
    );
}

#[test]
fn a_dropped_call_leaves_its_place_also_in_the_queue() {
    let script = Script::new([Step::Hang, Step::Hang]);
    let kv = stack(
        &script,
        ConcurrencyLimitConfig::new(1).waiting(1, millis(1_000)),
    );
    let mut hanging = Box::pin(kv.get("a"));
    assert!(poll(&mut hanging).is_pending());
    for _ in 0..5 {
        assert!(poll(&mut Box::pin(kv.get("b"))).is_pending());
    }
    let mut next = Box::pin(kv.get("c"));
    assert!(poll(&mut next).is_pending());
    assert_eq!(script.calls(), 1);
    drop(hanging);
    assert!(poll(&mut next).is_pending());
    assert_eq!(script.calls(), 1);
    drop(next);
    script.run(kv.get("d")).unwrap();
}

#[test]
fn watches_take_no_place_and_clones_share_theirs() {
    let script = Script::new([Step::Hang, Step::Hang]);
    let layer = layer(&script, ConcurrencyLimitConfig::new(1));
    let (one, other) = (script.under(layer.clone()), script.under(layer));
    let keys = Watch::Keys(vec!["a".try_into().unwrap()]);
    let mut watch = Box::pin(one.watch(keys));
    assert!(poll(&mut watch).is_pending());
    let mut hanging = Box::pin(one.get("a"));
    assert!(poll(&mut hanging).is_pending());
    script.run(other.get("a")).unwrap_err();
    assert_eq!(one.capabilities(), Capabilities::new(CapabilitySet::ALL));
}

#[test]
fn settings_are_read_and_those_that_cannot_work_are_refused() {
    let text = "limit = 8\nmax_waiting = 100\nmax_wait = \"250ms\"";
    let config: ConcurrencyLimitConfig = toml::from_str(text).unwrap();
    assert_eq!(
        config,
        ConcurrencyLimitConfig::new(8).waiting(100, millis(250))
    );
    let script = Script::default();
    assert_eq!(
        format!("{:?}", stack(&script, config)),
        "Kv(script > concurrency_limit(8, 100 waiting 250ms))"
    );
    let alone: ConcurrencyLimitConfig = toml::from_str("limit = 8").unwrap();
    assert_eq!(alone, ConcurrencyLimitConfig::new(8));
    for limit in [0, 1_000_001] {
        let error = ConcurrencyLimit::new(ConcurrencyLimitConfig::new(limit)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
    for wrong in ["", "limit = -1", "limit = 1\nqueue = 1"] {
        assert!(toml::from_str::<ConcurrencyLimitConfig>(wrong).is_err());
    }
}
