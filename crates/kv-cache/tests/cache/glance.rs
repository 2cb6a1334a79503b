//! Hits on the store by plain reads, where most of what is asked for is there.

use crate::{
    SECOND,
    fleet::{Fleet, Gates, Products, Sent, get},
    settle, ttl,
};
use futures_util::FutureExt;
use kv_cache::{Cache, Far, Near, Policy};
use kv_core::layer_fn;
use parking_lot::Mutex;
use std::{convert::Infallible, pin::pin, sync::Arc};

const READ: &str = "get_many";
const COMMIT: &str = "commit";

/// A process with nothing of its own, which counts what it sends; `k` is there, and it has been found often.
async fn used(fleet: &Fleet, policy: Policy) -> (Products, Sent, Gates) {
    let (sent, gates) = (Sent::default(), Gates::default());
    let list = sent.clone();
    let count = layer_fn("count", move |request, next| {
        let name = request.command.spec().name;
        if name != "notify" {
            list.put(name);
        }
        // Which layers might answer by what they remember.
        assert!(name != READ || !request.options.allow_near_cache());
        next.call(request)
    });
    let kv = fleet.builder().layer(gates.layer()).layer(count);
    let kv = kv.connect().await.unwrap();
    let cache = Cache::builder("c")
        .far(Far::new(&kv).deadline(SECOND))
        .policy(policy)
        .clock(Arc::new(fleet.clock.clone()))
        .build()
        .unwrap();
    cache.set("k", 0).await.unwrap();
    for _ in 0..100 {
        assert_eq!(get(&cache, 9).await, 0);
    }
    sent.take();
    (cache, sent, gates)
}

async fn other(cache: &Products, key: &str) -> u32 {
    let load = cache.get_or_load(key, |_| async { Ok::<_, &'static str>(7) });
    *load.await.unwrap()
}

#[tokio::test]
async fn where_most_are_found_a_hit_is_a_plain_read() {
    let fleet = Fleet::new();
    let (cache, sent, _) = used(&fleet, ttl(60)).await;
    assert_eq!(get(&cache, 1).await, 0);
    assert_eq!(sent.take(), [READ]);
    assert!(cache.get("k").await.unwrap().is_some());
    assert_eq!(sent.take(), [READ]);
    // What is not there takes one call more than where most are not.
    other(&cache, "new").await;
    cache.idle().await;
    assert_eq!(sent.take(), [READ, COMMIT, COMMIT]);
    for key in 0..20 {
        other(&cache, &format!("new {key}")).await;
    }
    cache.idle().await;
    sent.take();
    other(&cache, "last").await;
    cache.idle().await;
    assert_eq!(sent.take(), [COMMIT, COMMIT]);
}

#[tokio::test]
async fn what_was_expired_or_has_become_stale_is_no_hit() {
    let fleet = Fleet::new();
    let policy = ttl(60).stale(SECOND * 60);
    let (cache, sent, _) = used(&fleet, policy).await;
    fleet.process(policy).await.expire("k").await.unwrap();
    assert!(cache.get("k").await.unwrap().is_none());
    sent.take();
    assert_eq!(get(&cache, 1).await, 1);
    cache.idle().await;
    assert_eq!(sent.take(), [READ, COMMIT, COMMIT]);

    assert_eq!(get(&cache, 2).await, 1);
    assert_eq!(sent.take(), [READ], "the load has taken the mark away");
    fleet.clock.advance(SECOND * 59);
    assert_eq!(get(&cache, 2).await, 1);
    fleet.clock.advance(SECOND);
    assert_eq!(get(&cache, 2).await, 2);
}

#[tokio::test]
async fn an_age_is_told_by_the_stores_time_which_is_asked_for_now_and_then() {
    let fleet = Fleet::new();
    let (cache, sent, _) = used(&fleet, ttl(600)).await;
    let mut asked = Vec::new();
    for age in 1..=40 {
        fleet.clock.advance(SECOND);
        let entry = cache.get_entry("k").await.unwrap().unwrap();
        assert_eq!(entry.age(), SECOND * age);
        asked.extend(sent.take());
    }
    let reads = asked.iter().filter(|it| **it == READ).count();
    assert!((20..40).contains(&reads), "{reads}");
    // A process that reads it for the first time takes it for no younger.
    let late = fleet.process(ttl(600)).await;
    let entry = late.get_entry("k").await.unwrap().unwrap();
    assert_eq!(entry.age(), SECOND * 40);
}

/// Nobody waits for what is done in another's future.
#[tokio::test]
async fn a_caller_who_stands_still_holds_nobody_up() {
    let fleet = Fleet::new();
    let (cache, sent, gates) = used(&fleet, ttl(60)).await;
    let gate = gates.hold(READ);
    let still = cache.clone();
    let mut still = pin!(get(&still, 1));
    assert!(still.as_mut().now_or_never().is_none());
    let mut asking = Vec::new();
    for _ in 0..10 {
        let cache = cache.clone();
        asking.push(tokio::spawn(async move { get(&cache, 1).await }));
    }
    for answer in asking {
        assert_eq!(answer.await.unwrap(), 0);
    }
    assert_eq!(sent.take(), [READ, READ], "the others share one");
    gate.notify_one();
    assert_eq!(still.await, 0);
}

#[tokio::test]
async fn what_is_removed_while_it_is_read_is_not_kept() {
    let fleet = Fleet::new();
    used(&fleet, ttl(60)).await;
    let gates = Gates::default();
    let kv = fleet.builder().layer(gates.layer());
    let kv = kv.connect().await.unwrap();
    let cache: Products = Cache::builder("c")
        .near(Near::megabytes(1).max_stale(SECOND * 3600))
        .far(Far::new(&kv).deadline(SECOND * 3600))
        .policy(ttl(60))
        .clock(Arc::new(fleet.clock.clone()))
        .build()
        .unwrap();
    for key in 0..20 {
        fleet
            .process(ttl(60))
            .await
            .set(&format!("{key}"), 7)
            .await
            .unwrap();
        other(&cache, &format!("{key}")).await;
    }
    let gate = gates.hold(READ);
    let reading = cache.clone();
    let reading = tokio::spawn(async move { get(&reading, 1).await });
    settle().await;
    cache.remove("k").await.unwrap();
    gate.notify_one();
    assert_eq!(reading.await.unwrap(), 0);
    assert!(cache.get("k").await.unwrap().is_none());
}

#[tokio::test]
async fn many_are_looked_for_in_one_read() {
    let fleet = Fleet::new();
    let sent = Sent::default();
    let list = sent.clone();
    let layer = layer_fn("count", move |request, next| {
        list.put(request.command.spec().name);
        next.call(request)
    });
    let kv = fleet.builder().layer(layer).connect().await.unwrap();
    let cache: Cache<u32, u32> = Cache::builder("squares")
        .far(Far::new(&kv).deadline(SECOND))
        .policy(ttl(60).stale(SECOND * 60))
        .clock(Arc::new(fleet.clock.clone()))
        .build()
        .unwrap();
    let get = async |keys: std::ops::Range<u32>| {
        let asked: Arc<Mutex<Vec<u32>>> = Arc::default();
        let list = asked.clone();
        let found = cache.get_many_or_load(keys, move |keys| {
            list.lock().extend(&keys);
            async move { Ok::<_, Infallible>(keys.into_iter().map(|it| (it, it * it))) }
        });
        let found = found.await.unwrap();
        cache.idle().await;
        assert!(found.iter().all(|(key, value)| **value == key * key));
        let mut asked = std::mem::take(&mut *asked.lock());
        asked.sort_unstable();
        (found.len(), asked, sent.take())
    };
    let (found, asked, _) = get(0..50).await;
    assert_eq!((found, asked.len()), (50, 50));
    // As many as it takes until they are known to be there.
    get(0..50).await;
    assert_eq!(get(0..50).await, (50, vec![], vec![READ]));
    let (found, asked, calls) = get(40..60).await;
    assert_eq!((found, asked), (20, (50..60).collect()));
    assert_eq!(calls.iter().filter(|it| **it == READ).count(), 1);
    cache.expire(&7).await.unwrap();
    cache.remove(&8).await.unwrap();
    let (found, asked, _) = get(0..50).await;
    assert_eq!((found, asked), (50, vec![7, 8]));
    fleet.clock.advance(SECOND * 60);
    let (found, asked, _) = get(0..10).await;
    assert_eq!((found, asked.len()), (10, 10));
}
