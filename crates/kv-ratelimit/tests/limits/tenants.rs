//! Two tenants, the same subject: neither denies the other, in any tier.

use crate::{Site, quota, settle};
use kv_conformance::faults::{Fault, FaultsLayer, Odds, Plan};
use kv_core::{Context, Kv};
use kv_ratelimit::{OnError, RateLimiter, Reserved, Tier};
use kv_wrappers::{KeyResolver, KeySettings};
use std::{num::NonZeroU32, sync::Arc, time::Duration};

fn tenant(name: &str) -> Context {
    Context::tenant(name.to_owned())
}

async fn kv(site: &Site, odds: Odds) -> Kv {
    let settings = KeySettings {
        multi_tenancy_enabled: Some(true),
        ..KeySettings::default()
    };
    Kv::builder(site.store.clone())
        .layer(FaultsLayer::new(Plan::random(7, odds)))
        .layer(KeyResolver::new(settings).unwrap())
        .connect()
        .await
        .unwrap()
}

fn on(site: &Site, kv: &Kv, policy: kv_ratelimit::Policy) -> RateLimiter {
    let builder = RateLimiter::builder(kv).clock(Arc::new(site.clock.clone()));
    builder.policy("p", policy).build().unwrap()
}

async fn passes(site: &Site, limiter: &RateLimiter, name: &str) -> u32 {
    let mut passed = 0;
    for _ in 0..30 {
        site.clock.advance(Duration::from_micros(10));
        let check = limiter.check("p", "ann");
        passed += u32::from(tenant(name).scope(check).await.unwrap().is_allowed());
        settle().await;
    }
    passed
}

#[tokio::test]
async fn neither_denies_the_other_in_any_tier() {
    let guarded = |text| quota(text).flood_guard(NonZeroU32::MIN);
    for policy in [
        quota("8/h"),
        quota("8/h").tier(Tier::Mirrored),
        quota("8/h").tier(Tier::leased()),
        quota("8/h").tier(Tier::InProcess),
        guarded("8/h"),
    ] {
        let site = Site::new();
        let kv = kv(&site, Odds::none()).await;
        let limiter = on(&site, &kv, policy.clone());
        for name in ["t1", "t2", "t1:t2"] {
            assert_eq!(passes(&site, &limiter, name).await, 8, "{policy:?}");
        }
    }
    // The share for when the store cannot be asked.
    let site = Site::new();
    let kv = kv(&site, Odds::none().and(Fault::FailBefore, 1.0).unwrap()).await;
    let policy = quota("8/h").on_error(OnError::Local { share: 0.5 });
    let limiter = on(&site, &kv, policy);
    for name in ["t1", "t2"] {
        assert_eq!(passes(&site, &limiter, name).await, 4);
    }
}

/// What is done in the background meets the tenant's own keys.
#[tokio::test]
async fn what_is_dropped_elsewhere_goes_back_to_its_own_tenant() {
    let site = Site::new();
    let kv = kv(&site, Odds::none()).await;
    let limiter = on(&site, &kv, quota("8/h"));
    for name in ["t1", "t2"] {
        assert_eq!(passes(&site, &limiter, name).await, 8);
    }
    let limit = limiter.limit("p", "ann").unwrap();
    let reserve = limit.reserve(Duration::from_secs(3600));
    let Reserved::Yes(reservation) = tenant("t1").scope(reserve).await.unwrap() else {
        panic!("it fits");
    };
    let wait = async |name| tenant(name).scope(limit.peek()).await.unwrap().retry_after;
    let (mine, other) = (wait("t1").await, wait("t2").await);
    drop(reservation);
    settle().await;
    assert!(wait("t1").await < mine);
    assert_eq!(wait("t2").await, other);
}
