//! Work that is done under a lock.

use crate::{SECOND, Site, settle};
use kv_lock::{LockError, LostReason, RunError, TemplateError};
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

#[tokio::test]
async fn it_is_done_alone_and_the_lock_is_free_afterwards() {
    let site = Site::new();
    let (locks, calls) = site.counted().await;
    let inside = Arc::<AtomicUsize>::default();
    let work = async || {
        assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
        settle().await;
        inside.fetch_sub(1, Ordering::Relaxed);
        7
    };
    let (a, b) = tokio::join!(locks.with_lock("a", work()), locks.with_lock("a", work()));
    assert_eq!((a.unwrap(), b.unwrap()), (7, 7));
    calls.store(0, Ordering::Relaxed);
    // Its errors are its own.
    let failed: Result<(), &str> = locks.with_lock("a", async { Err("no") }).await.unwrap();
    assert_eq!(failed, Err("no"));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert_eq!(locks.inspect("a").await.unwrap(), None);
}

#[tokio::test]
async fn it_is_not_begun_without_the_lock() {
    let site = Site::new();
    let (ann, bob) = (site.process().await, site.process().await);
    let guard = ann.lock("a").acquire().await.unwrap();
    let refused = tokio::spawn(async move {
        let lock = bob.lock("a").wait(SECOND);
        lock.run(async { panic!("not under the lock") }).await
    });
    settle().await;
    site.pass(2 * SECOND).await;
    let refused: RunError<()> = refused.await.unwrap().unwrap_err();
    let RunError::NotAcquired(LockError::Timeout) = refused else {
        panic!("{refused:?}");
    };
    guard.check().unwrap();
}

/// Tells when it is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn it_is_dropped_when_the_lock_is_lost() {
    let site = Site::new();
    let (locks, operator) = (site.process().await, site.process().await);
    let dropped = Arc::<AtomicUsize>::default();
    let inside = Dropped(dropped.clone());
    let ran = tokio::spawn(async move {
        let work = async move {
            let _inside = inside;
            pending::<()>().await;
        };
        locks.with_lock("a", work).await
    });
    settle().await;
    operator.force_release("a").await.unwrap();
    site.pass(4 * SECOND).await;
    let error = ran.await.unwrap().unwrap_err();
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
    let text = error.to_string();
    assert!(
        text.contains("dropped") && text.contains("not ours"),
        "{text}"
    );
    let RunError::Lost { lost, output: None } = error else {
        panic!("{error:?}");
    };
    assert_eq!(lost.reason(), LostReason::Taken);
}

#[tokio::test]
async fn what_came_of_it_is_kept_when_the_lock_was_lost_meanwhile() {
    let site = Site::new();
    let (locks, operator) = (site.process().await, site.process().await);
    // The process stands still, past its lease.
    let clock = site.clock.clone();
    let still = locks.with_lock("a", async move { clock.advance(11 * SECOND) });
    let error = still.await.unwrap_err();
    let RunError::Lost { lost, output } = error else {
        panic!("{error:?}");
    };
    assert_eq!((lost.reason(), output), (LostReason::Expired, Some(())));
    // Nobody has noticed but the store.
    let forced = locks.with_lock("b", async {
        operator.force_release("b").await.unwrap();
        7
    });
    let error = forced.await.unwrap_err();
    assert!(error.to_string().contains("ended"), "{error}");
    let RunError::Lost { lost, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(lost.reason(), LostReason::Taken);
    assert_eq!(error.into_output(), Some(7));
}

#[tokio::test]
async fn dropped_it_leaves_nothing() {
    let site = Site::new();
    let locks = site.process().await;
    let task = tokio::spawn({
        let locks = locks.clone();
        async move { locks.with_lock("a", pending::<()>()).await }
    });
    settle().await;
    assert!(locks.inspect("a").await.unwrap().is_some());
    task.abort();
    settle().await;
    assert_eq!(locks.inspect("a").await.unwrap(), None);
}

#[tokio::test]
async fn names_are_made_of_values() {
    let site = Site::new();
    let locks = site.process().await;
    let orders = locks.keyed("orders/{tenant}/{id}").unwrap();
    let lock = orders.with(&[("id", &42), ("tenant", &"a/b")]).unwrap();
    let inspected = async |fence| {
        let seen = locks.inspect("orders/a%2Fb/42").await.unwrap().unwrap();
        assert_eq!(seen.last_fence, Some(fence));
    };
    lock.wait(SECOND).run_with_fence(inspected).await.unwrap();
    let refused = orders.with(&[("id", &42)]).unwrap_err();
    let name = "tenant".to_owned();
    assert_eq!(refused, TemplateError::Missing { name });
    assert!(locks.keyed("orders/{id").is_err());
}
