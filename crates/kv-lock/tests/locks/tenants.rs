//! Tenants with locks of the same name never meet.

use crate::{SECOND, Site, settle};
use kv_core::{Context, Kv};
use kv_lock::LockManager;
use kv_wrappers::{KeyResolver, KeySettings};
use std::sync::Arc;

/// One manager for all tenants, as in a server.
pub(crate) async fn manager(site: &Site) -> (LockManager, Kv) {
    let settings = KeySettings {
        multi_tenancy_enabled: Some(true),
        ..KeySettings::default()
    };
    let layer = KeyResolver::new(settings).unwrap();
    let kv = Kv::builder(site.store.clone())
        .layer(layer)
        .connect()
        .await
        .unwrap();
    (site.on(&kv).build().unwrap(), kv)
}

pub(crate) fn tenant(name: &str) -> Context {
    Context::tenant(name.to_owned())
}

#[tokio::test]
async fn neither_on_the_store_nor_in_the_line() {
    let site = Site::new();
    let (locks, _) = manager(&site).await;
    let ann = tenant("ann")
        .scope(locks.lock("a").acquire())
        .await
        .unwrap();
    let waits = {
        let locks = locks.clone();
        tokio::spawn(tenant("ann").scope(async move { locks.lock("a").acquire().await }))
    };
    settle().await;
    assert!(!waits.is_finished());
    // With a waiter of the other tenant in its line.
    let bob = tenant("bob")
        .scope(locks.lock("a").wait(SECOND).acquire())
        .await
        .unwrap();
    // Renewals and releases in the background meet the right keys, without a context.
    site.pass(60 * SECOND).await;
    ann.check().unwrap();
    bob.check().unwrap();
    drop(ann);
    settle().await;
    assert!(waits.is_finished());
    bob.check().unwrap();
    drop(bob);
    settle().await;
    assert!(
        tenant("bob")
            .scope(locks.lock("a").try_acquire())
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        tenant("ann")
            .scope(locks.lock("a").try_acquire())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_handle_that_is_bound_has_its_own_tenant() {
    let site = Site::new();
    let (locks, kv) = manager(&site).await;
    let bound = site.on(&kv.bind(tenant("ann"))).build().unwrap();
    let guard = tenant("bob")
        .scope(bound.lock("a").acquire())
        .await
        .unwrap();
    let guard = Arc::new(guard);
    assert!(
        tenant("ann")
            .scope(locks.lock("a").try_acquire())
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        tenant("bob")
            .scope(locks.lock("a").try_acquire())
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        locks.lock("a").try_acquire().await.is_err(),
        "without a tenant"
    );
    guard.check().unwrap();
}

/// What waits on the store or has a hall of its own does not meet another tenant's either.
#[tokio::test]
async fn nor_do_the_other_kinds() {
    let site = Site::new();
    let (locks, _) = manager(&site).await;
    let (lock, rw, permits) = (
        locks.lock("a").fair(),
        locks.rw("a"),
        locks.semaphore("a", 1).permits(1).unwrap(),
    );
    let all = || {
        let (lock, rw, permits) = (lock.clone(), rw.clone(), permits.clone());
        async move {
            let lock = lock.acquire().await.unwrap();
            let writer = rw.write().acquire().await.unwrap();
            (lock, writer, permits.acquire().await.unwrap())
        }
    };
    let ann = tenant("ann").scope(all()).await;
    // With a waiter of ann's in each line.
    let (fair, write, permit) = (lock.clone(), rw.write(), permits.clone());
    let waits = [
        tokio::spawn(tenant("ann").scope(async move { drop(fair.acquire().await) })),
        tokio::spawn(tenant("ann").scope(async move { drop(write.acquire().await) })),
        tokio::spawn(tenant("ann").scope(async move { drop(permit.acquire().await) })),
    ];
    settle().await;
    let bob = tenant("bob").scope(all()).await;
    site.pass(60 * SECOND).await;
    assert!(waits.iter().all(|it| !it.is_finished()));
    drop(ann);
    settle().await;
    assert!(waits.iter().all(tokio::task::JoinHandle::is_finished));
    for check in [bob.0.check(), bob.1.check(), bob.2.check()] {
        check.unwrap();
    }
}
