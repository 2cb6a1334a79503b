//! Limits that each process has to itself.

use crate::{SECOND, Site, quota};
use kv_core::{Kv, Stopwatch};
use kv_memory::MemoryStore;
use kv_ratelimit::{OnError, Policy, Quota, RateLimiter, Source, Tier};
use std::{num::NonZeroU32, time::Duration};

fn own(text: &str) -> Policy {
    quota(text).tier(Tier::InProcess)
}

/// The governor and the store agree where a unit is a whole number of microseconds.
#[tokio::test]
async fn it_decides_as_the_store_does() {
    let site = Site::new();
    let (strict, _) = site.process(quota("10/s burst 7")).await;
    let (local, calls) = site.process(own("10/s burst 7")).await;
    let mut random = fastrand::Rng::with_seed(7);
    let mut denied = 0;
    for _ in 0..5000 {
        site.clock
            .advance(Duration::from_micros(random.u64(..100_000)));
        let cost = random.u64(1..=7);
        let expected = strict.limit("p", "ann").unwrap().cost(cost);
        let expected = expected.check().await.unwrap();
        let limit = local.limit("p", "ann").unwrap().cost(cost);
        let found = limit.check().await.unwrap();
        assert_eq!(found.source, Source::InProcess);
        assert_eq!(
            (
                found.verdict,
                found.remaining,
                found.retry_after,
                found.reset_after
            ),
            (
                expected.verdict,
                expected.remaining,
                expected.retry_after,
                expected.reset_after
            )
        );
        denied += u32::from(!found.is_allowed());
        if random.u32(..10) == 0 {
            strict
                .limit("p", "ann")
                .unwrap()
                .cost(cost)
                .refund(expected)
                .await
                .unwrap();
            limit.refund(found).await.unwrap();
        }
    }
    assert!(denied > 500);
    assert_eq!(calls.count(), 0);
}

/// The way by name is a shorter one.
#[tokio::test]
async fn asked_by_name_it_decides_as_the_limit_does() {
    for policy in [
        own("10/s burst 3"),
        own("10/s burst 3").shadow(),
        own("10/s burst 3").allow(["an*"]),
        quota("10/s burst 3").tier(Tier::Mirrored),
    ] {
        let site = Site::new();
        let (by_name, _) = site.process(policy.clone()).await;
        let (by_limit, _) = site.process(policy).await;
        for _ in 0..5 {
            site.clock.advance(Duration::from_micros(10));
            let found = by_name.check_local("p", "ann").unwrap();
            let limit = by_limit.limit("p", "ann").unwrap();
            assert_eq!(found, limit.check_local().unwrap());
        }
        by_name.check_local("q", "ann").unwrap_err();
    }
}

#[tokio::test]
async fn another_quota_opens_no_burst_again() {
    let site = Site::new();
    let (limiter, _) = site.process(own("10/h burst 10")).await;
    let passes = async || {
        let mut passed = 0;
        while limiter.check("p", "ann").await.unwrap().is_allowed() {
            passed += 1;
        }
        passed
    };
    assert_eq!(passes().await, 10);
    // The smaller bucket was full, the larger one has room for three more.
    for (text, more) in [
        ("10/h burst 9", 0),
        ("10/h burst 12", 3),
        // It is remembered when a bucket will be empty: at a slower rate that is fewer units.
        ("10/day burst 12", 11),
    ] {
        limiter.set_policies([("p", own(text))]).unwrap();
        assert_eq!(passes().await, more, "{text}");
    }
    // Nobody waits for longer than the new bucket takes: three units of a second.
    limiter.set_policies([("p", own("1/s burst 3"))]).unwrap();
    let denied = limiter.check("p", "ann").await.unwrap();
    assert!(denied.reset_after <= 3 * SECOND, "{denied:?}");
}

#[tokio::test]
async fn a_flood_ends_before_the_store() {
    let site = Site::new();
    let policy = quota("10/s burst 5").flood_guard(NonZeroU32::new(3).unwrap());
    let (limiter, calls) = site.process(policy).await;
    let mut guarded = 0;
    for _ in 0..1000 {
        let decision = limiter.check("p", "ann").await.unwrap();
        guarded += u64::from(decision.source == Source::FloodGuard);
    }
    assert_eq!((calls.count(), guarded), (15, 985));
    assert!(limiter.check("p", "bob").await.unwrap().is_allowed());
}

#[test]
fn only_what_can_be_kept_here_is_accepted() {
    let site = Site::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let kv = runtime.block_on(site.kv());
    let fixed = || Policy::new(Quota::fixed(5, SECOND).unwrap());
    for wrong in [
        fixed().tier(Tier::InProcess),
        fixed().tier(Tier::leased()),
        fixed().on_error(OnError::Local { share: 0.5 }),
        fixed().flood_guard(NonZeroU32::MIN),
        own("5/s").on_error(OnError::Local { share: 0.0 }),
        own("5/s").on_error(OnError::Local { share: f64::NAN }),
        own("5/s").deadline(Duration::ZERO),
        quota("5/s").tier(Tier::Leased {
            max_batch: Some(0),
            age: SECOND,
        }),
        quota("5/s").tier(Tier::Leased {
            max_batch: None,
            age: Duration::ZERO,
        }),
    ] {
        let error = site.on(&kv).policy("p", wrong).build().unwrap_err();
        assert!(error.to_string().contains("policy `p`"), "{error}");
    }
    assert!(site.on(&kv).policy("p", fixed()).build().is_ok());
    assert!(site.on(&kv).local_capacity(0).build().is_err());
}

/// A thread that was held up between reading the clock and the state takes nothing of others' back.
#[tokio::test]
async fn threads_let_no_more_pass_together() {
    let kv = Kv::builder(MemoryStore::default()).connect().await.unwrap();
    let (count, burst) = (10_000, 100);
    let policy = Policy::new(Quota::gcra(count, SECOND, burst).unwrap()).tier(Tier::InProcess);
    let limiter = RateLimiter::builder(&kv)
        .policy("p", policy)
        .build()
        .unwrap();
    let watch = Stopwatch::start();
    let hands = (0..12).map(|_| {
        let limiter = limiter.clone();
        std::thread::spawn(move || {
            let mut passed = 0;
            while watch.elapsed() < SECOND {
                let decision = limiter.check_local("p", "ann").unwrap().unwrap();
                passed += u64::from(decision.is_allowed());
            }
            passed
        })
    });
    let hands: Vec<_> = hands.collect();
    let passed: u64 = hands.into_iter().map(|it| it.join().unwrap()).sum();
    let most = burst + watch.elapsed().as_millis() as u64 * count / 1000 + count / 1000;
    assert!(passed <= most, "{passed}, at most {most}");
}
