//! A store that cannot be asked denies nothing: R12.

use crate::{SECOND, Site, quota};
use kv_conformance::faults::{Fault, FaultSwitch, FaultsLayer, Odds, Plan};
use kv_core::{Clock, ErrorKind, Kv, VirtualClock};
use kv_ratelimit::{LimitError, OnError, Policy, RateLimiter, Source, Tier, Verdict};
use std::{sync::Arc, time::Duration};

async fn broken(site: &Site, fault: Fault, policy: Policy) -> (RateLimiter, FaultSwitch) {
    let odds = Odds::none().and(fault, 1.0).unwrap();
    let layer = FaultsLayer::new(Plan::random(7, odds)).only(|it| it.name == "throttle");
    let switch = layer.switch();
    let kv = Kv::builder(site.store.clone()).layer(layer);
    let kv = kv.connect().await.unwrap();
    (site.on(&kv).policy("p", policy).build().unwrap(), switch)
}

/// What a call comes to while the clock goes on.
async fn going<T>(clock: &VirtualClock, call: impl Future<Output = T>) -> T {
    tokio::pin!(call);
    loop {
        tokio::select! {
            biased;
            done = &mut call => return done,
            () = tokio::task::yield_now() => clock.advance(Duration::from_millis(1)),
        }
    }
}

#[tokio::test]
async fn an_error_is_an_error_unless_the_policy_says_more() {
    for (fault, kind) in [
        (Fault::FailBefore, ErrorKind::Unavailable),
        (Fault::ApplyThenFail, ErrorKind::Timeout),
        (Fault::Hang, ErrorKind::Timeout),
    ] {
        for tier in [Tier::Strict, Tier::Mirrored, Tier::leased()] {
            let site = Site::new();
            let policy = quota("5/s").tier(tier);
            let (limiter, switch) = broken(&site, fault, policy.clone()).await;
            for _ in 0..20 {
                let check = limiter.check("p", "ann");
                let error = going(&site.clock, check).await.unwrap_err();
                let LimitError::Store(error) = error else {
                    panic!("{error}");
                };
                let kinds = [kind, ErrorKind::Timeout, ErrorKind::Unavailable];
                assert!(kinds.contains(&error.kind()), "{fault:?}: {error}");
            }
            assert!(switch.counts().total() > 0);
            switch.off();
            site.clock.advance(60 * SECOND);
            let decision = going(&site.clock, limiter.check("p", "ann")).await;
            assert!(decision.unwrap().is_allowed());

            let verdicts = [
                (OnError::Allow, [Verdict::Allowed; 4]),
                (OnError::Deny, [Verdict::Denied; 4]),
                (
                    OnError::Local { share: 0.4 },
                    [
                        Verdict::Allowed,
                        Verdict::Allowed,
                        Verdict::Denied,
                        Verdict::Denied,
                    ],
                ),
            ];
            for (on_error, verdicts) in verdicts {
                let policy = policy.clone().on_error(on_error);
                let (limiter, _) = broken(&site, Fault::FailBefore, policy).await;
                for verdict in verdicts {
                    let decision = limiter.check("p", "ann").await.unwrap();
                    assert_eq!(
                        decision.source,
                        Source::Fallback,
                        "never the quota's denial"
                    );
                    assert_eq!(decision.verdict, verdict, "{on_error:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_store_that_hangs_costs_the_deadline_and_no_more() {
    let site = Site::new();
    let policy = quota("5/s").deadline(Duration::from_millis(20));
    let (limiter, _) = broken(&site, Fault::Hang, policy).await;
    let before = site.clock.now();
    going(&site.clock, limiter.check("p", "ann"))
        .await
        .unwrap_err();
    let took = site.clock.now().saturating_since(before);
    assert!(took <= Duration::from_millis(22), "{took:?}");
}

/// Somebody else has written where the state is.
#[tokio::test]
async fn what_is_no_state_is_an_error() {
    let site = Site::new();
    let (limiter, _) = site.process(quota("5/s")).await;
    let kv = site.kv().await;
    kv.set("{rl:ann}:p", "garbage").await.unwrap();
    let error = limiter.check("p", "ann").await.unwrap_err();
    assert!(
        matches!(&error, LimitError::Store(it) if it.kind() == ErrorKind::Codec),
        "{error}"
    );
    limiter.limit("p", "ann").unwrap().reset().await.unwrap();
    assert!(limiter.check("p", "ann").await.unwrap().is_allowed());
}

/// What the caller did wrong is not the store's failure, whatever the policy says about those.
#[tokio::test]
async fn a_mistake_is_told_all_the_same() {
    use kv_wrappers::{KeyResolver, KeySettings};
    let site = Site::new();
    let settings = KeySettings {
        multi_tenancy_enabled: Some(true),
        ..KeySettings::default()
    };
    let kv = Kv::builder(site.store.clone()).layer(KeyResolver::new(settings).unwrap());
    let kv = kv.connect().await.unwrap();
    for tier in [
        Tier::Strict,
        Tier::Mirrored,
        Tier::leased(),
        Tier::InProcess,
    ] {
        let policy = quota("5/s").tier(tier).on_error(OnError::Allow);
        let limiter = RateLimiter::builder(&kv)
            .clock(Arc::new(site.clock.clone()))
            .policy("p", policy)
            .build()
            .unwrap();
        let error = limiter.check("p", "ann").await.unwrap_err();
        assert!(error.to_string().contains("tenant"), "{error}");
    }
}
