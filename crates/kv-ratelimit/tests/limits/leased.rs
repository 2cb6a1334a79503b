//! Units that are taken in advance.

use crate::{SECOND, Site, history::History, quota, refund::held, settle};
use kv_core::Clock;
use kv_ratelimit::{Policy, Source, Tier};
use std::time::Duration;

const AGE: Duration = Duration::from_millis(100);

fn leased(text: &str) -> Policy {
    quota(text).tier(Tier::leased())
}

/// R5.
#[tokio::test]
async fn no_span_of_time_sees_more_than_the_quota_and_the_age_allow() {
    for rate in [500, 2_000, 8_000] {
        let site = Site::new();
        let mut nodes = Vec::new();
        for _ in 0..3 {
            nodes.push(site.process(leased("1000/s burst 200")).await);
        }
        let mut random = fastrand::Rng::with_seed(7);
        let mut history = History::default();
        let (mut asked, mut from_lease) = (0_u64, 0_u64);
        let began = site.clock.now();
        for _ in 0..6000 {
            site.clock
                .advance(Duration::from_micros(random.u64(..2_000_000 / rate)));
            // Most of it from one.
            let (node, _) = &nodes[[0, 0, 0, 1, 2][random.usize(..5)]];
            let decision = node.check("p", "ann").await.unwrap();
            asked += 1;
            from_lease += u64::from(decision.source == Source::Lease);
            if decision.is_allowed() {
                history.add(site.clock.now().saturating_since(began), 1);
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(history.excess(200, SECOND / 1000, AGE), None, "{rate}");
        let calls: u64 = nodes.iter().map(|it| it.1.count()).sum();
        println!(
            "{rate}/s: {asked} requests, {} passed, {from_lease} from leases, {calls} calls",
            history.sum()
        );
        if rate == 500 {
            assert_eq!(history.sum(), asked, "half of the quota passes whole");
            assert!(calls * 4 < asked, "{calls} of {asked}");
        }
        let span = site.clock.now().saturating_since(began);
        let average = span.as_millis() as u64;
        if rate > 1000 {
            assert!(
                history.sum() > average * 8 / 10,
                "{} of {average}",
                history.sum()
            );
        }
    }
}

#[tokio::test]
async fn what_nobody_spends_in_time_is_given_back() {
    let site = Site::new();
    let (limiter, calls) = site.process(leased("1000/s burst 400")).await;
    let mut sources = Vec::new();
    for _ in 0..60 {
        site.clock.advance(Duration::from_micros(500));
        sources.push(limiter.check("p", "ann").await.unwrap().source);
    }
    assert!(sources.contains(&Source::Lease), "{sources:?}");
    assert!(calls.count() < 30, "{}", calls.count());
    let limit = limiter.limit("p", "ann").unwrap();
    let held = limit.peek().await.unwrap().remaining;
    // Without what flows back by itself within the age there is more left than there was.
    site.pass(AGE + Duration::from_millis(5)).await;
    let flowed = 105;
    let after = limit.peek().await.unwrap().remaining;
    assert!(
        after == 400 || after > held + flowed,
        "{held} and then {after}"
    );
    // The lease is over: the store is asked.
    assert_eq!(
        limiter.check("p", "ann").await.unwrap().source,
        Source::Store
    );
}

#[tokio::test]
async fn the_last_ones_go_to_who_asks() {
    let site = Site::new();
    let (busy, _) = site.process(leased("10/h burst 40")).await;
    let (idle, _) = site.process(leased("10/h burst 40")).await;
    let mut passed = 0;
    while busy.check("p", "ann").await.unwrap().is_allowed() {
        passed += 1;
        site.clock.advance(Duration::from_micros(10));
        if passed == 20 {
            passed += u32::from(idle.check("p", "ann").await.unwrap().is_allowed());
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(passed, 40, "none is left over");
}

#[tokio::test]
async fn a_quiet_subject_is_asked_at_the_store() {
    let site = Site::new();
    let (limiter, calls) = site.process(leased("1000/s burst 400")).await;
    for _ in 0..20 {
        site.pass(SECOND).await;
        let decision = limiter.check("p", "ann").await.unwrap();
        assert_eq!(decision.source, Source::Store);
    }
    assert_eq!(calls.count(), 20);
}

/// Who was on the way to get more, and who was to give back, ended with the runtime: others do it.
#[test]
fn units_are_got_and_given_back_on_the_next_runtime() {
    let site = Site::new();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    let policy = || leased("10/h burst 4000");
    let process = runtime().block_on(async {
        let process = site.process(policy()).await;
        let mut leased = 0;
        // Nobody in the background gets a turn.
        for _ in 0..200 {
            site.clock.advance(Duration::from_micros(500));
            let decision = process.0.check("p", "ann").await.unwrap();
            leased += u32::from(decision.source == Source::Lease);
        }
        assert!(leased > 0);
        process
    });
    runtime().block_on(async {
        let (limiter, _) = process;
        let mut at_the_store = 0;
        for _ in 0..400 {
            site.clock.advance(Duration::from_micros(500));
            settle().await;
            let decision = limiter.check("p", "ann").await.unwrap();
            at_the_store += u32::from(decision.source == Source::Store);
        }
        assert!(at_the_store <= 4, "{at_the_store} waited for more");
        site.pass(2 * AGE).await;
        let limit = limiter.limit("p", "ann").unwrap();
        assert_eq!(limit.peek().await.unwrap().remaining, 4000 - 600);
    });
}

/// Waiting for who gets more and asking for oneself together take no longer than the policy says.
#[tokio::test]
async fn who_waits_for_others_has_one_deadline() {
    let site = Site::new();
    let (kv, gate) = held(&site).await;
    let policy = leased("10/h burst 4000").deadline(AGE);
    let limiter = site.on(&kv).policy("p", policy).build().unwrap();
    gate.add_permits(10_000);
    for _ in 0..40 {
        site.clock.advance(Duration::from_micros(100));
        limiter.check("p", "ann").await.unwrap();
    }
    gate.forget_permits(20_000);
    // More than was taken in advance: from here on they have to ask.
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let limit = limiter.limit("p", "ann").unwrap().cost(1000);
        waiting.push(tokio::spawn(async move { limit.check().await }));
        settle().await;
    }
    site.clock.advance(AGE);
    settle().await;
    for one in waiting {
        assert!(one.is_finished());
        let error = one.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("has not decided"), "{error}");
    }
}

/// What has flowed back by itself before its lease is over is not given back once more.
#[tokio::test]
async fn units_that_have_flowed_back_are_not_given_back() {
    let site = Site::new();
    let (idle, _) = site.process(leased("1000/s burst 200")).await;
    let (busy, _) = site.process(quota("1000/s burst 200")).await;
    let mut leased = 0;
    for _ in 0..40 {
        site.clock.advance(Duration::from_micros(100));
        leased += u32::from(idle.check("p", "ann").await.unwrap().source == Source::Lease);
        settle().await;
    }
    assert!(leased > 0);
    // Nearly as long as the units are good; by then the limit is unused.
    site.pass(AGE - Duration::from_millis(5)).await;
    let limit = busy.limit("p", "ann").unwrap();
    assert_eq!(limit.peek().await.unwrap().remaining, 200);
    assert!(limit.clone().cost(200).check().await.unwrap().is_allowed());
    site.pass(Duration::from_millis(10)).await;
    assert_eq!(limit.peek().await.unwrap().remaining, 10);
}
