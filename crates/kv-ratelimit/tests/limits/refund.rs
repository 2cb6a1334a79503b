//! What is given back, soon and late.

use crate::{SECOND, Site, history::History, quota, settle};
use kv_core::{Clock, Kv, layer_fn};
use kv_ratelimit::{Decision, Limit, Policy, Source, Tier};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

async fn remaining(limit: &Limit) -> u64 {
    limit.peek().await.unwrap().remaining
}

/// Everybody but those who gave back, however late, keeps to the quota.
#[tokio::test]
async fn late_refunds_let_no_more_pass_than_early_ones() {
    let tiers = [
        Tier::Strict,
        Tier::Mirrored,
        Tier::leased(),
        Tier::InProcess,
    ];
    for tier in tiers {
        let site = Site::new();
        let (limiter, _) = site.process(quota("1000/s burst 50").tier(tier)).await;
        let limit = limiter.limit("p", "ann").unwrap();
        let mut random = fastrand::Rng::with_seed(7);
        let mut given_up: Vec<(Duration, Decision)> = Vec::new();
        let mut history = History::default();
        let began = site.clock.now();
        for _ in 0..6_000 {
            site.clock.advance(Duration::from_micros(random.u64(..800)));
            let now = site.clock.now().saturating_since(began);
            let due = given_up.extract_if(.., |(at, _)| *at <= now);
            for (_, decision) in due.collect::<Vec<_>>() {
                limit.refund(decision).await.unwrap();
            }
            let decision = limit.check().await.unwrap();
            if !decision.is_allowed() {
                continue;
            }
            match random.u32(..4) {
                0 => {
                    let after = Duration::from_micros(random.u64(..100_000));
                    given_up.push((now + after, decision));
                }
                _ => history.add(now, 1),
            }
            tokio::task::yield_now().await;
        }
        let age = match tier {
            Tier::Leased { age, .. } => age,
            _ => Duration::ZERO,
        };
        assert_eq!(history.excess(50, SECOND / 1000, age), None, "{tier:?}");
        let most = site.clock.now().saturating_since(began).as_millis() as u64 + 50;
        println!("{tier:?}: {} of {most} passed", history.sum());
        assert!(history.sum() > most * 7 / 10, "{} of {most}", history.sum());
    }
}

#[tokio::test]
async fn what_has_flowed_back_in_part_is_given_back_in_part() {
    for tier in [Tier::Strict, Tier::InProcess] {
        let site = Site::new();
        let (limiter, _) = site.process(quota("1/s burst 4").tier(tier)).await;
        let limit = limiter.limit("p", "ann").unwrap();
        let first = limit.check().await.unwrap();
        site.clock.advance(SECOND * 3 / 4);
        for _ in 0..3 {
            assert!(limit.check().await.unwrap().is_allowed());
        }
        // 3.25 are used, of which the first one's quarter is given back.
        limit.refund(first.clone()).await.unwrap();
        let left = limit.peek().await.unwrap();
        assert_eq!((left.remaining, left.reset_after), (1, 3 * SECOND));
        // Another one's time is not this one's.
        site.clock.advance(SECOND / 4);
        limit.refund(first).await.unwrap();
        assert_eq!(limit.peek().await.unwrap().reset_after, SECOND * 11 / 4);
    }
}

#[tokio::test]
async fn a_window_that_is_over_gets_nothing_back() {
    for text in ["4/s fixed", "4/s sliding"] {
        let site = Site::new();
        let (limiter, _) = site.process(quota(text)).await;
        let limit = limiter.limit("p", "ann").unwrap();
        let early = limit.check().await.unwrap();
        let late = limit.check().await.unwrap();
        limit.refund(early).await.unwrap();
        assert_eq!(remaining(&limit).await, 3, "{text}");
        site.clock.advance(SECOND);
        limit.clone().cost(2).check().await.unwrap();
        let before = remaining(&limit).await;
        limit.refund(late).await.unwrap();
        assert_eq!(remaining(&limit).await, before, "{text}");
    }
}

#[tokio::test]
async fn a_look_gives_nothing_back() {
    for text in [
        "4/s",
        "4/s fixed",
        "4/s sliding",
        "4/s exact",
        "4/hour calendar",
    ] {
        let site = Site::new();
        let (limiter, _) = site.process(quota(text)).await;
        let limit = limiter.limit("p", "ann").unwrap();
        limit.check().await.unwrap();
        let looked = limit.peek().await.unwrap();
        limit.refund(looked).await.unwrap();
        assert_eq!(remaining(&limit).await, 3, "{text}");
    }
}

/// A store whose answers to limits are held back.
pub(crate) async fn held(site: &Site) -> (Kv, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let turns = gate.clone();
    let layer = layer_fn("hold", move |request, next| {
        let is_asked = request.command.spec().name == "throttle";
        let (answer, turns) = (next.call(request), turns.clone());
        Box::pin(async move {
            let answer = answer.await;
            if is_asked {
                turns.acquire().await.unwrap().forget();
            }
            answer
        })
    });
    let kv = Kv::builder(site.store.clone()).layer(layer);
    (kv.connect().await.unwrap(), gate)
}

/// A denial that was on its way when the limit was reset denies nobody after it, whether the subject was known
/// before or not.
#[tokio::test]
async fn an_answer_from_before_a_reset_is_not_remembered() {
    for known in [false, true] {
        let site = Site::new();
        let (there, _) = site.process(quota("2/h")).await;
        let (kv, gate) = held(&site).await;
        let policy = quota("2/h").tier(Tier::Mirrored);
        let here = site.on(&kv).policy("p", policy).build().unwrap();
        let limit = here.limit("p", "ann").unwrap();
        let there = there.limit("p", "ann").unwrap();
        assert!(there.check().await.unwrap().is_allowed());
        if known {
            gate.add_permits(1);
            let denied = limit.clone().cost(2).check().await.unwrap();
            assert!(!denied.is_allowed());
        }
        assert!(there.check().await.unwrap().is_allowed());
        let asked = tokio::spawn({
            let limit = limit.clone();
            async move { limit.check().await.unwrap() }
        });
        settle().await;
        limit.reset().await.unwrap();
        gate.add_permits(2);
        let before = asked.await.unwrap();
        assert_eq!((before.is_allowed(), before.source), (false, Source::Store));
        let after = limit.check().await.unwrap();
        assert!(after.is_allowed(), "{known} {after:?}");
    }
}

#[tokio::test]
async fn who_only_asks_this_process_adds_to_no_flood() {
    let site = Site::new();
    let policy = Policy::new("1/h burst 2".parse().unwrap())
        .tier(Tier::Strict)
        .flood_guard(std::num::NonZeroU32::MIN);
    let (limiter, _) = site.process(policy).await;
    let limit = limiter.limit("p", "ann").unwrap();
    for _ in 0..10 {
        assert_eq!(limit.check_local().unwrap(), None);
    }
    for _ in 0..2 {
        assert_eq!(limit.check().await.unwrap().source, Source::Store);
    }
    let denied = limit.check_local().unwrap().unwrap();
    assert_eq!(denied.source, Source::FloodGuard);
    // With others it counts as well.
    let bob = || limiter.limit("p", "bob").unwrap();
    for allowed in [true, true, false] {
        let decisions = limiter.check_limits(vec![bob()]).await.unwrap();
        assert_eq!(decisions.is_allowed(), allowed);
    }
    assert_eq!(
        bob().check_local().unwrap().unwrap().source,
        Source::FloodGuard
    );
}

/// Each unit of a batch flows back at its own time.
#[tokio::test]
async fn late_refunds_of_one_batch_let_no_more_pass() {
    let batch = Tier::Leased {
        max_batch: Some(79),
        age: SECOND / 10,
    };
    for tier in [Tier::Strict, Tier::leased(), batch] {
        let site = Site::new();
        let (one, _) = site.process(quota("1/s burst 80").tier(tier)).await;
        let (other, _) = site.process(quota("1/s burst 80")).await;
        let [one, other] = [&one, &other].map(|it| it.limit("p", "ann").unwrap());
        let mut ones = Vec::new();
        loop {
            let decision = one.check().await.unwrap();
            settle().await;
            if !decision.is_allowed() {
                break;
            }
            ones.push(decision);
        }
        // The bucket is kept full.
        let mut others = Vec::new();
        for _ in 0..10 {
            site.pass(SECOND).await;
            let decision = other.check().await.unwrap();
            others.extend(decision.is_allowed().then_some(decision));
        }
        let mut passed = 0;
        let ones = ones.into_iter().map(|it| (&one, it));
        let others = others.into_iter().map(|it| (&other, it));
        for (by, decision) in ones.chain(others) {
            by.refund(decision).await.unwrap();
            while other.check().await.unwrap().is_allowed() {
                passed += 1;
            }
        }
        assert!(passed <= 80, "{tier:?}: {passed} in one instant");
        assert!(passed >= 70, "{tier:?}: {passed}");
    }
}

#[tokio::test]
async fn what_another_policy_decided_is_not_given_back() {
    let site = Site::new();
    let limiter = site.on(&site.kv().await);
    let limiter = limiter.policy("p", quota("9/h")).policy("q", quota("2/h"));
    let limiter = limiter.build().unwrap();
    let decision = limiter.check("p", "ann").await.unwrap();
    let other = limiter.limit("q", "ann").unwrap();
    other.check().await.unwrap();
    let error = other.refund(decision).await.unwrap_err();
    assert!(error.to_string().contains("another policy"), "{error}");
    assert_eq!(remaining(&other).await, 1);
}
