use super::{fails, fixture};
use crate::{MemoryConfig, MemoryStore};
use kv_core::{
    Capability, ErrorKind, Field, Key, Member, Score, Scores, SetOptions, Ttl, Value, When,
};

#[tokio::test]
async fn conditional_sets_compare_and_show_what_stands_in_the_way() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    let set = async |when: When| {
        let reply = kv.set_with("k", "new", when).await.unwrap();
        (reply.applied, reply.current)
    };
    assert_eq!(set(When::IfPresent).await, (false, None));
    assert_eq!(set(When::IfValue("old".into())).await, (false, None));
    assert!(!kv.exists("k").await.unwrap());
    assert_eq!(set(When::IfAbsent).await, (true, None));
    kv.set("k", "old").await.unwrap();
    assert_eq!(set(When::IfAbsent).await, (false, Some("old".into())));
    assert_eq!(
        set(When::IfValue("".into())).await,
        (false, Some("old".into()))
    );
    assert_eq!(set(When::IfValue("old".into())).await, (true, None));
    assert_eq!(set(When::IfPresent).await, (true, None));
    kv.delete("k").await.unwrap();
    kv.zadd("k", [("m", 1)]).await.unwrap();
    for when in [When::IfAbsent, When::IfPresent, When::IfValue("m".into())] {
        assert_eq!(set(when).await, (false, None));
    }
    assert_eq!(kv.zscore("k", "m").await.unwrap(), Some(1.into()));
    assert_eq!(set(When::Always).await, (true, None));
    assert_eq!(kv.get("k").await.unwrap().unwrap(), "new");
    it.audit();
}

#[tokio::test]
async fn counters_count_in_canonical_numbers_only() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    assert_eq!(kv.increment("new", 0).await.unwrap(), 0);
    assert_eq!(kv.get("new").await.unwrap().unwrap(), "0");
    assert_eq!(kv.increment("n", 5).await.unwrap(), 5);
    assert_eq!(kv.increment("n", -10).await.unwrap(), -5);
    assert_eq!(kv.get("n").await.unwrap().unwrap(), "-5");
    for text in ["abc", "1.5", " 1", "1 ", "+1", "01", "-0", ""] {
        kv.set("n", text).await.unwrap();
        fails(kv.increment("n", 1).await, ErrorKind::NotAnInteger, "n");
        assert_eq!(kv.get("n").await.unwrap().unwrap(), text);
        kv.hset("h", "f", text).await.unwrap();
        fails(
            kv.hincrement("h", "f", 1).await,
            ErrorKind::NotAnInteger,
            "h",
        );
        assert_eq!(kv.hget("h", "f").await.unwrap().unwrap(), text);
    }
    for (start, by) in [(i64::MAX, 1), (i64::MIN, -1), (-1, i64::MIN)] {
        kv.set("n", start.to_string()).await.unwrap();
        fails(kv.increment("n", by).await, ErrorKind::Overflow, "n");
        assert_eq!(
            kv.get("n").await.unwrap().unwrap(),
            start.to_string().as_str()
        );
        kv.hset("h", "f", start.to_string()).await.unwrap();
        fails(kv.hincrement("h", "f", by).await, ErrorKind::Overflow, "h");
    }
    assert_eq!(kv.hincrement("h", "other", 7).await.unwrap(), 7);
    it.audit();
}

#[tokio::test]
async fn the_wrong_type_is_an_error_that_changes_nothing() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    kv.set("s", "1").await.unwrap();
    kv.hset("h", "f", "v").await.unwrap();
    kv.zadd("z", [("m", 1)]).await.unwrap();
    let wrong = ErrorKind::WrongType;
    for key in ["h", "z"] {
        fails(kv.get(key).await, wrong, key);
        fails(kv.increment(key, 1).await, wrong, key);
    }
    for key in ["s", "z"] {
        fails(kv.hset(key, "f", "v").await, wrong, key);
        fails(kv.hget(key, "f").await, wrong, key);
        fails(kv.hget_many(key, ["f"]).await, wrong, key);
        fails(kv.hgetall(key).await, wrong, key);
        fails(kv.hincrement(key, "f", 1).await, wrong, key);
        fails(kv.hdel(key, ["f"]).await, wrong, key);
        fails(kv.hlen(key).await, wrong, key);
    }
    for key in ["s", "h"] {
        fails(kv.zadd(key, [("m", 1)]).await, wrong, key);
        fails(kv.zrem(key, ["m"]).await, wrong, key);
        fails(kv.zscore(key, "m").await, wrong, key);
        fails(kv.zcount(key, (0, 1)).await, wrong, key);
        fails(kv.zrange(key, 0, -1, Scores::Omit).await, wrong, key);
        fails(kv.zrangebyscore(key, 0, 1).await, wrong, key);
        fails(kv.zpopbyscore(key, 1).await, wrong, key);
    }
    let found = kv.get_many(["s", "h", "z", "s", "none"]).await.unwrap();
    let one = || Some(Value::from("1"));
    assert_eq!(found, [one(), None, None, one(), None]);
    assert_eq!(kv.exists_many(["s", "h", "z", "s"]).await.unwrap(), 3);
    assert_eq!(kv.delete_many(["s", "h", "z", "s"]).await.unwrap(), 3);
    it.audit();
}

#[tokio::test]
async fn empty_batches_do_nothing() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    assert_eq!(
        kv.hset_many("k", Vec::<(Field, Value)>::new())
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        kv.zadd("k", Vec::<(Member, Score)>::new()).await.unwrap(),
        0
    );
    assert_eq!(kv.hdel("k", Vec::<Field>::new()).await.unwrap(), 0);
    assert_eq!(kv.zrem("k", Vec::<Member>::new()).await.unwrap(), 0);
    assert!(kv.zpopbyscore_many("k", 1, 0).await.unwrap().is_empty());
    assert_eq!(kv.get_many(Vec::<Key>::new()).await.unwrap(), []);
    assert_eq!(kv.delete_many(Vec::<Key>::new()).await.unwrap(), 0);
    kv.set_many(Vec::<(Key, Value)>::new()).await.unwrap();
    assert_eq!(it.store.stats().entries, 0);
}

#[tokio::test]
async fn batches_are_done_in_order() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    kv.set_many([("k", "first"), ("k", "last")]).await.unwrap();
    assert_eq!(kv.get("k").await.unwrap().unwrap(), "last");
    let options = SetOptions::from(Ttl::Unset).when(When::IfAbsent);
    let answers = kv
        .set_many_with([("k", "x"), ("n", "1"), ("n", "2")], options)
        .await
        .unwrap();
    let written: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(written, [false, true, false]);
    assert_eq!(
        kv.zadd("z", [("m", 1), ("o", 2), ("m", 3)]).await.unwrap(),
        2
    );
    assert_eq!(kv.zscore("z", "m").await.unwrap(), Some(3.into()));
    assert_eq!(kv.zadd("z", [("m", 4), ("p", 2)]).await.unwrap(), 1);
    let hset = kv
        .hset_many("h", [("f", "1"), ("g", "2"), ("f", "long text")])
        .await;
    assert_eq!(hset.unwrap(), 2);
    assert_eq!(kv.hget("h", "f").await.unwrap().unwrap(), "long text");
    assert_eq!(kv.hgetall_map("h").await.unwrap().len(), 2);
    it.audit();
}

#[tokio::test]
async fn the_stores_own_face() {
    let it = fixture(MemoryConfig::default()).await;
    let native = it.kv.native::<MemoryStore>().unwrap();
    it.kv.set("secret-key", "secret-value").await.unwrap();
    assert_eq!(native.stats().entries, 1);
    let shown = format!("{native:?} {:?}", it.kv);
    assert!(!shown.contains("secret"), "{shown}");
    assert!(shown.ends_with("Kv(memory)"), "{shown}");
    assert_eq!(it.kv.now().await.unwrap(), super::START);
    for capability in Capability::ALL {
        assert!(it.kv.capabilities().has(*capability), "{capability}");
    }
}
