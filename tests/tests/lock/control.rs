//! What operators see and do, and work that is done under a lock.

use crate::{
    on_each_store,
    site::{LONG, Site},
};
use kv_core::{Clock, Stopwatch, SystemClock};
use kv_lock::{
    ForcedRelease, HolderInfo, LockInfo, LockKind, LockManager, LostReason, Role, RunError,
};
use std::{
    future::pending,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

/// So short that its next renewal can be waited for, so long that it outlives what a busy machine does.
const LEASE: Duration = Duration::from_secs(9);

async fn a_holder_is_seen_by_other_programs(site: Site) {
    let operator = site.another().await;
    assert_eq!(operator.inspect("a").await.unwrap(), None);
    let lock = site.locks.lock("a").metadata("host=a:1");
    let guard = lock.acquire().await.unwrap();
    let seen = operator.inspect("a").await.unwrap().unwrap();
    assert_eq!((&*seen.name, seen.kind), (&b"a"[..], LockKind::Exclusive));
    let seen = only(&seen);
    assert_eq!(
        (&*seen.metadata, seen.role),
        (&b"host=a:1"[..], Role::Owner)
    );
    assert_eq!(seen.fence, Some(guard.fence()));
    // The lease, the grace, the drift of clocks and, on etcd, their skew.
    let left = seen.left.unwrap();
    assert!(left > 5 * SECOND && left < 18 * SECOND, "{left:?}");
    // Renewed, or its deadline in whole seconds, it is the same holder.
    let again = operator.inspect("a").await.unwrap().unwrap();
    assert_eq!(only(&again).holder, seen.holder);
    guard.release().await;
    assert_eq!(operator.inspect("a").await.unwrap(), None);
}

async fn a_holder_that_is_freed_by_force_learns_of_it(site: Site) {
    let operator = site.another().await;
    let lock = site.locks.lock("a").lease(LEASE);
    let guard = lock.acquire().await.unwrap();
    let other = site.another().await;
    let waits = tokio::spawn(async move { other.lock("a").acquire().await });
    let forced = operator.force_release("a").await.unwrap();
    assert_eq!(forced, ForcedRelease::Released);
    let next = waits.await.unwrap().unwrap();
    assert!(next.fence() > guard.fence());
    let lost = tokio::time::timeout(LONG, guard.lost()).await.unwrap();
    // By the next renewal, unless the machine was too busy to send one.
    let reasons = [LostReason::Taken, LostReason::Expired];
    assert!(reasons.contains(&lost.reason()), "{lost}");
    next.check().unwrap();
    let seen = operator.inspect("a").await.unwrap().unwrap();
    assert_eq!(only(&seen).fence, Some(next.fence()));
}

async fn who_was_not_looked_at_is_spared(site: Site) {
    let operator = site.another().await;
    let first = site.locks.lock("a").acquire().await.unwrap();
    let seen = operator.inspect("a").await.unwrap().unwrap();
    let seen = only(&seen).holder.unwrap();
    first.release().await;
    let forced = operator.force_release_from("a", &seen).await.unwrap();
    assert_eq!(forced, ForcedRelease::Free);
    let second = site.locks.lock("a").acquire().await.unwrap();
    let forced = operator.force_release_from("a", &seen).await.unwrap();
    let ForcedRelease::HeldBy(others) = forced else {
        panic!("{forced:?}");
    };
    let other = only(&others[0]);
    assert_eq!(other.fence, Some(second.fence()));
    let holder = other.holder.unwrap();
    let forced = operator.force_release_from("a", &holder).await.unwrap();
    assert_eq!(forced, ForcedRelease::Released);
    let third = operator.lock("a").try_acquire().await.unwrap().unwrap();
    assert!(third.fence() > second.fence());
}

/// Who holds a lock that one holds.
pub(crate) fn only(lock: &LockInfo) -> HolderInfo {
    assert_eq!(lock.holders.len(), 1, "{lock:?}");
    lock.holders[0].clone()
}

/// All locks, by their names.
pub(crate) async fn listed(locks: &LockManager, limit: u32) -> Vec<LockInfo> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = locks.list(limit, after.as_ref()).await.unwrap();
        assert!(page.locks.len() <= limit as usize);
        found.extend(page.locks);
        after = page.next.map(|it| it.to_string().parse().unwrap());
        if after.is_none() {
            break;
        }
    }
    // A store may repeat itself.
    found.sort_by(|a, b| (&a.name, a.kind.as_str()).cmp(&(&b.name, b.kind.as_str())));
    found.dedup_by(|a, b| (&a.name, a.kind) == (&b.name, b.kind));
    found
}

async fn what_is_held_is_listed(site: Site) {
    let mut guards = Vec::new();
    let mut names: Vec<_> = (0..40).map(|it| format!("{it:02}").into_bytes()).collect();
    names.extend([b"a}b%7D{".to_vec(), b"\xff\x00".to_vec()]);
    for name in &names {
        guards.push(site.locks.lock(name).acquire().await.unwrap());
        let free = site.locks.lock([name, &b"-free"[..]].concat());
        free.acquire().await.unwrap().release().await;
        let other = format!("other:{}", guards.len());
        site.kv.set(other, "1").await.unwrap();
    }
    let operator = site.another().await;
    for limit in [1, 7, 500] {
        let found = listed(&operator, limit).await;
        let found: Vec<_> = found.iter().map(|it| it.name.to_vec()).collect();
        assert_eq!(found, names, "{limit}");
    }
    let fences: Vec<_> = listed(&operator, 100)
        .await
        .iter()
        .map(|it| only(it).fence)
        .collect();
    let expected: Vec<_> = guards.iter().map(|it| Some(it.fence())).collect();
    assert_eq!(fences, expected);
}

async fn work_is_done_under_a_lock(site: Site) {
    let (ann, bob) = (site.locks.clone(), site.another().await);
    let orders = ann.keyed("orders/{tenant}/{id}").unwrap();
    let order = orders.with(&[("tenant", &"a/b"), ("id", &42)]).unwrap();
    let sum = AtomicU64::default();
    let add = async |locks: &LockManager| {
        let before = sum.load(Ordering::Relaxed);
        // Whoever else was in would read the same now.
        let seen = locks.inspect("orders/a%2Fb/42").await.unwrap().unwrap();
        sum.store(before + 1, Ordering::Relaxed);
        only(&seen).fence
    };
    let by_ann = async {
        for _ in 0..20 {
            order.run(add(&ann)).await.unwrap();
        }
    };
    let by_bob = async {
        for _ in 0..20 {
            let done = bob.with_lock("orders/a%2Fb/42", add(&bob)).await;
            done.unwrap();
        }
    };
    tokio::join!(by_ann, by_bob);
    assert_eq!(sum.into_inner(), 40);
    assert_eq!(bob.inspect("orders/a%2Fb/42").await.unwrap(), None);
}

async fn work_is_dropped_with_its_lock(site: Site) {
    let operator = site.another().await;
    let lock = site.locks.lock("a").lease(LEASE);
    let ran = tokio::spawn(async move { lock.run(pending::<()>()).await });
    let watch = Stopwatch::start();
    while operator.force_release("a").await.unwrap() != ForcedRelease::Released {
        assert!(watch.elapsed() < LONG, "it is not held");
        SystemClock.sleep(SECOND / 100).await;
    }
    let ran = tokio::time::timeout(LONG, ran).await.unwrap().unwrap();
    let RunError::Lost { output: None, .. } = ran.unwrap_err() else {
        panic!("it was not dropped");
    };
}

/// The answer to a release by force is lost now and then: it is unknown, or it is done.
async fn what_is_done_without_an_answer_is_not_done_again(site: Site) {
    let guard = site.locks.lock("a").acquire().await.unwrap();
    let seen = site.locks.inspect("a").await.unwrap().unwrap();
    let seen = only(&seen).holder.unwrap();
    site.lost_answers.on();
    let watch = Stopwatch::start();
    let freed = loop {
        assert!(watch.elapsed() < LONG, "no answer came");
        if let Ok(forced) = site.locks.force_release_from("a", &seen).await {
            break forced;
        }
    };
    site.lost_answers.off();
    let is_free = [ForcedRelease::Released, ForcedRelease::Free].contains(&freed);
    assert!(is_free, "{freed:?}");
    let next = site.another().await.lock("a").acquire().await.unwrap();
    assert!(next.fence() > guard.fence());
    let again = site.locks.force_release_from("a", &seen).await.unwrap();
    assert!(matches!(again, ForcedRelease::HeldBy(_)), "{again:?}");
    next.check().unwrap();
}

on_each_store! {
    a_holder_is_seen_by_other_programs
    a_holder_that_is_freed_by_force_learns_of_it
    who_was_not_looked_at_is_spared
    what_is_held_is_listed
    work_is_done_under_a_lock
    work_is_dropped_with_its_lock
    what_is_done_without_an_answer_is_not_done_again
}
