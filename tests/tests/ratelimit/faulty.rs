//! Servers that are silent, gone or forgetful: none of it is a denial.

use kv_core::Kv;
use kv_etcd::{EtcdConfig, EtcdStore};
use kv_ratelimit::{LimitError, OnError, Policy, RateLimiter, Source, Tier, Verdict};
use kv_redis::{RedisConfig, RedisStore};
use kv_tests::{
    patience::until,
    server::{Etcd, Redis, Server},
};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_millis(100);

async fn redis(url: String) -> Kv {
    let mut config = RedisConfig::from_url(url);
    config.response_timeout = Duration::from_secs(5);
    connected(Kv::builder(RedisStore::new(config).unwrap())).await
}

async fn etcd(url: String) -> Kv {
    let mut config = EtcdConfig::from_url(url);
    config.response_timeout = Duration::from_secs(5);
    connected(Kv::builder(EtcdStore::new(config).unwrap())).await
}

async fn connected(builder: kv_core::KvBuilder) -> Kv {
    builder.connect().await.unwrap()
}

fn limiter(kv: &Kv, on_error: OnError) -> RateLimiter {
    let policy = |tier| {
        let quota = "1000/s".parse().unwrap();
        Policy::new(quota)
            .tier(tier)
            .deadline(DEADLINE)
            .on_error(on_error)
    };
    RateLimiter::builder(kv)
        .policy("strict", policy(Tier::Strict))
        .policy("mirrored", policy(Tier::Mirrored))
        .policy("leased", policy(Tier::leased()))
        .build()
        .unwrap()
}

/// Frozen, then gone, then there again: errors, and what the policies say about them; denials never.
async fn a_server_that_does_not_answer_denies_nobody(mut server: impl Server, kv: Kv) {
    let rules = [
        (OnError::Fail, None),
        (OnError::Allow, Some(Verdict::Allowed)),
        (OnError::Deny, Some(Verdict::Denied)),
        (OnError::Local { share: 0.5 }, Some(Verdict::Allowed)),
    ];
    let limiters = rules.map(|(rule, verdict)| (limiter(&kv, rule), verdict));
    for gone in [false, true] {
        match gone {
            false => server.pause(),
            true => tokio::task::block_in_place(|| server.kill()),
        }
        let mut seen = 0;
        for (limiter, expected) in &limiters {
            for policy in ["strict", "mirrored", "leased"] {
                let subject = format!("{policy}{gone}");
                let decision = limiter.check(policy, &subject).await;
                match (decision, expected) {
                    (Err(LimitError::Store(_)), None) => {}
                    (Ok(decision), Some(verdict)) => {
                        assert_eq!(decision.source, Source::Fallback);
                        assert_eq!(decision.verdict, *verdict);
                    }
                    (other, expected) => panic!("{other:?}, expected {expected:?}"),
                }
                seen += 1;
            }
        }
        assert_eq!(seen, 12);
        match gone {
            false => server.resume(),
            true => tokio::task::block_in_place(|| server.restart()),
        }
        for policy in ["strict", "mirrored", "leased"] {
            until("the store decides again", async || {
                let decision = limiters[0].0.check(policy, "after").await;
                match decision {
                    Ok(decision) => {
                        assert!(decision.is_allowed());
                        decision.source == Source::Store
                    }
                    Err(_) => false,
                }
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_does_not_answer_denies_nobody() {
    let server = Redis::start();
    let kv = redis(server.url()).await;
    a_server_that_does_not_answer_denies_nobody(server, kv).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_does_not_answer_denies_nobody() {
    let server = Etcd::start();
    let kv = etcd(server.url()).await;
    a_server_that_does_not_answer_denies_nobody(server, kv).await;
}
