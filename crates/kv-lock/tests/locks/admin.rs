//! What operators see and do.

use crate::{ON_STORE, SECOND, Site, settle};
use kv_core::{Context, ErrorKind, Kv};
use kv_lock::{
    ForcedRelease, HolderInfo, HolderName, LockInfo, LockKind, LockManager, LostReason, Role,
};
use kv_wrappers::{KeyResolver, KeySettings};
use std::sync::atomic::Ordering;

#[tokio::test]
async fn an_inspection_tells_who_holds_it() {
    let site = Site::new();
    let (locks, calls) = site.counted().await;
    assert_eq!(locks.inspect("a").await.unwrap(), None);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    let guard = locks
        .lock("a")
        .metadata("host=a:1")
        .acquire()
        .await
        .unwrap();
    site.clock.advance(SECOND);
    let other = site.process().await;
    let seen = other.inspect("a").await.unwrap().unwrap();
    assert_eq!((&*seen.name, seen.kind), (&b"a"[..], LockKind::Exclusive));
    let seen = only(&seen);
    assert_eq!(
        (&*seen.metadata, seen.role),
        (&b"host=a:1"[..], Role::Owner)
    );
    assert_eq!(seen.fence, Some(guard.fence()));
    assert_eq!(seen.left, Some(ON_STORE - SECOND));
    guard.release().await;
    assert_eq!(other.inspect("a").await.unwrap(), None);
    let next = locks.lock("a").acquire().await.unwrap();
    let again = other.inspect("a").await.unwrap().unwrap();
    assert_ne!(only(&again).holder, seen.holder);
    assert_eq!(only(&again).fence, Some(next.fence()));
}

#[tokio::test]
async fn who_is_released_by_force_learns_of_it_and_fences_rise() {
    let site = Site::new();
    let (ann, bob) = (site.process().await, site.process().await);
    let operator = site.process().await;
    let forced = operator.force_release("a").await.unwrap();
    assert_eq!(forced, ForcedRelease::Free);
    let guard = ann.lock("a").acquire().await.unwrap();
    let waits = tokio::spawn(async move { bob.lock("a").acquire().await });
    settle().await;
    assert!(!waits.is_finished());
    let forced = operator.force_release("a").await.unwrap();
    assert_eq!(forced, ForcedRelease::Released);
    settle().await;
    // Woken, not by the end of a lease: no time has passed.
    assert!(waits.is_finished());
    let next = waits.await.unwrap().unwrap();
    assert!(next.fence() > guard.fence());
    guard.check().unwrap();
    site.pass(4 * SECOND).await;
    assert_eq!(guard.check().unwrap_err().reason(), LostReason::Taken);
    next.check().unwrap();
    // What was lost is not released: the next holder stays.
    drop(guard);
    settle().await;
    let held = operator.inspect("a").await.unwrap().unwrap();
    assert_eq!(only(&held).fence, Some(next.fence()));
}

#[tokio::test]
async fn the_next_holder_is_spared() {
    let site = Site::new();
    let (ann, operator) = (site.process().await, site.process().await);
    let first = ann.lock("a").acquire().await.unwrap();
    let seen = operator.inspect("a").await.unwrap().unwrap();
    let seen = only(&seen).holder.unwrap();
    first.release().await;
    let forced = operator.force_release_from("a", &seen).await.unwrap();
    assert_eq!(forced, ForcedRelease::Free);
    let second = ann.lock("a").metadata("second").acquire().await.unwrap();
    let forced = operator.force_release_from("a", &seen).await.unwrap();
    let ForcedRelease::HeldBy(others) = forced else {
        panic!("{forced:?}");
    };
    let other = only(&others[0]);
    assert_eq!(&*other.metadata, b"second");
    site.pass(4 * SECOND).await;
    second.check().unwrap();
    let holder = other.holder.unwrap();
    let forced = operator.force_release_from("a", &holder).await.unwrap();
    assert_eq!(forced, ForcedRelease::Released);
    assert_eq!(operator.inspect("a").await.unwrap(), None);
    assert!("nobody".parse::<HolderName>().is_err());
}

#[tokio::test]
async fn a_record_of_others_is_shown_and_freed() {
    let site = Site::new();
    let (locks, kv) = (site.process().await, site.kv().await);
    kv.set("{lock:a}:holder", "somebody").await.unwrap();
    let seen = only(&locks.inspect("a").await.unwrap().unwrap());
    assert_eq!((seen.holder, seen.fence, seen.left), (None, None, None));
    let forced = locks.force_release("a").await.unwrap();
    assert_eq!(forced, ForcedRelease::Released);
    assert!(locks.lock("a").try_acquire().await.unwrap().is_some());
}

/// Who holds a lock that one holds.
pub(crate) fn only(lock: &LockInfo) -> HolderInfo {
    assert_eq!(lock.holders.len(), 1, "{lock:?}");
    lock.holders[0].clone()
}

/// All locks, with pages of so many keys.
pub(crate) async fn listed(locks: &LockManager, limit: u32) -> Vec<LockInfo> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = locks.list(limit, after.as_ref()).await.unwrap();
        assert!(page.locks.len() <= limit as usize);
        found.extend(page.locks);
        // As if it had been typed.
        after = page.next.map(|it| it.to_string().parse().unwrap());
        if after.is_none() {
            found.sort_by(|a, b| a.name.cmp(&b.name));
            return found;
        }
    }
}

#[tokio::test]
async fn those_that_are_held_are_listed_page_by_page() {
    let site = Site::new();
    let (locks, kv) = (site.process().await, site.kv().await);
    assert!(listed(&locks, 100).await.is_empty());
    let mut guards = Vec::new();
    let mut names: Vec<Vec<u8>> = (0..25).map(|it| format!("{it:02}").into()).collect();
    names.extend([b"a}b%7D".to_vec(), b"\xff".to_vec()]);
    for name in &names {
        guards.push(locks.lock(name).acquire().await.unwrap());
    }
    // Released ones leave the records of their fences; other keys are no locks.
    locks.lock("free").acquire().await.unwrap().release().await;
    kv.set("{lock:a}:other", "1").await.unwrap();
    kv.set("a", "1").await.unwrap();
    for limit in [1, 7, 500, 10_000] {
        let found = listed(&locks, limit).await;
        let found: Vec<_> = found.iter().map(|it| it.name.to_vec()).collect();
        assert_eq!(found, names, "{limit}");
    }
    let fences: Vec<_> = guards.iter().map(|it| Some(it.fence())).collect();
    let told = listed(&locks, 9).await;
    let told: Vec<_> = told.iter().map(|it| only(it).fence).collect();
    assert_eq!(told, fences);
    let error = locks.list(1, Some(&"AAAA".parse().unwrap())).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn a_tenant_sees_and_frees_its_own() {
    let site = Site::new();
    let settings = KeySettings::default();
    let layer = KeyResolver::new(settings).unwrap();
    let kv = Kv::builder(site.store.clone()).layer(layer);
    let locks = site.on(&kv.connect().await.unwrap()).build().unwrap();
    let tenant = |name: &str| Context::tenant(name.to_owned());
    let ann = tenant("ann")
        .scope(locks.lock("a").acquire())
        .await
        .unwrap();
    let bob = tenant("bob")
        .scope(locks.lock("a").acquire())
        .await
        .unwrap();
    let _more = tenant("bob")
        .scope(locks.lock("b").acquire())
        .await
        .unwrap();
    for (name, count) in [("ann", 1), ("bob", 2), ("cyd", 0)] {
        let found = tenant(name).scope(listed(&locks, 1)).await;
        assert_eq!(found.len(), count, "{name}");
    }
    let seen = tenant("ann").scope(locks.inspect("a")).await.unwrap();
    assert_eq!(only(&seen.unwrap()).fence, Some(ann.fence()));
    let forced = tenant("bob").scope(locks.force_release("a")).await.unwrap();
    assert_eq!(forced, ForcedRelease::Released);
    let forced = tenant("cyd").scope(locks.force_release("a")).await.unwrap();
    assert_eq!(forced, ForcedRelease::Free);
    site.pass(4 * SECOND).await;
    ann.check().unwrap();
    assert_eq!(bob.check().unwrap_err().reason(), LostReason::Taken);
}
