//! Many read or one writes.

use crate::{
    ON_STORE, SECOND, Site,
    cancel::{is_over_after, slow},
    lost::through,
    replies::with,
    settle,
};
use kv_conformance::faults::Fault;
use kv_lock::{LostReason, Release};
use std::sync::atomic::Ordering;

/// For how long the intent of a writer that died keeps readers out: 5 seconds, and what clocks drift.
const INTENT: std::time::Duration = std::time::Duration::from_millis(5052);

#[tokio::test]
async fn many_read_or_one_writes() {
    let site = Site::new();
    let (ann, bob) = (site.process().await.rw("a"), site.process().await.rw("a"));
    let first = ann.read().acquire().await.unwrap();
    let second = bob.read().try_acquire().await.unwrap().unwrap();
    assert!(second.fence() > first.fence());
    assert!(ann.write().try_acquire().await.unwrap().is_none());
    assert_eq!(first.release().await, Release::Released);
    assert!(ann.write().try_acquire().await.unwrap().is_none());
    let read = second.fence();
    assert_eq!(second.release().await, Release::Released);
    let writer = ann.write().try_acquire().await.unwrap().unwrap();
    assert!(writer.fence() > read);
    assert!(bob.write().try_acquire().await.unwrap().is_none());
    assert!(bob.read().try_acquire().await.unwrap().is_none());
    assert_eq!(writer.release().await, Release::Released);
    assert!(bob.read().try_acquire().await.unwrap().is_some());
}

#[tokio::test]
async fn a_plain_lock_of_the_same_name_is_another() {
    let site = Site::new();
    let locks = site.process().await;
    let _guard = locks.lock("a").acquire().await.unwrap();
    assert!(locks.rw("a").write().try_acquire().await.unwrap().is_some());
}

#[tokio::test]
async fn a_writer_that_waits_keeps_new_readers_out_and_is_woken() {
    let site = Site::new();
    let (ann, bob) = (site.process().await.rw("a"), site.process().await.rw("a"));
    let reader = ann.read().acquire().await.unwrap();
    let writes = tokio::spawn(async move { bob.write().acquire().await.unwrap() });
    settle().await;
    // Readers that come and go for ever keep no writer out.
    assert!(ann.read().try_acquire().await.unwrap().is_none());
    let reads = {
        let ann = ann.clone();
        tokio::spawn(async move { ann.read().acquire().await.unwrap() })
    };
    // The intent is renewed for as long as it takes, and so are readers.
    site.pass(60 * SECOND).await;
    assert!(!writes.is_finished() && !reads.is_finished());
    reader.check().unwrap();
    reader.release().await;
    settle().await;
    let writer = writes.await.unwrap();
    assert!(!reads.is_finished());
    writer.release().await;
    settle().await;
    assert!(reads.is_finished());
}

#[tokio::test]
async fn many_readers_are_let_in_when_the_writer_leaves() {
    let site = Site::new();
    let (ann, (bob, calls)) = (site.process().await, site.counted().await);
    let writer = ann.rw("a").write().acquire().await.unwrap();
    let mut readers = Vec::new();
    for _ in 0..20 {
        let lock = bob.rw("a").read();
        readers.push(tokio::spawn(async move { lock.acquire().await.unwrap() }));
    }
    settle().await;
    site.pass(30 * SECOND).await;
    // Each asked when it came, before anybody stood in line; then only the first, if a lease might have ended.
    let before = calls.load(Ordering::Relaxed);
    assert!(before <= 20 + 2 + 4, "{before} calls");
    writer.release().await;
    for _ in 0..10 {
        settle().await;
    }
    assert!(readers.iter().all(tokio::task::JoinHandle::is_finished));
    let calls = calls.load(Ordering::Relaxed) - before;
    assert!(calls <= 21, "{calls} calls");
}

/// One whose call hangs keeps no other out, as long as none has to wait.
#[tokio::test]
async fn readers_do_not_stand_behind_each_other() {
    let site = Site::new();
    let locks = with(&site, &[Fault::Hang]).await;
    let hangs = {
        let lock = locks.rw("a").read();
        tokio::spawn(async move { lock.acquire().await })
    };
    settle().await;
    let other = locks.rw("a").read();
    let other = tokio::spawn(async move { other.acquire().await });
    settle().await;
    assert!(other.is_finished() && !hangs.is_finished());
}

#[tokio::test]
async fn a_reader_that_died_lapses_with_its_lease() {
    let site = Site::new();
    let (dead, switch) = through(&site, Fault::Hang).await;
    let reader = dead.rw("a").read().acquire().await.unwrap();
    let bob = site.process().await.rw("a");
    let writes = tokio::spawn(async move { bob.write().acquire().await.unwrap() });
    switch.on();
    site.pass(10 * SECOND).await;
    // Known here before anybody writes there.
    assert_eq!(reader.check().unwrap_err().reason(), LostReason::Expired);
    site.pass(ON_STORE - 10 * SECOND - SECOND / 5).await;
    assert!(!writes.is_finished());
    site.pass(SECOND / 2).await;
    let writer = writes.await.unwrap();
    // Back again, it renews nothing and frees nothing.
    switch.off();
    site.pass(20 * SECOND).await;
    assert_eq!(reader.release().await, Release::Expired);
    let locks = site.process().await;
    assert!(locks.rw("a").read().try_acquire().await.unwrap().is_none());
    writer.check().unwrap();
    writer.release().await;
    let kv = site.kv().await;
    assert!(!kv.exists("{rw:a}:readers").await.unwrap());
}

#[tokio::test]
async fn a_writer_that_died_waiting_keeps_readers_out_for_a_moment() {
    let site = Site::new();
    let (dead, switch) = through(&site, Fault::Hang).await;
    let ann = site.process().await.rw("a");
    let reader = ann.read().acquire().await.unwrap();
    let waits = {
        let lock = dead.rw("a").write();
        tokio::spawn(async move { lock.acquire().await })
    };
    settle().await;
    switch.on();
    assert!(ann.read().try_acquire().await.unwrap().is_none());
    let reads = tokio::spawn(async move { ann.read().acquire().await.unwrap() });
    site.pass(INTENT - SECOND / 5).await;
    assert!(!reads.is_finished());
    site.pass(SECOND / 2).await;
    let other = reads.await.unwrap();
    // It comes back: its intent was lost, and it takes a new one.
    switch.off();
    site.pass(10 * SECOND).await;
    let locks = site.process().await;
    assert!(locks.rw("a").read().try_acquire().await.unwrap().is_none());
    reader.release().await;
    other.release().await;
    settle().await;
    assert!(waits.is_finished());
}

#[tokio::test]
async fn a_writer_that_gives_up_lets_readers_in_at_whatever_moment() {
    for polls in 0..20 {
        let site = Site::new();
        let ann = site.process().await.rw("a");
        let _reader = ann.read().acquire().await.unwrap();
        let waiter = slow(&site).await.rw("a");
        assert!(!is_over_after(polls, waiter.write().acquire()));
        // Whoever waits is told, too.
        let reads = tokio::spawn(async move { ann.read().acquire().await.unwrap() });
        settle().await;
        assert!(reads.is_finished(), "after {polls}");
        let kv = site.kv().await;
        assert!(!kv.exists("{rw:a}:intents").await.unwrap(), "after {polls}");
        reads.await.unwrap().check().unwrap();
    }
}

#[tokio::test]
async fn a_reader_or_writer_that_is_dropped_holds_nothing() {
    for polls in 0..12 {
        let site = Site::new();
        let lock = slow(&site).await.rw("a");
        is_over_after(polls, lock.read().acquire());
        is_over_after(polls, lock.write().acquire());
        is_over_after(polls, lock.write().try_acquire());
        settle().await;
        let other = site.process().await.rw("a");
        let writer = other.write().try_acquire().await.unwrap();
        assert!(writer.is_some(), "after {polls}");
    }
}

#[tokio::test]
async fn lost_answers_do_no_harm() {
    let lost = [
        vec![Fault::ApplyThenFail],
        vec![Fault::ApplyThenFail, Fault::ApplyThenFail],
        vec![Fault::FailBefore, Fault::ApplyThenFail, Fault::Duplicate],
        vec![Fault::Hang, Fault::ApplyThenFail],
    ];
    for faults in lost {
        let site = Site::new();
        let locks = with(&site, &faults).await;
        let task = {
            let lock = locks.rw("a").read();
            tokio::spawn(async move { lock.acquire().await })
        };
        site.pass(8 * SECOND).await;
        let reader = task.await.unwrap().unwrap();
        let other = site.process().await.rw("a");
        assert!(other.write().try_acquire().await.unwrap().is_none());
        assert_eq!(reader.release().await, Release::Released, "{faults:?}");
        settle().await;
        let writer = other.write().try_acquire().await.unwrap().unwrap();
        writer.release().await;

        let locks = with(&site, &faults).await;
        let task = {
            let lock = locks.rw("a").write();
            tokio::spawn(async move { lock.acquire().await })
        };
        site.pass(8 * SECOND).await;
        let writer = task.await.unwrap().unwrap();
        assert!(other.read().try_acquire().await.unwrap().is_none());
        assert_eq!(writer.release().await, Release::Released, "{faults:?}");
        settle().await;
        assert!(other.read().try_acquire().await.unwrap().is_some());
    }
}

/// Its reply was lost, and before it asked again a writer came to wait: it reads, with a fence of its own.
#[tokio::test]
async fn a_reader_finds_itself_behind_an_intent() {
    let site = Site::new();
    let faults = [Fault::ApplyThenFail, Fault::Delay(SECOND)];
    let locks = with(&site, &faults).await;
    let reads = {
        let lock = locks.rw("a").read();
        tokio::spawn(async move { lock.acquire().await.unwrap() })
    };
    settle().await;
    let bob = site.process().await.rw("a");
    let writes = tokio::spawn(async move { bob.write().acquire().await.unwrap() });
    settle().await;
    site.pass(3 * SECOND).await;
    assert!(reads.is_finished() && !writes.is_finished());
    let reader = reads.await.unwrap();
    assert_eq!(reader.release().await, Release::Released);
    settle().await;
    assert!(writes.is_finished());
    let writer = writes.await.unwrap();
    assert!(writer.fence().get() > 0);
}

/// Whatever kinds are held, and places where somebody waits: one call renews them all.
#[tokio::test]
async fn all_kinds_are_renewed_together() {
    let site = Site::new();
    let (locks, calls) = site.counted().await;
    let mut held = Vec::new();
    for name in 0..50 {
        held.push(locks.rw(format!("{name}")).read().acquire().await.unwrap());
    }
    let _writer = locks.rw("w").write().acquire().await.unwrap();
    let _plain = locks.lock("p").acquire().await.unwrap();
    let before = calls.load(Ordering::Relaxed);
    site.pass(60 * SECOND).await;
    assert!(held.iter().all(|it| it.check().is_ok()));
    let calls = calls.load(Ordering::Relaxed) - before;
    assert!(calls <= 25, "{calls} calls");
}
