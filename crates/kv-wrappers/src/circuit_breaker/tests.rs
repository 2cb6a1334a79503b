use super::{CircuitBreaker, CircuitBreakerConfig, CircuitState};
use crate::{
    Retry, RetryConfig,
    script::{DOWN, LOST, Script, Step, poll},
};
use kv_core::{Capabilities, CapabilitySet, Error, ErrorKind, Kv, Layer, Outcome, Service, Watch};
use std::{iter::repeat_n, sync::Arc, time::Duration};

const LATE: Step = Step::Fail(ErrorKind::Timeout, Outcome::Unknown);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Opens at 50 % of 10 calls in ten seconds, for five seconds; three probes.
fn breaker(script: &Script) -> CircuitBreaker {
    let config = CircuitBreakerConfig {
        minimum_calls: 10,
        ..CircuitBreakerConfig::default()
    };
    CircuitBreaker::new(config).unwrap().clock(script.clock())
}

fn stack(script: &Script) -> (Kv, CircuitBreaker) {
    let breaker = breaker(script);
    (script.under(breaker.clone()), breaker)
}

/// The same, with the breaker open and no calls noted.
fn open(script: &Script) -> (Kv, CircuitBreaker) {
    let (kv, breaker) = stack(script);
    script.then(repeat_n(DOWN, 10));
    gets(script, &kv, 10);
    assert_eq!(breaker.state(), CircuitState::Open);
    script.calls();
    (kv, breaker)
}

/// Makes calls one after the other; how many of them failed.
fn gets(script: &Script, kv: &Kv, count: usize) -> usize {
    let calls = (0..count).map(|_| script.run(kv.get("a")));
    calls.filter(Result::is_err).count()
}

fn refusal(script: &Script, kv: &Kv) -> Option<Error> {
    let error = script.run(kv.get("a")).err()?;
    error.context("retry_after").is_some().then_some(error)
}

#[test]
fn case_136_it_opens_after_failures_and_refuses_without_touching_the_store() {
    let script = Script::new([DOWN, LOST, LATE].into_iter().cycle().take(10));
    let (kv, breaker) = stack(&script);
    gets(&script, &kv, 9);
    assert_eq!(breaker.state(), CircuitState::Closed);
    gets(&script, &kv, 1);
    assert_eq!(breaker.state(), CircuitState::Open);
    assert_eq!(script.calls(), 10);
    let error = script.run(kv.increment("a", 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert!(error.is_last_word());
    assert_eq!(
        error.to_string(),
        "increment_with `a`: the circuit breaker is open, since too many calls failed; this one was not sent; retry_after: 5s"
    );
    let keys = Watch::Keys(vec!["a".try_into().unwrap()]);
    let error = script.run(kv.watch(keys)).err().unwrap();
    assert!(error.context("retry_after").is_some());
    assert_eq!(script.calls(), 0);
    assert_eq!(
        format!("{kv:?}"),
        "Kv(script > circuit_breaker(50% of 10 in 10s: 5s, open))"
    );
    assert_eq!(kv.capabilities(), Capabilities::new(CapabilitySet::ALL));
}

#[test]
fn it_goes_by_the_share_of_the_calls_that_failed() {
    for (failures, state) in [(49, CircuitState::Closed), (50, CircuitState::Open)] {
        let script = Script::new(repeat_n(Step::Answer, 100 - failures));
        let (kv, breaker) = stack(&script);
        gets(&script, &kv, 100 - failures);
        script.then(repeat_n(DOWN, failures));
        gets(&script, &kv, failures);
        assert_eq!(breaker.state(), state, "{failures} failures");
    }
}

#[test]
fn case_136_answers_are_no_failures_whatever_they_say() {
    let script = Script::default();
    let (kv, breaker) = stack(&script);
    // Misses.
    gets(&script, &kv, 20);
    for (kind, outcome) in [
        (ErrorKind::Conflict, Outcome::NotApplied),
        (ErrorKind::Overloaded, Outcome::NotApplied),
        (ErrorKind::WrongType, Outcome::Final),
        (ErrorKind::Denied, Outcome::Final),
        (ErrorKind::InvalidArgument, Outcome::Final),
    ] {
        script.then(repeat_n(Step::Fail(kind, outcome), 100));
        assert_eq!(gets(&script, &kv, 100), 100);
    }
    script.then(repeat_n(Step::FailItem(ErrorKind::WrongType), 100));
    for _ in 0..100 {
        script
            .run(kv.set_many([("a", "b"), ("c", "d")]))
            .unwrap_err();
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn a_batch_that_did_not_reach_the_store_for_all_its_items_has_failed() {
    let script = Script::new(repeat_n(Step::FailItem(ErrorKind::Unavailable), 10));
    let (kv, breaker) = stack(&script);
    for _ in 0..10 {
        script
            .run(kv.set_many([("a", "b"), ("c", "d")]))
            .unwrap_err();
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[test]
fn failures_are_forgotten_with_their_window() {
    let script = Script::new(repeat_n(DOWN, 100));
    let (kv, breaker) = stack(&script);
    for _ in 0..20 {
        gets(&script, &kv, 4);
        script.clock.advance(secs(5));
        assert_eq!(breaker.state(), CircuitState::Closed);
    }
}

#[test]
fn case_136_a_few_probes_pass_and_close_it() {
    let script = Script::default();
    let (kv, breaker) = open(&script);
    script.clock.advance(Duration::from_micros(4_999_999));
    assert!(refusal(&script, &kv).is_some());
    script.clock.advance(Duration::from_micros(1));

    script.then(repeat_n(Step::After(secs(1)), 3));
    let mut probes: Vec<_> = (0..3).map(|_| Box::pin(kv.get("a"))).collect();
    assert!(probes.iter_mut().all(|probe| poll(probe).is_pending()));
    assert_eq!(breaker.state(), CircuitState::HalfOpen);
    assert!(refusal(&script, &kv).is_some());
    assert_eq!(script.calls(), 3);
    for probe in probes {
        assert_eq!(breaker.state(), CircuitState::HalfOpen);
        script.run(probe).unwrap();
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
    // What was before is forgotten: it takes as much to open it again.
    script.then(repeat_n(DOWN, 10));
    gets(&script, &kv, 9);
    assert_eq!(breaker.state(), CircuitState::Closed);
    gets(&script, &kv, 1);
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[test]
fn case_136_a_probe_that_fails_opens_it_for_as_long_again() {
    let script = Script::default();
    let (kv, breaker) = open(&script);
    script.clock.advance(secs(5));
    script.then([Step::Answer, LATE]);
    assert_eq!(gets(&script, &kv, 2), 1);
    assert_eq!(breaker.state(), CircuitState::Open);
    script.calls();
    script.clock.advance(Duration::from_micros(4_999_999));
    assert!(refusal(&script, &kv).is_some());
    assert_eq!(script.calls(), 0);
    script.clock.advance(Duration::from_micros(1));
    assert_eq!(gets(&script, &kv, 3), 0);
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn a_probe_that_is_answered_with_an_error_has_found_the_store() {
    let script = Script::default();
    let (kv, breaker) = open(&script);
    script.clock.advance(secs(5));
    script.then(repeat_n(
        Step::Fail(ErrorKind::WrongType, Outcome::Final),
        3,
    ));
    assert_eq!(gets(&script, &kv, 3), 3);
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn a_dropped_probe_leaves_its_place_to_another() {
    let script = Script::default();
    let (kv, breaker) = open(&script);
    script.clock.advance(secs(5));
    script.then(repeat_n(Step::Hang, 5));
    for _ in 0..5 {
        assert!(poll(&mut Box::pin(kv.get("a"))).is_pending());
    }
    assert_eq!(gets(&script, &kv, 3), 0);
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn probes_without_an_end_do_not_lock_everybody_out() {
    let script = Script::default();
    let (kv, breaker) = open(&script);
    script.clock.advance(secs(5));
    script.then(repeat_n(Step::Hang, 3));
    let mut hanging: Vec<_> = (0..3).map(|_| Box::pin(kv.get("a"))).collect();
    assert!(hanging.iter_mut().all(|probe| poll(probe).is_pending()));
    script.clock.advance(Duration::from_micros(4_999_999));
    assert!(refusal(&script, &kv).is_some());
    script.clock.advance(Duration::from_micros(1));
    assert_eq!(gets(&script, &kv, 1), 0);
    // Those of the round before do not count any more, also when they end.
    drop(hanging);
    assert_eq!(gets(&script, &kv, 1), 0);
    assert_eq!(breaker.state(), CircuitState::HalfOpen);
    assert_eq!(gets(&script, &kv, 1), 0);
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn calls_from_before_it_opened_say_nothing_about_the_time_after() {
    let script = Script::new(repeat_n(Step::After(secs(6)), 20));
    let (kv, breaker) = stack(&script);
    let mut early: Vec<_> = (0..20).map(|_| Box::pin(kv.get("a"))).collect();
    assert!(early.iter_mut().all(|call| poll(call).is_pending()));
    script.then(repeat_n(DOWN, 10));
    gets(&script, &kv, 10);
    script.clock.advance(secs(6));
    assert!(early.iter_mut().all(|call| poll(call).is_ready()));
    assert_eq!(breaker.state(), CircuitState::Open);
}

/// Two layers as one.
struct Both(CircuitBreaker, Retry);

impl Layer for Both {
    fn wrap(&self, service: Arc<dyn Service>) -> Arc<dyn Service> {
        self.1.wrap(self.0.wrap(service))
    }
}

#[test]
fn a_retry_outside_does_not_wait_for_it_to_close() {
    let script = Script::new(repeat_n(DOWN, 100));
    let retry = Retry::new(RetryConfig::default()).unwrap();
    let both = Both(breaker(&script), retry.clock(script.clock()));
    let kv = script.under(both);
    // Four calls of three attempts, the last of which meets the open breaker.
    gets(&script, &kv, 4);
    assert_eq!(script.calls(), 10);
    let before = script.clock().monotonic();
    assert!(refusal(&script, &kv).is_some());
    assert_eq!(script.clock().monotonic(), before);
}

#[test]
fn settings_are_read_and_those_that_cannot_work_are_refused() {
    let config: CircuitBreakerConfig =
        toml::from_str("failure_ratio = 0.2\nopen_for = \"500ms\"").unwrap();
    assert_eq!(config.open_for, Duration::from_millis(500));
    assert_eq!(config.minimum_calls, 20);
    for wrong in [
        "failure_ratio = 0.0",
        "failure_ratio = nan",
        "failure_ratio = 1.1",
        "minimum_calls = 0",
        "window = \"999ms\"",
        "open_for = \"0s\"",
        "probes = 0",
    ] {
        let error = CircuitBreaker::new(toml::from_str(wrong).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{wrong}");
    }
    assert!(toml::from_str::<CircuitBreakerConfig>("ratio = 0.3").is_err());
}
