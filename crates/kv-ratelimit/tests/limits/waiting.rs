//! Waiting for a limit.

use crate::{SECOND, Site, quota, settle};
use kv_core::Clock;
use kv_ratelimit::{LimitError, Reserved, Tier};
use std::{sync::Arc, time::Duration};

#[tokio::test]
async fn those_who_wait_pass_one_by_one() {
    for tier in [
        Tier::Strict,
        Tier::Mirrored,
        Tier::leased(),
        Tier::InProcess,
    ] {
        let site = Site::new();
        let (limiter, _) = site.process(quota("10/s burst 2").tier(tier)).await;
        let began = site.clock.now();
        let passed = Arc::new(parking_lot::Mutex::new(Vec::new()));
        for _ in 0..12 {
            let (limiter, passed, clock) = (limiter.clone(), passed.clone(), site.clock.clone());
            tokio::spawn(async move {
                let limit = limiter.limit("p", "ann").unwrap();
                limit.until_ready(5 * SECOND).await.unwrap();
                passed.lock().push(clock.now().saturating_since(began));
            });
        }
        settle().await;
        site.pass(2 * SECOND).await;
        let passed = passed.lock().clone();
        assert_eq!(passed.len(), 12);
        for (at, took) in passed.iter().enumerate().skip(2) {
            let earliest = SECOND / 10 * (at as u32 - 1);
            assert!(*took >= earliest, "{tier:?}: {at} after {took:?}");
            assert!(
                *took <= earliest + SECOND / 50,
                "{tier:?}: {at} after {took:?}"
            );
        }
    }
}

#[tokio::test]
async fn who_cannot_wait_so_long_is_told_at_once() {
    for (text, after) in [("1/min", 60), ("1/min fixed", 60), ("1/min sliding", 120)] {
        let site = Site::new();
        let (limiter, _) = site.process(quota(text)).await;
        let limit = limiter.limit("p", "ann").unwrap();
        limit.until_ready(Duration::ZERO).await.unwrap();
        let before = site.clock.now();
        let error = limit.until_ready(SECOND).await.unwrap_err();
        let LimitError::TooLate(late) = error else {
            panic!("{error}");
        };
        assert!(late.retry_after() > SECOND && late.retry_after() <= after * SECOND);
        assert_eq!(site.clock.now(), before);
        // Nothing was taken: it passes when it said.
        site.clock.advance(late.retry_after());
        assert!(limit.check().await.unwrap().is_allowed(), "{text}");
    }
}

#[tokio::test]
async fn other_algorithms_wait_as_well() {
    let site = Site::new();
    let (limiter, _) = site.process(quota("2/s fixed")).await;
    let limit = limiter.limit("p", "ann").unwrap();
    while limit.check().await.unwrap().is_allowed() {}
    let waiting = tokio::spawn(async move { limit.until_ready(3 * SECOND).await });
    settle().await;
    assert!(!waiting.is_finished());
    site.pass(2 * SECOND).await;
    assert!(waiting.await.unwrap().unwrap().is_allowed());
}

#[tokio::test]
async fn a_reservation_is_kept_cancelled_or_dropped() {
    let site = Site::new();
    let (limiter, _) = site.process(quota("1/s")).await;
    let limit = limiter.limit("p", "ann").unwrap();
    let reserve = async || match limit.reserve(60 * SECOND).await.unwrap() {
        Reserved::Yes(it) => it,
        Reserved::No(denied) => panic!("{denied:?}"),
    };
    let next = async || limit.peek().await.unwrap().retry_after;
    let first = reserve().await;
    assert_eq!(first.wait(), Duration::ZERO);
    first.ready().await;
    let (second, third) = (reserve().await, reserve().await);
    assert_eq!((second.wait(), third.wait()), (SECOND, 2 * SECOND));
    assert_eq!(next().await, 3 * SECOND);
    third.cancel().await.unwrap();
    assert_eq!(next().await, 2 * SECOND);
    let waiting = tokio::spawn(second.ready());
    settle().await;
    waiting.abort();
    settle().await;
    assert_eq!(next().await, SECOND, "it is given back in the background");
    // One that was ready is used, dropped or not.
    let second = reserve().await;
    site.clock.advance(SECOND);
    drop(second);
    settle().await;
    assert_eq!(next().await, SECOND);
    let Reserved::No(denied) = limit.reserve(SECOND / 2).await.unwrap() else {
        panic!("it takes a second");
    };
    assert_eq!(denied.retry_after, SECOND);
    assert_eq!(next().await, SECOND, "nothing was taken");
}

#[tokio::test]
async fn only_gcra_has_places() {
    let site = Site::new();
    let (limiter, _) = site.process(quota("2/s fixed")).await;
    let error = limiter
        .limit("p", "ann")
        .unwrap()
        .reserve(SECOND)
        .await
        .unwrap_err();
    assert!(matches!(error, LimitError::NotPossible(_)), "{error}");
}
