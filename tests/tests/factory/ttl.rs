//! Case 132: what a default time to live does and what it leaves alone.

use kv_core::{Context, Kv, SetOptions, TimeToLive, Ttl, When};
use kv_factory::Factory;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

async fn store() -> Kv {
    let factory = Factory::from_str(
        r#"
        [default.database.kvstore.a]
        provider = { backend = "memory" }
        wrappers = [
            { name = "default_ttl", config = { default_ttl = "1h" } },
            { name = "key_resolver" },
        ]
        "#,
    )
    .unwrap();
    let kv = factory.open("a").await.unwrap();
    kv.bind(Context::tenant("t1"))
}

/// Whether the key ends after this span, less what the test itself takes.
async fn ends_after(kv: &Kv, key: &str, span: Duration) -> bool {
    const SLACK: Duration = Duration::from_secs(60);
    match kv.time_to_live(key).await.unwrap() {
        TimeToLive::In(left) => left <= span && left > span - SLACK,
        TimeToLive::Missing | TimeToLive::NoExpiry => false,
    }
}

async fn lives_for_ever(kv: &Kv, key: &str) -> bool {
    kv.time_to_live(key).await.unwrap() == TimeToLive::NoExpiry
}

#[tokio::test]
async fn case_132_a_write_without_a_ttl_gets_it() {
    let kv = store().await;
    kv.set("set", "v").await.unwrap();
    kv.set_many([("many", "v")]).await.unwrap();
    kv.set_if_absent("absent", "v", Ttl::Unset).await.unwrap();
    kv.increment("counter", 1).await.unwrap();
    for key in ["set", "many", "absent", "counter"] {
        assert!(ends_after(&kv, key, HOUR).await, "{key}");
    }
}

#[tokio::test]
async fn case_132_an_explicit_ttl_wins_and_so_does_never() {
    let kv = store().await;
    kv.set_for("own", "v", HOUR * 2).await.unwrap();
    assert!(ends_after(&kv, "own", HOUR * 2).await);
    kv.set_with("keep", "v", Ttl::Never).await.unwrap();
    assert!(lives_for_ever(&kv, "keep").await);
    kv.set_with("keep", "w", Ttl::Keep).await.unwrap();
    assert!(lives_for_ever(&kv, "keep").await);
    kv.increment_with("counter", 1, Ttl::Never).await.unwrap();
    assert!(lives_for_ever(&kv, "counter").await);
}

#[tokio::test]
async fn case_132_a_counter_keeps_what_it_was_created_with() {
    let kv = store().await;
    kv.increment_with("counter", 1, HOUR * 2).await.unwrap();
    kv.increment("counter", 1).await.unwrap();
    assert!(ends_after(&kv, "counter", HOUR * 2).await);
}

#[tokio::test]
async fn case_132_structures_stay_without() {
    let kv = store().await;
    kv.hset("hash", "f", "v").await.unwrap();
    kv.zadd("set", [("m", 1)]).await.unwrap();
    assert!(lives_for_ever(&kv, "hash").await);
    assert!(lives_for_ever(&kv, "set").await);
}

#[tokio::test]
async fn case_132_a_conditional_write_stays_one_step() {
    let kv = store().await;
    let when = || SetOptions::from(When::IfAbsent);
    let tasks = (0..10).map(|at: i32| {
        let (kv, options) = (kv.clone(), when());
        async move {
            kv.set_with("k", at.to_string(), options)
                .await
                .unwrap()
                .applied
        }
    });
    let applied = futures_util::future::join_all(tasks).await;
    assert_eq!(applied.iter().filter(|&&it| it).count(), 1);
    let winner = applied.iter().position(|&it| it).unwrap().to_string();
    assert_eq!(kv.get("k").await.unwrap().unwrap(), winner.as_str());
    assert!(ends_after(&kv, "k", HOUR).await);

    kv.set_for("longer", "v", HOUR * 2).await.unwrap();
    assert!(!kv.set_with("longer", "w", when()).await.unwrap().applied);
    assert!(ends_after(&kv, "longer", HOUR * 2).await);
}
