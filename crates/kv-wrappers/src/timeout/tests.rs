use super::{Timeout, TimeoutConfig};
use crate::script::{Script, Step, poll};
use kv_core::{Capabilities, CapabilitySet, Clock, ErrorKind, Kv, Outcome, Timestamp, Watch};
use std::time::Duration;

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn layer(script: &Script, config: TimeoutConfig) -> Kv {
    script.under(Timeout::new(config).unwrap().clock(script.clock()))
}

#[test]
fn case_134_a_slow_answer_becomes_a_timeout_whose_outcome_is_unknown() {
    let script = Script::new([Step::Hang, Step::Hang]);
    let kv = layer(&script, TimeoutConfig::new(millis(50)));
    for error in [
        script.run(kv.get("a")).unwrap_err(),
        script.run(kv.set("a", "value")).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.outcome(), Outcome::Unknown);
        assert_eq!(error.key(), Some("a"));
    }
    assert_eq!(script.clock.monotonic(), millis(100));
    script.then([Step::Hang]);
    assert_eq!(
        script.run(kv.get_many(["a", "b"])).unwrap_err().to_string(),
        "get_many: no answer within the timeout of 50ms (it is unknown whether it was applied)"
    );
}

#[test]
fn an_answer_in_time_passes_also_at_the_last_moment() {
    let script = Script::new([
        Step::Answer,
        Step::After(millis(49)),
        Step::After(millis(50)),
    ]);
    let kv = layer(&script, TimeoutConfig::new(millis(50)));
    for _ in 0..3 {
        assert_eq!(script.run(kv.get("a")).unwrap(), None);
    }
    assert_eq!(script.clock.monotonic(), millis(99));
}

#[test]
fn setting_the_clock_neither_ends_a_call_nor_lengthens_it() {
    let script = Script::new([Step::After(millis(40)), Step::Hang]);
    let kv = layer(&script, TimeoutConfig::new(millis(50)));
    for (step, ends_well) in [(i64::MAX, true), (0, false)] {
        let mut call = Box::pin(kv.get("a"));
        assert!(poll(&mut call).is_pending());
        script.clock.set(Timestamp::from_micros(step));
        assert_eq!(script.run(call).is_ok(), ends_well);
    }
    assert_eq!(script.clock.monotonic(), millis(90));
}

#[test]
fn watches_are_exempt() {
    let script = Script::new([Step::After(millis(5_000))]);
    let kv = layer(&script, TimeoutConfig::new(millis(50)));
    let keys = Watch::Keys(vec!["a".try_into().unwrap()]);
    assert!(script.run(kv.watch(keys)).is_ok());
}

#[test]
fn a_command_can_have_a_span_of_its_own() {
    let script = Script::new([Step::Hang, Step::Hang]);
    let config = TimeoutConfig::new(millis(50)).command("clear_prefixes", millis(60_000));
    let kv = layer(&script, config);
    script.run(kv.clear_prefixes("a")).unwrap_err();
    assert_eq!(script.clock.monotonic(), millis(60_000));
    script.run(kv.get("a")).unwrap_err();
    assert_eq!(script.clock.monotonic(), millis(60_050));
    assert_eq!(
        format!("{kv:?}"),
        "Kv(script > timeout(50ms, clear_prefixes 60s))"
    );
    assert_eq!(kv.capabilities(), Capabilities::new(CapabilitySet::ALL));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let config: TimeoutConfig =
        toml::from_str("timeout = \"250ms\"\ncommands = { scan_page = \"2s\" }").unwrap();
    assert_eq!(
        config,
        TimeoutConfig::new(millis(250)).command("scan_page", millis(2_000))
    );
    let told = |config| Timeout::new(config).unwrap_err().to_string();
    assert_eq!(
        told(TimeoutConfig::new(Duration::ZERO)),
        "a timeout must be longer than zero; to do without one drop the wrapper"
    );
    let unknown = told(TimeoutConfig::new(millis(1)).command("clear", millis(1)));
    assert!(unknown.starts_with("there is no command `clear`; known are get, "));
    for wrong in ["", "timeout = 5", "timeout = \"1s\"\ntimout = \"1s\""] {
        assert!(toml::from_str::<TimeoutConfig>(wrong).is_err(), "{wrong}");
    }
}
