//! The rate limiter: one question a call against the same algorithm in a script of its own, and units
//! that are taken in advance against asking each time.

use crate::{Bench, TURN, load::Share, reference_throttle};
use kv_ratelimit::{Policy, Quota, RateLimiter, Tier};
use kv_tests::bench::{Claim, Contest, Outcome, Side, Suite};
use std::time::Duration;

pub(crate) fn rows(bench: &Bench, suite: &mut Suite) {
    for (tasks, target) in [(1, 0.95), (64, 0.90)] {
        let claims = [Claim::ratio(format!("redis/limits/strict/{tasks}"), target)];
        suite.hold(&claims, || {
            let (stage, load) = (bench.stage()?, &bench.limits);
            let clients = &stage.threads;
            let (run, raw) = (&clients.runtime, &clients.raw);
            let quota = Quota::gcra(100, Duration::from_secs(60), 100)?;
            let limiter = limiter(&clients.bare, quota, Tier::Strict)?;
            Ok(Contest {
                ours: Side::new(move |ops| load.spread((run, &limiter), (tasks, ops), strict)),
                reference: Side::new(move |ops| {
                    load.spread((run, raw), (tasks, ops), reference_throttle::throttle)
                }),
                size: TURN,
                meter: Some(Box::new(stage)),
            })
        });
    }
    let claims = [Claim::ratio("redis/limits/leased/64", 20.0)];
    suite.hold(&claims, || {
        let (stage, load) = (bench.stage()?, &bench.limits);
        let clients = &stage.threads;
        let run = &clients.runtime;
        let quota = || Quota::gcra(100_000_000, Duration::from_secs(1), 10_000_000);
        let leased = limiter(&clients.bare, quota()?, Tier::leased())?;
        let each = limiter(&clients.bare, quota()?, Tier::Strict)?;
        Ok(Contest {
            ours: Side::new(move |ops| load.spread((run, &leased), (64, ops), hot)),
            reference: Side::new(move |ops| load.spread((run, &each), (64, ops), hot)),
            size: TURN,
            meter: Some(Box::new(stage)),
        })
    });
}

fn limiter(kv: &kv_core::Kv, quota: Quota, tier: Tier) -> Outcome<RateLimiter> {
    let policy = Policy::new(quota)
        .tier(tier)
        .deadline(Duration::from_secs(5));
    Ok(RateLimiter::builder(kv).policy("p", policy).build()?)
}

async fn strict(limiter: RateLimiter, share: Share) -> Outcome {
    for key in share.keys() {
        let decision = limiter.check("p", key).await?;
        crate::throttle::check(decision.remaining, decision.reset_after.as_micros() as u64)?;
    }
    Ok(())
}

async fn hot(limiter: RateLimiter, share: Share) -> Outcome {
    for turn in 0..share.count() {
        if !limiter.check("p", "hot").await?.is_allowed() {
            return Err("denied".into());
        }
        // What is decided without the store lets nobody else run.
        if turn.is_multiple_of(64) {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}
