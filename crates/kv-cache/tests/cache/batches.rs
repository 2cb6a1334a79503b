//! Many entries that are looked for in one question, where something goes wrong with some of them.

use crate::{
    SECOND,
    bad::Bad,
    fleet::{Fleet, Gates, SURE},
    hangs::{DEADLINE, HARD, Hole, LOADING, span},
    settle, ttl,
};
use futures_util::FutureExt;
use kv_cache::{Cache, Far, Near};
use kv_core::{Clock, Layer, Reply, VirtualClock, layer_fn};
use kv_wrappers::{Encrypt, EncryptConfig, EncryptionKey};
use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

type Squares = Cache<u32, u32>;

/// A process that has found a lot on its store: numbers from 1000 on.
async fn lucky(fleet: &Fleet, near: Option<Near>, outer: impl Layer) -> (Squares, Hole) {
    let hole = Hole::default();
    hole.opens_after(usize::MAX);
    let kv = fleet.builder().layer(outer).layer(hole.clone());
    let kv = kv.connect().await.unwrap();
    let cache = Cache::builder("c")
        .far(Far::new(&kv).deadline(DEADLINE))
        .policy(ttl(600).stale(SECOND * 600).hard_timeout(HARD))
        .clock(Arc::new(fleet.clock.clone()));
    let cache: Squares = match near {
        Some(near) => cache.near(near).build().unwrap(),
        None => cache.build().unwrap(),
    };
    for key in 1000..1020 {
        let plain = fleet.builder().connect().await.unwrap();
        let writer: Squares = Cache::builder("c")
            .far(&plain)
            .policy(ttl(600))
            .clock(Arc::new(fleet.clock.clone()))
            .build()
            .unwrap();
        writer.set(&key, key).await.unwrap();
        let load = cache.get_or_load(&key, |_| async { Ok::<_, Infallible>(1) });
        load.await.unwrap();
    }
    (cache, hole)
}

fn nothing() -> impl Layer {
    layer_fn("nothing", |request, next| next.call(request))
}

/// How many were there, and how many of them were loaded.
async fn ask(cache: &Squares, clock: VirtualClock, keys: Vec<u32>) -> (usize, usize) {
    let loaded = Arc::new(AtomicUsize::new(0));
    let count = loaded.clone();
    let found = cache.get_many_or_load(keys, move |keys| {
        let clock = clock.clone();
        count.fetch_add(keys.len(), Ordering::Relaxed);
        async move {
            clock.sleep(LOADING).await;
            Ok::<_, Infallible>(keys.into_iter().map(|it| (it, it)))
        }
    });
    (found.await.unwrap().len(), loaded.load(Ordering::Relaxed))
}

/// How long it takes, and how many were loaded.
async fn timed(fleet: &Fleet, cache: &Squares, keys: Vec<u32>) -> (Duration, usize) {
    let clock = fleet.clock.clone();
    let wanted = keys.len();
    let asking = span(clock.clone(), ask(cache, clock, keys));
    tokio::select! {
        (took, (found, loaded)) = asking => {
            assert_eq!(found, wanted);
            (took, loaded)
        }
        () = fleet.pass(SECOND * 100) => panic!("somebody waits for ever"),
    }
}

/// Each has a tag of its own, of which this process knows nothing.
#[tokio::test]
async fn the_tags_of_all_are_asked_for_at_once() {
    let fleet = Fleet::new();
    let (writer, _) = lucky(&fleet, None, nothing()).await;
    for key in 0..20 {
        let tagged = writer.tagged([format!("t{key}")]).unwrap();
        tagged.set(&key, key).await.unwrap();
    }
    let keys: Vec<u32> = (0..20).collect();
    let (cache, hole) = lucky(&fleet, None, nothing()).await;
    hole.opens_after(2);
    assert_eq!(
        timed(&fleet, &cache, keys.clone()).await,
        (Duration::ZERO, 0)
    );
    for calls in 0..2 {
        let (cache, hole) = lucky(&fleet, None, nothing()).await;
        hole.opens_after(calls);
        let all = timed(&fleet, &cache, keys.clone()).await;
        assert_eq!(all, (DEADLINE + LOADING, 20), "{calls} answered");
    }
    // One that a tag has removed goes its own way.
    writer.remove_tag("t7").await.unwrap();
    let (cache, _) = lucky(&fleet, None, nothing()).await;
    assert_eq!(timed(&fleet, &cache, keys).await, (LOADING, 1));
}

#[tokio::test]
async fn a_store_that_does_not_answer_for_some_is_not_asked_for_others() {
    // Some are here and not sure, others nowhere.
    let fleet = Fleet::new();
    let deaf = Bad {
        clock: fleet.clock.clone(),
        lost: 1.0,
        held: 0.0,
        random: Arc::default(),
    };
    let near = || Some(Near::megabytes(8).max_stale(SURE));
    let (cache, hole) = lucky(&fleet, near(), deaf).await;
    for key in 0..3 {
        cache.set(&key, key).await.unwrap();
    }
    fleet.pass(SURE * 2).await;
    cache.set(&77, 1).await.unwrap();
    hole.opens_after(0);
    let (took, _) = timed(&fleet, &cache, (0..6).collect()).await;
    assert_eq!(took, DEADLINE + LOADING);

    // One is here and stale.
    let fleet = Fleet::new();
    let (cache, hole) = lucky(&fleet, near(), nothing()).await;
    cache.set(&0, 0).await.unwrap();
    cache.expire(&0).await.unwrap();
    settle().await;
    hole.opens_after(0);
    let (took, _) = timed(&fleet, &cache, vec![0, 50, 51]).await;
    assert_eq!(took, DEADLINE + LOADING);
    assert_eq!(cache.stats().far_errors, 1, "it is told once");

    // More than are asked for in one question.
    let (cache, hole) = lucky(&fleet, None, nothing()).await;
    hole.opens_after(1);
    let (took, loaded) = timed(&fleet, &cache, (2000..3000).collect()).await;
    assert_eq!((took, loaded), (DEADLINE + LOADING, 1000));
}

#[tokio::test]
async fn one_that_cannot_be_read_is_replaced_and_costs_the_others_nothing() {
    let fleet = Fleet::new();
    let encrypted = |name: &str, byte| {
        let key = EncryptionKey::new([byte; 32]);
        Encrypt::new(EncryptConfig::new(name, key)).unwrap()
    };
    let of = async |layer: Encrypt| -> Squares {
        let kv = fleet.builder().layer(layer).connect().await.unwrap();
        let cache = Cache::builder("c")
            .far(Far::new(&kv).deadline(DEADLINE))
            .policy(ttl(600))
            .clock(Arc::new(fleet.clock.clone()));
        cache.build().unwrap()
    };
    let old = of(encrypted("old", 1)).await;
    old.set(&7, 7).await.unwrap();
    let cache = of(encrypted("new", 2)).await;
    assert!(cache.get(&7).await.unwrap().is_none());
    assert_eq!(cache.stats().unreadable, 1);
    for key in (0..50).filter(|it| *it != 7) {
        cache.set(&key, key).await.unwrap();
    }
    for key in (0..50).filter(|it| *it != 7) {
        let load = cache.get_or_load(&key, |_| async { Ok::<_, Infallible>(1) });
        assert_eq!(*load.await.unwrap(), key);
    }
    for loads in [1, 0, 0] {
        let (_, loaded) = timed(&fleet, &cache, (0..50).collect()).await;
        cache.idle().await;
        assert_eq!(loaded, loads);
    }
    assert_eq!(cache.stats().far_errors, 0);
}

/// Of those who find what they cannot read one loads, as of those who find nothing.
#[tokio::test]
async fn one_replaces_for_all_what_nobody_can_read() {
    let fleet = Fleet::new();
    let of = async |name: &str, byte| -> Squares {
        let key = EncryptionKey::new([byte; 32]);
        let layer = Encrypt::new(EncryptConfig::new(name, key)).unwrap();
        let kv = fleet.builder().layer(layer).connect().await.unwrap();
        let cache = Cache::builder("c")
            .far(Far::new(&kv).deadline(DEADLINE))
            .policy(ttl(600).hard_timeout(HARD))
            .clock(Arc::new(fleet.clock.clone()));
        cache.build().unwrap()
    };
    of("old", 1).await.set(&7, 7).await.unwrap();
    let [one, other] = [of("new", 2).await, of("new", 2).await];
    let gate = Arc::new(Notify::new());
    let (loading, opened) = (one.clone(), gate.clone());
    let first = tokio::spawn(async move {
        let load = loading.get_or_load(&7, move |_| async move {
            opened.notified().await;
            Ok::<_, Infallible>(8)
        });
        *load.await.unwrap()
    });
    settle().await;
    let waiting = other.clone();
    let second = tokio::spawn(async move {
        let load = waiting.get_or_load(&7, |_| async { Ok::<_, Infallible>(9) });
        *load.await.unwrap()
    });
    settle().await;
    gate.notify_one();
    assert_eq!(first.await.unwrap(), 8);
    assert_eq!(second.await.unwrap(), 8);
    assert_eq!((one.stats().loads, other.stats().loads), (1, 0));
    assert_eq!(one.stats().dropped_fills, 0);
}

/// Nor is anything asked for one by one beside it.
#[tokio::test]
async fn a_batch_that_stands_still_holds_up_no_other() {
    let fleet = Fleet::new();
    let (cache, hole) = lucky(&fleet, None, nothing()).await;
    for key in 0..2000 {
        cache.set(&key, key).await.unwrap();
    }
    let all = || ask(&cache, fleet.clock.clone(), (0..2000).collect());
    hole.opens_after(0);
    let mut still = pin!(all());
    assert!(still.as_mut().now_or_never().is_none());
    hole.opens_after(2000 / 256 + 1);
    assert_eq!(all().await, (2000, 0));
}

/// Masters of a cluster whose clocks differ: what the store itself calls fresh is not loaded.
#[tokio::test]
async fn what_seems_old_by_another_clock_is_not_loaded_anew() {
    let fleet = Fleet::new();
    let ahead = layer_fn("ahead", |request, next| {
        let is_ahead = format!("{:?}", request.command).contains("cache:c:1019}");
        Box::pin(async move {
            let mut reply = next.call(request).await?;
            if let (true, Reply::Commit(replies)) = (is_ahead, &mut reply) {
                for reply in replies.iter_mut().flatten() {
                    reply.now = reply.now.map(|it| it.saturating_add(SECOND * 900));
                }
            }
            Ok(reply)
        })
    });
    let (cache, _) = lucky(&fleet, None, ahead).await;
    cache.set(&1, 1).await.unwrap();
    for _ in 0..20 {
        cache.set(&1019, 1).await.unwrap();
        let load = cache.get_or_load(&1, |_| async { Ok::<_, Infallible>(2) });
        assert_eq!(*load.await.unwrap(), 1);
        cache.idle().await;
    }
}

/// A value that has no room here is written while the one before it is read.
#[tokio::test]
async fn what_was_read_beside_a_write_is_not_kept() {
    let fleet = Fleet::new();
    let gates = Gates::default();
    let kv = fleet.builder().layer(gates.layer());
    let kv = kv.connect().await.unwrap();
    let cache: Cache<str, String> = Cache::builder("c")
        .near(Near::bytes(20_000).max_stale(SURE))
        .far(Far::new(&kv).deadline(SECOND * 1000))
        .policy(ttl(600))
        .clock(Arc::new(fleet.clock.clone()))
        .build()
        .unwrap();
    cache.set("k", "old".to_owned()).await.unwrap();
    settle().await;
    let [seize, read] = ["commit", "get_many"].map(|it| gates.hold(it));
    let writing = cache.clone();
    let writing = tokio::spawn(async move { writing.set("k", "x".repeat(100_000)).await });
    settle().await;
    let reading = cache.clone();
    let reading = tokio::spawn(async move { reading.get("k").await });
    settle().await;
    assert!(gates.are_taken());
    seize.notify_one();
    writing.await.unwrap().unwrap();
    read.notify_one();
    let read = reading.await.unwrap().unwrap();
    assert_eq!(
        read.map(|it| it.len()),
        Some(3),
        "it was there when it asked"
    );
    let after = cache.get("k").await.unwrap();
    assert_eq!(after.map(|it| it.len()), Some(100_000));
}
