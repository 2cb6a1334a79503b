//! The rules by their promises, on random traces.

mod bounds;
mod traces;

use super::{LimitState, Rule, StateWrite, Throttle, ThrottleMode, rule::LIMIT};
use crate::{ErrorKind, Key, Timestamp};
use proptest::prelude::*;
use std::{collections::BTreeMap, time::Duration};

/// Far enough from zero that clocks can go back.
const START: u64 = 1_790_000_000_000_000;

/// A store of states on a clock of its own, which ends keys at their deadlines.
#[derive(Clone, Debug, Default, PartialEq)]
struct Store {
    now: u64,
    states: BTreeMap<Key, (Vec<u8>, u64)>,
}

impl Store {
    fn new() -> Self {
        Self {
            now: START,
            ..Self::default()
        }
    }

    fn ask(&mut self, request: &Throttle) -> super::Throttled {
        let now = Timestamp::from_micros(self.now as i64);
        let at = self.now;
        self.states.retain(|_, (_, deadline)| *deadline > at);
        let read = |key: &Key| Ok(self.states.get(key).map(|(text, _)| text));
        let step = request.decide(now, read).unwrap();
        for (limit, write) in request.limits.iter().zip(&step.writes) {
            match write {
                StateWrite::Keep => {}
                StateWrite::Delete => {
                    self.states.remove(&limit.key);
                }
                StateWrite::Put { state, deadline } => {
                    let deadline = deadline.as_micros() as u64;
                    assert!(deadline > self.now, "a state that is over already");
                    let state = (state.as_bytes().to_vec(), deadline);
                    self.states.insert(limit.key.clone(), state);
                }
            }
        }
        step.reply
    }

    /// One limit's answer.
    fn one(&mut self, rule: Rule, cost: u64, mode: ThrottleMode) -> LimitState {
        self.ask(&one(rule).cost(cost).mode(mode)).limits[0]
    }
}

fn key(name: &str) -> Key {
    Key::new(name.to_owned()).unwrap()
}

fn one(rule: Rule) -> Throttle {
    Throttle::new().limit(key("k"), rule)
}

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

fn gcra(count: u64, period: u64, burst: u64) -> Rule {
    Rule::gcra(count, micros(period), burst).unwrap()
}

fn any_gcra() -> impl Strategy<Value = Rule> {
    prop_oneof![
        (1..=12_u64, 1..=60_u64, 1..=6_u64),
        (1..=1000_u64, 1..=5_000_000_u64, 1..=300_u64),
    ]
    .prop_map(|(count, period, burst)| gcra(count, period, burst))
}

fn any_window() -> impl Strategy<Value = (u64, u64)> {
    prop_oneof![(1..=5_u64, 1..=40_u64), (1..=500_u64, 1..=3_000_000_u64)]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let fixed = |(count, length)| Rule::fixed(count, micros(length)).unwrap();
    let sliding = |(count, length)| Rule::sliding_counter(count, micros(length)).unwrap();
    prop_oneof![
        any_gcra(),
        any_window().prop_map(fixed),
        any_window().prop_map(sliding)
    ]
}

/// How long one unit, or one window, takes.
fn pace(rule: &Rule) -> u64 {
    match rule {
        Rule::Gcra(it) => (it.period() / it.count()).max(1),
        Rule::Fixed(it) | Rule::SlidingCounter(it) => it.length(),
    }
}

/// A cost within the limit, from a number.
fn cost_of(rule: &Rule, number: u64) -> u64 {
    1 + number % rule.max_cost()
}

#[test]
fn the_cost_may_be_the_whole_burst_and_no_more() {
    let mut store = Store::new();
    let rule = gcra(7, 1_000_000, 3);
    let all = store.one(rule, 3, ThrottleMode::Debit);
    assert_eq!(all, LimitState::new(true, 0, 0, 428_572));
    let denied = store.one(rule, 3, ThrottleMode::Debit);
    assert_eq!(denied, LimitState::new(false, 0, 428_572, 428_572));
    store.now += 428_572;
    assert!(store.one(rule, 3, ThrottleMode::Debit).allowed);
    for cost in [0, 4, u64::MAX] {
        let never = || Ok(None::<Vec<u8>>);
        let refused = one(rule)
            .cost(cost)
            .decide(Timestamp::default(), |_| never());
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(error.key(), Some("k"));
    }
}

#[test]
fn a_reservation_reaches_beyond_the_burst_and_says_how_long_to_wait() {
    let mut store = Store::new();
    let rule = gcra(1, 100, 2);
    let reserve = |wait| ThrottleMode::Reserve {
        max_wait: micros(wait),
    };
    assert_eq!(store.one(rule, 2, reserve(0)).retry_after, micros(0));
    assert_eq!(store.one(rule, 1, reserve(250)).retry_after, micros(100));
    let last = store.one(rule, 1, reserve(250));
    assert_eq!(last, LimitState::new(true, 0, 200, 400));
    let denied = store.one(rule, 1, reserve(250));
    assert_eq!(denied, LimitState::new(false, 0, 300, 400));
    assert_eq!(store.states[&key("k")].0, b"g1790000000000400 0 200");
    // What is reserved is not lost in between, ...
    store.now += 299;
    assert_eq!(
        store.one(rule, 1, ThrottleMode::Peek).retry_after,
        micros(1)
    );
    store.now += 1;
    assert!(store.one(rule, 1, ThrottleMode::Debit).allowed);
    // ... and forgotten once the level is within the burst.
    assert_eq!(store.states[&key("k")].0, b"g1790000000000500");
}

#[test]
fn a_wait_that_cannot_be_counted_is_refused() {
    let max_wait = Duration::MAX;
    let mode = ThrottleMode::Reserve { max_wait };
    let fixed = Rule::fixed(1, micros(1)).unwrap();
    for rule in [gcra(1, 1, 1), fixed] {
        let asked = one(rule).mode(mode);
        let refused = asked.decide(Timestamp::default(), |_| Ok(None::<Vec<u8>>));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    assert!(Rule::gcra(1, micros(LIMIT / 2), 1).is_err());
    assert!(Rule::fixed(1, micros(LIMIT / 2)).is_err());
    assert!(Rule::gcra(1, Duration::from_nanos(1500), 1).is_err());
}

#[test]
fn what_is_no_state_is_an_error_and_what_another_rule_left_is_none() {
    let rule = gcra(1, 100, 2);
    for text in ["", "17", "g", "g1 2 3 4", "x1 2 3", "g9007199254740992"] {
        let read = |_: &Key| Ok(Some(text));
        let error = one(rule).decide(Timestamp::default(), read).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Codec, "{text:?}");
        assert_eq!(error.key(), Some("k"));
        assert!(error.to_string().contains("delete it"), "{error}");
    }
    for text in ["f100 17900000000000 2", "s5 1 2 3"] {
        let mut store = Store::new();
        let state = (text.as_bytes().to_vec(), u64::MAX);
        store.states.insert(key("k"), state);
        let given_back = store.one(rule, 1, ThrottleMode::Refund);
        assert_eq!(given_back, LimitState::new(true, 2, 0, 0));
        assert_eq!(store.one(rule, 1, ThrottleMode::Debit).remaining, 1);
    }
}

#[test]
fn the_largest_rules_do_not_overflow() {
    let longest = LIMIT / 2 - 1;
    let rules = [
        gcra(LIMIT - 1, 1, LIMIT - 2),
        gcra(1, longest, 1),
        Rule::fixed(LIMIT - 2, micros(1)).unwrap(),
        Rule::sliding_counter(LIMIT - 2, micros(1)).unwrap(),
        Rule::sliding_counter(1, micros(longest)).unwrap(),
    ];
    let states = [
        "",
        "1 2",
        "1 2 3",
        "9007199254740991 9007199254740991 9007199254740991",
    ];
    let modes = [
        ThrottleMode::Debit,
        ThrottleMode::Refund,
        ThrottleMode::Peek,
    ];
    for (rule, now) in rules
        .iter()
        .flat_map(|it| [0, START, u64::MAX / 2].map(|now| (*it, now)))
    {
        for (state, mode) in states.iter().flat_map(|it| modes.map(|mode| (it, mode))) {
            let state = match rule {
                Rule::Gcra(_) => format!("g{state}"),
                Rule::Fixed(it) => format!("f{} 5 {}", it.length(), rule.max_cost()),
                Rule::SlidingCounter(it) => format!("s{} {state} 1", it.length()),
            };
            let read = |_: &Key| Ok(Some(state.clone()));
            let request = one(rule).cost(rule.max_cost()).mode(mode);
            // It may be no state; it must not panic.
            let _ = request.decide(Timestamp::from_micros(now as i64), read);
        }
    }
}
