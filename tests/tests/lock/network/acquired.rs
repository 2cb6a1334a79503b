//! Answers that are lost on the way to a lock of each kind: it is held once, and nobody is left waiting.

use super::{
    Backend, FAULTS, SECOND,
    line::{Line, with_each},
};
use kv_core::Stopwatch;
use kv_lock::Release;
use kv_tests::{
    kinds::Held,
    patience::{pause, until},
};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinHandle;

/// Nobody may wait for the end of a lease: who was granted it must find itself.
const LEASE: Duration = Duration::from_secs(60);

async fn a_free_lock_is_held_once<S: Backend>() {
    with_each::<S, _>(FAULTS, 0..1, LEASE, |line| async {
        in_each_step(line, Others::Away).await;
    })
    .await;
}

async fn who_waited_holds_it_once<S: Backend>() {
    with_each::<S, _>(FAULTS, 0..1, LEASE, |line| async {
        in_each_step(line, Others::Hold).await;
    })
    .await;
}

/// About as many as Redis has; on etcd those that follow are about streams.
const STEPS: u32 = 8;

/// Whether it must be waited for others.
#[derive(Clone, Copy, PartialEq)]
enum Others {
    Away,
    Hold,
}

/// Each answer that comes on the way is lost in turn, and all after it for a while.
async fn in_each_step(line: Line, others: Others) {
    let (line, mut losses, mut last) = (Arc::new(line), 0, 0);
    let rival = line.kind.rival();
    line.reach().await;
    // A semaphore has its size from then on.
    let first = rival.acquire(&line.near, &line.name).await.unwrap();
    first.release().await;
    for replies in 0..STEPS {
        let place = format!("{line:?}, {replies}");
        let other = match others {
            Others::Away => None,
            Others::Hold => Some(rival.acquire(&line.near, &line.name).await.unwrap()),
        };
        line.proxy.set_after(replies, line.mode);
        let acquired = {
            let line = line.clone();
            tokio::spawn(async move { line.kind.acquire(&line.far, &line.name).await.unwrap() })
        };
        if let Some(other) = other {
            as_far_as_it_comes(&acquired).await;
            assert!(!acquired.is_finished(), "{place}: beside another");
            assert_eq!(other.release().await, Release::Released, "{place}");
        }
        as_far_as_it_comes(&acquired).await;
        let was_done = acquired.is_finished();
        let has_failed = line.heal();
        let held = acquired.await.unwrap();
        held.check().unwrap();
        assert!(last < held.fence(), "{place}");
        last = held.fence();
        until(&format!("{place}: it is held once"), async || {
            line.held().await == line.kind.weight()
        })
        .await;
        let other = rival.try_acquire(&line.near, &line.name).await.unwrap();
        assert!(other.is_none(), "{place}");
        line.reach().await;
        assert_ne!(held.release().await, Release::Expired, "{place}");
        let next = rival.acquire(&line.near, &line.name).await.unwrap();
        next.release().await;
        until(&format!("{place}: nothing is left"), || line.is_free()).await;
        losses += u32::from(has_failed && !was_done);
        if !has_failed {
            break;
        }
    }
    println!(
        "{line:?}: {losses} losses outlived; {}",
        line.proxy.counts()
    );
    assert!(losses > 0);
}

/// For a while, unless it ends. What has not happened by then fails later.
async fn as_far_as_it_comes(acquired: &JoinHandle<Held>) {
    let begun = Stopwatch::start();
    while !acquired.is_finished() && begun.elapsed() < SECOND / 8 {
        pause(Duration::from_millis(5)).await;
    }
}

crate::on_each_server! {
    a_free_lock_is_held_once
    who_waited_holds_it_once
}
