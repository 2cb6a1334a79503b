//! Ticks that come late, or while the last task runs.

use super::beat::{Beat, Heard, Node, PERIOD, check, fast, nodes, remove, stop, worker};
use crate::site::Site;
use kv_core::{Clock, SystemClock};
use kv_scheduler::{Misfire, Overlap, Upserted};
use kv_tests::patience::{pause, until};
use std::sync::Arc;

/// Declares a schedule that no worker is there for while it has this many ticks.
async fn miss(site: &Site, misfire: Misfire, ticks: u32) -> Upserted {
    let first = fast(site, Beat::Once).misfire(misfire);
    let first = first.upsert().await.unwrap();
    let last = first.next.unwrap().saturating_add(PERIOD * ticks);
    let clock = SystemClock;
    pause(last.saturating_since(clock.now())).await;
    first
}

async fn of_those_that_passed_the_last_is_one_task(site: Site) {
    let heard = Arc::new(Heard::default());
    let first = miss(&site, Misfire::Coalesce, 20).await;
    let drained = worker(&site.scheduler, &heard).drain().await.unwrap();
    remove(&site).await;
    // More may have come while it drained.
    assert!((1..10).contains(&drained.started), "{drained:?}");
    let passed = heard.ticks()[0] - first.next.unwrap().as_micros();
    assert!(passed >= 20 * 100_000 && passed % 100_000 == 0, "{passed}");
}

async fn each_that_passed_is_a_task(site: Site) {
    let heard = Arc::new(Heard::default());
    let first = miss(&site, Misfire::All { max: 1000 }, 20).await;
    worker(&site.scheduler, &heard).drain().await.unwrap();
    remove(&site).await;
    assert!(heard.count() > 20);
    assert_eq!(heard.ticks()[0], first.next.unwrap().as_micros());
    check(&heard.ticks(), PERIOD);
}

async fn those_that_are_too_late_are_dropped(site: Site) {
    let heard = Arc::new(Heard::default());
    let grace = PERIOD * 10;
    let first = miss(&site, Misfire::Skip { grace }, 30).await;
    worker(&site.scheduler, &heard).drain().await.unwrap();
    remove(&site).await;
    let passed = heard.ticks()[0] - first.next.unwrap().as_micros();
    assert!(passed >= 20 * 100_000, "{passed}");
    check(&heard.ticks(), PERIOD);
}

/// A schedule whose tasks run until they are told to stop, and two nodes.
async fn hold(site: &Site, overlap: Overlap) -> (Arc<Heard>, Vec<Node>) {
    let heard = Arc::new(Heard::default());
    let beat = fast(site, Beat::Hold).overlap(overlap);
    beat.upsert().await.unwrap();
    let nodes = nodes(site, &heard, 2).await;
    (heard, nodes)
}

async fn cancel(site: &Site, tick: i64) {
    let id = format!("cron:beat:{tick}");
    let task = site.scheduler.task::<Beat>("default", &id).unwrap();
    task.cancel().await.unwrap();
}

async fn ticks_are_dropped_while_one_runs(site: Site) {
    let (heard, nodes) = hold(&site, Overlap::Skip).await;
    heard.until(1).await;
    pause(10 * PERIOD).await;
    let admin = site.scheduler.admin("default").unwrap();
    let counts = admin.counts().await.unwrap();
    assert_eq!((heard.count(), counts.pending, counts.running), (1, 0, 1));
    let now = SystemClock.now().as_micros();
    cancel(&site, heard.ticks()[0]).await;
    heard.until(2).await;
    let second = heard.ticks()[1];
    assert!(
        second > now,
        "a tick that was dropped came: {second}, {now}"
    );
    remove(&site).await;
    cancel(&site, second).await;
    stop(nodes).await;
}

async fn one_tick_waits_while_one_runs(site: Site) {
    let (heard, nodes) = hold(&site, Overlap::QueueOne).await;
    heard.until(1).await;
    pause(10 * PERIOD).await;
    let admin = site.scheduler.admin("default").unwrap();
    let counts = admin.counts().await.unwrap();
    assert_eq!((heard.count(), counts.pending, counts.running), (1, 0, 1));
    let waits_for = admin.schedules().await.unwrap()[0].waits_for.clone();
    let first = heard.ticks()[0];
    assert_eq!(waits_for.unwrap().as_str(), format!("cron:beat:{first}"));
    let now = SystemClock.now();
    cancel(&site, first).await;
    heard.until(2).await;
    let second = heard.all()[1].clone();
    // The last of those that had passed.
    let late = second.at.saturating_since(second.tick);
    assert!(
        second.tick.as_micros() > first + 900_000,
        "late by {late:?}"
    );
    assert!(second.at >= now);
    remove(&site).await;
    cancel(&site, second.tick.as_micros()).await;
    stop(nodes).await;
}

async fn the_one_that_runs_is_asked_to_stop(site: Site) {
    let (heard, nodes) = hold(&site, Overlap::CancelRunning).await;
    heard.until(5).await;
    remove(&site).await;
    let admin = site.scheduler.admin("default").unwrap();
    until("one runs", async || {
        let counts = admin.counts().await.unwrap();
        (counts.pending, counts.running) == (0, 1)
    })
    .await;
    let ticks = heard.ticks();
    cancel(&site, *ticks.last().unwrap()).await;
    let reports = stop(nodes).await;
    let cancelled: u64 = reports.iter().map(|it| it.cancelled).sum();
    // One that was not begun yet is gone without a word.
    assert_eq!(cancelled, ticks.len() as u64);
}

crate::on_each_store! {
    of_those_that_passed_the_last_is_one_task
    each_that_passed_is_a_task
    those_that_are_too_late_are_dropped
    ticks_are_dropped_while_one_runs
    one_tick_waits_while_one_runs
    the_one_that_runs_is_asked_to_stop
}
