//! The read/write lock: who is let in beside whom, and what a crash leaves.

use crate::site::{LONG, Site};
use kv_lock::Release;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

async fn many_read_or_one_writes(site: Site) {
    let (ann, bob) = (site.locks.rw("a"), site.another().await.rw("a"));
    let first = ann.read().acquire().await.unwrap();
    let second = bob.read().acquire().await.unwrap();
    assert!(second.fence() > first.fence());
    assert!(bob.write().try_acquire().await.unwrap().is_none());
    first.release().await;
    assert_eq!(second.release().await, Release::Released);
    let writer = bob.write().acquire().await.unwrap();
    assert!(ann.read().try_acquire().await.unwrap().is_none());
    writer.fenced_put("catalog", "1").await.unwrap();
    assert_eq!(writer.release().await, Release::Released);
    assert!(ann.read().try_acquire().await.unwrap().is_some());
}

/// Readers that come and go all the while in two processes keep no writer of a third out, and each is woken.
async fn a_stream_of_readers_starves_no_writer(site: Site) {
    let inside = Arc::<AtomicI32>::default();
    let mut readers = Vec::new();
    for number in 0..6 {
        let (lock, inside) = (site.another().await.rw("a"), inside.clone());
        readers.push(tokio::spawn(async move {
            for _ in 0..8 {
                let lock = lock.read().lease(LEASE).wait(LONG);
                let guard = lock.acquire().await.unwrap();
                assert!(
                    inside.fetch_add(1, Ordering::SeqCst) >= 0,
                    "beside a writer"
                );
                pause(10 + number).await;
                inside.fetch_sub(1, Ordering::SeqCst);
                guard.release().await;
            }
        }));
    }
    let mut last = None;
    for _ in 0..5 {
        let lock = site.locks.rw("a").write().lease(LEASE).wait(LONG);
        let guard = lock.acquire().await.unwrap();
        assert_eq!(inside.swap(-100, Ordering::SeqCst), 0, "beside others");
        assert!(last < Some(guard.fence()));
        last = Some(guard.fence());
        pause(2).await;
        assert_eq!(inside.swap(0, Ordering::SeqCst), -100);
        guard.release().await;
    }
    for reader in readers {
        reader.await.unwrap();
    }
}

async fn a_reader_that_died_lapses_and_does_not_come_back(site: Site) {
    let dead = site.mortal().await;
    let lease = Duration::from_millis(600);
    let lock = dead.locks.rw("a").read().lease(lease);
    let reader = lock.acquire().await.unwrap();
    dead.dies.on();
    let lock = site.locks.rw("a").write().lease(LEASE).wait(LONG);
    let writer = lock.acquire().await.unwrap();
    assert!(reader.check().is_err(), "known there before anybody writes");
    dead.dies.off();
    pause(500).await;
    assert!(reader.check().is_err());
    assert_eq!(reader.release().await, Release::Expired);
    writer.check().unwrap();
    assert_eq!(writer.release().await, Release::Released);
}

async fn a_writer_that_waits_is_told_and_one_that_gives_up_tells(site: Site) {
    let other = site.another().await.rw("a");
    let reader = site
        .locks
        .rw("a")
        .read()
        .lease(LEASE)
        .acquire()
        .await
        .unwrap();
    let writes = {
        let lock = other.write().lease(LEASE);
        tokio::spawn(async move { lock.acquire().await.unwrap() })
    };
    // Its intent is there.
    while site
        .locks
        .rw("a")
        .read()
        .try_acquire()
        .await
        .unwrap()
        .is_some()
    {
        tokio::task::yield_now().await;
    }
    writes.abort();
    let late = site
        .locks
        .rw("a")
        .read()
        .wait(LONG)
        .acquire()
        .await
        .unwrap();
    let lock = other.write().lease(LEASE).wait(LONG);
    let writes = tokio::spawn(async move { lock.acquire().await.unwrap() });
    late.release().await;
    reader.release().await;
    writes.await.unwrap().release().await;
}

async fn lost_answers_do_no_harm(site: Site) {
    let other = site.another().await.rw("a");
    site.lost_answers.on();
    for _ in 0..15 {
        let reader = site
            .locks
            .rw("a")
            .read()
            .wait(LONG)
            .acquire()
            .await
            .unwrap();
        assert!(other.write().try_acquire().await.unwrap().is_none());
        assert_ne!(reader.release().await, Release::Expired);
        let writer = site
            .locks
            .rw("a")
            .write()
            .wait(LONG)
            .acquire()
            .await
            .unwrap();
        assert!(other.read().try_acquire().await.unwrap().is_none());
        assert_ne!(writer.release().await, Release::Expired);
    }
    site.lost_answers.off();
    other
        .write()
        .wait(LONG)
        .acquire()
        .await
        .unwrap()
        .release()
        .await;
}

/// Nobody may wait for the end of a lease but where that is tested.
const LEASE: Duration = Duration::from_secs(600);

async fn pause(millis: u64) {
    kv_core::Clock::sleep(&kv_core::SystemClock, Duration::from_millis(millis)).await;
}

crate::on_each_store! {
    many_read_or_one_writes
    a_stream_of_readers_starves_no_writer
    a_reader_that_died_lapses_and_does_not_come_back
    a_writer_that_waits_is_told_and_one_that_gives_up_tells
    lost_answers_do_no_harm
}
