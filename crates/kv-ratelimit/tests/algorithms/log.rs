//! The exact log.

use crate::{MICRO, SECOND, Site, is_denied, is_denied_exactly_until, passes, strict, time};
use kv_conformance::faults::{Fault, FaultsLayer, Plan};
use kv_core::{Clock, Kv, TimeToLive};
use std::{collections::VecDeque, time::Duration};

const NOON: &str = "2025-06-11T12:00:00.123457Z";

#[tokio::test]
async fn each_unit_counts_for_as_long_as_the_window() {
    let site = Site::at(NOON);
    let limit = site.limit("3/10s exact").await;
    for (seconds, left) in [(0, 2), (1, 1), (4, 0)] {
        site.clock.set(time(NOON).saturating_add(seconds * SECOND));
        let decision = passes(&limit).await;
        assert_eq!(decision.remaining, left);
        assert_eq!(decision.reset_after, 10 * SECOND);
    }
    let denied = is_denied(&limit).await;
    assert_eq!((denied.remaining, denied.retry_after), (0, 6 * SECOND));
    is_denied_exactly_until(&site, &limit, 6 * SECOND).await;
    // At 10 seconds; the one of second 1 goes at 11, and that of 4 at 14.
    is_denied_exactly_until(&site, &limit, SECOND).await;
    let two = limit.clone().cost(2);
    assert_eq!(is_denied(&two).await.retry_after, 9 * SECOND);
    is_denied_exactly_until(&site, &two, 9 * SECOND).await;
}

#[tokio::test]
async fn what_is_denied_or_only_looked_at_changes_nothing() {
    let site = Site::at(NOON);
    let limit = site.limit("2/10s exact").await;
    assert_eq!(limit.peek().await.unwrap().remaining, 2);
    assert_eq!(limit.peek().await.unwrap().reset_after, Duration::ZERO);
    assert!(site.keys().await.is_empty());
    passes(&limit).await;
    passes(&limit).await;
    site.clock.advance(3 * SECOND);
    let before = site.keys().await;
    for _ in 0..5 {
        is_denied(&limit).await;
        let looked = limit.peek().await.unwrap();
        assert_eq!(looked.retry_after, 7 * SECOND);
        assert!(looked.reset_after >= 7 * SECOND);
        assert!(looked.reset_after <= 7 * SECOND + Duration::from_millis(2));
    }
    assert_eq!(site.keys().await, before);
}

#[tokio::test]
async fn the_log_ends_with_its_window() {
    let site = Site::at(NOON);
    let limit = site.limit("3/10s exact").await;
    passes(&limit).await;
    site.clock.advance(4 * SECOND);
    passes(&limit).await;
    let keys = site.keys().await;
    let [(_, TimeToLive::In(left))] = keys[..] else {
        panic!("{keys:?}");
    };
    // What a store cuts comes on top.
    assert!(
        left >= 10 * SECOND && left <= 10 * SECOND + Duration::from_millis(1),
        "{left:?}"
    );
    site.clock.advance(10 * SECOND + Duration::from_millis(1));
    assert!(site.keys().await.is_empty());
    assert_eq!(limit.peek().await.unwrap().remaining, 3);
}

#[tokio::test]
async fn what_is_given_back_is_given_back_once() {
    let site = Site::at(NOON);
    let limit = site.limit("5/10s exact").await;
    let two = limit.clone().cost(2);
    let first = passes(&two).await;
    site.clock.advance(SECOND);
    passes(&two).await;
    for _ in 0..3 {
        limit.refund(first.clone()).await.unwrap();
        assert_eq!(limit.peek().await.unwrap().remaining, 3);
        // It is the first that went.
        let four = limit.clone().cost(4).peek().await.unwrap();
        assert_eq!(four.retry_after, 10 * SECOND);
    }
    // Never beyond unused, also where nothing is any more.
    site.clock.advance(20 * SECOND);
    limit.refund(first).await.unwrap();
    assert_eq!(limit.peek().await.unwrap().remaining, 5);
}

#[tokio::test]
async fn a_request_that_is_sent_again_counts_once() {
    for (quota, left) in [("5/10s exact", 3), ("2/10s exact", 0)] {
        let site = Site::at(NOON);
        let faults = FaultsLayer::new(Plan::Script(vec![Fault::Duplicate]));
        let faults = faults.only(|spec| spec.name == "commit");
        let kv = Kv::builder(site.store.clone()).layer(faults);
        let limiter = site.on(kv, strict(quota)).await;
        let decision = passes(&limiter.limit("p", "ann").unwrap().cost(2)).await;
        assert_eq!(decision.remaining, left);
        assert_eq!(decision.retry_after, Duration::ZERO);
        let limit = site.limit(quota).await;
        assert_eq!(limit.peek().await.unwrap().remaining, left);
    }
}

#[tokio::test]
async fn a_smaller_quota_says_when_enough_has_gone() {
    let site = Site::at(NOON);
    let limiter = site.process("6/10s exact").await;
    for _ in 0..6 {
        passes(&limiter.limit("p", "ann").unwrap()).await;
        site.clock.advance(SECOND);
    }
    limiter
        .set_policies([("p", strict("2/10s exact"))])
        .unwrap();
    let limit = limiter.limit("p", "ann").unwrap();
    // It is second 6; the fifth came at 4 and goes at 14.
    is_denied_exactly_until(&site, &limit, 8 * SECOND).await;
}

/// Whatever comes when: never more in any window than the limit, and never denied with room.
#[tokio::test]
async fn it_lets_pass_what_a_queue_of_all_requests_does() {
    let site = Site::at(NOON);
    let limit = site.limit("7/1s exact").await;
    let mut random = fastrand::Rng::with_seed(7);
    let mut queue = VecDeque::new();
    for _ in 0..2000 {
        site.clock.advance(random.u32(0..100_000) * MICRO);
        let now = site.clock.now().as_micros();
        while queue.front().is_some_and(|&it| it + 1_000_000 <= now) {
            queue.pop_front();
        }
        let cost = random.u64(1..4);
        let decision = limit.clone().cost(cost).check().await.unwrap();
        assert_eq!(decision.is_allowed(), queue.len() as u64 + cost <= 7);
        if decision.is_allowed() {
            queue.extend((0..cost).map(|_| now));
        }
        assert_eq!(decision.remaining, 7 - queue.len() as u64);
    }
}

#[tokio::test]
async fn where_the_key_has_another_algorithms_state_it_is_unused() {
    let site = Site::at(NOON);
    let limiter = site.process("3/min").await;
    passes(&limiter.limit("p", "ann").unwrap()).await;
    limiter
        .set_policies([("p", strict("3/min exact"))])
        .unwrap();
    let decision = passes(&limiter.limit("p", "ann").unwrap()).await;
    assert_eq!(decision.remaining, 2);
}
