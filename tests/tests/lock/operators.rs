//! What operators see and do of locks that several hold, and of names that several kinds or tenants have.

use crate::{
    control::{listed, only},
    on_each_store,
    site::Site,
};
use futures_util::future::select;
use kv_core::Context;
use kv_lock::{
    ControlError, ForcedRelease, HolderName, Kind, Lock, LockError, LockInfo, LockKind,
    LockManager, LostReason, Role,
};
use kv_tests::patience::{PATIENCE, until};
use kv_wrappers::{KeyResolver, KeySettings};
use std::time::Duration;
use tokio::task::JoinHandle;

const SECOND: Duration = Duration::from_secs(1);

/// Who waits for such a lock gets it in time only if it is woken.
const LEASE: Duration = Duration::from_secs(600);

/// Waits for it meanwhile.
fn spawn<K: Kind>(lock: Lock<K>) -> JoinHandle<Result<K::Guard, LockError>>
where
    K::Guard: Send,
{
    tokio::spawn(async move { lock.lease(LEASE).wait(PATIENCE).acquire().await })
}

async fn seen(locks: &LockManager, name: &str) -> LockInfo {
    locks.inspect(name).await.unwrap().unwrap()
}

/// What is seen once so many wait.
async fn seen_waiting(locks: &LockManager, count: usize) -> LockInfo {
    let mut lock = seen(locks, "a").await;
    until("they wait", async || {
        lock = seen(locks, "a").await;
        lock.waiting.len() == count
    })
    .await;
    lock
}

fn named(lock: &LockInfo, metadata: &str) -> HolderName {
    let mut holders = lock.holders.iter();
    let found = holders.find(|it| it.metadata == metadata.as_bytes());
    found.unwrap().holder.clone().unwrap()
}

fn told(lock: &LockInfo) -> Vec<(Role, &[u8])> {
    let holders = lock.holders.iter();
    holders.map(|it| (it.role, &*it.metadata)).collect()
}

async fn readers_are_freed_one_by_one_and_the_writer_comes(site: Site) {
    let operator = site.another().await;
    let read = site.locks.rw("a").read().lease(LEASE);
    let ann = read.clone().metadata("ann").acquire().await.unwrap();
    let bob = read.metadata("bob#7").acquire().await.unwrap();
    let write = site.another().await.rw("a").write().metadata("cyd");
    let waits = spawn(write);
    let lock = seen_waiting(&operator, 1).await;
    assert_eq!((lock.kind, lock.left_out), (LockKind::ReadWrite, 0));
    let mut readers = told(&lock);
    readers.sort_by_key(|it| it.1);
    let expected = [(Role::Reader, &b"ann"[..]), (Role::Reader, b"bob#7")];
    assert_eq!(readers, expected);
    for holder in &lock.holders {
        // The lease, the grace, the drift of clocks and, on etcd, their skew.
        let left = holder.left.unwrap();
        assert!(left > LEASE && left < 2 * LEASE, "{left:?}");
    }
    assert_eq!(lock.last_fence, Some(bob.fence()));
    assert_eq!(&*lock.waiting[0].metadata, b"cyd");
    for name in ["bob#7", "ann"] {
        let holder = named(&lock, name);
        let forced = operator.force_release_from("a", &holder).await.unwrap();
        assert_eq!(forced, ForcedRelease::Released, "{name}");
        let again = operator.force_release_from("a", &holder).await.unwrap();
        assert_ne!(again, ForcedRelease::Released, "{name}");
    }
    let writer = waits.await.unwrap().unwrap();
    assert!(writer.fence() > bob.fence() && bob.fence() > ann.fence());
    let lock = seen(&operator, "a").await;
    let holder = only(&lock);
    assert_eq!(
        (holder.role, &*holder.metadata),
        (Role::Writer, &b"cyd"[..])
    );
    assert_eq!(holder.fence, Some(writer.fence()));
}

async fn who_waits_for_what_is_freed_of_all_is_woken(site: Site) {
    let operator = site.another().await;
    let rw = site.locks.rw("a");
    let _readers = [
        rw.read().lease(LEASE).acquire().await.unwrap(),
        rw.read().lease(LEASE).acquire().await.unwrap(),
    ];
    let waits = spawn(site.another().await.rw("a").write());
    seen_waiting(&operator, 1).await;
    let forced = operator.force_release("a").await.unwrap();
    assert_eq!(forced, ForcedRelease::Released);
    let first = waits.await.unwrap().unwrap();
    let waits = spawn(site.another().await.rw("a").write());
    seen_waiting(&operator, 1).await;
    let forced = operator.force_release("a").await.unwrap();
    assert_eq!(forced, ForcedRelease::Released);
    let second = waits.await.unwrap().unwrap();
    // What the first writes is refused: it does not know yet, its next renewal is minutes away.
    second.fenced_put("resource", "new").await.unwrap();
    let refused = first.fenced_put("resource", "old").await.unwrap_err();
    assert!(matches!(refused, LockError::Stale(_)), "{refused}");
    drop(second);
    until("it is free", async || {
        operator.inspect("a").await.unwrap().is_none()
    })
    .await;
    let forced = operator.force_release("a").await.unwrap();
    assert_eq!(forced, ForcedRelease::Free);
}

async fn permits_are_seen_by_holder_and_freed(site: Site) {
    let operator = site.another().await;
    let permits = |count| site.locks.semaphore("a", 5).permits(count).unwrap();
    let ann = permits(3).lease(LEASE).metadata("ann#1");
    let ann = ann.acquire().await.unwrap();
    let bob = permits(1).lease(LEASE).metadata("bob");
    let bob = bob.acquire().await.unwrap();
    let waits = spawn(permits(4));
    let lock = seen(&operator, "a").await;
    let of = lock.permits.unwrap();
    assert_eq!(
        (lock.kind, of.in_use, of.size),
        (LockKind::Semaphore, 4, Some(5))
    );
    let mut holders = told(&lock);
    holders.sort_by_key(|it| it.1);
    let expected = [
        (Role::Permits(3), &b"ann#1"[..]),
        (Role::Permits(1), b"bob"),
    ];
    assert_eq!(holders, expected);
    let holder = named(&lock, "ann#1");
    let forced = operator.force_release_from("a", &holder).await.unwrap();
    assert_eq!(forced, ForcedRelease::Released);
    let next = waits.await.unwrap().unwrap();
    assert!(next.fence() > bob.fence() && bob.fence() > ann.fence());
    let again = operator.force_release_from("a", &holder).await.unwrap();
    assert!(matches!(again, ForcedRelease::HeldBy(_)), "{again:?}");
    assert_eq!(seen(&operator, "a").await.permits.unwrap().in_use, 5);
    let waits = spawn(permits(5));
    let forced = operator.force_release("a").await.unwrap();
    assert_eq!(forced, ForcedRelease::Released);
    let last = waits.await.unwrap().unwrap();
    assert!(last.fence() > next.fence());
    // Of those who hold it no more, none gives back what the next one has.
    drop((ann, bob, next));
    let holders = seen(&operator, "a").await;
    assert_eq!(told(&holders), [(Role::Permits(5), &b""[..])]);
}

async fn who_shared_a_lock_learns_that_it_was_freed(site: Site) {
    let operator = site.another().await;
    let reader = site.locks.rw("a").read().lease(SECOND);
    let reader = reader.acquire().await.unwrap();
    let permits = site.locks.semaphore("b", 5).permits(3).unwrap();
    let permits = permits.lease(SECOND).acquire().await.unwrap();
    for name in ["a", "b"] {
        operator.force_release(name).await.unwrap();
    }
    // By the next renewal, unless the machine was too busy to send one.
    let reasons = [LostReason::Taken, LostReason::Expired];
    let lost = tokio::time::timeout(PATIENCE, reader.lost()).await.unwrap();
    assert!(reasons.contains(&lost.reason()), "{lost}");
    let lost = tokio::time::timeout(PATIENCE, permits.lost())
        .await
        .unwrap();
    assert!(reasons.contains(&lost.reason()), "{lost}");
    for name in ["a", "b"] {
        assert_eq!(operator.inspect(name).await.unwrap(), None, "{name}");
    }
}

async fn the_queue_of_a_fair_lock_is_seen(site: Site) {
    let operator = site.another().await;
    let first = site.locks.lock("a").fair().lease(LEASE);
    let _first = first.metadata("ann").acquire().await.unwrap();
    let mut waits = Vec::new();
    for (number, name) in ["bob", "cyd"].into_iter().enumerate() {
        let lock = site.another().await.lock("a").fair();
        waits.push(spawn(lock.metadata(name)));
        seen_waiting(&operator, number + 1).await;
    }
    let lock = seen_waiting(&operator, 2).await;
    assert_eq!(told(&lock), [(Role::Owner, &b"ann"[..])]);
    // One that a busy machine kept silent for too long has gone to the end.
    let mut line: Vec<_> = lock.waiting.iter().map(|it| &*it.metadata).collect();
    line.sort_unstable();
    assert_eq!(line, [&b"bob"[..], b"cyd"]);
    assert!(lock.waiting[0].waited >= lock.waiting[1].waited);
    let forced = operator.force_release("a").await.unwrap();
    assert_eq!(forced, ForcedRelease::Released);
    let (next, _) = select(waits.remove(0), waits.remove(0))
        .await
        .factor_first();
    let next = next.unwrap().unwrap();
    assert_eq!(only(&seen(&operator, "a").await).fence, Some(next.fence()));
}

async fn all_kinds_are_listed(site: Site) {
    let mut all = Vec::new();
    let (mut locks, mut writers, mut readers) = (Vec::new(), Vec::new(), Vec::new());
    let mut permits = Vec::new();
    for number in 0..7 {
        let name = format!("{number}");
        locks.push(site.locks.lock(&name).acquire().await.unwrap());
        let semaphore = site.locks.semaphore(&name, 3);
        permits.push(semaphore.acquire(2).await.unwrap());
        let rw = site.locks.rw(&name);
        match number % 2 {
            0 => writers.push(rw.write().acquire().await.unwrap()),
            _ => readers.extend([
                rw.read().acquire().await.unwrap(),
                rw.read().acquire().await.unwrap(),
            ]),
        }
        for kind in LockKind::ALL {
            all.push((name.clone(), kind));
        }
        let free = site.locks.semaphore(format!("free{number}"), 1);
        free.acquire(1).await.unwrap().release().await;
    }
    let operator = site.another().await;
    for limit in [1, 7, 500] {
        let found = listed(&operator, limit).await;
        let name = |it: &LockInfo| String::from_utf8(it.name.to_vec()).unwrap();
        let found: Vec<_> = found.iter().map(|it| (name(it), it.kind)).collect();
        assert_eq!(found, all, "{limit}");
    }
}

async fn names_of_several_kinds_and_of_none_are_told(site: Site) {
    let locks = &site.locks;
    let _lock = locks.lock("a").acquire().await.unwrap();
    let _permits = locks.semaphore("a", 2).acquire(1).await.unwrap();
    let error = locks.force_release("a").await.unwrap_err();
    let ControlError::SeveralKinds { found, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(found, [LockKind::Exclusive, LockKind::Semaphore]);
    let error = locks.inspect_as(LockKind::ReadWrite, "a").await;
    let error = error.unwrap_err();
    assert!(matches!(error, ControlError::OtherKind { .. }), "{error}");
    let forced = locks.force_release_as(LockKind::Semaphore, "a").await;
    assert_eq!(forced.unwrap(), ForcedRelease::Released);
    assert_eq!(seen(locks, "a").await.kind, LockKind::Exclusive);
    locks.latch("b", 2).arrive("x").await.unwrap();
    let error = locks.inspect("b").await.unwrap_err();
    assert!(matches!(error, ControlError::Latch { .. }), "{error}");
}

async fn tenants_do_not_see_each_other(site: Site) {
    let settings = KeySettings {
        multi_tenancy_enabled: Some(true),
        ..KeySettings::default()
    };
    let tenants = site.builder().layer(KeyResolver::new(settings).unwrap());
    let kv = tenants.connect().await.unwrap();
    let tenant = |name: &'static str| {
        let kv = kv.bind(Context::tenant(name.to_owned()));
        LockManager::new(&kv).unwrap()
    };
    let (ann, bob) = (tenant("ann"), tenant("bob"));
    let reader = ann.rw("a").read().lease(LEASE).acquire().await.unwrap();
    let permits = ann.semaphore("s", 2).permits(1).unwrap();
    let permits = permits.lease(LEASE).acquire().await.unwrap();
    let holder = only(&seen(&ann, "a").await).holder.unwrap();
    assert!(listed(&bob, 1).await.is_empty());
    for name in ["a", "s"] {
        assert_eq!(bob.inspect(name).await.unwrap(), None);
        let forced = bob.force_release(name).await.unwrap();
        assert_eq!(forced, ForcedRelease::Free, "{name}");
    }
    let forced = bob.force_release_from("a", &holder).await.unwrap();
    assert_eq!(forced, ForcedRelease::Free);
    let kinds: Vec<_> = listed(&ann, 1).await.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [LockKind::ReadWrite, LockKind::Semaphore]);
    let lock = seen(&ann, "s").await;
    assert_eq!(lock.last_fence, Some(permits.fence()));
    assert_eq!(seen(&ann, "a").await.last_fence, Some(reader.fence()));
}

on_each_store! {
    readers_are_freed_one_by_one_and_the_writer_comes
    who_waits_for_what_is_freed_of_all_is_woken
    permits_are_seen_by_holder_and_freed
    who_shared_a_lock_learns_that_it_was_freed
    the_queue_of_a_fair_lock_is_seen
    all_kinds_are_listed
    names_of_several_kinds_and_of_none_are_told
    tenants_do_not_see_each_other
}
