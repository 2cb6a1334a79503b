//! What becomes of a task by what its handler does.

use crate::site::{Do, HOUR, Site};
use kv_core::{Context, ErrorKind};
use kv_scheduler::{Retention, Retry, State, Task, TaskError, Worker};
use serde::{Deserialize, Serialize};
use std::time::Duration;

async fn one_that_succeeds_leaves_its_result_and_no_more(site: Site) {
    let handle = site.scheduler.enqueue(Do::Succeed(42)).await.unwrap();
    let report = site.worker().drain().await.unwrap();
    assert_eq!((report.started, report.succeeded), (1, 1));
    assert_eq!(handle.wait(Duration::ZERO).await.unwrap(), 42);
    let status = handle.status().await.unwrap().unwrap();
    assert!(matches!(status.state, State::Done { .. }));
    assert_eq!(status.attempts, 1);
}

async fn one_that_keeps_nothing_leaves_nothing(site: Site) {
    let task = site.scheduler.enqueue(Do::Succeed(1));
    let handle = task.retention(Retention::NONE).await.unwrap();
    site.worker().drain().await.unwrap();
    assert_eq!(site.keys().await, [""; 0]);
    assert_eq!(handle.status().await.unwrap(), None);
    let error = handle.wait(Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unexpected);
}

async fn one_that_fails_is_tried_as_often_as_it_may_and_then_is_dead(site: Site) {
    let at_once = Retry::exponential(Duration::ZERO, Duration::ZERO).attempts(3);
    for task in [Do::Fail("no route".into()), Do::Panic] {
        let handle = site.scheduler.enqueue(task).retry(at_once).await.unwrap();
        let report = site.worker().drain().await.unwrap();
        assert_eq!((report.started, report.retried, report.dead), (3, 2, 1));
        let status = handle.status().await.unwrap().unwrap();
        assert!(matches!(status.state, State::Dead { .. }), "{status:?}");
        assert_eq!(status.attempts, 3);
        let reason = status.error.unwrap();
        assert!(
            ["no route", "panicked: as told"].contains(&&*reason),
            "{reason}"
        );
        let error = handle.wait(Duration::ZERO).await.unwrap_err();
        assert!(error.to_string().contains(&reason), "{error}");
    }
}

async fn a_handler_can_decide_what_becomes_of_its_task(site: Site) {
    let later = site.scheduler.enqueue(Do::FailAfter(HOUR)).await.unwrap();
    let put_off = site.scheduler.enqueue(Do::Snooze(HOUR)).await.unwrap();
    let dead = site.scheduler.enqueue(Do::Die("why".into())).await.unwrap();
    let over = site.scheduler.enqueue(Do::Cancel).await.unwrap();
    let report = site.worker().drain().await.unwrap();
    assert_eq!(report.started, 4);
    assert_eq!((report.retried, report.snoozed), (1, 1));
    assert_eq!((report.dead, report.cancelled), (1, 1));
    let later = later.status().await.unwrap().unwrap();
    assert!(matches!(later.state, State::Pending { .. }));
    assert_eq!(
        (later.attempts, later.error.as_deref()),
        (1, Some("not now"))
    );
    assert_eq!(put_off.status().await.unwrap().unwrap().attempts, 0);
    assert_eq!(
        dead.status().await.unwrap().unwrap().error.as_deref(),
        Some("why")
    );
    assert_eq!(over.status().await.unwrap(), None);
}

async fn an_attempt_that_takes_too_long_is_cut(site: Site) {
    let task = site.scheduler.enqueue(Do::Sleep(HOUR));
    let handle = task
        .timeout(Duration::from_millis(20))
        .retry(Retry::never())
        .await
        .unwrap();
    site.worker().drain().await.unwrap();
    let status = handle.status().await.unwrap().unwrap();
    assert!(matches!(status.state, State::Dead { .. }));
    assert_eq!(status.error.as_deref(), Some("took longer than 20ms"));
}

/// The same kind as [`Do`], of a program that knows another form of it.
#[derive(Serialize, Deserialize)]
struct Other;

impl Task for Other {
    const KIND: &'static str = "do";
    type Output = u32;
}

/// A kind that the worker has no handler for.
#[derive(Serialize, Deserialize)]
struct Unknown;

impl Task for Unknown {
    const KIND: &'static str = "unknown";
    type Output = ();
}

async fn what_a_worker_cannot_do_is_left_to_others_but_what_nobody_can_read_is_dead(site: Site) {
    let unknown = site.scheduler.enqueue(Unknown).await.unwrap();
    let other = site.scheduler.enqueue(Other).await.unwrap();
    let report = site.worker().drain().await.unwrap();
    assert_eq!((report.unable, report.dead), (1, 1));
    let status = unknown.status().await.unwrap().unwrap();
    assert!(matches!(status.state, State::Pending { .. }));
    assert_eq!(status.attempts, 0);
    let status = other.status().await.unwrap().unwrap();
    assert!(status.error.unwrap().contains("not of this kind"));

    // A worker that knows it does it.
    unknown.run_now().await.unwrap();
    let worker =
        Worker::new(&site.scheduler).handle(async |_: Unknown| -> Result<(), TaskError> { Ok(()) });
    assert_eq!(worker.drain().await.unwrap().succeeded, 1);
}

async fn the_tenant_travels_along_and_sees_only_its_own(site: Site) {
    let (ann, bob) = (Context::tenant("ann"), Context::tenant("bob"));
    let schedule = |number| {
        let scheduler = site.scheduler.clone();
        async move {
            scheduler
                .enqueue(Do::Succeed(number))
                .id("same")
                .await
                .unwrap()
        }
    };
    let anns = ann.clone().scope(schedule(1)).await;
    let bobs = bob.scope(schedule(2)).await;
    let worker = Worker::new(&site.scheduler).handle(
        async |task: Do, context: Option<Context>| -> Result<u32, TaskError> {
            let context = context.ok_or("no context")?;
            let tenant = context.tenant_id().ok_or("no tenant")?;
            match (task, tenant) {
                (Do::Succeed(1), b"ann") | (Do::Succeed(2), b"bob") => Ok(7),
                other => Err(format!("mixed up: {other:?}"))?,
            }
        },
    );
    assert_eq!(worker.drain().await.unwrap().succeeded, 2);
    assert_eq!(anns.wait(Duration::ZERO).await.unwrap(), 7);
    assert_eq!(bobs.wait(Duration::ZERO).await.unwrap(), 7);
    let find = || async {
        site.scheduler
            .task::<Do>("default", "same")
            .unwrap()
            .status()
            .await
    };
    assert!(ann.scope(find()).await.unwrap().is_some());
    assert_eq!(find().await.unwrap(), None);
    let carl = Context::tenant("carl");
    assert_eq!(carl.scope(find()).await.unwrap(), None);
}

crate::on_each_store! {
    one_that_succeeds_leaves_its_result_and_no_more
    one_that_keeps_nothing_leaves_nothing
    one_that_fails_is_tried_as_often_as_it_may_and_then_is_dead
    a_handler_can_decide_what_becomes_of_its_task
    an_attempt_that_takes_too_long_is_cut
    what_a_worker_cannot_do_is_left_to_others_but_what_nobody_can_read_is_dead
    the_tenant_travels_along_and_sees_only_its_own
}
