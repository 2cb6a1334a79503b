//! Several locks at once: all or none, without a circle, whatever is lost.

use crate::site::{LONG, Site, died_holding};
use futures_util::future;
use kv_lock::{LockError, Release};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

async fn all_or_none(site: Site) {
    let other = site.another().await;
    let guard = site.locks.multi(["b", "a"]).acquire().await.unwrap();
    let fences: BTreeMap<_, _> = guard.fences().collect();
    assert!(fences.keys().copied().eq([&b"a"[..], b"b"]));
    assert!(
        other
            .multi(["b", "c"])
            .try_acquire()
            .await
            .unwrap()
            .is_none()
    );
    let refused = other.multi(["c", "b"]).wait(Duration::from_millis(300));
    assert!(matches!(refused.acquire().await, Err(LockError::Timeout)));
    let c = site.locks.lock("c").wait(LONG).acquire().await.unwrap();
    assert_eq!(c.release().await, Release::Released);
    guard
        .lock("a")
        .unwrap()
        .fenced_put("account", "100")
        .await
        .unwrap();
    assert_eq!(guard.release().await, Release::Released);
    let guard = other.multi(["b", "c"]).try_acquire().await.unwrap();
    assert!(guard.is_some());
}

/// Nobody may wait for the end of a lease in this test.
async fn those_who_want_some_of_the_same_come_in_turn(site: Site) {
    let held = Arc::new([(); 4].map(|()| std::sync::Mutex::new(())));
    let mut tasks = Vec::new();
    for wanted in [[0, 1], [1, 2], [2, 0], [3, 0], [1, 3], [3, 2]] {
        let (held, locks) = (held.clone(), site.another().await);
        tasks.push(tokio::spawn(async move {
            let lock = locks.multi(wanted.map(|it: usize| it.to_string()));
            let lock = lock.lease(Duration::from_secs(600)).wait(LONG);
            for _ in 0..5 {
                let guard = lock.acquire().await.unwrap();
                // Nobody else is here: none of these is ever waited for.
                let alone = wanted.map(|it| held[it].try_lock().unwrap());
                guard.check().unwrap();
                drop(alone);
                assert_eq!(guard.release().await, Release::Released);
            }
        }));
    }
    for task in future::join_all(tasks).await {
        task.unwrap();
    }
}

async fn what_a_dead_process_held_is_free_in_time(site: Site) {
    let lease = Duration::from_secs(2);
    let died = died_holding(&site, move |locks| async move {
        let lock = locks.multi(["a", "b"]).lease(lease).grace(lease / 10);
        lock.acquire().await.unwrap()
    })
    .await;
    let guard = site.locks.multi(["b", "c", "a"]).wait(LONG).acquire().await;
    let guard = guard.unwrap();
    for (name, fence) in died.fences() {
        assert!(guard.lock(name).unwrap().fence() > fence);
    }
    std::mem::forget(died);
}

async fn lost_answers_do_no_harm(site: Site) {
    let other = site.another().await;
    let multi = site.locks.multi(["a", "b", "c"]).wait(LONG);
    site.lost_answers.on();
    for _ in 0..20 {
        let guard = multi.acquire().await.unwrap();
        for name in ["a", "b", "c"] {
            assert!(other.lock(name).try_acquire().await.unwrap().is_none());
        }
        guard.check().unwrap();
        assert_ne!(guard.release().await, Release::Expired);
    }
    site.lost_answers.off();
    drop(
        other
            .multi(["a", "b", "c"])
            .wait(LONG)
            .acquire()
            .await
            .unwrap(),
    );
}

crate::on_each_store! {
    all_or_none
    those_who_want_some_of_the_same_come_in_turn
    what_a_dead_process_held_is_free_in_time
    lost_answers_do_no_harm
}
