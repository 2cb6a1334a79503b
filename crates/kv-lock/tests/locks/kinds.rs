//! What operators see and do of names, whatever has them.

use crate::{
    SECOND, Site,
    admin::{listed, only},
    control::seen,
    settle,
    tenants::{manager, tenant},
};
use kv_core::{Score, Timestamp};
use kv_lock::{ControlError, ForcedRelease, HolderName, LockInfo, LockKind, LostReason};

#[tokio::test]
async fn a_name_of_several_kinds_is_never_guessed_at() {
    let site = Site::new();
    let locks = site.process().await;
    let lock = locks.lock("a").acquire().await.unwrap();
    let reader = locks.rw("a").read().acquire().await.unwrap();
    let error = locks.inspect("a").await.unwrap_err();
    let expected = "\"a\" is held as exclusive and as rw; say which kind is meant";
    assert_eq!(error.to_string(), expected);
    let ControlError::SeveralKinds { found, .. } = locks.force_release("a").await.unwrap_err()
    else {
        panic!("it was guessed");
    };
    assert_eq!(found, [LockKind::Exclusive, LockKind::ReadWrite]);
    for kind in found {
        let lock = locks.inspect_as(kind, "a").await.unwrap().unwrap();
        assert_eq!(lock.kind, kind);
    }
    let error = locks.force_release_as(LockKind::Semaphore, "a").await;
    let expected = "\"a\" is not held as semaphore, but as exclusive and as rw; \
                    name that kind, or none";
    assert_eq!(error.unwrap_err().to_string(), expected);
    let unknown: HolderName = "0".repeat(33).parse().unwrap();
    let forced = locks.force_release_from("a", &unknown).await.unwrap();
    let ForcedRelease::HeldBy(others) = forced else {
        panic!("{forced:?}");
    };
    assert_eq!(others.len(), 2);
    // A holder is of one kind, whatever else has the name.
    let holder = only(&others[1]).holder.unwrap();
    let forced = locks.force_release_from("a", &holder).await.unwrap();
    assert_eq!(forced, ForcedRelease::Released);
    assert_eq!(seen(&locks, "a").await.kind, LockKind::Exclusive);
    let again = locks.rw("a").read().acquire().await.unwrap();
    let forced = locks.force_release_as(LockKind::Exclusive, "a").await;
    assert_eq!(forced.unwrap(), ForcedRelease::Released);
    assert_eq!(seen(&locks, "a").await.kind, LockKind::ReadWrite);
    site.pass(4 * SECOND).await;
    assert!(lock.check().is_err() && reader.check().is_err());
    again.check().unwrap();
}

#[tokio::test]
async fn what_nobody_can_hold_is_named() {
    let site = Site::new();
    let locks = site.process().await;
    locks.latch("a", 2).arrive("x").await.unwrap();
    let barrier = locks.barrier("b", 2);
    tokio::spawn(async move { barrier.enter("x").await });
    settle().await;
    let error = locks.inspect("a").await.unwrap_err();
    assert!(matches!(error, ControlError::Latch { .. }), "{error}");
    assert!(
        error.to_string().starts_with("\"a\" is a latch: "),
        "{error}"
    );
    let nobody: HolderName = "0".repeat(33).parse().unwrap();
    for error in [
        locks
            .inspect_as(LockKind::Semaphore, "b")
            .await
            .unwrap_err(),
        locks.force_release("b").await.unwrap_err(),
        locks.force_release_from("b", &nobody).await.unwrap_err(),
    ] {
        assert!(matches!(error, ControlError::Barrier { .. }), "{error}");
    }
    assert!(listed(&locks, 100).await.is_empty());
    // A lock of the same name is one.
    let _guard = locks.lock("a").acquire().await.unwrap();
    assert_eq!(seen(&locks, "a").await.kind, LockKind::Exclusive);
}

#[tokio::test]
async fn all_kinds_are_listed_each_lock_once() {
    let site = Site::new();
    let locks = site.process().await;
    let (mut all, mut guards) = (Vec::new(), Vec::new());
    for number in 0..7 {
        let name = format!("{number}");
        guards.push(locks.rw(&name).write().acquire().await.unwrap());
        all.push((name.clone(), LockKind::ReadWrite));
        all.push((name.clone(), LockKind::Exclusive));
        all.push((name, LockKind::Semaphore));
    }
    let mut more = Vec::new();
    for number in 0..7 {
        let name = format!("{number}");
        let lock = locks.lock(&name).acquire().await.unwrap();
        let permits = locks.semaphore(&name, 3).acquire(2).await.unwrap();
        more.push((lock, permits));
    }
    let read = locks.rw("read").read();
    let _readers = [
        read.clone().acquire().await.unwrap(),
        read.acquire().await.unwrap(),
    ];
    all.push(("read".to_owned(), LockKind::ReadWrite));
    // Held by nobody, and by a writer while the readers before it have lapsed.
    let freed = locks.semaphore("freed", 1).acquire(1).await.unwrap();
    freed.release().await;
    let kv = site.kv().await;
    kv.zadd("{rw:0}:readers", [("lapsed", 1)]).await.unwrap();
    kv.zadd("{rw:lapsed}:readers", [("lapsed", 1)])
        .await
        .unwrap();
    for limit in [1, 5, 500] {
        let found = listed(&locks, limit).await;
        let name = |it: &LockInfo| String::from_utf8(it.name.to_vec()).unwrap();
        let mut found: Vec<_> = found.iter().map(|it| (name(it), it.kind)).collect();
        let key = |it: &(String, LockKind)| (it.0.clone(), it.1.as_str());
        found.sort_by_key(key);
        all.sort_by_key(key);
        assert_eq!(found, all, "{limit}");
    }
}

#[tokio::test]
async fn a_tenant_sees_and_frees_its_own_of_all_kinds() {
    let site = Site::new();
    let (locks, _) = manager(&site).await;
    let hold = async |name: &'static str| {
        let of = async {
            let reader = locks.rw("a").read().acquire().await.unwrap();
            let permits = locks.semaphore("s", 2).acquire(1).await.unwrap();
            (reader, permits)
        };
        tenant(name).scope(of).await
    };
    let (ann, bob) = (hold("ann").await, hold("bob").await);
    for (name, count) in [("ann", 2), ("bob", 2), ("cyd", 0)] {
        let found = tenant(name).scope(listed(&locks, 1)).await;
        assert_eq!(found.len(), count, "{name}");
        assert!(found.iter().all(|it| it.holders.len() == 1));
    }
    let anns = tenant("ann").scope(seen(&locks, "a")).await;
    let anns = only(&anns).holder.unwrap();
    // Even its name does not help another tenant.
    let forced = tenant("bob").scope(locks.force_release_from("a", &anns));
    assert!(matches!(forced.await.unwrap(), ForcedRelease::HeldBy(_)));
    for (name, expected) in [
        ("cyd", ForcedRelease::Free),
        ("bob", ForcedRelease::Released),
    ] {
        for lock in ["a", "s"] {
            let forced = tenant(name).scope(locks.force_release(lock)).await;
            assert_eq!(forced.unwrap(), expected, "{name}");
        }
    }
    site.pass(4 * SECOND).await;
    ann.0.check().unwrap();
    ann.1.check().unwrap();
    assert_eq!(bob.0.check().unwrap_err().reason(), LostReason::Taken);
    assert_eq!(bob.1.check().unwrap_err().reason(), LostReason::Taken);
}

#[tokio::test]
async fn records_of_others_are_shown_and_freed_with_the_rest() {
    let site = Site::new();
    let (locks, kv) = (site.process().await, site.kv().await);
    for (key, name) in [("{rw:a}:readers", "a"), ("{semaphore:b}:holders", "b")] {
        let soon = Timestamp::from_micros(1_100_000_000);
        let member = ("somebody", Score::from(soon));
        kv.zadd(key, [member]).await.unwrap();
        let lock = seen(&locks, name).await;
        assert_eq!(only(&lock).holder, None);
        let forced = locks.force_release(name).await.unwrap();
        assert_eq!(forced, ForcedRelease::Released);
        assert_eq!(locks.inspect(name).await.unwrap(), None);
    }
}

/// Somebody stuck can be freed, whatever stands where another kind of lock would be.
#[tokio::test]
async fn what_cannot_be_read_is_in_the_way_of_nothing_else() {
    let site = Site::new();
    let (locks, kv) = (site.process().await, site.kv().await);
    let _stuck = locks.lock("a").acquire().await.unwrap();
    let _other = locks.lock("b").acquire().await.unwrap();
    kv.set("{semaphore:a}:holders", "no set").await.unwrap();
    let page = locks.list(100, None).await.unwrap();
    assert_eq!(page.locks.len(), 2);
    let unreadable = page.unreadable.iter();
    let unreadable: Vec<_> = unreadable.map(|it| (&*it.name, it.kind)).collect();
    assert_eq!(unreadable, [(&b"a"[..], LockKind::Semaphore)]);
    // Whether it is the only one is not known.
    assert!(matches!(
        locks.inspect("a").await,
        Err(ControlError::Store(_))
    ));
    let lock = locks.inspect_as(LockKind::Exclusive, "a").await.unwrap();
    let holder = only(&lock.unwrap()).holder.unwrap();
    let unknown: HolderName = "0".repeat(33).parse().unwrap();
    let forced = locks.force_release_from("a", &unknown).await.unwrap();
    assert!(matches!(forced, ForcedRelease::HeldBy(_)));
    let forced = locks.force_release_from("a", &holder).await.unwrap();
    assert_eq!(forced, ForcedRelease::Released);
    let _stuck = locks.lock("a").acquire().await.unwrap();
    let forced = locks.force_release_as(LockKind::Exclusive, "a").await;
    assert_eq!(forced.unwrap(), ForcedRelease::Released);
    let forced = locks.force_release_as(LockKind::Exclusive, "a").await;
    assert_eq!(forced.unwrap(), ForcedRelease::Free);
}

#[tokio::test]
async fn a_record_without_an_end_is_told_as_such() {
    let site = Site::new();
    let (locks, kv) = (site.process().await, site.kv().await);
    for score in [1e24, f64::INFINITY] {
        let member = ("somebody", Score::new(score).unwrap());
        kv.zadd("{rw:a}:readers", [member]).await.unwrap();
        let lock = seen(&locks, "a").await;
        assert!(only(&lock).left.unwrap() > SECOND * 1_000_000_000);
    }
}
