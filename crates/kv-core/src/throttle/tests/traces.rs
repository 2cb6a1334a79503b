//! What holds at every step of a trace.

use super::*;

/// A trace: how far the clock goes, what it costs, and what is done.
fn trace() -> impl Strategy<Value = Vec<(u64, u64, u8)>> {
    prop::collection::vec((0..=300_u64, any::<u64>(), 0..10_u8), 1..60)
}

fn mode_of(number: u8) -> ThrottleMode {
    match number {
        0 => ThrottleMode::Refund,
        1 => ThrottleMode::Peek,
        _ => ThrottleMode::Debit,
    }
}

proptest! {
    /// After `retry_after` the same call is allowed, and not a microsecond earlier; a denial changes
    /// nothing; no state outlives its limit's use; what remains can be taken at once.
    #[test]
    fn every_answer_is_exact(rule in any_rule(), trace in trace()) {
        let mut store = Store::new();
        for (step, number, mode) in trace {
            store.now += step * pace(&rule) / 100;
            let (cost, mode) = (cost_of(&rule, number), mode_of(mode));
            let mut before = store.clone();
            let answer = store.one(rule, cost, mode);
            before.one(rule, 1, ThrottleMode::Peek);
            if !answer.allowed || mode == ThrottleMode::Peek {
                prop_assert_eq!(&store.states, &before.states);
            }
            let peek = |store: &Store, cost| store.clone().one(rule, cost, ThrottleMode::Peek);
            if !answer.allowed {
                let mut later = store.clone();
                later.now += answer.retry_after.as_micros() as u64 - 1;
                prop_assert!(!peek(&later, cost).allowed, "too early");
                later.now += 1;
                prop_assert!(peek(&later, cost).allowed, "not allowed when promised");
            }
            let mut rest = store.clone();
            match answer.remaining {
                0 => prop_assert!(!peek(&rest, 1).allowed),
                all => prop_assert!(rest.one(rule, all, ThrottleMode::Debit).allowed),
            }
            prop_assert!(answer.remaining == rule.max_cost() || !peek(&store, answer.remaining + 1).allowed);
            if let Some((_, deadline)) = store.states.get(&key("k")) && mode == ThrottleMode::Debit {
                if answer.allowed {
                    prop_assert_eq!(*deadline - store.now, answer.reset_after.as_micros() as u64);
                }
                let full = match rule {
                    Rule::Gcra(it) => (it.burst() * it.period()).div_ceil(it.count()),
                    Rule::Fixed(it) => it.length(),
                    Rule::SlidingCounter(it) => 2 * it.length(),
                };
                prop_assert!(*deadline - store.now <= full, "a key outlives a full limit");
            }
        }
    }

    /// After `reset_after` the limit is as good as new, whether the key is gone by then or not.
    #[test]
    fn an_absent_key_means_an_unused_limit(rule in any_rule(), trace in trace()) {
        let mut store = Store::new();
        for (step, number, mode) in trace {
            store.now += step * pace(&rule) / 100;
            let answer = store.one(rule, cost_of(&rule, number), mode_of(mode));
            let mut late = store.clone();
            late.now += answer.reset_after.as_micros() as u64;
            late.states.values_mut().for_each(|(_, deadline)| *deadline += 1);
            let unused = late.one(rule, 1, ThrottleMode::Peek);
            prop_assert_eq!(unused, LimitState::new(true, rule.max_cost(), 0, 0));
        }
    }

    /// All limits are debited or none, and each says by itself what it would have said alone.
    #[test]
    fn several_limits_are_one_decision(rules in prop::collection::vec(any_rule(), 1..5), trace in trace()) {
        let mut store = Store::new();
        let names = ["a", "b", "c", "d"];
        for (step, number, mode) in trace {
            store.now += step * pace(&rules[0]) / 100;
            let cost = 1 + number % rules.iter().map(Rule::max_cost).min().unwrap_or(1);
            let limits = rules.iter().zip(names);
            let request = limits.clone().fold(Throttle::new().cost(cost), |it, (rule, name)| it.limit(key(name), *rule));
            store.ask(&request.clone().mode(ThrottleMode::Peek));
            let before = store.clone();
            let alone = limits.map(|(rule, name)| {
                let request = Throttle::new().limit(key(name), *rule).cost(cost).mode(mode_of(mode));
                before.clone().ask(&request).limits[0]
            });
            let alone: Vec<_> = alone.collect();
            let answer = store.ask(&request.mode(mode_of(mode)));
            prop_assert_eq!(answer.allowed, alone.iter().all(|it| it.allowed));
            for (own, alone) in answer.limits.iter().zip(&alone) {
                prop_assert_eq!((own.allowed, own.retry_after), (alone.allowed, alone.retry_after));
                if answer.allowed {
                    prop_assert_eq!(own, alone);
                }
            }
            if !answer.allowed {
                prop_assert_eq!(&store.states, &before.states);
            }
        }
    }

    /// A refund gives back what was taken, never more than an unused limit has.
    #[test]
    fn a_refund_undoes_a_debit_and_no_more(rule in any_rule(), trace in trace()) {
        let mut store = Store::new();
        for (step, number, _) in trace {
            store.now += step * pace(&rule) / 100;
            let cost = cost_of(&rule, number);
            let (before, stand) = (store.clone(), store.one(rule, 1, ThrottleMode::Peek));
            if store.one(rule, cost, ThrottleMode::Debit).allowed {
                let back = store.clone().one(rule, cost, ThrottleMode::Refund);
                prop_assert_eq!((back.remaining, back.reset_after), (stand.remaining, stand.reset_after));
            }
            let mut more = before;
            let back = more.one(rule, rule.max_cost(), ThrottleMode::Refund);
            prop_assert!(back.remaining <= rule.max_cost());
            if matches!(rule, Rule::Gcra(_) | Rule::Fixed(_)) {
                prop_assert!(more.states.is_empty(), "nothing is used, yet something is stored");
            }
        }
    }

    /// However far the clock steps back, and however much the limit is lowered, nobody waits longer
    /// than a full limit takes, and `retry_after` is kept.
    #[test]
    fn a_step_back_or_a_lower_limit_locks_nobody_out(
        (old, new) in (any_rule(), any_rule()),
        back in 0..=100_000_000_u64,
        trace in trace(),
    ) {
        let mut store = Store::new();
        for (step, number, _) in trace {
            store.now += step * pace(&old) / 100;
            store.one(old, cost_of(&old, number), ThrottleMode::Debit);
        }
        store.now -= back;
        // The store's own deadlines are on the clock that was set back.
        let answer = store.one(new, new.max_cost(), ThrottleMode::Debit);
        let full = match new {
            Rule::Gcra(it) => (it.burst() * it.period()).div_ceil(it.count()),
            Rule::Fixed(it) => it.length(),
            Rule::SlidingCounter(it) => 2 * it.length(),
        };
        prop_assert!(answer.retry_after <= micros(full), "{:?} of {full}", answer.retry_after);
        store.now += answer.retry_after.as_micros() as u64;
        if !answer.allowed {
            prop_assert!(store.one(new, new.max_cost(), ThrottleMode::Debit).allowed);
        }
    }
}
