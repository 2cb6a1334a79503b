//! Windows of the calendar.

use crate::{MICRO, SECOND, Site, is_denied, is_denied_exactly_until, passes, strict, time};
use kv_conformance::faults::{Fault, FaultsLayer, Plan};
use kv_core::{Kv, TimeToLive, VirtualClock};
use kv_ratelimit::Limit;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Uses the window up.
async fn used_up(site: &Site, quota: &str) -> Limit {
    let limit = site.limit(quota).await;
    let all = limit.clone().cost(3);
    let decision = passes(&all).await;
    assert_eq!((decision.remaining, decision.limit), (0, 3));
    limit
}

#[tokio::test]
async fn a_window_ends_exactly_when_the_calendar_says() {
    for (quota, now, left) in [
        ("3/hour calendar", "2025-06-11T12:59:59.999999Z", MICRO),
        (
            "3/day calendar",
            "2025-06-11T12:30:00Z",
            11 * HOUR + HOUR / 2,
        ),
        (
            "3/month calendar Europe/Berlin",
            "2025-06-30T21:00:00Z",
            HOUR,
        ),
        (
            "3/year calendar Europe/Berlin",
            "2025-12-31T22:00:00Z",
            HOUR,
        ),
        ("3/week calendar", "2025-06-15T23:00:00Z", HOUR),
        // A day of 23 hours, and one of 25.
        (
            "3/day calendar Europe/Berlin",
            "2025-03-29T23:00:00Z",
            23 * HOUR,
        ),
        (
            "3/day calendar Europe/Berlin",
            "2025-10-25T22:00:00Z",
            25 * HOUR,
        ),
        // From 2 to 3 o'clock, for the first time.
        (
            "3/hour calendar Europe/Berlin",
            "2025-10-26T00:30:00Z",
            HOUR / 2,
        ),
    ] {
        let site = Site::at(now);
        let limit = used_up(&site, quota).await;
        assert_eq!(is_denied(&limit).await.reset_after, left, "{quota}");
        // R4: the counter ends with its window.
        let keys = site.keys().await;
        let [(_, TimeToLive::In(lives))] = keys[..] else {
            panic!("{quota}: {keys:?}");
        };
        assert!(
            lives <= left.max(Duration::from_millis(1)),
            "{quota}: {lives:?}"
        );
        is_denied_exactly_until(&site, &limit, left).await;
        assert_eq!(limit.peek().await.unwrap().remaining, 2, "{quota}");
    }
}

#[tokio::test]
async fn what_is_denied_or_only_looked_at_changes_nothing() {
    let site = Site::at("2025-06-11T12:00:00Z");
    let limit = site.limit("3/day calendar").await;
    let looked = limit.peek().await.unwrap();
    assert_eq!((looked.remaining, looked.reset_after), (3, Duration::ZERO));
    assert!(site.keys().await.is_empty());
    passes(&limit.clone().cost(2)).await;
    let before = site.keys().await;
    for _ in 0..5 {
        let denied = is_denied(&limit.clone().cost(2)).await;
        assert_eq!((denied.remaining, denied.retry_after), (1, 12 * HOUR));
        assert_eq!(limit.peek().await.unwrap().remaining, 1);
    }
    assert_eq!(site.keys().await, before);
    assert_eq!(passes(&limit).await.remaining, 0);
}

#[tokio::test]
async fn what_is_given_back_goes_to_its_own_window() {
    let site = Site::at("2025-06-11T23:00:00Z");
    let limit = site.limit("10/day calendar").await;
    let first = passes(&limit.clone().cost(4)).await;
    let second = passes(&limit.clone().cost(5)).await;
    limit.refund(first.clone()).await.unwrap();
    assert_eq!(limit.peek().await.unwrap().remaining, 5);
    site.clock.advance(HOUR);
    // Where the window has ended, nothing is left to give back to.
    limit.refund(second.clone()).await.unwrap();
    assert!(site.keys().await.is_empty());
    passes(&limit.clone().cost(6)).await;
    limit.refund(second).await.unwrap();
    assert_eq!(limit.peek().await.unwrap().remaining, 4);
}

#[tokio::test]
async fn never_more_is_given_back_than_was_taken() {
    let site = Site::at("2025-06-11T12:00:00Z");
    let limit = site.limit("10/day calendar").await;
    let first = passes(&limit.clone().cost(4)).await;
    let second = passes(&limit).await;
    for left in [9, 10, 10] {
        limit.refund(first.clone()).await.unwrap();
        assert_eq!(limit.peek().await.unwrap().remaining, left);
    }
    assert!(site.keys().await.is_empty(), "unused is absent");
    limit.refund(second).await.unwrap();
    assert!(site.keys().await.is_empty());
    passes(&limit.clone().cost(10)).await;
}

/// A counter that others write all the while is given back to all the same.
#[tokio::test(flavor = "multi_thread")]
async fn many_give_back_at_once() {
    let site = Site::at("2025-06-11T12:00:00Z");
    let limit = site.limit("100000/day calendar").await;
    let work = (0..8).map(|_| {
        let limit = limit.clone().cost(3);
        tokio::spawn(async move {
            for _ in 0..50 {
                let taken = limit.check().await.unwrap();
                // Who was overtaken each time may ask again.
                while limit.refund(taken.clone()).await.is_err() {}
            }
        })
    });
    for done in work.collect::<Vec<_>>() {
        done.await.unwrap();
    }
    assert_eq!(limit.peek().await.unwrap().remaining, 100_000);
}

#[tokio::test]
async fn a_reset_is_of_the_window_that_it_is() {
    let site = Site::at("2025-06-11T12:00:00Z");
    let limit = used_up(&site, "3/day calendar").await;
    limit.reset().await.unwrap();
    assert!(site.keys().await.is_empty());
    assert_eq!(passes(&limit.cost(3)).await.remaining, 0);
}

/// It is the store's clock that counts, whatever the processes' show.
#[tokio::test]
async fn the_stores_clock_says_which_window_it_is() {
    for here in [
        "2025-06-10T12:00:00Z",
        "2025-06-12T12:00:00Z",
        "1999-06-12T12:00:00Z",
    ] {
        let now = time("2025-06-11T12:00:00Z");
        let site = Site::of(VirtualClock::at(now), VirtualClock::at(time(here)));
        let (limit, calls) = site.counted("3/day calendar").await;
        let decision = passes(&limit).await;
        assert_eq!((decision.remaining, decision.reset_after), (2, 12 * HOUR));
        let keys = site.keys().await;
        assert_eq!(
            keys.len(),
            1,
            "what was counted in vain is taken back: {keys:?}"
        );
        assert!(keys[0].0.ends_with(":day:1749600000"), "{keys:?}");
        assert!(calls.take() <= 3);
        // From now on it is known.
        passes(&limit).await;
        assert_eq!(calls.take(), 1);
        limit.refund(decision).await.unwrap();
        assert_eq!(limit.peek().await.unwrap().remaining, 2);
        let fresh = site.limit("3/day calendar").await;
        assert_eq!(fresh.peek().await.unwrap().remaining, 2);
        let fresh = site.limit("3/day calendar").await;
        fresh.reset().await.unwrap();
        assert!(site.keys().await.is_empty());
    }
}

/// The window ends between the question and the answer.
#[tokio::test]
async fn what_comes_too_late_for_its_window_counts_in_the_next() {
    let store = VirtualClock::at(time("2025-06-11T23:59:59Z"));
    let site = Site::of(store, VirtualClock::at(time("2025-06-11T23:59:59Z")));
    let limit = used_up(&site, "3/day calendar").await;
    site.clock.advance(SECOND);
    let decision = passes(&limit).await;
    assert_eq!((decision.remaining, decision.reset_after), (2, 24 * HOUR));
    assert_eq!(site.keys().await.len(), 1);
}

/// A request that is sent twice counts twice, which errs on the strict side.
#[tokio::test]
async fn a_request_that_is_sent_again_is_never_too_cheap() {
    let site = Site::at("2025-06-11T12:00:00Z");
    let faults = FaultsLayer::new(Plan::Script(vec![Fault::Duplicate]));
    let faults = faults.only(|spec| spec.name == "commit");
    let kv = Kv::builder(site.store.clone()).layer(faults);
    let limiter = site.on(kv, strict("3/day calendar")).await;
    let decision = passes(&limiter.limit("p", "ann").unwrap()).await;
    assert_eq!(decision.remaining, 1);
}
