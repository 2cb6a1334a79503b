//! What holds on every store, whatever is in front of it.

use kv_core::Kv;
use kv_ratelimit::{Policy, RateLimiter, Reserved, Source, Tier};
use kv_tests::{patience::PATIENCE, stores::Site};
use std::time::Duration;
use tokio::task::JoinSet;

const HOUR: Duration = Duration::from_secs(3600);

fn policy(text: &str, tier: Tier) -> Policy {
    Policy::new(text.parse().unwrap())
        .tier(tier)
        .deadline(PATIENCE)
}

fn limiter(kv: &Kv, tier: Tier) -> RateLimiter {
    let rules = [
        ("gcra", "5/h"),
        ("fixed", "5/30days fixed"),
        ("sliding", "5/30days sliding"),
        ("narrow", "2/30days fixed"),
    ];
    let builder = rules
        .into_iter()
        .fold(RateLimiter::builder(kv), |it, (name, text)| {
            let tier = match (name, tier) {
                ("gcra", it) => it,
                (_, Tier::Leased { .. }) => Tier::Mirrored,
                (_, it) => it,
            };
            it.policy(name, policy(text, tier))
        });
    builder.build().unwrap()
}

async fn each_algorithm_lets_its_quota_pass_in_every_tier(site: Site) {
    for (turn, tier) in [Tier::Strict, Tier::Mirrored, Tier::leased(), Tier::Auto]
        .into_iter()
        .enumerate()
    {
        let one = limiter(&site.kv().await, tier);
        let other = limiter(&site.kv().await, tier);
        for name in ["gcra", "fixed", "sliding"] {
            let subject = format!("ann{turn}");
            let mut passed = 0;
            for at in 0..16 {
                let limiter = [&one, &other][at % 2];
                let decision = limiter.check(name, &subject).await.unwrap();
                passed += u32::from(decision.is_allowed());
                if !decision.is_allowed() {
                    assert!(decision.retry_after > Duration::ZERO);
                    assert_eq!(decision.remaining, 0);
                }
            }
            assert_eq!(passed, 5, "{name}, {tier:?}");
            // Both know by now.
            if matches!(tier, Tier::Mirrored) {
                for limiter in [&one, &other] {
                    limiter.check(name, &subject).await.unwrap();
                    let again = limiter.check(name, &subject).await.unwrap();
                    assert_eq!(again.source, Source::LocalDeny, "{name}");
                }
            }
            let limit = one.limit(name, &subject).unwrap();
            limit.reset().await.unwrap();
            assert_eq!(limit.peek().await.unwrap().remaining, 5);
        }
    }
}

async fn several_limits_count_together(site: Site) {
    let limiter = limiter(&site.kv().await, Tier::Strict);
    for request in [
        [("gcra", "ann"), ("narrow", "ann")],
        [("gcra", "ann"), ("narrow", "acme")],
    ] {
        for _ in 0..2 {
            assert!(limiter.check_all(request).await.unwrap().is_allowed());
        }
        for _ in 0..2 {
            assert!(!limiter.check_all(request).await.unwrap().is_allowed());
        }
    }
    let left = limiter.limit("gcra", "ann").unwrap().peek().await.unwrap();
    assert_eq!(left.remaining, 1);
}

async fn a_place_can_be_reserved_and_given_back(site: Site) {
    let limiter = limiter(&site.kv().await, Tier::Auto);
    let limit = limiter.limit("gcra", "ann").unwrap();
    while limit.check().await.unwrap().is_allowed() {}
    let Reserved::Yes(place) = limit.reserve(HOUR).await.unwrap() else {
        panic!("a unit comes every twelve minutes");
    };
    assert!(place.wait() > HOUR / 10 && place.wait() <= HOUR / 5);
    let before = limit.peek().await.unwrap().retry_after;
    place.cancel().await.unwrap();
    let after = limit.peek().await.unwrap().retry_after;
    assert!(after < before, "{after:?}, before {before:?}");
}

/// R10 in one process, with two connections.
async fn exactly_as_many_pass_as_there_are(site: Site) {
    let mut asking = JoinSet::new();
    for _ in 0..2 {
        let kv = site.kv().await;
        let builder = RateLimiter::builder(&kv).policy("p", policy("20/day", Tier::Strict));
        let limiter = builder.build().unwrap();
        for _ in 0..50 {
            let limiter = limiter.clone();
            asking.spawn(async move { limiter.check("p", "ann").await.unwrap().is_allowed() });
        }
    }
    let passed = asking.join_all().await;
    assert_eq!(passed.into_iter().filter(|it| *it).count(), 20);
}

kv_tests::on_each_store_there_is! {
    each_algorithm_lets_its_quota_pass_in_every_tier
    several_limits_count_together
    a_place_can_be_reserved_and_given_back
    exactly_as_many_pass_as_there_are
}
