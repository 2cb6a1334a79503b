//! Tags on every store, whatever is in front of it.

use kv_cache::{Cache, Far, Freshness, Near, Policy};
use kv_core::{Context, Kv};
use kv_tests::{
    patience::{PATIENCE, until},
    stores::Site,
};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

const HOUR: Duration = Duration::from_secs(3600);

type Products = Cache<str, u32>;

/// A process that trusts what it has for so long.
fn process(kv: &Kv, max_stale: Duration) -> Products {
    Cache::builder("products")
        .near(Near::megabytes(1).max_stale(max_stale))
        .far(Far::new(kv).deadline(PATIENCE))
        .policy(Policy::ttl(HOUR).stale(HOUR).hard_timeout(PATIENCE))
        .build()
        .unwrap()
}

/// Two that ask the store each time.
async fn two(site: &Site) -> [Products; 2] {
    [site.kv().await, site.kv().await].map(|kv| process(&kv, Duration::ZERO))
}

async fn load(cache: &Products, key: &str, tags: &[&str], value: u32) -> u32 {
    let tagged = cache.tagged(tags).unwrap();
    let load = tagged.get_or_load(key, move |_| async move { Ok::<_, Infallible>(value) });
    let seen = *load.await.unwrap();
    cache.idle().await;
    seen
}

async fn freshness(cache: &Products, key: &str) -> Option<Freshness> {
    let entry = cache.get_entry(key).await.unwrap();
    entry.map(|it| it.freshness())
}

async fn a_tag_removes_or_expires_its_entries_for_all(site: Site) {
    let [one, other] = two(&site).await;
    load(&one, "a", &["red"], 1).await;
    load(&one, "b", &["blue"], 1).await;
    load(&other, "c", &["red", "blue"], 1).await;
    load(&other, "d", &[], 1).await;
    other.remove_tag("red").await.unwrap();
    one.expire_tag("blue").await.unwrap();
    let (fresh, stale) = (Some(Freshness::Fresh), Some(Freshness::Stale));
    for cache in [&one, &other] {
        for (key, wanted) in [("a", None), ("b", stale), ("c", None), ("d", fresh)] {
            assert_eq!(freshness(cache, key).await, wanted, "{key}");
        }
    }
    assert_eq!(load(&one, "a", &["red"], 2).await, 2);
    assert_eq!(load(&other, "a", &["red"], 3).await, 2);
    one.expire_all().await.unwrap();
    assert_eq!(freshness(&other, "d").await, stale);
    other.clear().await.unwrap();
    for cache in [&one, &other] {
        for key in ["a", "b", "c", "d"] {
            assert_eq!(freshness(cache, key).await, None, "{key}");
        }
    }
}

async fn tenants_have_tags_of_their_own(site: Site) {
    let [one, other] = two(&site).await;
    let kv = site.kv().await;
    let of = |tenant| kv.bind(Context::tenant(tenant)).resolve("k").unwrap();
    let is_apart = of("ann") != of("bob");
    for tenant in ["ann", "bob"] {
        let all = async {
            one.tagged(["red"]).unwrap().set("k", 1).await.unwrap();
        };
        Context::tenant(tenant).scope(all).await;
    }
    let ann = Context::tenant("ann");
    ann.scope(other.remove_tag("red")).await.unwrap();
    for cache in [&one, &other] {
        let ann = Context::tenant("ann").scope(cache.get("k")).await.unwrap();
        assert_eq!(ann, None);
        let bob = Context::tenant("bob").scope(cache.get("k")).await.unwrap();
        assert_eq!(bob.is_some(), is_apart);
    }
}

/// As many as there can be, and of each the first use: no store finds that too much in one call.
async fn an_entry_has_as_many_tags_as_it_may(site: Site) {
    let [one, other] = two(&site).await;
    let tags: Vec<String> = (0..32).map(|it| format!("tag {it}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    one.tagged(&tags).unwrap().set("k", 1).await.unwrap();
    assert_eq!(freshness(&other, "k").await, Some(Freshness::Fresh));
    other.remove_tag("tag 31").await.unwrap();
    assert_eq!(freshness(&one, "k").await, None);
    // And so many that only the loader knows.
    let late = one.get_or_load("late", |context| async move {
        for tag in 100..132 {
            context.tag(&tag);
        }
        Ok::<_, Infallible>(1)
    });
    late.await.unwrap();
    one.idle().await;
    assert_eq!(freshness(&other, "late").await, Some(Freshness::Fresh));
    other.remove_tag(&131).await.unwrap();
    assert_eq!(freshness(&one, "late").await, None);
}

/// Nobody asks the store again for an hour, so what others see they have heard.
async fn others_hear_of_tags(site: Site) {
    let [one, other] = [site.kv().await, site.kv().await].map(|kv| process(&kv, HOUR));
    let mut value = 0;
    until("a removal is heard", async || {
        value += 1;
        load(&other, "k", &["red"], value).await;
        one.remove_tag("red").await.unwrap();
        other.stats().heard > 0
    })
    .await;
    // What is loaded before the last removal is heard goes with it.
    until("the last removal has been heard", async || {
        load(&other, "k", &["red"], 1_000_001).await;
        freshness(&other, "k").await == Some(Freshness::Fresh)
            && freshness(&one, "k").await == Some(Freshness::Fresh)
    })
    .await;
    one.expire_tag("red").await.unwrap();
    until("the entry is stale", async || {
        freshness(&other, "k").await == Some(Freshness::Stale)
    })
    .await;
    one.clear().await.unwrap();
    until("the entry is gone", async || {
        freshness(&other, "k").await.is_none()
    })
    .await;
}

/// C2 and C3: in the process that removes, whoever else reads, loads and removes.
async fn no_reader_sees_what_a_tag_had_removed_before_it_asked(site: Site) {
    const LAST: u32 = 40;
    let origin = Arc::new(AtomicU32::new(0));
    let told = Arc::new(AtomicU32::new(0));
    let [here, there] = two(&site).await;
    let mut readers = JoinSet::new();
    for (cache, is_here) in [(&here, true), (&here, true), (&there, false)] {
        let (cache, origin, told) = (cache.clone(), origin.clone(), told.clone());
        readers.spawn(async move {
            let tagged = cache.tagged(["red"]).unwrap();
            for key in ["a", "b"].into_iter().cycle() {
                let least = told.load(Ordering::SeqCst);
                if least == LAST {
                    return;
                }
                let origin = origin.clone();
                // One names its tag before, the other one after it has read.
                let cache = match key {
                    "a" => &tagged,
                    _ => &cache,
                };
                let load = cache.get_or_load(key, move |context| async move {
                    let value = origin.load(Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    context.tag("red");
                    Ok::<_, Infallible>(value)
                });
                let seen = *load.await.unwrap();
                assert!(!is_here || seen >= least, "{key}: {seen} after {least}");
            }
        });
    }
    for value in 1..=LAST {
        origin.store(value, Ordering::SeqCst);
        match value % 4 {
            0 => here.clear().await.unwrap(),
            _ => here.remove_tag("red").await.unwrap(),
        }
        told.store(value, Ordering::SeqCst);
    }
    while let Some(done) = readers.join_next().await {
        done.unwrap();
    }
    for cache in [&here, &there] {
        cache.idle().await;
        for key in ["a", "b"] {
            let seen = cache.get(key).await.unwrap();
            assert!(seen.is_none_or(|it| *it == LAST), "{key}");
        }
    }
}

kv_tests::on_each_store_there_is! {
    a_tag_removes_or_expires_its_entries_for_all
    tenants_have_tags_of_their_own
    an_entry_has_as_many_tags_as_it_may
    others_hear_of_tags
    no_reader_sees_what_a_tag_had_removed_before_it_asked
}
