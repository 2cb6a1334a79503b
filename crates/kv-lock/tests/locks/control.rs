//! What operators see and do of locks that several hold or wait for.

use crate::{
    ON_STORE, SECOND, Site,
    admin::{listed, only},
    settle,
};
use kv_lock::{
    FenceGate, ForcedRelease, HolderName, Kind, Lock, LockError, LockInfo, LockKind, LockManager,
    LostReason, Role,
};
use std::{sync::atomic::Ordering, time::Duration};
use tokio::task::JoinHandle;

/// When a waiter counts as dead: 5 seconds, and what clocks drift.
const PATIENCE: Duration = Duration::from_millis(5_052);

pub(crate) async fn seen(locks: &LockManager, name: &str) -> LockInfo {
    locks.inspect(name).await.unwrap().unwrap()
}

/// Who tells this of itself.
fn named(lock: &LockInfo, metadata: &str) -> HolderName {
    let mut holders = lock.holders.iter();
    let found = holders.find(|it| it.metadata == metadata.as_bytes());
    found.unwrap().holder.clone().unwrap()
}

fn told(lock: &LockInfo) -> Vec<(Role, &[u8])> {
    let holders = lock.holders.iter();
    holders.map(|it| (it.role, &*it.metadata)).collect()
}

/// Waits for it meanwhile.
fn spawn<K: Kind>(lock: Lock<K>) -> JoinHandle<Result<K::Guard, LockError>>
where
    K::Guard: Send,
{
    tokio::spawn(async move { lock.acquire().await })
}

#[tokio::test]
async fn readers_and_the_writer_that_waits_are_seen() {
    let site = Site::new();
    let (locks, calls) = site.counted().await;
    let rw = locks.rw("a");
    let _ann = rw.read().metadata("ann").acquire().await.unwrap();
    site.clock.advance(SECOND);
    let bob = rw.read().metadata("bob#7").acquire().await.unwrap();
    let waits = spawn(rw.write().metadata("cyd"));
    settle().await;
    let before = calls.load(Ordering::Relaxed);
    let lock = seen(&locks, "a").await;
    assert_eq!(calls.load(Ordering::Relaxed), before + 1);
    assert_eq!((lock.kind, lock.permits), (LockKind::ReadWrite, None));
    // Whose lease ends first comes first.
    let readers = [(Role::Reader, &b"ann"[..]), (Role::Reader, b"bob#7")];
    assert_eq!(told(&lock), readers);
    assert_eq!(lock.holders[0].left, Some(ON_STORE - SECOND));
    assert_eq!(lock.holders[1].left, Some(ON_STORE));
    // The store does not keep who has which.
    assert_eq!(lock.holders[1].fence, None);
    assert_eq!(lock.last_fence, Some(bob.fence()));
    assert_eq!(lock.waiting.len(), 1);
    let waiter = &lock.waiting[0];
    assert_eq!((&*waiter.metadata, waiter.waited), (&b"cyd"[..], None));
    assert_eq!(waiter.left, Some(PATIENCE));
    assert!(waiter.holder.is_some());
    waits.abort();
}

#[tokio::test]
async fn one_reader_is_freed_and_the_others_stay() {
    let site = Site::new();
    let (locks, operator) = (site.process().await, site.process().await);
    let rw = locks.rw("a");
    let ann = rw.read().metadata("ann").acquire().await.unwrap();
    let bob = rw.read().metadata("bob").acquire().await.unwrap();
    let bobs = named(&seen(&operator, "a").await, "bob");
    let freed = operator.force_release_from("a", &bobs).await.unwrap();
    assert_eq!(freed, ForcedRelease::Released);
    let lock = seen(&operator, "a").await;
    assert_eq!(told(&lock), [(Role::Reader, &b"ann"[..])]);
    let again = operator.force_release_from("a", &bobs).await.unwrap();
    assert_eq!(again, ForcedRelease::HeldBy(vec![lock]));
    bob.check().unwrap();
    site.pass(4 * SECOND).await;
    assert_eq!(bob.check().unwrap_err().reason(), LostReason::Taken);
    ann.check().unwrap();
}

#[tokio::test]
async fn the_last_reader_that_is_freed_lets_the_writer_in_at_once() {
    let site = Site::new();
    let (locks, operator) = (site.process().await, site.process().await);
    let reader = locks.rw("a").read().acquire().await.unwrap();
    let waits = spawn(site.process().await.rw("a").write());
    settle().await;
    let lock = seen(&operator, "a").await;
    let holder = only(&lock).holder.unwrap();
    operator.force_release_from("a", &holder).await.unwrap();
    settle().await;
    // No time has passed.
    assert!(waits.is_finished());
    let writer = waits.await.unwrap().unwrap();
    assert!(writer.fence() > reader.fence());
    let gate = FenceGate::default();
    gate.admit(writer.fence()).unwrap();
    assert!(gate.admit(reader.fence()).is_err());
    let lock = seen(&operator, "a").await;
    let holder = only(&lock);
    let expected = (Role::Writer, Some(writer.fence()), Some(ON_STORE));
    assert_eq!((holder.role, holder.fence, holder.left), expected);
}

#[tokio::test]
async fn what_a_writer_writes_that_was_freed_is_refused() {
    let site = Site::new();
    let (locks, operator) = (site.process().await, site.process().await);
    let first = locks.rw("a").write().acquire().await.unwrap();
    let waits = spawn(site.process().await.rw("a").write());
    settle().await;
    let holder = only(&seen(&operator, "a").await).holder.unwrap();
    let freed = operator.force_release_from("a", &holder).await.unwrap();
    assert_eq!(freed, ForcedRelease::Released);
    settle().await;
    assert!(waits.is_finished());
    let second = waits.await.unwrap().unwrap();
    second.fenced_put("resource", "new").await.unwrap();
    // It does not know yet.
    first.check().unwrap();
    let error = first.fenced_put("resource", "old").await.unwrap_err();
    let LockError::Stale(stale) = error else {
        panic!("{error}");
    };
    assert_eq!(stale.seen(), second.fence());
}

#[tokio::test]
async fn all_readers_or_the_writer_are_freed() {
    let site = Site::new();
    let (locks, operator) = (site.process().await, site.process().await);
    let rw = locks.rw("a");
    let readers = [
        rw.read().acquire().await.unwrap(),
        rw.read().acquire().await.unwrap(),
    ];
    let waits = spawn(site.process().await.rw("a").write());
    settle().await;
    let freed = operator.force_release("a").await.unwrap();
    assert_eq!(freed, ForcedRelease::Released);
    settle().await;
    assert!(waits.is_finished());
    let writer = waits.await.unwrap().unwrap();
    let waits = spawn(site.process().await.rw("a").read());
    settle().await;
    assert!(!waits.is_finished());
    site.pass(4 * SECOND).await;
    for reader in readers {
        assert!(writer.fence() > reader.fence());
        assert_eq!(reader.check().unwrap_err().reason(), LostReason::Taken);
    }
    let holder = only(&seen(&operator, "a").await).holder.unwrap();
    let freed = operator.force_release_from("a", &holder).await.unwrap();
    assert_eq!(freed, ForcedRelease::Released);
    settle().await;
    assert!(waits.is_finished());
    let reader = waits.await.unwrap().unwrap();
    assert!(reader.fence() > writer.fence());
    site.pass(4 * SECOND).await;
    assert_eq!(writer.check().unwrap_err().reason(), LostReason::Taken);
    drop(reader);
    settle().await;
    let freed = operator.force_release("a").await.unwrap();
    assert_eq!(freed, ForcedRelease::Free);
}

#[tokio::test]
async fn permits_are_counted_by_holder_and_one_gives_all_of_its_back() {
    let site = Site::new();
    let (locks, operator) = (site.process().await, site.process().await);
    let permits = async |count, metadata: &'static str| {
        let lock = locks.semaphore("a", 5).permits(count).unwrap();
        lock.metadata(metadata).acquire().await.unwrap()
    };
    let ann = permits(3, "#1").await;
    let bob = permits(1, "").await;
    let waiting = locks.semaphore("a", 5).permits(4).unwrap();
    let waits = spawn(waiting);
    settle().await;
    let lock = seen(&operator, "a").await;
    assert_eq!(lock.kind, LockKind::Semaphore);
    let of = lock.permits.unwrap();
    assert_eq!((of.in_use, of.size), (4, Some(5)));
    let holders = [(Role::Permits(3), &b"#1"[..]), (Role::Permits(1), b"")];
    let mut found = told(&lock);
    found.sort_by_key(|(_, metadata)| std::cmp::Reverse(*metadata));
    assert_eq!(found, holders);
    assert!(lock.holders.iter().all(|it| it.left == Some(ON_STORE)));
    assert_eq!(lock.last_fence, Some(bob.fence()));
    // They wait in their processes.
    assert!(lock.waiting.is_empty());
    let freed = operator.force_release_from("a", &named(&lock, "#1")).await;
    assert_eq!(freed.unwrap(), ForcedRelease::Released);
    settle().await;
    assert!(waits.is_finished());
    let next = waits.await.unwrap().unwrap();
    assert!(next.fence() > ann.fence());
    site.pass(4 * SECOND).await;
    assert_eq!(ann.check().unwrap_err().reason(), LostReason::Taken);
    bob.check().unwrap();
    let freed = operator.force_release("a").await.unwrap();
    assert_eq!(freed, ForcedRelease::Released);
    assert_eq!(operator.inspect("a").await.unwrap(), None);
    site.pass(4 * SECOND).await;
    for guard in [&bob, &next] {
        assert_eq!(guard.check().unwrap_err().reason(), LostReason::Taken);
    }
}

#[tokio::test]
async fn more_than_one_look_tells_are_all_inspected_and_freed() {
    let site = Site::new();
    let (locks, operator) = (site.process().await, site.process().await);
    let permits = async |count| {
        let lock = locks.semaphore("a", 500).permits(count).unwrap();
        lock.acquire().await.unwrap()
    };
    let _guards = [permits(150).await, permits(150).await];
    let listed = listed(&operator, 100).await;
    assert_eq!((listed[0].left_out, listed[0].holders.len()), (100, 2));
    assert_eq!(listed[0].permits.unwrap().in_use, 300);
    let lock = seen(&operator, "a").await;
    assert_eq!(lock.left_out, 0);
    let holders: Vec<_> = told(&lock).iter().map(|it| it.0).collect();
    assert_eq!(holders, [Role::Permits(150); 2]);
    let first = lock.holders[0].holder.clone().unwrap();
    operator.force_release_from("a", &first).await.unwrap();
    let lock = seen(&operator, "a").await;
    assert_eq!(lock.permits.unwrap().in_use, 150);
    let readers: Vec<_> = (0..201).map(|_| locks.rw("b").read()).collect();
    let mut guards = Vec::new();
    for reader in readers {
        guards.push(reader.acquire().await.unwrap());
    }
    assert_eq!(seen(&operator, "b").await.holders.len(), 201);
}

#[tokio::test]
async fn who_waits_for_a_fair_lock_is_seen_in_order() {
    let site = Site::new();
    let operator = site.process().await;
    let fair = async |metadata: &'static str| {
        let lock = site.process().await.lock("a").fair();
        lock.metadata(metadata)
    };
    let guard = fair("ann").await.acquire().await.unwrap();
    let mut waits = Vec::new();
    for metadata in ["cyd", "bob"] {
        waits.push(spawn(fair(metadata).await));
        settle().await;
        site.clock.advance(SECOND);
    }
    let lock = seen(&operator, "a").await;
    assert_eq!(told(&lock), [(Role::Owner, &b"ann"[..])]);
    let line: Vec<_> = lock
        .waiting
        .iter()
        .map(|it| (&*it.metadata, it.waited, it.left))
        .collect();
    let expected = [
        (&b"cyd"[..], Some(2 * SECOND), Some(PATIENCE - 2 * SECOND)),
        (b"bob", Some(SECOND), Some(PATIENCE - SECOND)),
    ];
    assert_eq!(line, expected);
    let freed = operator.force_release("a").await.unwrap();
    assert_eq!(freed, ForcedRelease::Released);
    settle().await;
    assert!(waits[0].is_finished() && !waits[1].is_finished());
    let next = waits.remove(0).await.unwrap().unwrap();
    assert!(next.fence() > guard.fence());
    waits[0].abort();
}

#[tokio::test]
async fn a_leader_is_told_from_an_owner_and_leaves_no_value_behind() {
    let site = Site::new();
    let (locks, kv) = (site.process().await, site.kv().await);
    let leads = locks.election("a").campaign("10.0.0.7").await.unwrap();
    let lock = seen(&locks, "a").await;
    assert_eq!(only(&lock).role, Role::Leader);
    let holder = only(&lock).holder.unwrap();
    locks.force_release_from("a", &holder).await.unwrap();
    assert_eq!(locks.election("a").leader().await.unwrap(), None);
    assert!(!kv.exists("{lock:a}:leader").await.unwrap());
    let next = locks.lock("a").acquire().await.unwrap();
    assert!(next.fence() > leads.fence());
    assert_eq!(only(&seen(&locks, "a").await).role, Role::Owner);
    next.release().await;
    let _leads = locks.election("a").campaign("10.0.0.7").await.unwrap();
    locks.force_release("a").await.unwrap();
    assert!(!kv.exists("{lock:a}:leader").await.unwrap());
}
