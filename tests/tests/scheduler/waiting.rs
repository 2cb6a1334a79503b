//! Workers that run for a while: hints, timers, leases, and the end.

use crate::site::{Do, HOUR, Site};
use kv_core::{ErrorKind, Stopwatch};
use kv_scheduler::{Cancelled, Report, State, Worker};
use std::time::Duration;
use tokio::{sync::oneshot, task::JoinHandle};

pub(crate) const LONG: Duration = kv_tests::patience::PATIENCE;

/// Runs the worker until the sender is used.
pub(crate) fn spawn(worker: Worker) -> (oneshot::Sender<()>, JoinHandle<Report>) {
    let (stop, stopped) = oneshot::channel();
    let running = tokio::spawn(async move {
        let signal = async { _ = stopped.await };
        worker.run_until(signal).await.unwrap()
    });
    (stop, running)
}

async fn what_is_scheduled_is_started_without_being_asked_for(site: Site) {
    let (stop, running) = spawn(site.worker());
    // Without messages a worker looks once a second, and so does who waits: each task but the first would
    // wait from one look to the next. On a busy machine some take as long, not all.
    let mut shortest = LONG;
    for number in 0..30 {
        let watch = Stopwatch::start();
        let handle = site.scheduler.enqueue(Do::Succeed(number)).await.unwrap();
        assert_eq!(handle.wait(LONG).await.unwrap(), number);
        if number > 0 {
            shortest = shortest.min(watch.elapsed());
        }
    }
    let look = Duration::from_millis(600);
    assert!(
        shortest < look,
        "each of 30 tasks took {shortest:?} or more"
    );
    let delayed = site
        .scheduler
        .schedule_in(Duration::from_millis(30), Do::Succeed(99));
    assert_eq!(delayed.await.unwrap().wait(LONG).await.unwrap(), 99);
    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().succeeded, 31);
}

async fn a_running_task_keeps_its_lease_and_can_be_cancelled(site: Site) {
    let lease = Duration::from_secs(9);
    let (stop, running) = spawn(site.worker().lease(lease));
    let handle = site.scheduler.enqueue(Do::WaitForToken).await.unwrap();
    let end = async || match handle.status().await.unwrap().unwrap().state {
        State::Running { lease_ends, .. } => Some(lease_ends),
        _ => None,
    };
    let mut ends = Vec::new();
    while ends.len() < 3 {
        if let Some(end) = end().await
            && !ends.contains(&end)
        {
            ends.push(end);
        }
        tokio::task::yield_now().await;
    }
    assert!(ends.is_sorted());
    assert_eq!(handle.cancel().await.unwrap(), Cancelled::Requested);
    while handle.status().await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    stop.send(()).unwrap();
    let report = running.await.unwrap();
    assert_eq!((report.started, report.cancelled, report.lost), (1, 1, 0));
    assert_eq!(site.keys().await, [""; 0]);
}

async fn a_cancellation_reaches_the_handler_without_delay(site: Site) {
    // The next extension of the lease, which brings it too, is 20 minutes away.
    let (stop, running) = spawn(site.worker().lease(HOUR));
    let handle = site.scheduler.enqueue(Do::WaitForToken).await.unwrap();
    while site.log.take().is_empty() {
        tokio::task::yield_now().await;
    }
    let waiting = handle.wait(LONG);
    let (waited, cancelled) = tokio::join!(waiting, handle.cancel());
    assert_eq!(cancelled.unwrap(), Cancelled::Requested);
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::Unexpected);
    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().cancelled, 1);
}

async fn a_worker_that_ends_gives_back_what_does_not_end_in_time(site: Site) {
    let worker = site.worker().stop_within(Duration::from_millis(10));
    let (stop, running) = spawn(worker);
    let obeys = site.scheduler.enqueue(Do::WaitForToken).await.unwrap();
    let ignores = site.scheduler.enqueue(Do::Sleep(HOUR)).await.unwrap();
    let mut begun = Vec::new();
    while begun.len() < 2 {
        begun.append(&mut site.log.take());
        tokio::task::yield_now().await;
    }
    stop.send(()).unwrap();
    let report = running.await.unwrap();
    assert_eq!((report.started, report.released), (2, 2));
    for handle in [obeys, ignores] {
        let status = handle.status().await.unwrap().unwrap();
        assert!(matches!(status.state, State::Pending { .. }), "{status:?}");
        assert_eq!(status.attempts, 0);
    }
}

async fn what_a_dropped_worker_had_comes_back_and_is_capped(site: Site) {
    let handle = site.scheduler.enqueue(Do::Sleep(HOUR)).await.unwrap();
    // A claim must not end before it has begun.
    let lease = Duration::from_secs(2);
    let mut lapses = 0;
    let dead = loop {
        let worker = site.worker().lease(lease);
        tokio::select! {
            _ = worker.drain() => {}
            () = async { while site.log.take().is_empty() { tokio::task::yield_now().await } } => {
                lapses += 1;
            }
        }
        let status = handle.status().await.unwrap().unwrap();
        if matches!(status.state, State::Dead { .. }) {
            break status;
        }
    };
    assert_eq!(lapses, 4, "the first run and three that are forgiven");
    assert!(dead.error.unwrap().contains("lapsed 4 times"));
}

crate::on_each_store! {
    what_is_scheduled_is_started_without_being_asked_for
    a_running_task_keeps_its_lease_and_can_be_cancelled
    a_cancellation_reaches_the_handler_without_delay
    a_worker_that_ends_gives_back_what_does_not_end_in_time
    what_a_dropped_worker_had_comes_back_and_is_capped
}
