//! Every method of the two seeds, by its own name (`docs/seed-map.md`).

use kv_core::{Cleanup, Key, Kv, Member, Result, Score, Value};
use kv_memory::{MemoryConfig, MemoryStore};
use std::time::Duration;

async fn memory() -> Result<Kv> {
    let mut config = MemoryConfig::default();
    config.allow_clear_all = true;
    Kv::builder(MemoryStore::new(config)).connect().await
}

#[tokio::test]
async fn strings_and_counters() -> Result<()> {
    let kv = memory().await?;
    kv.set("a", "1").await?;
    assert_eq!(kv.get("a").await?, Some(Value::from("1")));
    kv.set_for("b", "2", Duration::from_secs(9)).await?;
    assert!(!kv.set_if_absent("b", "3", Duration::from_secs(9)).await?);
    kv.set_many([("c", "3"), ("d", "4")]).await?;
    assert!(kv.exists("c").await?);
    assert!(kv.delete("c").await?);
    assert_eq!(kv.delete_many(["a", "c"]).await?, 1);
    assert_eq!(kv.increment("n", 5).await?, 5);
    assert!(kv.clear().await? > 0);
    assert!(!kv.exists("b").await?);
    Ok(())
}

#[tokio::test]
async fn hashes() -> Result<()> {
    let kv = memory().await?;
    assert!(kv.hset("h", "f", "1").await?);
    assert_eq!(kv.hgetall("h").await?, [("f".into(), "1".into())]);
    assert_eq!(kv.hdel("h", ["f", "g"]).await?, 1);
    Ok(())
}

#[tokio::test]
async fn sorted_sets() -> Result<()> {
    let kv = memory().await?;
    assert_eq!(kv.zadd("z", [("a", 1.0), ("b", 2.0), ("c", 3.0)]).await?, 3);
    assert_eq!(kv.zrem("z", ["c"]).await?, 1);
    let all = kv.zrangebyscore("z", Score::MIN, Score::MAX).await?;
    assert_eq!(all, [Member::from("a"), Member::from("b")]);
    assert_eq!(kv.zpopbyscore("z", 1.5).await?, Some(Member::from("a")));
    assert_eq!(kv.zpopbyscore("z", 1.5).await?, None);
    Ok(())
}

#[tokio::test]
async fn lifecycle_and_native_clients() -> Result<()> {
    let kv = memory().await?;
    kv.connect().await?;
    assert!(kv.is_available().await);
    kv.get_final_client::<MemoryStore>()?;
    kv.get_sync_client::<MemoryStore>()?;
    kv.close().await;
    assert!(!kv.is_available().await);
    Ok(())
}

#[tokio::test]
async fn etha() -> Result<()> {
    const SOON: Duration = kv_tests::patience::PATIENCE;
    let scope = memory().await?.scope("training", "workers")?;
    scope.set("a", "1").await?;
    assert_eq!(scope.get("a").await?, Some(Value::from("1")));
    scope.set_bytes("b", vec![0xff]).await?;
    assert_eq!(scope.get_bytes("b").await?, Some(Value::from(vec![0xff])));
    assert!(scope.exists("a").await?);
    assert!(scope.delete("a").await?);
    assert!(!scope.delete("a").await?);

    // Another component, for one call.
    let parameters = scope.component("parameters")?;
    parameters.set("b", "else").await?;
    assert_ne!(scope.get("b").await?, parameters.get("b").await?);

    assert_eq!(scope.wait_for_key("b", SOON).await?.as_bytes(), [0xff]);
    scope.set("c", "go").await?;
    assert_eq!(scope.wait_for_value("c", "go", SOON).await?, "go");
    scope.set("rank:0/ready", "1").await?;
    scope.set("rank:1/ready", "2").await?;
    let pattern = "rank:*/ready";
    let ready = scope.wait_for_keys(pattern, 1).timeout(SOON).await?;
    assert_eq!(ready, [Key::new("rank:0/ready")?]);
    let with_value = scope.wait_for_keys(pattern, 1).value("2").timeout(SOON);
    let ready = with_value.candidates(["rank:1/ready"]).await?;
    assert_eq!(ready, [Key::new("rank:1/ready")?]);

    assert_eq!(scope.clone().close(Cleanup::Keep).await?, 0);
    assert_eq!(scope.close(Cleanup::Delete).await?, 4);
    assert!(parameters.exists("b").await?);
    Ok(())
}
