//! Many entries at once, by their tags.

use crate::{
    Origin, SECOND, fails,
    fleet::{Fleet, Products, SURE, ask, get},
    near, settle, ttl,
};
use kv_cache::{Freshness, Policy};
use kv_core::{Context, ErrorKind, Key, KeyGroup};
use kv_wrappers::{KeyResolver, KeySettings};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};
use tokio::sync::Notify;

/// Asks for an entry that has these tags if it is loaded.
async fn load(cache: &Products, key: &str, tags: &[&str], value: u32) -> u32 {
    let cache = cache.tagged(tags).unwrap();
    let load = cache.get_or_load(key, move |_| async move { Ok::<_, &'static str>(value) });
    *load.await.unwrap()
}

/// One process without a store, and two with one.
async fn each_kind(policy: Policy) -> (Fleet, Vec<Vec<Products>>) {
    let fleet = Fleet::new();
    let alone = near(policy).0;
    let two = vec![fleet.process(policy).await, fleet.process(policy).await];
    (fleet, vec![vec![alone], two])
}

#[tokio::test]
async fn a_tag_removes_its_entries_and_no_others() {
    let (_fleet, kinds) = each_kind(ttl(60).stale(SECOND * 60)).await;
    for caches in kinds {
        let (one, last) = (&caches[0], caches.last().unwrap());
        let all = [
            ("a", &["red"][..]),
            ("b", &["blue"]),
            ("c", &["blue", "red"]),
            ("d", &[]),
        ];
        for cache in &caches {
            for (key, tags) in all {
                assert_eq!(load(cache, key, tags, 1).await, 1);
            }
            cache.idle().await;
        }
        one.remove_tag("red").await.unwrap();
        settle().await;
        for cache in [one, last] {
            for (key, is_there) in [("a", false), ("b", true), ("c", false), ("d", true)] {
                let entry = cache.get_entry(key).await.unwrap();
                assert_eq!(entry.is_some(), is_there, "{key}");
            }
        }
        // What is loaded now has the tag as it is now.
        assert_eq!(load(last, "a", &["red"], 2).await, 2);
        last.idle().await;
        assert_eq!(load(one, "a", &["red"], 3).await, 2);
    }
}

#[tokio::test]
async fn an_expired_tag_leaves_its_entries_for_where_loading_fails() {
    let (fleet, kinds) = each_kind(ttl(60).stale(SECOND * 60).throttle(SECOND * 5)).await;
    for caches in kinds {
        let (one, last) = (&caches[0], caches.last().unwrap());
        for cache in &caches {
            load(cache, "a", &["red"], 1).await;
            load(cache, "b", &[], 1).await;
            cache.idle().await;
        }
        one.expire_tag("red").await.unwrap();
        settle().await;
        for cache in [one, last] {
            let freshness = |it: Option<kv_cache::Entry<u32>>| it.map(|it| it.freshness());
            let stale = freshness(cache.get_entry("a").await.unwrap());
            assert_eq!(stale, Some(Freshness::Stale));
            assert_eq!(cache.get("a").await.unwrap(), None);
            let fresh = freshness(cache.get_entry("b").await.unwrap());
            assert_eq!(fresh, Some(Freshness::Fresh));
        }
        let origin = Origin::default();
        for _ in 0..3 {
            let (origin, from) = (origin.clone(), one.clone());
            let seen = from.get_or_load("a", move |_| async move {
                drop(origin.next());
                fails().await
            });
            assert_eq!(*seen.await.unwrap(), 1);
            settle().await;
        }
        assert_eq!(
            origin.loads(),
            1,
            "what has failed is left alone for a while"
        );
    }
    drop(fleet);
}

#[tokio::test]
async fn all_are_removed_or_expired_at_once() {
    for removes in [true, false] {
        let (_fleet, kinds) = each_kind(ttl(60).stale(SECOND * 60)).await;
        for caches in kinds {
            let (one, last) = (&caches[0], caches.last().unwrap());
            for cache in &caches {
                load(cache, "a", &["red"], 1).await;
                load(cache, "b", &[], 1).await;
                cache.idle().await;
            }
            match removes {
                true => one.clear().await.unwrap(),
                false => one.expire_all().await.unwrap(),
            }
            settle().await;
            for cache in [one, last] {
                for key in ["a", "b"] {
                    let entry = cache.get_entry(key).await.unwrap();
                    let freshness = entry.map(|it| it.freshness());
                    let wanted = (!removes).then_some(Freshness::Stale);
                    assert_eq!(freshness, wanted);
                }
            }
        }
    }
}

#[tokio::test]
async fn clearing_here_asks_the_store_again() {
    let fleet = Fleet::new();
    let (one, sent) = fleet.counted(ttl(60)).await;
    get(&one, 1).await;
    one.idle().await;
    sent.take();
    one.clear_near().unwrap();
    assert!(sent.take().is_empty());
    assert_eq!(get(&one, 2).await, 1);
    assert_eq!(sent.take().len(), 1);
}

#[tokio::test]
async fn what_was_begun_before_a_tag_was_removed_is_not_kept_and_not_joined() {
    let (_fleet, kinds) = each_kind(ttl(60)).await;
    for caches in kinds {
        let (one, last) = (&caches[0], caches.last().unwrap());
        let [old, new] = [(); 2].map(|()| Arc::new(Notify::new()));
        let tagged = |cache: &Products| cache.tagged(["red"]).unwrap();
        let before = ask(&tagged(last), &old, 1);
        settle().await;
        one.remove_tag("red").await.unwrap();
        settle().await;
        // With a store it waits for the lease, and may have what it did not begin to read itself; not alone.
        if caches.len() == 1 {
            let after = ask(&tagged(last), &new, 2);
            settle().await;
            new.notify_one();
            assert_eq!(after.await.unwrap().unwrap(), 2);
        }
        old.notify_one();
        assert_eq!(before.await.unwrap().unwrap(), 1);
        last.idle().await;
        for cache in [one, last] {
            let seen = load(cache, "k", &["red"], 3).await;
            assert_eq!(seen, if caches.len() == 1 { 2 } else { 3 });
            cache.idle().await;
        }
    }
}

/// What is being loaded in another process is not what is given to who asks after the removal.
#[tokio::test]
async fn who_waits_for_another_process_does_not_get_what_a_tag_has_removed() {
    let fleet = Fleet::new();
    let one = fleet.process(ttl(60)).await.tagged(["red"]).unwrap();
    let other = fleet.process(ttl(60)).await.tagged(["red"]).unwrap();
    let [old, new] = [(); 2].map(|()| Arc::new(Notify::new()));
    let before = ask(&one, &old, 1);
    settle().await;
    other.remove_tag("red").await.unwrap();
    let after = ask(&other, &new, 2);
    settle().await;
    old.notify_one();
    assert_eq!(before.await.unwrap().unwrap(), 1);
    settle().await;
    new.notify_one();
    assert_eq!(after.await.unwrap().unwrap(), 2);
}

#[tokio::test]
async fn the_tags_of_tenants_are_apart() {
    let fleet = Fleet::new();
    let layer = KeyResolver::new(KeySettings::default()).unwrap();
    let kv = fleet.builder().layer(layer).connect().await.unwrap();
    for cache in [near(ttl(60)).0, fleet.on(&kv, ttl(60))] {
        for clears in [false, true] {
            let of = |tenant: &'static str| Context::tenant(tenant);
            of("ann").scope(load(&cache, "k", &["red"], 1)).await;
            of("bob").scope(load(&cache, "k", &["red"], 2)).await;
            cache.idle().await;
            match clears {
                true => of("ann").scope(cache.clear()).await.unwrap(),
                false => of("ann").scope(cache.remove_tag("red")).await.unwrap(),
            }
            let seen = of("bob").scope(load(&cache, "k", &["red"], 3)).await;
            assert_eq!(seen, 2);
            let seen = of("ann").scope(load(&cache, "k", &["red"], 1)).await;
            assert_eq!(seen, 1);
            of("ann").scope(cache.clear()).await.unwrap();
            assert_eq!(of("ann").scope(cache.get("k")).await.unwrap(), None);
        }
    }
}

/// What has been removed does not come back when the store has lost what it knew of tags; what has not costs a load.
#[tokio::test]
async fn a_store_that_loses_the_record_of_a_tag_brings_nothing_back() {
    let group = KeyGroup::new("cache:c").unwrap();
    let records: [Key; 4] =
        [":removed", ":expired", ":removed:red", ":expired:red"].map(|it| group.key(it));
    for lost in &records {
        let fleet = Fleet::new();
        let one = fleet.process(ttl(6000)).await;
        load(&one, "k", &["red"], 1).await;
        one.idle().await;
        one.remove_tag("red").await.unwrap();
        one.remove_tag("red").await.unwrap();
        let kv = fleet.kv().await;
        kv.delete(lost.clone()).await.unwrap();
        for value in 2..4 {
            let other = fleet.process(ttl(6000)).await;
            assert_eq!(load(&other, "k", &["red"], value).await, 2, "{lost:?}");
            other.idle().await;
        }
        // Also who has known the tag before sees what others have loaded since.
        fleet.pass(SURE * 3).await;
        assert_eq!(load(&one, "k", &["red"], 9).await, 2, "{lost:?}");
    }
}

#[tokio::test]
async fn tags_cost_no_calls_of_their_own() {
    let fleet = Fleet::new();
    let (one, sent) = fleet.counted(ttl(6000)).await;
    load(&one, "first", &["red"], 1).await;
    one.idle().await;
    assert_eq!(sent.take().len(), 3, "the first entry ever that has it");
    let (other, others) = fleet.counted(ttl(6000)).await;
    assert_eq!(load(&other, "k", &["red"], 1).await, 1);
    other.idle().await;
    assert_eq!(others.take().len(), 2, "a miss");
    one.get("k").await.unwrap();
    assert_eq!(sent.take().len(), 1, "a hit there");
    let (third, thirds) = fleet.counted(ttl(6000)).await;
    third.get("k").await.unwrap();
    assert_eq!(thirds.take().len(), 2, "the first entry here that has it");
    third.get("first").await.unwrap();
    assert_eq!(thirds.take().len(), 1);
    third.remove_tag("red").await.unwrap();
    assert_eq!(thirds.take().len(), 1, "a removal");
    third.expire_tag("red").await.unwrap();
    assert_eq!(thirds.take().len(), 1);
    third.clear().await.unwrap();
    assert_eq!(thirds.take().len(), 1);
    settle().await;
    // It must be asked for the lease once more: what is there is in the way.
    assert_eq!(load(&other, "k", &["red"], 2).await, 2);
    other.idle().await;
    assert_eq!(others.take().len(), 3, "what a tag has removed");
    other.tagged(["red"]).unwrap().set("k", 3).await.unwrap();
    assert_eq!(others.take().len(), 2, "a write");
}

/// K7: as if all entries were looked through and those with the tag removed.
#[tokio::test]
async fn so_it_is_as_if_all_entries_were_looked_through() {
    const TAGS: [&str; 3] = ["red", "blue", "green"];
    for seed in 0..30 {
        let mut random = fastrand::Rng::with_seed(seed);
        let fleet = Fleet::new();
        let mut caches = vec![near(ttl(6000).stale(SECOND)).0];
        if seed % 3 > 0 {
            caches = vec![fleet.process(ttl(6000).stale(SECOND * 6000)).await];
            caches.push(fleet.process(ttl(6000).stale(SECOND * 6000)).await);
        }
        // The tags of what is there, its value, and whether it is stale.
        let mut there: BTreeMap<u8, (Vec<&str>, u32, bool)> = BTreeMap::new();
        for step in 0..300 {
            let cache = &caches[random.usize(..caches.len())];
            let key = random.u8(..6);
            let name = key.to_string();
            let tag = TAGS[random.usize(..3)];
            let tags: Vec<_> = TAGS.into_iter().filter(|_| random.bool()).collect();
            match random.u32(..10) {
                0 => {
                    cache.remove_tag(tag).await.unwrap();
                    there.retain(|_, it| !it.0.contains(&tag));
                }
                1 => {
                    cache.expire_tag(tag).await.unwrap();
                    let with = there.values_mut().filter(|it| it.0.contains(&tag));
                    with.for_each(|it| it.2 = true);
                }
                2 if random.u32(..4) == 0 => {
                    cache.clear().await.unwrap();
                    there.clear();
                }
                3 if random.u32(..4) == 0 => {
                    cache.expire_all().await.unwrap();
                    there.values_mut().for_each(|it| it.2 = true);
                }
                4 => {
                    cache.remove(&*name).await.unwrap();
                    there.remove(&key);
                }
                5 => {
                    let tagged = cache.tagged(&tags).unwrap();
                    tagged.set(&*name, step).await.unwrap();
                    there.insert(key, (tags, step, false));
                }
                6 => fleet.pass(SECOND).await,
                _ => {
                    let entry = cache.get_entry(&*name).await.unwrap();
                    let seen = entry.map(|it| (**it.value().unwrap(), it.freshness()));
                    let wanted = there.get(&key).map(|(_, value, is_stale)| {
                        let freshness = match is_stale {
                            true => Freshness::Stale,
                            false => Freshness::Fresh,
                        };
                        (*value, freshness)
                    });
                    assert_eq!(seen, wanted, "seed {seed}, step {step}, key {key}");
                    if let Entry::Vacant(missing) = there.entry(key) {
                        assert_eq!(load(cache, &name, &tags, step).await, step);
                        cache.idle().await;
                        missing.insert((tags, step, false));
                    }
                }
            }
            settle().await;
        }
    }
}

#[tokio::test]
async fn what_is_no_tag_is_refused() {
    let (cache, _) = near(ttl(60));
    let long = "x".repeat(1025);
    for tags in [vec![""], vec![&*long], vec!["ok", ""]] {
        let error = cache.tagged(tags).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    let error = cache.tagged(0..33).unwrap_err();
    assert!(error.to_string().contains("too many tags"), "{error}");
    let most = cache.tagged(0..32).unwrap();
    most.tagged([31]).unwrap();
    most.tagged([32]).unwrap_err();
    cache.remove_tag("").await.unwrap_err();
}
