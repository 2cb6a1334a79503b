//! T: rate limits: what is taken, given back and refused.

use super::{cases, ops};
use crate::{
    bench::{Bench, together},
    failure::{Verdict, ensure, ensure_eq, ensure_error},
    fixture::Tenancy,
};
use kv_core::{
    Capability, Context, Key, LimitState, Rule, Throttle, ThrottleMode, Throttled, TimeToLive,
};
use std::time::Duration;

cases! {
    'T' 301 "a denial changes nothing" [Throttle] denial;
    'T' 302 "a cost that could never pass is refused" [Throttle] cost_above_burst;
    'T' 303 "several limits are debited together or not at all" [Throttle] all_or_none;
    'T' 304 "peek tells what a debit would, and takes nothing" [Throttle] peek;
    'T' 305 "a refund gives back, and never more than was taken" [Throttle] refund;
    'T' 306 "a reservation is taken ahead of time and tells how long to wait" [Throttle] reserve;
    'T' 309 "of 100 calls at once a limit of 20 lets 20 pass" [Throttle] concurrent;
    'T' 310 "a limit's key ends when it is unused" [Expiry, Throttle] time_to_live;
    'T' 311 "limits of different groups, or named twice, are refused" [Throttle] malformed;
    'T' 312 "a structure at a limit's key is refused, and nothing is debited" [Hashes, Throttle] wrong_type;
    'T' 313 "what is no state of a limit is refused until it is deleted" [Strings, Throttle] corrupt;
    'T' 314 "limits at other keys, or of other tenants, are others" [Throttle] apart;
}

pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// `count` at once, and hardly any more while a case runs.
pub(super) fn slow(count: u64) -> Verdict<Rule> {
    Ok(Rule::gcra(1, HOUR, count)?)
}

pub(super) fn one(key: &Key, rule: Rule) -> Throttle {
    Throttle::new().limit(key, rule)
}

async fn denial(b: Bench) -> Verdict {
    let key = b.key("a");
    let request = one(&key, slow(2)?).cost(2);
    b.kv.throttle(request.clone()).await?;
    let stored = match b.has(Capability::Strings) {
        true => ops::stored(&b, &key).await?,
        false => None,
    };
    let mut last = None;
    for _ in 0..20 {
        let denied = b.kv.throttle(request.clone()).await?;
        ensure_eq!(denied.allowed, false, "a call beyond the burst");
        let due = denied.now.saturating_add(denied.limits[0].retry_after);
        // The promise stays where it was, to the microsecond.
        ensure_eq!(due, *last.get_or_insert(due), "when the next may pass");
    }
    if b.has(Capability::Strings) {
        let now = ops::stored(&b, &key).await?;
        ensure!(now == stored, "a denial wrote the state");
    }
    Ok(())
}

async fn cost_above_burst(b: Bench) -> Verdict {
    let key = b.key("a");
    let day = Rule::fixed(3, HOUR * 24)?;
    for rule in [slow(3)?, day, Rule::sliding_counter(3, HOUR * 24)?] {
        for cost in [0, 4, u64::MAX] {
            let request = one(&key, rule).cost(cost);
            ensure_error!(
                b.kv.throttle(request).await,
                InvalidArgument,
                "a cost of {cost} at a burst of 3"
            );
        }
    }
    b.lacks(&key).await?;
    let whole = b.kv.throttle(one(&key, slow(3)?).cost(3)).await?;
    ensure_eq!(whole.allowed, true, "a cost of the whole burst");
    ensure_eq!(whole.limits[0].remaining, 0, "what remains of it");
    Ok(())
}

async fn all_or_none(b: Bench) -> Verdict {
    let [wide, narrow, window] = ["w", "n", "f"].map(|name| b.grouped("g", name));
    let (ten, two) = (slow(10)?, slow(2)?);
    let request = one(&wide, ten)
        .limit(&narrow, two)
        .limit(&window, Rule::sliding_counter(10, HOUR * 24 * 365)?);
    for left in [1, 0] {
        let answer = b.kv.throttle(request.clone()).await?;
        let remaining: Vec<u64> = answer.limits.iter().map(|it| it.remaining).collect();
        ensure_eq!(
            remaining,
            [8 + left, left, 8 + left],
            "what remains of each"
        );
    }
    for _ in 0..3 {
        let answer = b.kv.throttle(request.clone()).await?;
        ensure_eq!(answer.allowed, false, "a call that one limit denies");
        let own: Vec<bool> = answer.limits.iter().map(|it| it.allowed).collect();
        ensure_eq!(own, [true, false, true], "what each limit says by itself");
        ensure_eq!(answer.limits[0].remaining, 8, "what remains of the others");
        ensure_eq!(answer.limits[0].retry_after, Duration::ZERO, "their wait");
        ensure_eq!(answer.limits[2].remaining, 8, "what remains of the others");
    }
    Ok(())
}

async fn peek(b: Bench) -> Verdict {
    let key = b.key("a");
    let (request, peek) = (one(&key, slow(2)?), ThrottleMode::Peek);
    for left in [2, 1] {
        for _ in 0..3 {
            let seen = b.kv.throttle(request.clone().mode(peek)).await?;
            ensure_eq!(seen.allowed, true, "peek with {left} left");
            ensure_eq!(seen.limits[0].remaining, left, "what peek says remains");
        }
        b.kv.throttle(request.clone()).await?;
    }
    let seen = b.kv.throttle(request.clone().mode(peek)).await?;
    let asked = b.kv.throttle(request).await?;
    ensure_eq!(seen.allowed, false, "peek at a full limit");
    let due = |it: &Throttled| it.now.saturating_add(it.limits[0].retry_after);
    ensure_eq!(due(&seen), due(&asked), "the promise of peek");
    Ok(())
}

async fn refund(b: Bench) -> Verdict {
    let rules = [slow(3)?, Rule::fixed(3, HOUR * 24 * 365)?];
    for (at, rule) in rules.into_iter().enumerate() {
        let key = b.key(format!("k{at}"));
        let ask = |cost, mode| b.kv.throttle(one(&key, rule).cost(cost).mode(mode));
        ask(3, ThrottleMode::Refund).await?;
        b.lacks(&key).await?;
        ask(3, ThrottleMode::Debit).await?;
        let back = ask(2, ThrottleMode::Refund).await?;
        ensure_eq!(back.allowed, true, "a refund");
        ensure_eq!(
            back.limits[0].remaining,
            2,
            "what remains after a refund of 2"
        );
        let back = ask(3, ThrottleMode::Refund).await?;
        ensure_eq!(
            back.limits[0],
            LimitState::new(true, 3, 0, 0),
            "an unused limit"
        );
        b.lacks(&key).await?;
        let all = ask(3, ThrottleMode::Debit).await?;
        ensure_eq!(all.allowed, true, "the burst after refunds");
        let more = ask(1, ThrottleMode::Debit).await?;
        ensure_eq!(more.allowed, false, "more than the burst after refunds");
    }
    Ok(())
}

async fn reserve(b: Bench) -> Verdict {
    let key = b.key("a");
    let max_wait = HOUR * 2;
    let request = one(&key, slow(1)?).mode(ThrottleMode::Reserve { max_wait });
    let mut due = Vec::new();
    for turn in 0..3 {
        let answer = b.kv.throttle(request.clone()).await?;
        ensure_eq!(answer.allowed, true, "reservation {turn}");
        due.push(answer.now.saturating_add(answer.limits[0].retry_after));
    }
    ensure_eq!(due[1], due[0].saturating_add(HOUR), "the second turn");
    ensure_eq!(due[2], due[1].saturating_add(HOUR), "the third turn");
    let late = b.kv.throttle(request).await?;
    ensure_eq!(late.allowed, false, "a reservation three hours ahead");
    ensure!(
        late.limits[0].retry_after > max_wait,
        "refused for {:?}, with {max_wait:?} to wait",
        late.limits[0].retry_after
    );
    let window = one(&b.key("w"), Rule::fixed(1, HOUR)?).mode(ThrottleMode::Reserve { max_wait });
    ensure_error!(
        b.kv.throttle(window).await,
        InvalidArgument,
        "a reservation of a window"
    );
    Ok(())
}

async fn concurrent(b: Bench) -> Verdict {
    let request = one(&b.key("a"), slow(20)?);
    let calls = (0..100).map(|_| {
        let (kv, request) = (b.kv.clone(), request.clone());
        async move { Ok(kv.throttle(request).await?.allowed) }
    });
    let answers = together(calls).await?;
    let passed = answers.iter().filter(|it| **it).count();
    ensure_eq!(passed, 20, "how many of 100 calls passed");
    Ok(())
}

async fn time_to_live(b: Bench) -> Verdict {
    let second = Duration::from_secs(100);
    // The rule, a cost, and how long the limit is in use after it.
    let cases = [
        (Rule::gcra(1, second, 3)?, 2, second * 2),
        (Rule::fixed(3, second)?, 2, second),
        (Rule::sliding_counter(3, second)?, 2, second * 2),
    ];
    for (at, (rule, cost, longest)) in cases.into_iter().enumerate() {
        let key = b.key(format!("k{at}"));
        let answer = b.kv.throttle(one(&key, rule).cost(cost)).await?;
        let reset = answer.limits[0].reset_after;
        ensure!(reset <= longest, "{rule:?} is in use for {reset:?}");
        let left = b.left(&key).await?;
        // Rounded up to the store's step.
        let most = reset + b.granularity();
        ensure!(
            left <= most,
            "{rule:?}: the key lives {left:?}, the use {reset:?}"
        );
        ensure!(
            left + Duration::from_secs(30) > reset,
            "{rule:?}: the key lives {left:?}"
        );
    }
    let (key, rule) = (
        b.key("quick"),
        Rule::gcra(1, Duration::from_millis(100), 3)?,
    );
    let (answer, written) = b.written(b.kv.throttle(one(&key, rule).cost(3))).await?;
    b.wait_out(written, answer.limits[0].reset_after).await?;
    let gone = b.kv.time_to_live(&key).await?;
    ensure_eq!(gone, TimeToLive::Missing, "a limit's key after its use");
    Ok(())
}

async fn malformed(b: Bench) -> Verdict {
    let (a, other) = (b.grouped("a", ":k"), b.grouped("b", ":k"));
    let rule = slow(1)?;
    let apart = one(&a, rule).limit(&other, rule);
    ensure_error!(
        b.kv.throttle(apart).await,
        CrossGroup,
        "limits of two groups"
    );
    let twice = one(&a, rule).limit(&a, rule);
    ensure_error!(
        b.kv.throttle(twice).await,
        InvalidArgument,
        "a limit named twice"
    );
    let none = Throttle::new();
    ensure_error!(
        b.kv.throttle(none).await,
        InvalidArgument,
        "no limit at all"
    );
    b.lacks(&a).await
}

async fn wrong_type(b: Bench) -> Verdict {
    let (first, hash) = (b.grouped("g", ":a"), b.grouped("g", ":h"));
    b.kv.hset(&hash, "f", "v").await?;
    let request = one(&first, slow(2)?).limit(&hash, slow(2)?);
    let error = ensure_error!(b.kv.throttle(request).await, WrongType, "a hash at a limit");
    let named = hash.to_string();
    ensure_eq!(
        error.key(),
        Some(named.as_str()),
        "the key that the error names"
    );
    ensure_eq!(b.kv.hlen(&hash).await?, 1, "the fields of the hash");
    b.lacks(&first).await
}

async fn corrupt(b: Bench) -> Verdict {
    let (first, key) = (b.grouped("g", ":a"), b.grouped("g", ":k"));
    let request = one(&first, slow(2)?).limit(&key, slow(2)?);
    for text in [
        "",
        "1",
        "g",
        "g1 2 3 4",
        "g-1",
        "x",
        "f1 2",
        "g9007199254740992",
        "g1 ",
    ] {
        b.kv.set(&key, text).await?;
        let error = ensure_error!(
            b.kv.throttle(request.clone()).await,
            Codec,
            "{text:?} at a limit"
        );
        let named = key.to_string();
        ensure_eq!(
            error.key(),
            Some(named.as_str()),
            "the key that the error names"
        );
        b.holds(&key, text).await?;
        b.lacks(&first).await?;
    }
    b.kv.delete(&key).await?;
    ensure_eq!(
        b.kv.throttle(request).await?.allowed,
        true,
        "after the reset"
    );
    Ok(())
}

async fn apart(b: Bench) -> Verdict {
    for name in ["a", "ab", "a:b"] {
        let answer = b.kv.throttle(one(&b.key(name), slow(1)?)).await?;
        ensure_eq!(answer.allowed, true, "the first call at `{name}`");
    }
    if b.settings().tenancy == Tenancy::InKeys {
        for tenant in ["a", "ab"] {
            let tenant = Context::tenant(format!("{}{tenant}", b.root()));
            let kv = b.kv.bind(tenant);
            let request = one(&b.key("shared"), slow(1)?);
            let answers = [
                kv.throttle(request.clone()).await?,
                kv.throttle(request).await?,
            ];
            let allowed = answers.map(|it| it.allowed);
            ensure_eq!(allowed, [true, false], "two calls of each tenant");
            kv.delete(b.key("shared")).await?;
        }
    }
    Ok(())
}
