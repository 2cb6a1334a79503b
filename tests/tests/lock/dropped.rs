//! Futures are dropped wherever they wait; what is left is given back, and nobody renews it.

mod kinds;

use crate::site::{LONG, Site};
use kv_core::{Kv, layer_fn};
use kv_lock::LockManager;
use kv_tests::patience::until;
use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};
use tokio::time::timeout;

/// Far longer than the test takes: what is given back in time is given back by somebody.
const LEASE: Duration = Duration::from_secs(600);

/// The most polls that a future takes. Only a broken test gets there.
const MOST: usize = 200;

/// Before and after each call there is one more place to be dropped in.
async fn slow(site: &Site) -> LockManager {
    let kv = slow_kv(site).await;
    LockManager::builder(&kv).lease(LEASE).build().unwrap()
}

async fn slow_kv(site: &Site) -> Kv {
    let layer = layer_fn("slow", |request, next| {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let reply = next.call(request).await;
            tokio::task::yield_now().await;
            reply
        })
    });
    site.builder().layer(layer).connect().await.unwrap()
}

/// What it came to, unless it was dropped after so many polls.
async fn within<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // Not polled again: it is dropped right here.
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn is_free(kv: &Kv, lock: &str) {
    let key = format!("{{lock:{lock}}}:holder");
    until("the lock is given back", async || {
        !kv.exists(&*key).await.unwrap()
    })
    .await;
}

async fn an_acquisition_leaves_nothing(site: Site) {
    let (locks, mut dropped) = (slow(&site).await, 0);
    for polls in 0..MOST {
        let acquired = within(polls, locks.lock("a").acquire()).await;
        let is_over = acquired.is_some();
        drop(acquired);
        is_free(&site.kv, "a").await;
        // Whoever was in line has left it, too.
        let next = locks.lock("a").wait(LONG).acquire().await.unwrap();
        next.release().await;
        if is_over {
            assert!(dropped > 2, "dropped in between");
            return;
        }
        dropped += 1;
    }
    panic!("it never comes to its end");
}

async fn a_try_leaves_nothing(site: Site) {
    let locks = slow(&site).await;
    for polls in 0..MOST {
        let acquired = within(polls, locks.lock("a").try_acquire()).await;
        let is_over = acquired.is_some();
        drop(acquired);
        is_free(&site.kv, "a").await;
        if is_over {
            return;
        }
    }
    panic!("it never comes to its end");
}

async fn a_release_goes_on(site: Site) {
    let locks = slow(&site).await;
    for polls in 0..MOST {
        let guard = locks.lock("a").wait(LONG).acquire().await.unwrap();
        let released = within(polls, guard.release()).await;
        is_free(&site.kv, "a").await;
        if released.is_some() {
            return;
        }
    }
    panic!("it never comes to its end");
}

/// The first of a line is dropped wherever it waits; who is behind it gets the lock.
async fn a_waiter_makes_room(site: Site) {
    let (locks, other) = (slow(&site).await, site.another().await);
    for polls in 0..12 {
        let guard = other
            .lock("a")
            .lease(LEASE)
            .wait(LONG)
            .acquire()
            .await
            .unwrap();
        let lock = locks.lock("a");
        let first = within(polls, lock.acquire());
        // It may wait already, and is not polled any more then.
        let first = timeout(Duration::from_millis(50), first).await;
        assert!(!matches!(first, Ok(Some(_))), "it is held");
        let behind = {
            let locks = locks.clone();
            tokio::spawn(async move { locks.lock("a").wait(LONG).acquire().await })
        };
        guard.release().await;
        behind.await.unwrap().unwrap().release().await;
    }
}

/// The program ends with what goes on in the background: the lease ends what it held, nobody renews it.
#[test]
fn a_program_that_ends_holds_nothing_beyond_the_lease() {
    let lease = Duration::from_millis(200);
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let lasts = runtime();
    for make in [0, 1, 2] {
        let site = lasts.block_on(async {
            match make {
                0 => Site::memory().await,
                1 => Site::redis().await,
                _ => Site::etcd().await,
            }
        });
        for polls in [1, 2, 3, 4, 5, 6, 8, 10, MOST] {
            let dies = runtime();
            let kept = dies.block_on(async {
                let locks = slow(&site).await;
                let lock = locks.lock("a").lease(lease).wait(LONG);
                within(polls, lock.acquire()).await
            });
            dies.shutdown_background();
            std::mem::forget(kept);
            lasts.block_on(async {
                let locks = site.another().await;
                let next = locks
                    .lock("a")
                    .lease(lease)
                    .wait(LONG)
                    .acquire()
                    .await
                    .unwrap();
                next.release().await;
            });
        }
    }
}

crate::on_each_store! {
    an_acquisition_leaves_nothing
    a_try_leaves_nothing
    a_release_goes_on
    a_waiter_makes_room
}
