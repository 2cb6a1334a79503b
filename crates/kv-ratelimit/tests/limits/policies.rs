//! Policies that change while they are used.

use crate::{SECOND, Site, quota};
use kv_ratelimit::{OnError, Tier};
use std::time::Duration;

#[tokio::test]
async fn no_burst_is_opened_again() {
    for tier in [Tier::Strict, Tier::Mirrored, Tier::leased()] {
        let site = Site::new();
        let policy = |text: &str| quota(text).tier(tier);
        let (limiter, _) = site.process(policy("10/h burst 10")).await;
        let passes = async || {
            let mut passed = 0;
            while limiter.check("p", "ann").await.unwrap().is_allowed() {
                passed += 1;
            }
            passed
        };
        assert_eq!(passes().await, 10);
        // The smaller bucket was full, the larger one has room for three more.
        for (text, more) in [("10/h burst 9", 0), ("10/h burst 12", 3)] {
            limiter.set_policies([("p", policy(text))]).unwrap();
            // A denial that is remembered here is by the old quota, for a second at most.
            site.clock.advance(SECOND + Duration::from_micros(1));
            assert_eq!(passes().await, more, "{tier:?}: {text}");
        }
        // A stricter one lets nobody wait for longer than its own bucket takes.
        limiter
            .set_policies([("p", policy("1/s burst 3"))])
            .unwrap();
        site.clock.advance(SECOND + Duration::from_micros(1));
        let denied = limiter.check("p", "ann").await.unwrap();
        assert!(denied.reset_after <= 3 * SECOND, "{denied:?}");
    }
}

#[tokio::test]
async fn a_change_is_whole_or_not_at_all() {
    let site = Site::new();
    let (limiter, _) = site.process(quota("1/h")).await;
    let wrong = quota("2/h fixed").on_error(OnError::Local { share: 1.0 });
    let error = limiter
        .set_policies([("p", quota("2/h")), ("q", wrong)])
        .unwrap_err();
    assert_eq!(error.policy(), "q");
    let names = |limiter: &kv_ratelimit::RateLimiter| {
        let all = limiter.policies().into_iter();
        all.map(|(name, it)| format!("{name}: {}", it.quota()))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&limiter), ["p: 1/1h burst 1"]);
    limiter.set_policies([("q", quota("2/h"))]).unwrap();
    assert_eq!(names(&limiter), ["q: 2/1h burst 2"]);
    assert!(limiter.check("p", "ann").await.is_err());
    assert!(limiter.check("q", "ann").await.unwrap().is_allowed());
}
