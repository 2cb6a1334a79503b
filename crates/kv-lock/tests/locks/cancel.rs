//! A future can be dropped wherever it waits.

use crate::{ON_STORE, Site, settle};
use kv_core::{Kv, layer_fn};
use kv_lock::LockManager;
use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

/// Before and after each call there is a moment to be dropped in.
pub(crate) async fn slow(site: &Site) -> LockManager {
    let layer = layer_fn("slow", |request, next| {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let reply = next.call(request).await;
            tokio::task::yield_now().await;
            reply
        })
    });
    let kv = Kv::builder(site.store.clone())
        .layer(layer)
        .connect()
        .await
        .unwrap();
    site.on(&kv).build().unwrap()
}

/// Polled so often, then dropped; whether it had ended.
pub(crate) fn is_over_after<F: Future>(polls: usize, future: F) -> bool {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..polls).any(|_| matches!(future.as_mut().poll(&mut context), Poll::Ready(_)))
}

#[tokio::test]
async fn an_acquisition_that_is_dropped_leaves_nothing_held() {
    for polls in 0.. {
        let site = Site::new();
        let locks = slow(&site).await;
        // Its guard is dropped with it.
        let is_over = is_over_after(polls, locks.lock("a").acquire());
        settle().await;
        let other = site.process().await;
        assert!(
            other.lock("a").try_acquire().await.unwrap().is_some(),
            "after {polls}"
        );
        if is_over {
            assert!(polls > 2, "dropped in between");
            return;
        }
    }
}

#[tokio::test]
async fn a_waiter_that_is_dropped_leaves_the_line() {
    for polls in 0..12 {
        let site = Site::new();
        let locks = slow(&site).await;
        let guard = site.process().await.lock("a").acquire().await.unwrap();
        assert!(!is_over_after(polls, locks.lock("a").acquire()));
        let behind = {
            let locks = locks.clone();
            tokio::spawn(async move { locks.lock("a").acquire().await })
        };
        settle().await;
        guard.release().await;
        settle().await;
        assert!(behind.is_finished(), "after {polls}");
    }
}

/// Not dropped this time: whatever it was at when the lock became free, it learns of it.
#[tokio::test]
async fn a_release_at_any_moment_is_not_missed() {
    for polls in 0..12 {
        let site = Site::new();
        let locks = slow(&site).await;
        let guard = site.process().await.lock("a").acquire().await.unwrap();
        let mut waits = Box::pin(async move { locks.lock("a").acquire().await });
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..polls {
            assert!(waits.as_mut().poll(&mut context).is_pending());
        }
        guard.release().await;
        let waits = tokio::spawn(waits);
        settle().await;
        assert!(waits.is_finished(), "after {polls}");
    }
}

#[tokio::test]
async fn a_release_that_is_dropped_goes_on() {
    for polls in 0.. {
        let site = Site::new();
        let locks = slow(&site).await;
        let guard = locks.lock("a").acquire().await.unwrap();
        let is_over = is_over_after(polls, guard.release());
        settle().await;
        let other = site.process().await;
        assert!(
            other.lock("a").try_acquire().await.unwrap().is_some(),
            "after {polls}"
        );
        if is_over {
            assert!(polls > 2, "dropped in between");
            return;
        }
    }
}

/// The runtime ends with what goes on in the background: then the lease ends it.
#[test]
fn a_process_that_ends_while_it_acquires_holds_nothing_beyond_the_lease() {
    for polls in 0..8 {
        let site = Site::new();
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap()
        };
        let dies = runtime();
        dies.block_on(async {
            let locks = slow(&site).await;
            is_over_after(polls, locks.lock("a").acquire());
        });
        drop(dies);
        runtime().block_on(async {
            site.clock.advance(ON_STORE);
            let other = site.process().await;
            assert!(other.lock("a").try_acquire().await.unwrap().is_some());
        });
    }
}
