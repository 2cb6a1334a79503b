//! What the store has denied is denied here.

use crate::{SECOND, Site, quota};
use governor::{RateLimiter as Governor, clock::FakeRelativeClock};
use kv_core::Clock;
use kv_ratelimit::{Policy, Source, Tier};
use std::{num::NonZeroU32, time::Duration};

fn mirrored(text: &str) -> Policy {
    quota(text).tier(Tier::Mirrored)
}

/// R6: each call of some processes is asked of the store as well, at the same instant.
#[tokio::test]
async fn what_is_denied_here_the_store_denies() {
    for (text, most) in [
        ("10/s burst 7", 7),
        ("10/s fixed", 10),
        ("10/s sliding", 10),
    ] {
        let site = Site::new();
        let mut nodes = Vec::new();
        for _ in 0..3 {
            nodes.push(site.process(mirrored(text)).await);
        }
        let (judge, _) = site.process(quota(text)).await;
        let mut random = fastrand::Rng::with_seed(7);
        let (mut local, mut calls) = (0, 0);
        for _ in 0..6000 {
            site.clock
                .advance(Duration::from_micros(random.u64(..20_000)));
            let (node, _) = &nodes[random.usize(..3)];
            let cost = random.u64(1..=most.min(4));
            let expected = judge.limit("p", "ann").unwrap().cost(cost);
            let expected = expected.peek().await.unwrap();
            let limit = node.limit("p", "ann").unwrap().cost(cost);
            let decision = limit.check().await.unwrap();
            assert_eq!(
                decision.is_allowed(),
                expected.is_allowed(),
                "{text}: {decision:?}"
            );
            calls += 1;
            if decision.source == Source::LocalDeny {
                local += 1;
                let late = decision.retry_after.saturating_sub(expected.retry_after);
                assert!(late <= Duration::from_micros(2), "{text}: {late:?}");
            }
        }
        assert!(local > calls / 10, "{text}: {local} of {calls}");
        println!("{text}: {local} of {calls} were denied without a call");
    }
}

/// The test above must be able to fail: with a governor of the same quota in the mirror's place there are
/// wrong denials, since it counts what it lets pass and the store denies.
#[tokio::test]
async fn a_governor_in_its_place_would_be_wrong() {
    let site = Site::new();
    let (judge, _) = site.process(quota("10/s burst 7")).await;
    let clock = FakeRelativeClock::default();
    let quota = governor::Quota::with_period(SECOND / 10).unwrap();
    let quota = quota.allow_burst(NonZeroU32::new(7).unwrap());
    let nodes: Vec<_> = (0..3)
        .map(|_| Governor::direct_with_clock(quota, clock.clone()))
        .collect();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut denied, mut wrong) = (0, 0);
    for _ in 0..6000 {
        let span = Duration::from_micros(random.u64(..20_000));
        site.clock.advance(span);
        clock.advance(span);
        let node = &nodes[random.usize(..3)];
        let limit = judge.limit("p", "ann").unwrap();
        match node.check().is_ok() {
            true => drop(limit.check().await.unwrap()),
            false => {
                denied += 1;
                wrong += u32::from(limit.peek().await.unwrap().is_allowed());
            }
        }
    }
    println!("{wrong} of {denied} denials were wrong");
    assert!(wrong > 0);
}

/// Ten times the quota from four processes, most of it from one.
#[tokio::test]
async fn overload_is_kept_from_the_store() {
    let site = Site::new();
    let mut nodes = Vec::new();
    for _ in 0..4 {
        nodes.push(site.process(mirrored("100/s burst 20")).await);
    }
    let mut random = fastrand::Rng::with_seed(7);
    let mut total = 0;
    for _ in 0..20_000 {
        site.clock
            .advance(Duration::from_micros(random.u64(..2000)));
        let at = match random.u32(..10) {
            0 => random.usize(1..4),
            _ => 0,
        };
        nodes[at].0.check("p", "ann").await.unwrap();
        total += 1;
    }
    let asked: u64 = nodes.iter().map(|it| it.1.count()).sum();
    println!("{asked} of {total} calls reached the store");
    assert!(asked * 2 <= total, "{asked} of {total}");
}

#[tokio::test]
async fn what_is_given_back_is_known_at_once_here_and_soon_elsewhere() {
    let site = Site::new();
    let (here, _) = site.process(mirrored("1/h")).await;
    let (there, _) = site.process(mirrored("1/h")).await;
    let first = here.check("p", "ann").await.unwrap();
    for node in [&here, &there] {
        node.check("p", "ann").await.unwrap();
        let decision = node.check("p", "ann").await.unwrap();
        assert_eq!(decision.source, Source::LocalDeny);
    }
    here.limit("p", "ann").unwrap().refund(first).await.unwrap();
    assert!(here.check("p", "ann").await.unwrap().is_allowed());
    here.limit("p", "ann").unwrap().reset().await.unwrap();
    assert!(!there.check("p", "ann").await.unwrap().is_allowed());
    site.clock.advance(SECOND + Duration::from_micros(1));
    assert!(there.check("p", "ann").await.unwrap().is_allowed());
}

/// The store's clock is set: the mirror goes by spans, and no denial outlives its trust.
#[tokio::test]
async fn a_clock_that_steps_is_followed_within_a_second() {
    let site = Site::new();
    let (limiter, _) = site.process(mirrored("1/h")).await;
    assert!(limiter.check("p", "ann").await.unwrap().is_allowed());
    assert!(!limiter.check("p", "ann").await.unwrap().is_allowed());
    let later = site.clock.now().saturating_add(3600 * SECOND);
    site.clock.set(later);
    let decision = limiter.check("p", "ann").await.unwrap();
    assert_eq!(decision.source, Source::LocalDeny);
    site.clock.advance(SECOND + Duration::from_micros(1));
    assert!(limiter.check("p", "ann").await.unwrap().is_allowed());
}
