//! One holder at a time: plain and elected; and what its fence protects.

use super::*;
use crate::site::{Site, heard};
use kv_core::{Expiry, Mark, TimeToLive, Value};
use std::time::Duration;

pub(super) fn mark_of(text: &str) -> Option<Mark> {
    Some(text.into())
}

/// Whether it lives longer than the 5 seconds that a test had left it.
async fn lives_on(site: &Site, lock: &Lock, name: &str) -> bool {
    let left = site.kv.time_to_live(lock.key(name)).await.unwrap();
    matches!(left, TimeToLive::In(left) if left > Duration::from_secs(6))
}

async fn a_lock_is_held_once_and_a_resent_acquire_finds_itself(site: Site) {
    let lock = Lock::new("a");
    let mut ann = site.commit(acquire(&lock, "ann")).await;
    assert!(ann.applied);
    let fence = ann.token(1).unwrap();
    let mut again = site.commit(acquire(&lock, "ann")).await;
    assert!(!again.applied);
    assert_eq!(again.mark(0).unwrap(), mark_of("ann"));
    assert!(
        matches!(again.ttl(1).unwrap(), TimeToLive::In(left) if left > Duration::from_secs(10))
    );
    assert_eq!(again.token(2).unwrap(), fence);
    let mut bob = site.commit(acquire(&lock, "bob")).await;
    assert_eq!(bob.mark(0).unwrap(), mark_of("ann"));
    // A lapsed lease, or a lost record: the next fence is greater in any case.
    site.kv
        .delete_many([lock.key("holder"), lock.key("fence")])
        .await
        .unwrap();
    let mut bob = site.commit(acquire(&lock, "bob")).await;
    assert!(bob.token(1).unwrap() > fence);
}

async fn renewal_tells_each_lock_apart(site: Site) {
    let (mine, lost) = (Lock::new("a"), Lock::new("b"));
    site.commit(acquire(&mine, "ann")).await;
    site.commit(acquire(&lost, "bob")).await;
    site.kv
        .expire(mine.key("holder"), Expiry::Held(lifetime(5)))
        .await
        .unwrap();
    for _ in 0..2 {
        let [kept, mut gone] = site
            .commit_all([renew(&mine, "ann"), renew(&lost, "ann")])
            .await;
        assert!(kept.applied && !gone.applied);
        assert_eq!(gone.mark(0).unwrap(), mark_of("bob"));
    }
    assert!(lives_on(&site, &mine, "holder").await);
}

async fn release_frees_once_wakes_and_spares_the_next_holder(site: Site) {
    let lock = Lock::new("a");
    let mut events = site.listen(lock.key("free")).await;
    site.commit(acquire(&lock, "ann")).await;
    assert!(!site.commit(release(&lock, "bob")).await.applied);
    assert!(site.commit(release(&lock, "ann")).await.applied);
    assert_eq!(heard(&mut events).await, "");
    // Re-sent: it is gone, by whom nobody knows.
    let mut again = site.commit(release(&lock, "ann")).await;
    assert!(!again.applied);
    assert_eq!(again.mark(0).unwrap(), None);
    site.commit(acquire(&lock, "bob")).await;
    assert!(!site.commit(release(&lock, "ann")).await.applied);
    assert!(!site.commit(acquire(&lock, "cid")).await.applied);
}

async fn several_locks_are_all_or_none(site: Site) {
    let locks = Lock::new("a");
    let mut one = site.commit(acquire_all(&locks, &["x"], "ann")).await;
    let mut both = site.commit(acquire_all(&locks, &["x", "y"], "bob")).await;
    assert!(!both.applied);
    assert_eq!(both.token(1).unwrap(), one.token(1).unwrap());
    assert_eq!(both.mark(0).unwrap(), mark_of("ann"));
    assert_eq!(both.mark(2).unwrap(), None);
    assert!(
        site.commit(acquire_all(&locks, &["y", "z"], "bob"))
            .await
            .applied
    );
}

async fn a_leader_publishes_and_resigns(site: Site) {
    let lock = Lock::new("a");
    let mut events = site.listen(lock.key("elected")).await;
    let mut ann = site.commit(campaign(&lock, "ann", "host-a")).await;
    assert!(ann.applied && ann.token(1).unwrap() > 0);
    heard(&mut events).await;
    let mut bob = site.commit(campaign(&lock, "bob", "host-b")).await;
    assert!(!bob.applied);
    assert_eq!(bob.value(3).unwrap(), Some(Value::from("host-a")));
    for name in ["holder", "leader"] {
        site.kv
            .expire(lock.key(name), Expiry::Held(lifetime(5)))
            .await
            .unwrap();
    }
    assert!(site.commit(renew_leader(&lock, "ann")).await.applied);
    assert!(lives_on(&site, &lock, "holder").await && lives_on(&site, &lock, "leader").await);
    assert!(!site.commit(proclaim(&lock, "bob", "host-b")).await.applied);
    // Also where the value before was lost.
    site.kv.delete(lock.key("leader")).await.unwrap();
    assert!(site.commit(proclaim(&lock, "ann", "host-c")).await.applied);
    heard(&mut events).await;
    assert_eq!(
        site.kv.get(lock.key("leader")).await.unwrap(),
        Some(Value::from("host-c"))
    );
    let left = site.kv.time_to_live(lock.key("leader")).await.unwrap();
    assert!(matches!(left, TimeToLive::In(_)));
    assert!(!site.commit(resign(&lock, "bob")).await.applied);
    assert!(site.commit(resign(&lock, "ann")).await.applied);
    heard(&mut events).await;
    assert_eq!(site.kv.get(lock.key("leader")).await.unwrap(), None);
}

async fn a_fence_keeps_earlier_holders_out(site: Site) {
    let resource = Key::new("orders/42").unwrap();
    assert!(site.commit(fenced_put(&resource, 7, "seven")).await.applied);
    // Re-sent, or once more by the same holder.
    assert!(site.commit(fenced_put(&resource, 7, "seven")).await.applied);
    assert!(site.commit(fenced_put(&resource, 9, "nine")).await.applied);
    let mut late = site.commit(fenced_put(&resource, 8, "eight")).await;
    assert!(!late.applied);
    assert_eq!(late.mark(0).unwrap(), mark_of("9"));
    assert!(!site.commit(fenced_delete(&resource, 8)).await.applied);
    assert!(site.commit(fenced_delete(&resource, 10)).await.applied);
    assert_eq!(site.kv.hget(&resource, "v").await.unwrap(), None);
    // What is left of it ends, unless something is written again.
    let left = site.kv.time_to_live(&resource).await.unwrap();
    let day = Duration::from_secs(DAY);
    assert!(matches!(left, TimeToLive::In(left) if left <= day && left > day / 2));
    assert!(!site.commit(fenced_put(&resource, 9, "nine")).await.applied);
    assert!(
        site.commit(fenced_put(&resource, 11, "eleven"))
            .await
            .applied
    );
    assert_eq!(
        site.kv.hget(&resource, "v").await.unwrap(),
        Some(Value::from("eleven"))
    );
    let left = site.kv.time_to_live(&resource).await.unwrap();
    assert_eq!(left, TimeToLive::NoExpiry);
}

crate::on_each_store! {
    a_lock_is_held_once_and_a_resent_acquire_finds_itself
    renewal_tells_each_lock_apart
    release_frees_once_wakes_and_spares_the_next_holder
    several_locks_are_all_or_none
    a_leader_publishes_and_resigns
    a_fence_keeps_earlier_holders_out
}
