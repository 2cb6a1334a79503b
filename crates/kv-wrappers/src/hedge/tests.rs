use super::{Hedge, HedgeConfig};
use crate::script::{DOWN, LOST, Script, Step, poll};
use kv_core::{CallOptions, Capabilities, CapabilitySet, Clock, ErrorKind, Kv, Outcome};
use std::{iter::repeat_n, time::Duration};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn stack(script: &Script, config: HedgeConfig) -> Kv {
    script.under(Hedge::new(config).unwrap().clock(script.clock()))
}

/// Asks again after 20 ms.
fn usual(script: &Script) -> Kv {
    stack(script, HedgeConfig::new(millis(20)))
}

#[test]
fn a_slow_read_is_asked_for_again_and_the_first_answer_counts() {
    let script = Script::new([Step::Hang, Step::After(millis(5))]);
    let kv = usual(&script);
    assert_eq!(script.run(kv.get("a")).unwrap(), None);
    assert_eq!(script.times(), [millis(0), millis(20)]);
    assert_eq!(script.clock.monotonic(), millis(25));
    // Also if it is the first that was asked.
    script.then([Step::After(millis(30)), Step::Hang]);
    script.run(kv.get("a")).unwrap();
    assert_eq!(script.clock.monotonic(), millis(55));
    assert_eq!(script.calls(), 2);
}

#[test]
fn a_read_in_time_is_asked_for_once() {
    let script = Script::new([Step::Answer, Step::After(millis(20))]);
    let kv = usual(&script);
    script.run(kv.get("a")).unwrap();
    script.run(kv.get_many(["a", "b"])).unwrap();
    assert_eq!(script.calls(), 2);
}

#[test]
fn a_write_is_sent_once_however_long_it_takes() {
    let script = Script::default();
    let kv = usual(&script);
    script.then(repeat_n(Step::After(millis(500)), 3));
    script.run(kv.set("a", "value")).unwrap();
    script.run(kv.increment("a", 1)).unwrap();
    script.run(kv.delete("a")).unwrap();
    assert_eq!(script.calls(), 3);
}

#[test]
fn a_caller_who_forbids_repeating_is_asked_for_once() {
    let script = Script::new([Step::After(millis(500))]);
    let kv = usual(&script).with(CallOptions::new().without_retry());
    script.run(kv.get("a")).unwrap();
    assert_eq!(script.calls(), 1);
}

#[test]
fn an_early_error_is_left_to_a_retry_and_a_late_one_waits_for_the_other() {
    let script = Script::new([DOWN]);
    let kv = usual(&script);
    script.run(kv.get("a")).unwrap_err();
    assert_eq!(script.calls(), 1);
    script.then([Step::After(millis(30)), DOWN]);
    script.run(kv.get("a")).unwrap();
    assert_eq!(script.calls(), 2);
    // Of two errors the first: it came while there was still hope.
    let denied = Step::FailAfter(millis(30), ErrorKind::Denied, Outcome::Final);
    script.then([denied, LOST]);
    let error = script.run(kv.get("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(script.calls(), 2);
}

#[test]
fn a_slow_store_does_not_get_twice_the_load() {
    let script = Script::new(repeat_n(Step::After(millis(50)), 10_000));
    let config = HedgeConfig::new(millis(20)).max_ratio(0.1);
    let kv = stack(&script, config);
    let mut calls: Vec<_> = (0..1_000).map(|_| Box::pin(kv.get("a"))).collect();
    assert!(calls.iter_mut().all(|call| poll(call).is_pending()));
    script.clock.advance(millis(20));
    assert!(calls.iter_mut().all(|call| poll(call).is_pending()));
    assert_eq!(script.calls(), 1_000 + 10 + 100);
}

#[test]
fn settings_are_read_and_those_that_cannot_work_are_refused() {
    let config: HedgeConfig = toml::from_str("after = \"20ms\"\nmax_ratio = 0.1").unwrap();
    assert_eq!(config, HedgeConfig::new(millis(20)).max_ratio(0.1));
    let script = Script::default();
    let kv = stack(&script, config);
    assert_eq!(format!("{kv:?}"), "Kv(script > hedge(20ms, 10%))");
    assert_eq!(kv.capabilities(), Capabilities::new(CapabilitySet::ALL));
    for config in [
        HedgeConfig::new(Duration::ZERO),
        HedgeConfig::new(millis(1)).max_ratio(1.1),
        HedgeConfig::new(millis(1)).max_ratio(f64::NAN),
    ] {
        assert_eq!(Hedge::new(config).unwrap_err().kind(), ErrorKind::Config);
    }
    for wrong in ["", "after = \"1ms\"\nratio = 0.1"] {
        assert!(toml::from_str::<HedgeConfig>(wrong).is_err(), "{wrong}");
    }
}
