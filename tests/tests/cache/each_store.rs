//! What holds on every store, whatever is in front of it.

use kv_cache::{Cache, Far, Freshness, Loaded, Near, Policy, Tier};
use kv_core::Kv;
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
use tokio::{sync::Notify, task::JoinSet};

const HOUR: Duration = Duration::from_secs(3600);

type Products = Cache<str, u32>;

fn policy() -> Policy {
    Policy::ttl(HOUR)
        .stale(HOUR)
        .hard_timeout(PATIENCE)
        .negative(HOUR)
}

/// What another process has: it asks the store each time, so that it sees at once what others do.
async fn process(site: &Site) -> Products {
    on(&site.kv().await)
}

fn on(kv: &Kv) -> Products {
    Cache::builder("products")
        .near(Near::megabytes(1).max_stale(Duration::ZERO))
        .far(Far::new(kv).deadline(PATIENCE))
        .policy(policy())
        .build()
        .unwrap()
}

async fn get(cache: &Products, key: &str, value: u32) -> u32 {
    let load = cache.get_or_load(key, move |_| async move { Ok::<_, Infallible>(value) });
    let got = *load.await.unwrap();
    cache.idle().await;
    got
}

async fn one_loads_for_all_processes(site: Site) {
    let loads = Arc::new(AtomicU32::new(0));
    let mut asking = JoinSet::new();
    for _ in 0..4 {
        let cache = process(&site).await;
        for _ in 0..25 {
            let (cache, loads) = (cache.clone(), loads.clone());
            asking.spawn(async move {
                let load = cache.get_or_load("k", move |_| async move {
                    for _ in 0..10 {
                        tokio::task::yield_now().await;
                    }
                    Ok::<_, Infallible>(loads.fetch_add(1, Ordering::Relaxed) + 1)
                });
                *load.await.unwrap()
            });
        }
    }
    for value in asking.join_all().await {
        assert_eq!(value, 1);
    }
    assert_eq!(loads.load(Ordering::Relaxed), 1);
}

/// Nobody asks the store again for an hour, so what others see they have heard.
async fn what_one_writes_or_removes_the_others_hear(site: Site) {
    let hearing = |kv: &Kv| {
        Cache::<str, u32>::builder("products")
            .near(Near::megabytes(1).max_stale(HOUR))
            .far(Far::new(kv).deadline(PATIENCE))
            .policy(policy())
            .build()
            .unwrap()
    };
    let [one, other] = [hearing(&site.kv().await), hearing(&site.kv().await)];
    // Until it listens it hears nothing.
    let mut value = 0;
    until("a write is heard", async || {
        value += 1;
        get(&other, "k", value).await;
        one.set("k", value).await.unwrap();
        other.stats().heard > 0
    })
    .await;
    one.set("k", 1_000_001).await.unwrap();
    until("the last write is seen", async || {
        get(&other, "k", 0).await == 1_000_001
    })
    .await;
    one.remove("k").await.unwrap();
    until("the removal is seen", async || {
        get(&other, "k", 1_000_002).await == 1_000_002
    })
    .await;
    assert_eq!(get(&one, "k", 0).await, 1_000_002);
    one.expire("k").await.unwrap();
    until("the expiry is seen", async || {
        let entry = other.get_entry("k").await.unwrap();
        entry.is_some_and(|it| it.freshness() == Freshness::Stale)
    })
    .await;
}

async fn what_one_has_loaded_written_or_removed_all_see(site: Site) {
    let [one, other] = [process(&site).await, process(&site).await];
    assert_eq!(get(&one, "k", 1).await, 1);
    assert_eq!(get(&other, "k", 2).await, 1);
    let entry = other.get_entry("k").await.unwrap().unwrap();
    assert_eq!(
        (entry.freshness(), entry.tier()),
        (Freshness::Fresh, Tier::Far)
    );
    assert!(entry.age() < HOUR);
    other.set("k", 3).await.unwrap();
    assert_eq!(get(&one, "k", 4).await, 3);
    one.remove("k").await.unwrap();
    assert_eq!(other.get("k").await.unwrap(), None);
    assert_eq!(get(&other, "k", 5).await, 5);
    let none = one.find_or_load("none", |_| async { Ok::<Option<u32>, Infallible>(None) });
    assert_eq!(none.await.unwrap(), None);
    one.idle().await;
    let none = other.find_or_load("none", |_| async { Ok::<_, Infallible>(Some(6)) });
    assert_eq!(none.await.unwrap(), None);
}

async fn an_expired_entry_is_loaded_once_and_given_out_meanwhile(site: Site) {
    let [one, other] = [process(&site).await, process(&site).await];
    one.set("k", 1).await.unwrap();
    one.expire("k").await.unwrap();
    let entry = other.get_entry("k").await.unwrap().unwrap();
    assert_eq!(
        (**entry.value().unwrap(), entry.freshness()),
        (1, Freshness::Stale)
    );
    let gate = Arc::new(Notify::new());
    let opened = gate.clone();
    let load = other.get_or_load("k", move |context| async move {
        assert_eq!(*context.stale().unwrap(), 1);
        opened.notified().await;
        Ok::<_, Infallible>(2)
    });
    assert_eq!(*load.await.unwrap(), 1);
    // It is leased to the other one.
    let load = one.get_or_load("k", |_| async { Ok::<_, Infallible>(3) });
    assert_eq!(*load.await.unwrap(), 1);
    gate.notify_one();
    other.idle().await;
    one.idle().await;
    assert_eq!(get(&one, "k", 4).await, 2);
    assert_eq!((one.stats().loads, other.stats().loads), (0, 1));
    other.expire("k").await.unwrap();
    let same = other.refresh("k", |context| async move {
        let stale = context.stale().unwrap();
        Ok::<Loaded<u32>, Infallible>(stale.not_modified())
    });
    assert_eq!(same.await.unwrap().as_deref(), Some(&2));
    other.idle().await;
    let entry = one.get_entry("k").await.unwrap().unwrap();
    assert_eq!(entry.freshness(), Freshness::Fresh);
}

/// C3.
async fn a_load_that_began_before_is_kept_nowhere(site: Site) {
    let [one, other] = [process(&site).await, process(&site).await];
    for removal in ["remove", "expire", "set"] {
        let (begun, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begins, opened, loading) = (begun.clone(), gate.clone(), one.clone());
        let old = tokio::spawn(async move {
            let load = loading.get_or_load(removal, move |_| async move {
                begins.notify_one();
                opened.notified().await;
                Ok::<_, Infallible>(1)
            });
            *load.await.unwrap()
        });
        begun.notified().await;
        match removal {
            "remove" => other.remove(removal).await.unwrap(),
            "expire" => other.expire(removal).await.unwrap(),
            _ => other.set(removal, 2).await.unwrap(),
        }
        gate.notify_one();
        assert_eq!(old.await.unwrap(), 1);
        one.idle().await;
        assert_eq!(get(&one, removal, 2).await, 2, "{removal}");
        assert_eq!(get(&other, removal, 3).await, 2, "{removal}");
    }
    assert_eq!(one.stats().dropped_fills, 3);
}

/// C2: in the process that writes, whoever else reads and loads.
async fn no_reader_sees_what_was_replaced_before_it_asked(site: Site) {
    const LAST: u32 = 40;
    let origin = Arc::new(AtomicU32::new(0));
    // What every reader here must see at least.
    let told = Arc::new(AtomicU32::new(0));
    let [here, there] = [process(&site).await, process(&site).await];
    let mut readers = JoinSet::new();
    for (cache, is_here) in [(&here, true), (&here, true), (&there, false)] {
        let (cache, origin, told) = (cache.clone(), origin.clone(), told.clone());
        readers.spawn(async move {
            while told.load(Ordering::SeqCst) < LAST {
                let least = told.load(Ordering::SeqCst);
                let origin = origin.clone();
                let load = cache.get_or_load("k", move |_| async move {
                    let value = origin.load(Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    Ok::<_, Infallible>(value)
                });
                let seen = *load.await.unwrap();
                assert!(!is_here || seen >= least, "{seen} after {least}");
            }
        });
    }
    for value in 1..=LAST {
        origin.store(value, Ordering::SeqCst);
        match value % 3 {
            0 => here.set("k", value).await.unwrap(),
            _ => here.remove("k").await.unwrap(),
        }
        told.store(value, Ordering::SeqCst);
    }
    while let Some(done) = readers.join_next().await {
        done.unwrap();
    }
}

kv_tests::on_each_store_there_is! {
    one_loads_for_all_processes
    what_one_has_loaded_written_or_removed_all_see
    what_one_writes_or_removes_the_others_hear
    an_expired_entry_is_loaded_once_and_given_out_meanwhile
    a_load_that_began_before_is_kept_nowhere
    no_reader_sees_what_was_replaced_before_it_asked
}
