//! What comes in between two steps of one call, and what does not come at all.

use crate::{
    SECOND,
    fleet::{Fleet, Products, SURE, record},
    near, settle, ttl,
};
use futures_util::FutureExt;
use kv_cache::{Cache, Far, LoadContext, Loaded, Near, Policy};
use kv_conformance::faults::{Fault, FaultSwitch, FaultsLayer, Odds, Plan};
use kv_core::{BoxFuture, Clock, KeyGroup, Timestamp, VirtualClock, layer_fn};
use parking_lot::Mutex;
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

type Deed = Box<dyn FnOnce() + Send>;

/// A clock that goes on with each look at it, and does something at one of them.
#[derive(Clone, Default)]
struct Busy {
    clock: VirtualClock,
    deed: Arc<Mutex<Option<Deed>>>,
    looks: Arc<AtomicU64>,
}

impl std::fmt::Debug for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Busy")
    }
}

impl Clock for Busy {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(deadline)
    }

    fn monotonic(&self) -> Duration {
        let deed = self.deed.lock().take();
        if let Some(deed) = deed {
            deed();
        }
        let looks = self.looks.fetch_add(1, Ordering::Relaxed);
        self.clock.monotonic() + Duration::from_nanos(looks)
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep(span)
    }
}

/// A process whose transactions can be made to fail.
async fn failing(fleet: &Fleet, policy: Policy) -> (Products, FaultSwitch) {
    let odds = Odds::none().and(Fault::FailBefore, 1.0).unwrap();
    let faults = FaultsLayer::new(Plan::random(7, odds)).only(|it| it.name == "commit");
    let switch = faults.switch();
    switch.off();
    let kv = fleet.builder().layer(faults).connect().await.unwrap();
    (fleet.on(&kv, policy), switch)
}

/// The old value if there is one, as if it still held.
async fn same_or(context: LoadContext<u32>, value: u32) -> Result<Loaded<u32>, Infallible> {
    Ok(match context.stale() {
        Some(stale) => stale.not_modified(),
        None => Loaded::Value(value),
    })
}

async fn see(cache: &Products) -> Option<u32> {
    cache.get("k").await.unwrap().map(|it| *it)
}

/// It had been found stale here by a caller who then began a load.
#[tokio::test]
async fn what_was_removed_before_a_load_began_is_given_to_nobody_and_is_no_stale_value() {
    for (by_tag, is_joined) in [(true, true), (false, true), (true, false), (false, false)] {
        let busy = Busy::default();
        busy.clock.advance(SECOND * 1000);
        let cache = Cache::<str, u32>::builder("c")
            .near(Near::megabytes(1))
            .policy(ttl(10).stale(SECOND * 1000))
            .clock(Arc::new(busy.clone()))
            .build()
            .unwrap()
            .tagged(["red"])
            .unwrap();
        cache.set("k", 1).await.unwrap();
        busy.clock.advance(SECOND * 20);
        let remover = cache.clone();
        *busy.deed.lock() = Some(Box::new(move || {
            let removed = match by_tag {
                true => remover.remove_tag("red").now_or_never(),
                false => remover.remove("k").now_or_never(),
            };
            removed.unwrap().unwrap();
        }));
        if !is_joined {
            let load = cache.get_or_load("k", |context| same_or(context, 2));
            load.await.unwrap();
            cache.idle().await;
            assert_eq!(see(&cache).await, Some(2), "by tag: {by_tag}");
            continue;
        }
        let gate = Arc::new(Notify::new());
        let opened = gate.clone();
        let first = cache.get_or_load("k", move |_| async move {
            opened.notified().await;
            Ok::<_, Infallible>(2)
        });
        assert_eq!(*first.await.unwrap(), 1, "who asked before may have it");
        assert!(busy.deed.lock().is_none());
        let asking = cache.clone();
        let second = tokio::spawn(async move {
            let load = asking.get_or_load("k", |_| async { Ok::<_, Infallible>(3) });
            *load.await.unwrap()
        });
        settle().await;
        gate.notify_one();
        assert_ne!(second.await.unwrap(), 1, "by tag: {by_tag}");
    }
}

/// Another process loads, this one waits, and then the store cannot be asked.
#[tokio::test]
async fn what_a_tag_removed_while_another_process_loads_is_no_stale_value() {
    let fleet = Fleet::new();
    let policy = ttl(10).stale(SECOND * 1000);
    let (one, switch) = failing(&fleet, policy).await;
    let one = one.tagged(["red"]).unwrap();
    let other = fleet.process(policy).await.tagged(["red"]).unwrap();
    one.set("k", 1).await.unwrap();
    fleet.pass(SECOND * 11).await;
    let gate = Arc::new(Notify::new());
    let opened = gate.clone();
    let loading = tokio::spawn(async move {
        let load = other.refresh("k", move |_| async move {
            opened.notified().await;
            Ok::<_, Infallible>(2)
        });
        load.await
    });
    settle().await;
    let seen = one.get_or_load("k", |context| same_or(context, 3)).await;
    assert_eq!(*seen.unwrap(), 1);
    settle().await;
    one.remove_tag("red").await.unwrap();
    switch.on();
    gate.notify_one();
    loading.await.unwrap().unwrap();
    one.idle().await;
    let seen = one.get("k").await;
    assert!(!matches!(&seen, Ok(Some(it)) if **it == 1), "{seen:?}");
}

/// Also with a clock that goes on: what is old is told from what is new without asking.
#[tokio::test]
async fn what_a_tag_has_removed_costs_one_call_more() {
    let fleet = Fleet::new();
    let sent = Arc::new(AtomicU64::new(0));
    let count = sent.clone();
    let layer = layer_fn("count", move |request, next| {
        if request.command.spec().name != "notify" {
            count.fetch_add(1, Ordering::Relaxed);
        }
        next.call(request)
    });
    let kv = fleet.builder().layer(layer).connect().await.unwrap();
    let busy = Busy {
        clock: fleet.clock.clone(),
        ..Busy::default()
    };
    let cache = Cache::<str, u32>::builder("c")
        .near(Near::megabytes(1).max_stale(SURE))
        .far(Far::new(&kv).deadline(SECOND))
        .policy(ttl(6000))
        .clock(Arc::new(busy));
    let one = cache.build().unwrap().tagged(["red"]).unwrap();
    for key in ["a", "b"] {
        one.set(key, 1).await.unwrap();
    }
    one.remove_tag("red").await.unwrap();
    for key in ["a", "b"] {
        sent.store(0, Ordering::Relaxed);
        let load = one.get_or_load(key, |_| async { Ok::<_, Infallible>(2) });
        assert_eq!(*load.await.unwrap(), 2);
        one.idle().await;
        assert_eq!(sent.load(Ordering::Relaxed), 3, "{key}");
    }
}

/// The store had an old one under the version that it has here.
#[tokio::test]
async fn what_the_store_has_not_taken_has_its_own_tags() {
    let fleet = Fleet::new();
    let (one, switch) = failing(&fleet, ttl(600)).await;
    one.tagged(["red"]).unwrap().set("k", 1).await.unwrap();
    switch.on();
    let blue = one.tagged(["blue"]).unwrap();
    let load = blue.refresh("k", |_| async { Ok::<_, Infallible>(2) });
    assert_eq!(load.await.unwrap().as_deref(), Some(&2));
    one.idle().await;
    switch.off();
    fleet.pass(SURE * 2).await;
    see(&one).await;
    one.remove_tag("blue").await.unwrap();
    assert_ne!(see(&one).await, Some(2));
}

/// Of a tag that it knows from before a process need not be told by the others.
#[tokio::test]
async fn tags_that_are_changed_all_the_time_keep_nothing_from_being_kept() {
    let fleet = Fleet::new();
    let third = fleet.process(ttl(600)).await;
    for (one, other) in [
        (near(ttl(600)).0, None),
        (fleet.process(ttl(600)).await, Some(&third)),
    ] {
        let mut kept = Vec::new();
        for _ in 0..3 {
            let gate = Arc::new(Notify::new());
            let (loading, opened) = (one.clone(), gate.clone());
            let loading = tokio::spawn(async move {
                let load = loading.get_or_load("k", |context| async move {
                    opened.notified().await;
                    context.tag("red");
                    Ok::<_, Infallible>(1)
                });
                load.await.map(drop)
            });
            settle().await;
            one.remove_tag("blue").await.unwrap();
            gate.notify_one();
            loading.await.unwrap().unwrap();
            one.idle().await;
            kept.push(see(&one).await.is_some());
            fleet.pass(SECOND / 10).await;
        }
        assert_eq!(kept, [false, true, true]);
        if let Some(other) = other {
            assert_eq!(see(other).await, Some(1), "on the store as well");
        }
    }
}

/// What is known of it is that there is nothing.
#[tokio::test]
async fn a_tag_whose_records_are_lost_is_begun_by_who_names_it_next() {
    let fleet = Fleet::new();
    let other = fleet.process(ttl(600)).await;
    other.tagged(["red"]).unwrap().set("a", 1).await.unwrap();
    let kv = fleet.kv().await;
    for kind in [":removed:red", ":expired:red"] {
        assert!(kv.delete(record(kind)).await.unwrap());
    }
    let one = fleet.process(ttl(600)).await;
    assert!(one.get("a").await.unwrap().is_none());
    fleet.pass(SECOND / 10).await;
    let load = one.get_or_load("k", |context| async move {
        context.tag("red");
        Ok::<_, Infallible>(2)
    });
    load.await.unwrap();
    one.idle().await;
    assert_eq!(see(&other).await, Some(2));
}

#[tokio::test]
async fn a_store_that_loses_the_record_of_changes_keeps_nothing_old() {
    let fleet = Fleet::new();
    let one = fleet.deaf(ttl(6000)).await;
    let other = fleet.process(ttl(6000)).await;
    other.tagged(["red"]).unwrap().set("z", 1).await.unwrap();
    let gate = Arc::new(Notify::new());
    let (loading, opened) = (one.clone(), gate.clone());
    let loading = tokio::spawn(async move {
        let load = loading.get_or_load("k", |context| async move {
            opened.notified().await;
            context.tag("red");
            Ok::<_, Infallible>(1)
        });
        load.await.map(drop)
    });
    settle().await;
    other.remove_tag("red").await.unwrap();
    let kv = fleet.kv().await;
    assert!(kv.delete(record(":changes")).await.unwrap());
    gate.notify_one();
    loading.await.unwrap().unwrap();
    one.idle().await;
    assert_eq!(see(&other).await, None);
}

/// Whoever writes has not heard of it.
#[tokio::test]
async fn what_is_written_after_a_removal_elsewhere_stays() {
    let fleet = Fleet::new();
    let one = fleet.deaf(ttl(6000)).await.tagged(["red"]).unwrap();
    let other = fleet.process(ttl(6000)).await;
    one.set("a", 1).await.unwrap();
    other.remove_tag("red").await.unwrap();
    one.set("k", 2).await.unwrap();
    assert_eq!(see(&other).await, Some(2));
}

#[tokio::test]
async fn no_lease_is_left_where_tags_cannot_be_read() {
    for sets in [false, true] {
        let fleet = Fleet::new();
        let kv = fleet.kv().await;
        // What is no token.
        kv.set(record(":removed"), "x").await.unwrap();
        let one = fleet.process(ttl(60)).await;
        match sets {
            true => {
                one.set("k", 1).await.unwrap_err();
            }
            false => {
                let load = one.get_or_load("k", |_| async { Ok::<_, Infallible>(1) });
                assert_eq!(*load.await.unwrap(), 1);
            }
        }
        one.idle().await;
        fleet.pass(SECOND).await;
        let lease = KeyGroup::new("cache:c:k").unwrap().key(":lease");
        assert!(!kv.exists(lease).await.unwrap(), "set: {sets}");
    }
}

#[tokio::test]
async fn entries_may_last_for_centuries() {
    let fleet = Fleet::new();
    let year = SECOND * 3600 * 24 * 365;
    let cache = Cache::<str, u32>::builder("c").far(&fleet.kv().await);
    cache.policy(Policy::ttl(year * 600)).build().unwrap();
}
