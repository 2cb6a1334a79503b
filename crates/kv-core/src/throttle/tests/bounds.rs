//! How much passes in all.

use super::*;

/// Debits in time order: when, and how much.
fn log(rule: Rule, steps: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut store = Store::new();
    let mut admitted = Vec::new();
    for (step, number) in steps {
        store.now += step * pace(&rule) / 100;
        let cost = cost_of(&rule, *number);
        if store.one(rule, cost, ThrottleMode::Debit).allowed {
            admitted.push((store.now, cost));
        }
    }
    admitted
}

fn steps() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((0..=250_u64, any::<u64>()), 1..120)
}

proptest! {
    /// In any interval of length `t` no more passes than the burst and `t / T`.
    #[test]
    fn gcra_never_passes_more_than_it_promises(rule in any_gcra(), steps in steps()) {
        let Rule::Gcra(it) = rule else { unreachable!("made so") };
        let admitted = log(rule, &steps);
        for (first, (from, _)) in admitted.iter().enumerate() {
            let mut passed = 0;
            for (to, cost) in &admitted[first..] {
                passed += cost;
                let most = it.burst() * it.period() + (to - from) * it.count();
                prop_assert!(passed * it.period() <= most, "{passed} from {from} to {to}");
            }
        }
    }

    /// And no less: whoever asks for 1 whenever it is allowed gets the whole rate. With a burst of 1
    /// the bucket is empty before the next whole microsecond, and what is left of that is lost.
    #[test]
    fn gcra_passes_all_that_it_promises(
        (count, period) in (1..=1000_u64, 1000..=5_000_000_u64),
        burst in 2..=50_u64,
        calls in 1..200_u64,
    ) {
        let rule = gcra(count, period, burst);
        let Rule::Gcra(it) = rule else { unreachable!("made so") };
        let mut store = Store::new();
        for _ in 0..it.burst() + calls {
            let answer = store.one(rule, 1, ThrottleMode::Debit);
            if !answer.allowed {
                store.now += answer.retry_after.as_micros() as u64;
                prop_assert!(store.one(rule, 1, ThrottleMode::Debit).allowed);
            }
        }
        // No fraction of a microsecond is lost on the way.
        let took = store.now - START;
        prop_assert_eq!(took, (calls * it.period()).div_ceil(it.count()));
    }

    #[test]
    fn a_fixed_window_holds_its_count((count, length) in any_window(), steps in steps()) {
        let rule = Rule::fixed(count, micros(length)).unwrap();
        let mut windows = BTreeMap::new();
        for (at, cost) in log(rule, &steps) {
            *windows.entry(at / length).or_insert(0) += cost;
        }
        prop_assert!(windows.values().all(|used| *used <= count));
    }

    /// Against an exact log: the estimate is what the log says of both windows, and no window holds
    /// more than the count and what the assumption hides, less than twice the count.
    #[test]
    fn a_sliding_counter_is_off_by_no_more_than_it_says((count, length) in any_window(), steps in steps()) {
        let rule = Rule::sliding_counter(count, micros(length)).unwrap();
        let mut store = Store::new();
        let mut admitted: Vec<(u64, u64)> = Vec::new();
        for (step, number) in steps {
            store.now += step * length / 100;
            let (now, cost) = (store.now, cost_of(&rule, number));
            let id = now / length;
            let used = |window| admitted.iter().filter(|it| it.0 / length == window).map(|it| it.1).sum::<u64>();
            let (current, previous) = (used(id), used(id - 1));
            let passed = now % length;
            let estimate = previous * (length - passed) + (current + cost) * length;
            let answer = store.one(rule, cost, ThrottleMode::Debit);
            prop_assert_eq!(answer.allowed, estimate <= count * length);
            if answer.allowed {
                admitted.push((now, cost));
                let exact: u64 = admitted.iter().filter(|it| it.0 + length > now).map(|it| it.1).sum();
                prop_assert!(exact * length <= count * length + previous * passed);
                prop_assert!(exact < 2 * count || count == exact);
            }
        }
    }
}

/// Two clients with clocks of their own, one 20 ms ahead, which both ask all the time: what the one that is
/// ahead has stored is not cut by the other.
#[test]
fn clocks_that_differ_let_no_more_pass_than_they_differ_by() {
    let rule = Rule::gcra(200, Duration::from_secs(1), 10).unwrap();
    let request = one(rule);
    let passed = |skew: Duration| {
        let mut state: Option<Vec<u8>> = None;
        let mut passed = 0;
        for step in 0..10_000_u64 {
            let ahead = [0, 20_000][(step % 2) as usize];
            let now = Timestamp::from_micros((START + step * 100 + ahead) as i64);
            let done = request.decide_among_clocks(now, skew, |_| Ok(state.as_ref()));
            let done = done.unwrap();
            passed += u64::from(done.reply.allowed);
            match &done.writes[0] {
                StateWrite::Keep => {}
                StateWrite::Delete => state = None,
                StateWrite::Put { state: text, .. } => state = Some(text.as_bytes().to_vec()),
            }
        }
        passed
    };
    // A second is 200 and the burst, the difference of the clocks is four more.
    assert!(passed(Duration::from_millis(20)) <= 214);
    assert!(passed(Duration::ZERO) > 1000, "or this sees nothing");
}
