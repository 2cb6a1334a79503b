//! The store decides about each request.

use crate::{SECOND, Site, history::History, quota};
use kv_core::Clock;
use kv_ratelimit::{LimitError, Source, Verdict};
use std::time::Duration;

const MICRO: Duration = Duration::from_micros(1);

/// R1.
#[tokio::test]
async fn no_span_of_time_sees_more_than_the_quota_allows() {
    let site = Site::new();
    let (one, _) = site.process(quota("10/s burst 7")).await;
    let (other, _) = site.process(quota("10/s burst 7")).await;
    let mut random = fastrand::Rng::with_seed(7);
    let (mut history, mut denied) = (History::default(), 0);
    let began = site.clock.now();
    for turn in 0..3000 {
        site.clock
            .advance(Duration::from_micros(random.u64(..60_000)));
        let limiter = [&one, &other][turn % 2];
        let cost = random.u64(1..4);
        let limit = limiter.limit("p", "ann").unwrap().cost(cost);
        match limit.check().await.unwrap().is_allowed() {
            true => history.add(site.clock.now().saturating_since(began), cost),
            false => denied += 1,
        }
    }
    assert!(denied > 500, "{denied}");
    assert_eq!(history.excess(7, SECOND / 10, Duration::ZERO), None);
    // It is no stricter than it says either.
    let span = site.clock.now().saturating_since(began);
    let average = (span.as_millis() / 100) as u64;
    assert!(
        history.sum() > average * 8 / 10,
        "{} of {average}",
        history.sum()
    );
}

/// R2.
#[tokio::test]
async fn what_is_denied_passes_when_it_says_so_and_not_before() {
    for text in ["7/s burst 3", "3/10s fixed", "1/3s"] {
        let site = Site::new();
        let (limiter, _) = site.process(quota(text)).await;
        let check = async || limiter.check("p", "ann").await.unwrap();
        for _ in 0..20 {
            let mut decision = check().await;
            while decision.is_allowed() {
                assert_eq!(decision.retry_after, Duration::ZERO);
                decision = check().await;
            }
            assert_eq!(decision.verdict, Verdict::Denied);
            assert_eq!(decision.source, Source::Store);
            assert_eq!(decision.remaining, 0);
            site.clock.advance(decision.retry_after - MICRO);
            assert!(!check().await.is_allowed(), "{text}: 1 µs early");
            site.clock.advance(MICRO);
            assert!(check().await.is_allowed(), "{text}");
        }
    }
}

/// R3, R4.
#[tokio::test]
async fn a_denial_changes_nothing_and_every_key_ends() {
    let site = Site::new();
    let (limiter, _) = site.process(quota("10/min burst 4")).await;
    let kv = site.kv().await;
    while limiter.check("p", "ann").await.unwrap().is_allowed() {}
    let key = "{rl:ann}:p";
    let before = (
        kv.get(key).await.unwrap(),
        kv.time_to_live(key).await.unwrap(),
    );
    assert!(before.0.is_some());
    for cost in [1, 4] {
        let limit = limiter.limit("p", "ann").unwrap().cost(cost);
        assert!(!limit.check().await.unwrap().is_allowed());
        assert!(!limit.peek().await.unwrap().is_allowed());
    }
    let after = (
        kv.get(key).await.unwrap(),
        kv.time_to_live(key).await.unwrap(),
    );
    assert_eq!(before, after);
    let kv_core::TimeToLive::In(left) = after.1 else {
        panic!("{after:?}");
    };
    // Four units of six seconds each.
    assert!(left <= 24 * SECOND + Duration::from_millis(1), "{left:?}");
    site.clock.advance(24 * SECOND);
    assert_eq!(kv.get(key).await.unwrap(), None, "unused is absent");
}

/// R11.
#[tokio::test]
async fn what_is_given_back_makes_no_more_than_there_is() {
    let site = Site::new();
    let (limiter, _) = site.process(quota("10/min burst 4")).await;
    let limit = limiter.limit("p", "ann").unwrap();
    let decision = limit.check().await.unwrap();
    for _ in 0..10 {
        limit.refund(decision.clone()).await.unwrap();
    }
    assert_eq!(limit.peek().await.unwrap().remaining, 4);
    while limit.check().await.unwrap().is_allowed() {}
    let denied = limit.check().await.unwrap();
    limit.refund(denied).await.unwrap();
    assert!(
        !limit.check().await.unwrap().is_allowed(),
        "a denial took nothing"
    );
    limit.reset().await.unwrap();
    assert_eq!(limit.peek().await.unwrap().remaining, 4);
}

#[tokio::test]
async fn what_could_never_pass_is_refused_before_anybody_is_asked() {
    let site = Site::new();
    let (limiter, calls) = site.process(quota("10/min burst 4")).await;
    for cost in [0, 5] {
        let limit = limiter.limit("p", "ann").unwrap().cost(cost);
        let error = limit.check().await.unwrap_err();
        assert!(matches!(error, LimitError::Cost(_)), "{error}");
        assert!(error.to_string().contains("1 to 4"), "{error}");
    }
    let error = limiter.check("q", "ann").await.unwrap_err();
    assert!(error.to_string().contains("`q`; there are p"), "{error}");
    assert_eq!(calls.count(), 0);
    let most = limiter.limit("p", "ann").unwrap().cost(4);
    assert!(most.check().await.unwrap().is_allowed());
}

#[tokio::test]
async fn some_subjects_are_free_and_some_policies_are_only_tried_out() {
    let site = Site::new();
    let policy = quota("1/h").allow(["health", "internal:*"]);
    let (limiter, calls) = site.process(policy.clone()).await;
    for subject in ["health", "internal:", "internal:a"] {
        for _ in 0..3 {
            let decision = limiter.check("p", subject).await.unwrap();
            assert_eq!(decision.source, Source::AllowList);
            assert!(decision.is_allowed());
        }
    }
    assert_eq!(calls.count(), 0);
    for subject in ["healthy", "internal", ""] {
        assert!(limiter.check("p", subject).await.unwrap().is_allowed());
        assert!(
            !limiter.check("p", subject).await.unwrap().is_allowed(),
            "{subject}"
        );
    }
    let (shadow, _) = site.process(policy.shadow()).await;
    let decision = shadow.check("p", "healthy").await.unwrap();
    assert!(decision.is_allowed());
    assert_eq!(decision.verdict, Verdict::WouldDeny);
    assert!(decision.retry_after > Duration::ZERO);
}

/// The store's clock is set while requests come: each step forward opens one burst at most, and after one
/// back nobody waits for longer than a bucket takes.
#[tokio::test]
async fn a_clock_that_is_set_costs_a_burst_at_most() {
    let site = Site::new();
    let (limiter, _) = site.process(quota("10/s burst 7")).await;
    let full = Duration::from_millis(700);
    let mut random = fastrand::Rng::with_seed(7);
    let began = site.clock.monotonic();
    let (mut history, mut forward) = (History::default(), 0);
    for turn in 1..=4000 {
        site.clock
            .advance(Duration::from_micros(random.u64(..20_000)));
        if turn % 500 == 0 {
            let now = site.clock.now();
            let hour = i64::from(turn) * 1_000_000;
            match turn % 1000 {
                0 => {
                    forward += 1;
                    site.clock
                        .set(now.saturating_add(Duration::from_micros(hour as u64)));
                }
                _ => site
                    .clock
                    .set(kv_core::Timestamp::from_micros(now.as_micros() - hour)),
            }
        }
        let decision = limiter.check("p", "ann").await.unwrap();
        assert!(decision.retry_after <= full, "{decision:?}");
        if decision.is_allowed() {
            history.add(site.clock.monotonic() - began, 1);
        }
    }
    assert!(forward > 0);
    assert_eq!(
        history.excess(7 * (1 + forward), SECOND / 10, Duration::ZERO),
        None
    );
}
