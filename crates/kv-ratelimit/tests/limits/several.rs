//! One request, several limits: R9.

use crate::{Calls, Site, quota};
use kv_conformance::faults::{Fault, FaultsLayer, Odds, Plan};
use kv_core::{Kv, layer_fn};
use kv_ratelimit::{LimitError, OnError, RateLimiter, Source, Tier, Verdict};

async fn limiter(site: &Site, tier: Tier) -> (RateLimiter, Calls) {
    let (kv, calls) = site.counted();
    let kv = kv.connect().await.unwrap();
    let builder = site.on(&kv);
    let builder = builder
        .policy("user", quota("5/h").tier(tier))
        .policy("login", quota("3/h").tier(tier))
        .policy("org", quota("4/h").tier(tier))
        .policy("all", quota("100/h").tier(tier))
        .policy("trial", quota("1/h").tier(tier).shadow())
        .policy("node", quota("100/h").tier(Tier::InProcess))
        .policy("log", quota("2/h fixed"));
    (builder.build().unwrap(), calls)
}

async fn left(limiter: &RateLimiter, policy: &str, subject: &str) -> u64 {
    let limit = limiter.limit(policy, subject).unwrap();
    limit.peek().await.unwrap().remaining
}

#[tokio::test]
async fn it_counts_for_all_or_for_none() {
    for tier in [Tier::Strict, Tier::Mirrored, Tier::leased()] {
        let site = Site::new();
        let (limiter, _) = limiter(&site, tier).await;
        let request = [("user", "ann"), ("org", "acme"), ("all", ""), ("node", "")];
        for _ in 0..4 {
            assert!(limiter.check_all(request).await.unwrap().is_allowed());
        }
        for _ in 0..3 {
            let denied = limiter.check_all(request).await.unwrap();
            assert!(!denied.is_allowed());
            let verdicts: Vec<_> = denied.each().iter().map(|it| it.verdict).collect();
            let expected = [
                Verdict::Allowed,
                Verdict::Denied,
                Verdict::Allowed,
                Verdict::Allowed,
            ];
            assert_eq!(verdicts, expected, "{tier:?}");
            assert_eq!(&*denied.decisive().unwrap().policy, "org");
        }
        assert_eq!(left(&limiter, "user", "ann").await, 1, "{tier:?}");
        assert_eq!(left(&limiter, "org", "acme").await, 0);
        assert_eq!(left(&limiter, "all", "").await, 96);
        assert_eq!(left(&limiter, "node", "").await, 96);
    }
}

#[tokio::test]
async fn those_of_one_subject_are_one_call() {
    let site = Site::new();
    let (limiter, calls) = limiter(&site, Tier::Strict).await;
    let request = [("user", "ann"), ("login", "ann"), ("log", "ann")];
    for _ in 0..2 {
        assert!(limiter.check_all(request).await.unwrap().is_allowed());
    }
    assert_eq!(calls.count(), 2);
    let denied = limiter.check_all(request).await.unwrap();
    assert_eq!(&*denied.decisive().unwrap().policy, "log");
    assert_eq!(calls.count(), 3, "there is nothing to give back");
    assert_eq!(left(&limiter, "user", "ann").await, 3);
    assert_eq!(left(&limiter, "login", "ann").await, 1);
}

#[tokio::test]
async fn what_is_known_to_be_denied_costs_no_call() {
    let site = Site::new();
    let (limiter, calls) = limiter(&site, Tier::Mirrored).await;
    while limiter.check("org", "acme").await.unwrap().is_allowed() {}
    let before = calls.count();
    let denied = limiter
        .check_all([("user", "ann"), ("org", "acme")])
        .await
        .unwrap();
    assert!(!denied.is_allowed());
    assert_eq!(calls.count(), before);
    assert_eq!(denied.each()[0].source, Source::NotAsked);
    assert_eq!(left(&limiter, "user", "ann").await, 5);
}

#[tokio::test]
async fn what_is_only_tried_out_denies_nobody() {
    let site = Site::new();
    let (limiter, _) = limiter(&site, Tier::Strict).await;
    for turn in 0..3 {
        let all = limiter
            .check_all([("user", "ann"), ("trial", "ann")])
            .await
            .unwrap();
        assert!(all.is_allowed());
        let expected = match turn {
            0 => Verdict::Allowed,
            _ => Verdict::WouldDeny,
        };
        assert_eq!(all.each()[1].verdict, expected);
    }
    assert_eq!(left(&limiter, "user", "ann").await, 2);
}

#[tokio::test]
async fn costs_differ_from_limit_to_limit() {
    let site = Site::new();
    let (limiter, _) = limiter(&site, Tier::Strict).await;
    let limits = vec![
        limiter.limit("user", "ann").unwrap().cost(4),
        limiter.limit("org", "acme").unwrap(),
    ];
    assert!(
        limiter
            .check_limits(limits.clone())
            .await
            .unwrap()
            .is_allowed()
    );
    assert!(!limiter.check_limits(limits).await.unwrap().is_allowed());
    assert_eq!(left(&limiter, "user", "ann").await, 1);
    assert_eq!(left(&limiter, "org", "acme").await, 3);
    let wrong = vec![limiter.limit("user", "ann").unwrap().cost(6)];
    let error = limiter.check_limits(wrong).await.unwrap_err();
    assert!(matches!(error, LimitError::Cost(_)));
}

/// One of them cannot be asked: what the others took goes back.
#[tokio::test]
async fn an_error_leaves_nothing_behind() {
    let site = Site::new();
    let odds = Odds::none().and(Fault::FailBefore, 1.0).unwrap();
    let faults = FaultsLayer::new(Plan::random(7, odds)).only(|it| it.name == "throttle");
    let broken = Kv::builder(site.store.clone())
        .layer(faults)
        .connect()
        .await
        .unwrap();
    let layer = layer_fn("broken org", move |request, next| {
        let is_org = format!("{:?}", request.command).contains("org");
        match is_org {
            true => {
                let broken = broken.clone();
                Box::pin(async move { broken.call(request.command).await })
            }
            false => next.call(request),
        }
    });
    let kv = Kv::builder(site.store.clone()).layer(layer);
    let kv = kv.connect().await.unwrap();
    let build = |on_error| {
        let builder = site.on(&kv).policy("user", quota("5/h"));
        builder
            .policy("org", quota("4/h").on_error(on_error))
            .build()
            .unwrap()
    };
    let request = [("user", "ann"), ("org", "acme")];
    let limiter = build(OnError::Fail);
    let error = limiter.check_all(request).await.unwrap_err();
    assert!(matches!(error, LimitError::Store(_)));
    assert_eq!(left(&limiter, "user", "ann").await, 5);
    let denied = build(OnError::Deny).check_all(request).await.unwrap();
    assert!(!denied.is_allowed());
    assert_eq!(denied.decisive().unwrap().source, Source::Fallback);
    assert_eq!(left(&limiter, "user", "ann").await, 5);
    assert!(
        build(OnError::Allow)
            .check_all(request)
            .await
            .unwrap()
            .is_allowed()
    );
    assert_eq!(left(&limiter, "user", "ann").await, 4);
}

/// Where the store cannot be asked each limit falls back by itself, and what one has taken of its share is given back.
#[tokio::test]
async fn a_denial_by_rule_takes_nothing_of_a_local_share() {
    for on_error in [OnError::Deny, OnError::Fail] {
        let site = Site::new();
        let odds = Odds::none().and(Fault::FailBefore, 1.0).unwrap();
        let faults = FaultsLayer::new(Plan::random(7, odds));
        let switch = faults.switch();
        switch.off();
        let kv = Kv::builder(site.store.clone()).layer(faults);
        let kv = kv.connect().await.unwrap();
        switch.on();
        let limiter = site
            .on(&kv)
            .policy("a", quota("2/h").on_error(OnError::Local { share: 1.0 }))
            .policy("b", quota("2/h").on_error(on_error));
        let limiter = limiter.build().unwrap();
        for _ in 0..5 {
            let both = limiter.check_all([("a", "ann"), ("b", "ann")]).await;
            assert!(!both.is_ok_and(|it| it.is_allowed()));
        }
        assert!(limiter.check("a", "ann").await.unwrap().is_allowed());
    }
}

#[tokio::test]
async fn what_one_call_was_denied_is_known_to_the_next() {
    for subjects in [["ann", "ann"], ["ann", "bob"]] {
        let site = Site::new();
        let (kv, calls) = site.counted();
        let kv = kv.connect().await.unwrap();
        let policy = |text| quota(text).tier(Tier::Mirrored);
        let limiter = site
            .on(&kv)
            .policy("a", policy("2/h"))
            .policy("b", policy("1/h"));
        let limiter = limiter.build().unwrap();
        let [one, other] = subjects;
        for turn in 0..10 {
            let both = limiter.check_all([("a", one), ("b", other)]).await.unwrap();
            assert_eq!(both.is_allowed(), turn == 0);
        }
        assert!(calls.count() <= 5, "{subjects:?}: {} calls", calls.count());
        // The one that allows it has lost nothing.
        assert!(limiter.check("a", one).await.unwrap().is_allowed());
    }
}
