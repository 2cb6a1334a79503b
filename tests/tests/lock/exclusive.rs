//! The exclusive lock: who holds it, who waits, what its fence is good for.

use crate::site::{LONG, Site};
use kv_lock::{LockError, Release};
use std::time::Duration;

async fn one_at_a_time_holds_it_and_fences_rise(site: Site) {
    let other = site.another().await;
    let first = site.locks.lock("a").acquire().await.unwrap();
    assert!(other.lock("a").try_acquire().await.unwrap().is_none());
    let free = other.lock("b").try_acquire().await.unwrap().unwrap();
    assert_eq!(free.release().await, Release::Released);
    let fence = first.check().unwrap();
    assert_eq!(first.release().await, Release::Released);
    let second = other.lock("a").acquire().await.unwrap();
    assert!(second.fence() > fence);
}

async fn who_waits_is_woken_by_the_release(site: Site) {
    let other = site.another().await;
    // Nobody may wait for the end of a lease in this test.
    let lease = Duration::from_secs(600);
    let lock = other.lock("a").lease(lease).wait(LONG);
    let mut held = site.locks.lock("a").lease(lease).acquire().await.unwrap();
    for _ in 0..5 {
        let waiter = lock.clone();
        let waiter = tokio::spawn(async move { waiter.acquire().await.unwrap() });
        tokio::time::timeout(Duration::from_millis(50), std::future::pending::<()>())
            .await
            .unwrap_err();
        assert!(!waiter.is_finished());
        assert_eq!(held.release().await, Release::Released);
        held = waiter.await.unwrap();
    }
}

async fn waiting_has_an_end(site: Site) {
    let other = site.another().await;
    let _held = site.locks.lock("a").acquire().await.unwrap();
    let wait = Duration::from_millis(100);
    let refused = other.lock("a").wait(wait).acquire().await;
    assert!(matches!(refused, Err(LockError::Timeout)));
}

async fn lost_answers_do_no_harm(site: Site) {
    let other = site.another().await;
    let mut last = None;
    site.lost_answers.on();
    for _ in 0..30 {
        let guard = site.locks.lock("a").wait(LONG).acquire().await.unwrap();
        assert!(other.lock("a").try_acquire().await.unwrap().is_none());
        assert!(last < Some(guard.fence()));
        last = Some(guard.fence());
        assert_ne!(guard.release().await, Release::Expired);
    }
    site.lost_answers.off();
    let free = other.lock("a").wait(LONG).acquire().await.unwrap();
    assert!(last < Some(free.fence()));
}

async fn a_later_holders_write_is_not_undone(site: Site) {
    let first = site.locks.lock("a").acquire().await.unwrap();
    first.fenced_put("account", "100").await.unwrap();
    let earlier = first.fence();
    first.release().await;
    let second = site.another().await.lock("a").acquire().await.unwrap();
    assert!(second.fence() > earlier);
    let value = second.fenced_get("account").await.unwrap();
    assert_eq!(value, Some("100".into()));
    second.fenced_put("account", "70").await.unwrap();
    second.fenced_delete("account").await.unwrap();
    assert_eq!(second.fenced_get("account").await.unwrap(), None);
    // The fence stays, for who comes late.
    assert!(site.kv.exists("account").await.unwrap());
}

crate::on_each_store! {
    one_at_a_time_holds_it_and_fences_rise
    who_waits_is_woken_by_the_release
    waiting_has_an_end
    lost_answers_do_no_harm
    a_later_holders_write_is_not_undone
}
