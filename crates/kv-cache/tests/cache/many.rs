//! Many at once.

use crate::{Origin, SECOND, fleet::Fleet, settle, ttl};
use kv_cache::{Cache, LoadError, Near};
use parking_lot::Mutex;
use std::{convert::Infallible, sync::Arc};
use tokio::sync::Notify;

type Squares = Cache<u32, u32>;

fn squares(kv: &kv_core::Kv, fleet: &Fleet) -> Squares {
    let cache = Cache::builder("squares")
        .near(Near::megabytes(1))
        .far(kv)
        .policy(ttl(60))
        .clock(Arc::new(fleet.clock.clone()));
    cache.build().unwrap()
}

/// Loads squares, and tells of which; of 13 there is none.
async fn get(cache: &Squares, keys: &[u32]) -> (Vec<(u32, u32)>, Vec<Vec<u32>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let list = asked.clone();
    let found = cache.get_many_or_load(keys.iter().copied(), move |mut keys| {
        keys.sort_unstable();
        list.lock().push(keys.clone());
        async move {
            let squares = keys
                .into_iter()
                .filter(|it| *it != 13)
                .map(|it| (it, it * it));
            Ok::<_, Infallible>(squares.collect::<Vec<_>>())
        }
    });
    let mut found: Vec<_> = found
        .await
        .unwrap()
        .into_iter()
        .map(|(k, v)| (k, *v))
        .collect();
    found.sort_unstable();
    cache.idle().await;
    (found, std::mem::take(&mut *asked.lock()))
}

#[tokio::test]
async fn what_is_missing_is_loaded_together() {
    let fleet = Fleet::new();
    let kv = fleet.kv().await;
    let [one, other] = [squares(&kv, &fleet), squares(&kv, &fleet)];
    assert_eq!(get(&one, &[]).await, (vec![], vec![]));
    assert_eq!(
        get(&one, &[2, 3, 2]).await,
        (vec![(2, 4), (3, 9)], vec![vec![2, 3]])
    );
    let (found, asked) = get(&one, &[3, 4, 13, 5]).await;
    assert_eq!(found, [(3, 9), (4, 16), (5, 25)]);
    assert_eq!(asked, [[4, 5, 13]]);
    let (found, asked) = get(&other, &[2, 3, 4, 6]).await;
    assert_eq!(found, [(2, 4), (3, 9), (4, 16), (6, 36)]);
    assert_eq!(asked, [[6]]);
    assert_eq!(get(&other, &[2, 3, 4, 6]).await, (found, vec![]));
}

#[tokio::test]
async fn a_batch_does_not_wait_for_a_load_under_way_and_takes_what_it_brings() {
    let fleet = Fleet::new();
    let kv = fleet.kv().await;
    let [one, other] = [squares(&kv, &fleet), squares(&kv, &fleet)];
    // In another process, and in the same one.
    for (turn, cache) in [(100, &other), (200, &one)] {
        let gate = Arc::new(Notify::new());
        let (loading, opened) = (one.clone(), gate.clone());
        let slow = tokio::spawn(async move {
            let load = loading.get_or_load(&turn, move |_| async move {
                opened.notified().await;
                Ok::<_, Infallible>(7)
            });
            *load.await.unwrap()
        });
        settle().await;
        let many = {
            let cache = cache.clone();
            tokio::spawn(async move { get(&cache, &[turn, turn + 1]).await })
        };
        settle().await;
        let next = cache.get(&(turn + 1)).await.unwrap();
        assert!(next.is_some(), "{turn}");
        assert!(!many.is_finished());
        gate.notify_one();
        let (found, asked) = many.await.unwrap();
        assert_eq!(found[0], (turn, 7));
        assert_eq!(asked, [[turn + 1]]);
        assert_eq!(slow.await.unwrap(), 7);
    }
}

#[tokio::test]
async fn one_and_many_share_a_load_and_its_error() {
    let fleet = Fleet::new();
    let cache = squares(&fleet.kv().await, &fleet);
    let gate = Arc::new(Notify::new());
    let (many, opened) = (cache.clone(), gate.clone());
    let many = tokio::spawn(async move {
        let load = many.get_many_or_load([1, 2], move |_| {
            let opened = opened.clone();
            async move {
                opened.notified().await;
                Err::<Vec<(u32, u32)>, _>("down")
            }
        });
        load.await.map(drop)
    });
    settle().await;
    let one = tokio::spawn(async move {
        let load = cache.get_or_load(&1, |_| async { Ok::<u32, &'static str>(1) });
        load.await.map(drop)
    });
    settle().await;
    gate.notify_one();
    for failed in [many.await.unwrap(), one.await.unwrap()] {
        assert!(matches!(failed, Err(LoadError::Failed(error)) if *error == "down"));
    }
}

#[tokio::test]
async fn a_batch_that_never_ends_or_panics_is_ended() {
    for panics in [true, false] {
        let fleet = Fleet::new();
        let clock = fleet.clock.clone();
        let cache = Cache::<String, u32>::builder("c")
            .near(Near::megabytes(1))
            .policy(ttl(60).hard_timeout(SECOND))
            .clock(Arc::new(clock.clone()));
        let cache = cache.build().unwrap();
        let held = Origin::default();
        let counted = held.clone();
        let many = cache.clone();
        let many = tokio::spawn(async move {
            let load = many.get_many_or_load(["a", "b"].map(String::from), move |_| {
                let held = held.clone();
                async move {
                    assert!(!panics, "as it was told");
                    std::future::pending::<()>().await;
                    drop(held);
                    Ok::<_, Infallible>(Vec::new())
                }
            });
            load.await.map(drop)
        });
        settle().await;
        clock.advance(SECOND * 2);
        let failed = many.await.unwrap();
        match panics {
            true => assert!(matches!(failed, Err(LoadError::Panicked))),
            false => assert!(matches!(failed, Err(LoadError::TimedOut))),
        }
        cache.idle().await;
        settle().await;
        assert_eq!(counted.holders(), 1, "nothing goes on");
    }
}

#[tokio::test]
async fn a_cache_is_warmed_up_by_parts() {
    let fleet = Fleet::new();
    let cache = squares(&fleet.kv().await, &fleet);
    for (wanted, loaded) in [(600, vec![256, 256, 88]), (600, vec![]), (700, vec![100])] {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let list = asked.clone();
        let there = cache.warm_up(0..wanted, move |keys| {
            list.lock().push(keys.len());
            async move { Ok::<_, Infallible>(keys.into_iter().map(|it| (it, it * it))) }
        });
        assert_eq!(there.await.unwrap(), wanted as usize);
        assert_eq!(*asked.lock(), loaded);
    }
    let (found, asked) = get(&cache, &[2, 699]).await;
    assert_eq!((found.len(), asked), (2, vec![]));
    let fails = cache.warm_up(600..900, |_| async { Err::<Vec<_>, _>("down") });
    assert!(matches!(fails.await, Err(LoadError::Failed(_))));
}
