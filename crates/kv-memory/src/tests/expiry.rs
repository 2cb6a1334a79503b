use super::{Fixture, START, fails, fixture, millis};
use crate::MemoryConfig;
use kv_core::{
    ErrorKind, Expiry, Key, Lifetime, Prefix, ScanFrom, SetOptions, TimeToLive, Ttl, When,
};
use std::time::Duration;

fn lifetime(millis: u64) -> Lifetime {
    Lifetime::new(super::millis(millis)).unwrap()
}

async fn left(it: &Fixture, key: &str) -> TimeToLive {
    it.kv.time_to_live(key).await.unwrap()
}

#[tokio::test]
async fn a_key_ends_at_its_deadline_and_not_before() {
    let it = fixture(MemoryConfig::default()).await;
    it.kv.set_for("k", "v", millis(10)).await.unwrap();
    it.clock.advance(Duration::from_micros(9_999));
    assert_eq!(it.kv.get("k").await.unwrap().unwrap(), "v");
    assert_eq!(left(&it, "k").await, TimeToLive::In(millis(1)));
    it.clock.advance(Duration::from_micros(1));
    assert_eq!(it.kv.get("k").await.unwrap(), None);
    assert_eq!(left(&it, "k").await, TimeToLive::Missing);
    it.audit();
}

#[tokio::test]
async fn an_ended_key_is_missing_for_every_command() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    let dead = async |key: &str, set: &str| {
        match set {
            "string" => kv.set(key, "5").await.unwrap(),
            "hash" => assert!(kv.hset(key, "f", "5").await.unwrap()),
            _ => assert_eq!(kv.zadd(key, [("m", 5)]).await.unwrap(), 1),
        }
        assert!(kv.expire(key, millis(1)).await.unwrap());
        it.clock.advance(millis(1));
    };
    dead("a", "string").await;
    assert!(!kv.exists("a").await.unwrap());
    assert_eq!(kv.get_many(["a"]).await.unwrap(), [None]);
    let page = kv
        .scan_page(Prefix::ALL, ScanFrom::Start, 10)
        .await
        .unwrap();
    assert_eq!((page.keys.len(), page.next), (0, None));
    assert!(!kv.expire("a", millis(5)).await.unwrap());
    assert!(!kv.persist("a").await.unwrap());
    dead("a", "string").await;
    assert!(!kv.delete("a").await.unwrap());
    dead("a", "string").await;
    assert!(kv.set_if_absent("a", "new", Ttl::Unset).await.unwrap());
    dead("a", "string").await;
    let reply = kv.set_with("a", "x", When::IfPresent).await.unwrap();
    assert_eq!((reply.applied, reply.current), (false, None));
    dead("n", "string").await;
    assert_eq!(kv.increment_with("n", 2, millis(50)).await.unwrap(), 2);
    assert_eq!(left(&it, "n").await, TimeToLive::In(millis(50)));
    dead("k", "string").await;
    let keep = SetOptions::from(Ttl::Keep);
    assert!(kv.set_with("k", "x", keep).await.unwrap().applied);
    assert_eq!(left(&it, "k").await, TimeToLive::NoExpiry);
    dead("h", "hash").await;
    assert_eq!(kv.hget("h", "f").await.unwrap(), None);
    assert_eq!(kv.hlen("h").await.unwrap(), 0);
    assert_eq!(kv.hdel("h", ["f"]).await.unwrap(), 0);
    assert_eq!(kv.hincrement("h", "f", 1).await.unwrap(), 1);
    assert_eq!(left(&it, "h").await, TimeToLive::NoExpiry);
    dead("z", "zset").await;
    assert_eq!(kv.zscore("z", "m").await.unwrap(), None);
    assert_eq!(kv.zpopbyscore("z", 9).await.unwrap(), None);
    assert_eq!(kv.zadd("z", [("m", 1)]).await.unwrap(), 1);
    // What ended does not stand in the way of another type.
    dead("y", "zset").await;
    assert_eq!(kv.increment("y", 1).await.unwrap(), 1);
    it.audit();
}

#[tokio::test]
async fn each_ttl_does_what_it_says() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    let set = async |ttl: Ttl| assert!(kv.set_with("k", "v", ttl).await.unwrap().applied);
    set(Ttl::In(lifetime(100))).await;
    it.clock.advance(millis(40));
    set(Ttl::Keep).await;
    assert_eq!(left(&it, "k").await, TimeToLive::In(millis(60)));
    set(Ttl::Held(lifetime(5))).await;
    assert_eq!(left(&it, "k").await, TimeToLive::In(millis(5)));
    set(Ttl::Unset).await;
    assert_eq!(left(&it, "k").await, TimeToLive::NoExpiry);
    set(Ttl::At(START.saturating_add(millis(1000)))).await;
    assert_eq!(left(&it, "k").await, TimeToLive::In(millis(960)));
    set(Ttl::Never).await;
    assert_eq!(left(&it, "k").await, TimeToLive::NoExpiry);
    set(Ttl::At(START)).await;
    assert_eq!(left(&it, "k").await, TimeToLive::Missing);
    set(Ttl::At(START)).await;
    assert_eq!(it.store.stats().entries, 0);
    set(Ttl::In(Lifetime::MAX)).await;
    assert_eq!(
        left(&it, "k").await,
        TimeToLive::In(Lifetime::MAX.as_duration())
    );
    it.audit();
}

#[tokio::test]
async fn a_refused_write_leaves_value_and_deadline() {
    let it = fixture(MemoryConfig::default()).await;
    it.kv.set_for("k", "v", millis(100)).await.unwrap();
    let options = SetOptions::from(Ttl::Never).when(When::IfValue("other".into()));
    let reply = it.kv.set_with("k", "w", options).await.unwrap();
    assert_eq!((reply.applied, reply.current.unwrap()), (false, "v".into()));
    assert_eq!(left(&it, "k").await, TimeToLive::In(millis(100)));
}

#[tokio::test]
async fn counters_and_structures_keep_their_deadline() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    kv.increment_with("n", 1, millis(100)).await.unwrap();
    kv.hset("h", "f", "v").await.unwrap();
    kv.zadd("z", [("m", 1)]).await.unwrap();
    for key in ["h", "z"] {
        assert!(kv.expire(key, millis(100)).await.unwrap());
    }
    it.clock.advance(millis(10));
    kv.increment_with("n", 1, millis(500)).await.unwrap();
    kv.hset("h", "g", "v").await.unwrap();
    kv.zadd("z", [("o", 1)]).await.unwrap();
    for key in ["n", "h", "z"] {
        assert_eq!(left(&it, key).await, TimeToLive::In(millis(90)), "{key}");
    }
    kv.hdel("h", ["f", "g"]).await.unwrap();
    kv.zrem("z", ["m", "o"]).await.unwrap();
    assert_eq!(kv.exists_many(["h", "z"]).await.unwrap(), 0);
    kv.hset("h", "f", "v").await.unwrap();
    kv.zadd("z", [("m", 1)]).await.unwrap();
    for key in ["h", "z"] {
        assert_eq!(left(&it, key).await, TimeToLive::NoExpiry, "{key}");
    }
    it.audit();
}

#[tokio::test]
async fn expire_and_persist_answer_whether_they_did_something() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    assert!(!kv.expire("k", millis(5)).await.unwrap());
    kv.set("k", "v").await.unwrap();
    assert!(!kv.persist("k").await.unwrap());
    assert!(kv.expire("k", millis(5)).await.unwrap());
    assert!(kv.persist("k").await.unwrap());
    it.clock.advance(millis(50));
    assert_eq!(kv.get("k").await.unwrap().unwrap(), "v");
    assert!(kv.expire("k", Expiry::At(START)).await.unwrap());
    assert!(!kv.exists("k").await.unwrap());
    it.audit();
}

#[tokio::test]
async fn a_ttl_of_zero_is_refused() {
    let it = fixture(MemoryConfig::default()).await;
    it.kv.set("k", "v").await.unwrap();
    let refused = it.kv.set_for("k", "w", Duration::ZERO).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(it.kv.get("k").await.unwrap().unwrap(), "v");
    it.kv.set("k", "text").await.unwrap();
    fails(it.kv.increment("k", 1).await, ErrorKind::NotAnInteger, "k");
}

/// Fails on any look at the clock.
#[derive(Debug)]
struct Forbidden;

impl kv_core::Clock for Forbidden {
    fn now(&self) -> kv_core::Timestamp {
        panic!("the clock was read although no deadline asks for it")
    }

    fn sleep_until(&self, _: kv_core::Timestamp) -> kv_core::BoxFuture<'static, ()> {
        panic!("nothing sleeps in this test")
    }

    fn monotonic(&self) -> Duration {
        panic!("nothing is measured in this test")
    }

    fn sleep(&self, _: Duration) -> kv_core::BoxFuture<'static, ()> {
        panic!("nothing sleeps in this test")
    }
}

#[tokio::test]
async fn without_deadlines_the_clock_is_not_read() {
    use kv_core::Store;
    let store =
        crate::MemoryStore::with_clock(MemoryConfig::default(), std::sync::Arc::new(Forbidden));
    let key = Key::new("k").unwrap();
    let options = SetOptions::default();
    store
        .set_with(key.clone(), "1".into(), options)
        .await
        .unwrap();
    store
        .increment_with(key.clone(), 1, Ttl::Unset)
        .await
        .unwrap();
    assert_eq!(store.get(key.clone()).await.unwrap().unwrap(), "2");
    assert_eq!(store.delete_many(vec![key]).await.unwrap(), 1);
}
