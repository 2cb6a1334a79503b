use super::{fails, fixture, limit, millis};
use crate::{MemoryConfig, OnFull, ShardCount};
use kv_core::{ErrorKind, Kv, Outcome, Score, SetOptions};

#[tokio::test]
async fn case_161_refusing_loses_nothing_and_changes_what_is_there() {
    let it = fixture(MemoryConfig::default().max_entries(limit(3))).await;
    let kv = &it.kv;
    kv.set("a", "1").await.unwrap();
    kv.hset("h", "f", "v").await.unwrap();
    kv.zadd("z", [("m", 1)]).await.unwrap();
    let error = kv.set("b", "2").await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert!(error.to_string().contains("max_entries = 3"), "{error}");
    fails(kv.set("b", "2").await, ErrorKind::Unavailable, "b");
    fails(kv.increment("b", 1).await, ErrorKind::Unavailable, "b");
    fails(kv.hset("b", "f", "v").await, ErrorKind::Unavailable, "b");
    fails(
        kv.hincrement("b", "f", 1).await,
        ErrorKind::Unavailable,
        "b",
    );
    fails(kv.zadd("b", [("m", 1)]).await, ErrorKind::Unavailable, "b");
    assert!(!kv.exists("b").await.unwrap());
    kv.set("a", "a longer text").await.unwrap();
    kv.hset("h", "g", "v").await.unwrap();
    kv.zadd("z", [("n", 1)]).await.unwrap();
    let answers = kv
        .set_many_with([("a", "x"), ("c", "y")], SetOptions::default())
        .await;
    let [first, second] = &answers.unwrap()[..] else {
        panic!("two items, two answers");
    };
    assert!(matches!(first, Ok(true)));
    assert_eq!(second.as_ref().unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(kv.delete("a").await.unwrap());
    kv.set("b", "2").await.unwrap();
    assert_eq!(it.store.stats().refused, 7);
    it.audit();
}

#[tokio::test]
async fn bytes_are_bounded_for_every_type() {
    let it = fixture(MemoryConfig::default().max_bytes(limit(4000))).await;
    let kv = &it.kv;
    kv.set("s", vec![0; 1000]).await.unwrap();
    kv.hset("h", "f", vec![0; 1000]).await.unwrap();
    fails(
        kv.set("s", vec![0; 3000]).await,
        ErrorKind::Unavailable,
        "s",
    );
    fails(
        kv.hset("h", "f", vec![0; 3000]).await,
        ErrorKind::Unavailable,
        "h",
    );
    assert_eq!(kv.get("s").await.unwrap().unwrap().as_bytes().len(), 1000);
    let members = (0..100).map(|it| (format!("member {it}"), Score::from(it)));
    fails(kv.zadd("z", members).await, ErrorKind::TooLarge, "z");
    fails(kv.set("s", vec![0; 5000]).await, ErrorKind::TooLarge, "s");
    // Shrinking makes room.
    kv.set("s", "small").await.unwrap();
    kv.hset("h", "f", vec![0; 2000]).await.unwrap();
    kv.hdel("h", ["f"]).await.unwrap();
    kv.set("s", vec![0; 3000]).await.unwrap();
    it.audit();
}

async fn fill(kv: &Kv, count: u32) {
    for index in 0..count {
        kv.set(format!("k{index}"), "v").await.unwrap();
    }
}

#[tokio::test]
async fn case_161_evicting_drops_what_was_not_used_for_long() {
    for shards in [1, 4, 64] {
        let config = MemoryConfig::default()
            .max_entries(limit(100))
            .on_full(OnFull::Evict)
            .shards(ShardCount::new(shards).unwrap());
        let it = fixture(config).await;
        let kv = &it.kv;
        kv.set("hot", "v").await.unwrap();
        for index in 0..1000 {
            kv.set(format!("k{index}"), "v").await.unwrap();
            assert!(kv.exists("hot").await.unwrap(), "after {index} writes");
        }
        assert!(!kv.exists("k0").await.unwrap());
        assert!(kv.exists("k999").await.unwrap());
        let stats = it.store.stats();
        assert_eq!((stats.entries, stats.evicted, stats.refused), (100, 901, 0));
        it.audit();
    }
}

#[tokio::test]
async fn evicting_makes_room_in_bytes_and_spares_the_key_that_is_written() {
    let config = MemoryConfig::default()
        .max_bytes(limit(20_000))
        .on_full(OnFull::Evict);
    let it = fixture(config).await;
    fill(&it.kv, 1000).await;
    assert!(it.store.stats().bytes <= 20_000);
    let mut members = 0;
    let full = loop {
        match it
            .kv
            .zadd("queue", [(format!("member {members}"), members)])
            .await
        {
            Ok(added) => members += added as i32,
            Err(full) => break full,
        }
    };
    assert_eq!(full.kind(), ErrorKind::TooLarge);
    let held = it
        .kv
        .zcount("queue", kv_core::ScoreRange::ALL)
        .await
        .unwrap();
    assert_eq!(held as i32, members, "the growing key itself was evicted");
    assert!(members > 100);
    it.audit();
}

/// One shard, so that a sweep handles one batch of deadlines.
fn two_megabytes(policy: OnFull) -> MemoryConfig {
    MemoryConfig::default()
        .max_bytes(limit(2 << 20))
        .on_full(policy)
        .shards(ShardCount::new(1).unwrap())
}

#[tokio::test]
async fn however_many_have_ended_they_go_before_a_write_is_refused() {
    let it = fixture(two_megabytes(OnFull::Refuse)).await;
    let mut count = 0;
    while it
        .kv
        .set_for(format!("k{count}"), "v", millis(5))
        .await
        .is_ok()
    {
        count += 1;
    }
    assert!(count > 9000, "{count}");
    it.clock.advance(millis(5));
    it.kv.set("large", vec![0; 1 << 20]).await.unwrap();
    it.audit();
}

#[tokio::test]
async fn however_many_have_ended_they_go_before_a_live_key_is_evicted() {
    let it = fixture(two_megabytes(OnFull::Evict)).await;
    fill(&it.kv, 1000).await;
    for index in 0..9000 {
        let key = format!("ended{index}");
        it.kv.set_for(key, "v", millis(5)).await.unwrap();
    }
    assert_eq!(it.store.stats().entries, 10_000);
    it.clock.advance(millis(5));
    it.kv.set("large", vec![0; 3 << 19]).await.unwrap();
    for index in 0..1000 {
        assert!(it.kv.exists(format!("k{index}")).await.unwrap(), "{index}");
    }
    assert_eq!(it.store.stats().evicted, 0);
    it.audit();
}

#[tokio::test]
async fn the_smallest_bounds_work() {
    for policy in [OnFull::Refuse, OnFull::Evict] {
        let config = MemoryConfig::default()
            .max_entries(limit(1))
            .on_full(policy);
        let it = fixture(config).await;
        it.kv.set("a", "1").await.unwrap();
        it.kv.set_for("a", "2", millis(5)).await.unwrap();
        let second = it.kv.set("b", "1").await;
        assert_eq!(second.is_ok(), policy == OnFull::Evict);
        assert_eq!(it.store.stats().entries, 1);
        it.audit();
    }
}

#[tokio::test]
async fn lengths_are_limited_item_by_item() {
    let config = MemoryConfig::default()
        .max_key_bytes(limit(4))
        .max_value_bytes(limit(3));
    let it = fixture(config).await;
    let items = [
        ("good", "123"),
        ("k", "1234"),
        ("too long", "1"),
        ("last", ""),
    ];
    let answers = it
        .kv
        .set_many_with(items, SetOptions::default())
        .await
        .unwrap();
    let kinds: Vec<_> = answers
        .iter()
        .map(|it| it.as_ref().map_err(|it| it.kind()))
        .collect();
    let too_large = Err(ErrorKind::TooLarge);
    assert_eq!(kinds, [Ok(&true), too_large, too_large, Ok(&true)]);
    fails(it.kv.set("k", "1234").await, ErrorKind::TooLarge, "k");
}

#[test]
fn settings_are_parsed_and_mistakes_named() {
    let parse = toml::from_str::<MemoryConfig>;
    assert_eq!(parse("").unwrap(), MemoryConfig::default());
    let config = parse("max_bytes = 1\nallow_clear_all = true\nshards = 8").unwrap();
    let expected = MemoryConfig::default()
        .max_bytes(limit(1))
        .allow_clear_all();
    assert_eq!(config, expected.shards(ShardCount::new(8).unwrap()));
    for (text, named) in [
        ("max_entires = 1", "max_entires"),
        ("max_entries = 0", "max_entries"),
        ("shards = 7", "power of two"),
        ("on_full = 'drop'", "`refuse`"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}
