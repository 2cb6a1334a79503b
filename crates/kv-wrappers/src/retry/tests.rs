use super::{BudgetConfig, Retry, RetryConfig};
use crate::script::{DOWN, LOST, Script, Step, poll};
use kv_core::{
    CallOptions, Capabilities, CapabilitySet, Clock, Deadline, Error, ErrorKind, Kv, Layer,
    Outcome, Service, SetOptions, Ttl, Watch, When,
};
use std::{iter::repeat_n, sync::Arc, time::Duration};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn retry(script: &Script, config: RetryConfig) -> Retry {
    let layer = Retry::new(config).unwrap();
    layer.clock(script.clock()).seed(7)
}

fn usual(script: &Script) -> Kv {
    script.under(retry(script, RetryConfig::default()))
}

#[test]
fn case_135_two_failures_and_a_success_are_three_calls_with_growing_pauses() {
    let script = Script::new([DOWN, LOST]);
    let kv = usual(&script);
    assert_eq!(script.run(kv.get("a")).unwrap(), None);
    let times = script.times();
    assert_eq!(times.len(), 3);
    let pauses: Vec<_> = times.windows(2).map(|it| it[1] - it[0]).collect();
    // A pause ends at the first whole millisecond after it.
    assert!((millis(20)..=millis(41)).contains(&pauses[0]), "{pauses:?}");
    assert!((millis(40)..=millis(81)).contains(&pauses[1]), "{pauses:?}");
}

#[test]
fn case_135_the_last_error_tells_how_often_it_was_tried() {
    let script = Script::new(repeat_n(DOWN, 3));
    let kv = usual(&script);
    let error = script.run(kv.get("a")).unwrap_err();
    assert_eq!(script.calls(), 3);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert!(error.is_last_word());
    assert_eq!(
        error.to_string(),
        "as told; attempts: 3; gave_up_for: the attempts are used up"
    );
}

#[test]
fn case_135_what_trying_again_cannot_mend_is_one_call() {
    let script = Script::default();
    let kv = usual(&script);
    for (kind, outcome) in [
        (ErrorKind::WrongType, Outcome::Final),
        (ErrorKind::Denied, Outcome::Final),
        (ErrorKind::InvalidArgument, Outcome::Final),
        (ErrorKind::Codec, Outcome::Final),
        (ErrorKind::Unexpected, Outcome::Unknown),
    ] {
        script.then([Step::Fail(kind, outcome)]);
        let error = script.run(kv.get("a")).unwrap_err();
        assert_eq!((error.kind(), script.calls()), (kind, 1));
        assert!(!error.is_last_word());
    }
}

#[test]
fn case_135_an_unknown_outcome_is_not_repeated_where_it_could_apply_twice() {
    let script = Script::default();
    let kv = usual(&script);
    let absent = SetOptions::from(When::IfAbsent);
    let check = |run: &dyn Fn() -> Option<Error>| {
        for unknown in [LOST, Step::Fail(ErrorKind::Timeout, Outcome::Unknown)] {
            script.then([unknown]);
            assert_eq!(run().unwrap().outcome(), Outcome::Unknown);
            assert_eq!(script.calls(), 1);
        }
        script.then([DOWN, DOWN]);
        assert!(run().is_none(), "what was not applied may be repeated");
        assert_eq!(script.calls(), 3);
    };
    check(&|| script.run(kv.increment("a", 1)).err());
    check(&|| script.run(kv.set_with("a", "value", absent.clone())).err());
    check(&|| script.run(kv.zpopbyscore("a", 1)).err());
}

#[test]
fn an_unknown_outcome_is_repeated_where_the_same_state_results() {
    let script = Script::new([LOST, LOST]);
    let kv = usual(&script);
    script.run(kv.set_for("a", "value", Ttl::Never)).unwrap();
    assert_eq!(script.calls(), 3);
}

#[test]
fn a_write_that_may_have_been_applied_by_any_attempt_stays_unknown() {
    let script = Script::default();
    let kv = usual(&script);
    let denied = Step::Fail(ErrorKind::Denied, Outcome::Final);
    for (steps, calls) in [(vec![LOST, DOWN, DOWN], 3), (vec![LOST, denied], 2)] {
        script.then(steps.clone());
        let error = script.run(kv.set("a", "value")).unwrap_err();
        assert_eq!((error.outcome(), script.calls()), (Outcome::Unknown, calls));
        // Of a read there is nothing to know.
        script.then(steps);
        let error = script.run(kv.get("a")).unwrap_err();
        assert_ne!((error.outcome(), script.calls()), (Outcome::Unknown, calls));
    }
}

/// Two layers as one.
struct Both {
    inner: Retry,
    outer: Retry,
}

impl Layer for Both {
    fn wrap(&self, service: Arc<dyn Service>) -> Arc<dyn Service> {
        self.outer.wrap(self.inner.wrap(service))
    }
}

#[test]
fn an_outer_retry_does_not_multiply() {
    let script = Script::new(repeat_n(DOWN, 100));
    let config = RetryConfig::default();
    let outer = retry(&script, config);
    let inner = retry(&script, config);
    let kv = script.under(Both { inner, outer });
    script.run(kv.get("a")).unwrap_err();
    assert_eq!(script.calls(), 3);
}

#[test]
fn what_somebody_further_in_gave_up_on_is_one_call() {
    let script = Script::new([Step::GivenUp]);
    let kv = usual(&script);
    script.run(kv.get("a")).unwrap_err();
    assert_eq!(script.calls(), 1);
}

#[test]
fn case_135_no_attempt_begins_after_the_time_is_over() {
    let script = Script::new(repeat_n(DOWN, 100));
    let config = RetryConfig {
        attempts: 100,
        max_delay: millis(50),
        max_elapsed: Some(millis(300)),
        ..RetryConfig::default()
    };
    let kv = script.under(retry(&script, config));
    let error = script.run(kv.get("a")).unwrap_err();
    let fact = error.context("gave_up_for");
    assert_eq!(fact, Some("there is no time left"));
    let times = script.times();
    assert!(times.len() > 3 && times.iter().all(|it| *it <= millis(300)));
}

#[test]
fn a_storm_is_bounded_by_the_budget_and_ends_with_the_trouble() {
    let script = Script::new(repeat_n(DOWN, 100_000));
    let config = RetryConfig {
        delay: Duration::ZERO,
        budget: BudgetConfig {
            ratio: 0.1,
            min_per_second: 1.0,
            window: Duration::from_secs(10),
        },
        ..RetryConfig::default()
    };
    let kv = script.under(retry(&script, config));
    let mut spent = 0;
    for _ in 0..5_000 {
        let error = script.run(kv.get("a")).unwrap_err();
        spent += u32::from(error.context("gave_up_for") == Some("the retry budget is spent"));
        script.clock.advance(millis(1));
    }
    // Five seconds of a store that is down: a tenth of the calls, and the reserve.
    let attempts = script.calls();
    assert!((5_400..=5_510).contains(&attempts), "{attempts} attempts");
    assert!(spent > 4_000, "{spent} calls were told so");

    // Ten seconds later the reserve is there again.
    script.clock.advance(Duration::from_secs(20));
    script.run(kv.get("a")).unwrap_err();
    assert_eq!(script.calls(), 3);
}

#[test]
fn clones_of_a_layer_share_a_budget() {
    let script = Script::new(repeat_n(DOWN, 100));
    let config = RetryConfig {
        budget: BudgetConfig {
            ratio: 0.0,
            min_per_second: 0.2,
            ..BudgetConfig::default()
        },
        ..RetryConfig::default()
    };
    let layer = retry(&script, config);
    for calls in [3, 1] {
        let kv = script.under(layer.clone());
        script.run(kv.get("a")).unwrap_err();
        assert_eq!(script.calls(), calls);
    }
}

#[test]
fn beginning_a_watch_is_repeated() {
    let script = Script::new([LOST, DOWN]);
    let kv = usual(&script);
    let keys = Watch::Keys(vec!["a".try_into().unwrap()]);
    assert!(script.run(kv.watch(keys)).is_ok());
    assert_eq!(script.calls(), 3);
}

#[test]
fn callers_who_failed_together_do_not_come_back_together() {
    let script = Script::default();
    let layer = retry(&script, RetryConfig::default());
    let firsts: std::collections::BTreeSet<_> =
        (0..100).filter_map(|_| layer.pauses().next()).collect();
    assert!(firsts.len() > 90, "{} different pauses", firsts.len());
}

#[test]
fn a_call_dropped_in_a_pause_is_not_repeated() {
    let script = Script::new([DOWN]);
    let kv = usual(&script);
    let mut call = Box::pin(kv.get("a"));
    assert!(poll(&mut call).is_pending());
    drop(call);
    script.clock.advance(millis(1_000));
    assert_eq!(script.calls(), 1);
    assert_eq!(script.clock.monotonic(), millis(1_000));
}

#[test]
fn settings_are_read_and_those_that_cannot_work_are_refused() {
    let text = "attempts = 5\ndelay = \"5ms\"\nmax_elapsed = \"2s\"\nbudget = { ratio = 0.5 }";
    let config: RetryConfig = toml::from_str(text).unwrap();
    assert_eq!(config.attempts, 5);
    assert_eq!(config.max_elapsed, Some(millis(2_000)));
    assert_eq!(config.budget.min_per_second, 10.0);
    let script = Script::default();
    let kv = script.under(retry(&script, config));
    assert_eq!(format!("{kv:?}"), "Kv(script > retry(5 × 5ms))");
    assert_eq!(kv.capabilities(), Capabilities::new(CapabilitySet::ALL));
    for wrong in [
        "attempts = 0",
        "attempts = 101",
        "delay = \"2s\"",
        "max_delay = \"2h\"",
        "budget = { ratio = -1.0 }",
        "budget = { ratio = nan }",
        "budget = { min_per_second = inf }",
        "budget = { window = \"1ms\" }",
    ] {
        let error = Retry::new(toml::from_str(wrong).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{wrong}");
    }
    assert!(toml::from_str::<RetryConfig>("tries = 3").is_err());
}

#[test]
fn a_caller_who_forbids_it_has_one_call() {
    let script = Script::new([DOWN, DOWN]);
    let kv = usual(&script).with(CallOptions::new().without_retry());
    let error = script.run(kv.get("a")).unwrap_err();
    assert_eq!((script.calls(), error.is_last_word()), (1, false));
}

#[test]
fn no_pause_reaches_beyond_the_deadline_of_the_call() {
    let script = Script::new(repeat_n(DOWN, 100));
    let config = RetryConfig {
        attempts: 100,
        max_delay: millis(50),
        ..RetryConfig::default()
    };
    let deadline = Deadline::on(script.clock(), millis(300));
    let kv = script.under(retry(&script, config));
    let kv = kv.with(CallOptions::new().with_deadline(deadline));
    let error = script.run(kv.get("a")).unwrap_err();
    // What the store said, not that time was up.
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.outcome(), Outcome::NotApplied);
    let fact = error.context("gave_up_for");
    assert_eq!(fact, Some("there is no time left"));
    let times = script.times();
    assert!(times.len() > 3 && times.iter().all(|it| *it < millis(300)));
    assert!(script.clock.monotonic() < millis(300));
}

#[test]
fn an_attempt_without_end_is_ended_by_the_deadline_of_the_call() {
    let script = Script::new([DOWN, Step::Hang]);
    let deadline = Deadline::on(script.clock(), millis(300));
    let kv = usual(&script).with(CallOptions::new().with_deadline(deadline));
    let error = script.run(kv.increment("a", 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!((script.calls(), script.clock.monotonic()), (2, millis(300)));
}
