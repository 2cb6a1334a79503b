//! Latches and barriers: who waits is woken by the last to arrive, each counts once.

use crate::site::{LONG, Site, died_holding};
use futures_util::future;
use kv_core::{Clock, Stopwatch, SystemClock};
use kv_lock::{Latch, LatchError, Progress};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// Sent again by hand if three answers were lost one after the other.
async fn arrive(latch: &Latch, who: &str) -> Progress {
    loop {
        match latch.arrive(who).await {
            Ok(progress) => return progress,
            Err(LatchError::Store(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn the_last_to_arrive_wakes_all(site: Site) {
    let mut waits = Vec::new();
    for _ in 0..3 {
        let latch = site.another().await.latch("a", 5).timeout(LONG);
        waits.push(tokio::spawn(async move { latch.wait().await }));
    }
    let latch = site.locks.latch("a", 5);
    for who in ["v", "w", "w", "x", "y"] {
        assert!(!arrive(&latch, who).await.is_open());
    }
    assert!(waits.iter().all(|it| !it.is_finished()));
    assert_eq!(arrive(&latch, "z").await.missing(), 0);
    for task in waits {
        task.await.unwrap().unwrap();
    }
    // Late comers.
    site.another().await.latch("a", 5).wait().await.unwrap();
    assert_eq!(arrive(&latch, "late").await.arrived, 6);
}

async fn who_counts_to_another_number_is_told(site: Site) {
    arrive(&site.locks.latch("a", 3), "x").await;
    let other = site.another().await.latch("a", 2);
    for refused in [other.arrive("y").await.map(|_| ()), other.wait().await] {
        assert!(matches!(
            refused,
            Err(LatchError::Mismatch { ours: 2, theirs: 3 })
        ));
    }
    let short = site.locks.latch("a", 3).timeout(Duration::from_millis(100));
    let refused = short.wait().await;
    assert!(matches!(refused, Err(LatchError::Timeout(it)) if it.missing() == 2));
}

async fn a_process_that_died_counts_once_when_it_comes_again(site: Site) {
    died_holding(&site, |locks| async move {
        arrive(&locks.latch("a", 2), "x").await;
    })
    .await;
    let again = site.another().await.latch("a", 2);
    assert_eq!(arrive(&again, "x").await.missing(), 1);
    assert_eq!(arrive(&again, "y").await.missing(), 0);
}

async fn all_of_it_ends_and_begins_from_nothing(site: Site) {
    let latch = site.locks.latch("a", 1).lifetime(Duration::from_secs(2));
    let watch = Stopwatch::start();
    assert!(arrive(&latch, "x").await.is_open());
    while latch.progress().await.unwrap().is_open() {
        assert!(watch.elapsed() < LONG);
        SystemClock.sleep(Duration::from_millis(20)).await;
    }
    assert!(watch.elapsed() > Duration::from_secs(1));
    assert_eq!(arrive(&site.locks.latch("a", 3), "x").await.missing(), 2);
}

async fn lost_answers_do_no_harm(site: Site) {
    site.lost_answers.on();
    let latch = site.locks.latch("a", 20).timeout(LONG);
    let waits = {
        let latch = latch.clone();
        tokio::spawn(async move { latch.wait().await })
    };
    for number in 0..20_u32 {
        let progress = arrive(&latch, &number.to_string()).await;
        assert_eq!(progress.arrived, u64::from(number) + 1);
    }
    waits.await.unwrap().unwrap();
}

async fn parties_of_a_barrier_work_at_the_same_time(site: Site) {
    let (inside, parties) = (Arc::<AtomicU32>::default(), 4);
    let mut tasks = Vec::new();
    for party in 0..parties {
        let (inside, locks) = (inside.clone(), site.another().await);
        tasks.push(tokio::spawn(async move {
            for round in 0..3 {
                let barrier = locks
                    .barrier(format!("step/{round}"), parties)
                    .timeout(LONG);
                inside.fetch_add(1, Ordering::SeqCst);
                barrier.enter(party.to_string()).await.unwrap();
                assert_eq!(inside.load(Ordering::SeqCst), parties * (round + 1));
                barrier.leave(party.to_string()).await.unwrap();
            }
        }));
    }
    for task in future::join_all(tasks).await {
        task.unwrap();
    }
}

crate::on_each_store! {
    the_last_to_arrive_wakes_all
    who_counts_to_another_number_is_told
    a_process_that_died_counts_once_when_it_comes_again
    all_of_it_ends_and_begins_from_nothing
    lost_answers_do_no_harm
    parties_of_a_barrier_work_at_the_same_time
}
