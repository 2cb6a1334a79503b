//! However many ask, one loads.

use crate::{Origin, SECOND, fails, near, settle, ttl};
use kv_cache::LoadError;
use std::{
    convert::Infallible,
    future::pending,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
};
use tokio::{sync::Notify, task::JoinSet};

/// K1: also if those who asked first give up, whenever they do.
#[tokio::test]
async fn one_loads_for_all_whoever_gives_up() {
    for given_up in 0..4 {
        let (cache, _) = near(ttl(60));
        let (origin, gate) = (Origin::default(), Arc::new(Notify::new()));
        let ask = || {
            let (cache, origin, gate) = (cache.clone(), origin.clone(), gate.clone());
            async move {
                let load = cache.get_or_load("k", move |_| async move {
                    let value = origin.next();
                    gate.notified().await;
                    value.await
                });
                load.await.map(|it| *it)
            }
        };
        let mut asking = JoinSet::new();
        let mut first = asking.spawn(ask());
        for at in 0..given_up {
            if at > 0 {
                settle().await;
            }
            first.abort();
            first = asking.spawn(ask());
        }
        for _ in 0..1000 {
            asking.spawn(ask());
        }
        settle().await;
        assert_eq!(origin.loads(), 1);
        gate.notify_one();
        let answers = asking.join_next();
        assert!(answers.await.is_some());
        while let Some(answer) = asking.join_next().await {
            if let Ok(value) = answer {
                assert_eq!(value.unwrap(), 1);
            }
        }
        assert_eq!(origin.loads(), 1);
        assert_eq!(*cache.get("k").await.unwrap().unwrap(), 1);
    }
}

/// K1: dropped after any number of polls, it goes on; dropped before the first it never began.
#[tokio::test]
async fn a_caller_dropped_at_any_point_stops_nobody() {
    for polls in 0..3 {
        let (cache, _) = near(ttl(60));
        let origin = Origin::default();
        let mut task = Context::from_waker(Waker::noop());
        {
            let (loaded, gate) = (origin.clone(), Arc::new(Notify::new()));
            let mut dropped = pin!(cache.get_or_load("k", move |_| async move {
                gate.notify_one();
                gate.notified().await;
                tokio::task::yield_now().await;
                loaded.next().await
            }));
            for _ in 0..polls {
                let _ = dropped.as_mut().poll(&mut task);
                tokio::task::yield_now().await;
            }
        }
        let loaded = origin.clone();
        let value = cache.get_or_load("k", move |_| loaded.next()).await;
        assert_eq!(*value.unwrap(), 1, "{polls}");
        settle().await;
        assert_eq!(origin.loads(), 1);
    }
}

#[tokio::test]
async fn keys_do_not_wait_for_each_other() {
    let (cache, _) = near(ttl(60));
    let slow = tokio::spawn({
        let cache = cache.clone();
        async move {
            let load = cache.get_or_load("slow", |_| pending::<Result<u32, Infallible>>());
            load.await.map(drop)
        }
    });
    settle().await;
    let fast = cache.get_or_load("fast", |_| async { Ok::<u32, Infallible>(7) });
    assert_eq!(*fast.await.unwrap(), 7);
    slow.abort();
}

#[tokio::test]
async fn an_error_is_shared_and_not_kept() {
    let (cache, _) = near(ttl(60));
    let gate = Arc::new(Notify::new());
    let mut asking = JoinSet::new();
    for _ in 0..10 {
        let (cache, gate) = (cache.clone(), gate.clone());
        asking.spawn(async move {
            let load = cache.get_or_load("k", move |_| async move {
                gate.notified().await;
                fails().await
            });
            load.await.unwrap_err().loader_error().copied()
        });
    }
    settle().await;
    gate.notify_one();
    for error in asking.join_all().await {
        assert_eq!(error, Some("down"));
    }
    let stats = cache.stats();
    assert_eq!(
        (stats.loads, stats.failed_loads, stats.coalesced),
        (1, 1, 9)
    );
    let origin = Origin::default();
    assert_eq!(
        *cache
            .get_or_load("k", move |_| origin.next())
            .await
            .unwrap(),
        1
    );
}

#[tokio::test]
async fn a_panic_is_the_loaders_own() {
    let (cache, _) = near(ttl(60));
    let panicking = cache.get_or_load("k", |_| async {
        let missing: Option<u32> = None;
        missing.map(Ok::<u32, Infallible>).expect("nobody gave one")
    });
    assert!(matches!(panicking.await, Err(LoadError::Panicked)));
    let origin = Origin::default();
    assert_eq!(
        *cache
            .get_or_load("k", move |_| origin.next())
            .await
            .unwrap(),
        1
    );
    assert_eq!(cache.stats().failed_loads, 1);
}

#[tokio::test]
async fn what_was_removed_meanwhile_is_not_kept_and_not_joined() {
    for removal in ["remove", "expire", "set"] {
        let (cache, _) = near(ttl(60));
        let gate = Arc::new(Notify::new());
        let (loaded, opened) = (cache.clone(), gate.clone());
        let old = tokio::spawn(async move {
            let load = loaded.get_or_load("k", move |_| async move {
                opened.notified().await;
                Ok::<u32, Infallible>(1)
            });
            *load.await.unwrap()
        });
        settle().await;
        match removal {
            "remove" => cache.remove("k").await.unwrap(),
            "expire" => cache.expire("k").await.unwrap(),
            _ => cache.set("k", 2).await.unwrap(),
        }
        // Who asks from now on does not wait for what began before.
        let new = cache.get_or_load("k", |_| async { Ok::<u32, Infallible>(2) });
        assert_eq!(*new.await.unwrap(), 2, "{removal}");
        gate.notify_one();
        assert_eq!(old.await.unwrap(), 1);
        cache.idle().await;
        assert_eq!(*cache.get("k").await.unwrap().unwrap(), 2, "{removal}");
        assert_eq!(cache.stats().refused_fills, 1, "{removal}");
    }
}

#[tokio::test]
async fn loads_with_other_errors_are_apart() {
    let (cache, _) = near(ttl(60));
    let hangs = tokio::spawn({
        let cache = cache.clone();
        async move {
            let load = cache.get_or_load("k", |_| pending::<Result<u32, String>>());
            load.await.map(drop)
        }
    });
    settle().await;
    let other = cache.get_or_load("k", |_| async { Ok::<u32, Infallible>(7) });
    assert_eq!(*other.await.unwrap(), 7);
    hangs.abort();
}

#[tokio::test]
async fn idle_is_when_nothing_is_loaded() {
    let (cache, clock) = near(ttl(60).hard_timeout(SECOND));
    cache.idle().await;
    let loading = cache.clone();
    tokio::spawn(async move {
        let load = loading.get_or_load("k", |_| pending::<Result<u32, Infallible>>());
        load.await.map(drop)
    });
    settle().await;
    let idle = tokio::spawn({
        let cache = cache.clone();
        async move { cache.idle().await }
    });
    settle().await;
    assert!(!idle.is_finished());
    // No loader goes on for ever.
    clock.advance(SECOND * 2);
    idle.await.unwrap();
}

/// Without a store nobody waits for anything: it is here before it is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_loaded_is_here_at_once() {
    let (cache, _) = near(ttl(60));
    for key in 0..2000 {
        let key = format!("{key}");
        cache
            .get_or_load(&key, |_| Origin::default().next())
            .await
            .unwrap();
        assert!(cache.get(&key).await.unwrap().is_some());
    }
}
