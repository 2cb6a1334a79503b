//! What operators do.

use crate::site::{Do, HOUR, Site};
use kv_core::Context;
use kv_scheduler::{Cancelled, Counts, Priority, Retention, Stage, State, Unique};
use serde_json::{Value as Json, json};
use std::time::Duration;

async fn a_paused_queue_gives_nothing_away(site: Site) {
    let admin = site.scheduler.admin("default").unwrap();
    admin.pause().await.unwrap();
    assert!(admin.is_paused().await.unwrap());
    site.scheduler.enqueue(Do::Succeed(1)).await.unwrap();
    assert_eq!(site.worker().drain().await.unwrap().started, 0);
    let (stop, running) = crate::waiting::spawn(site.worker());
    admin.resume().await.unwrap();
    while site.log.take().is_empty() {
        tokio::task::yield_now().await;
    }
    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().succeeded, 1);
    assert!(!admin.is_paused().await.unwrap());
}

async fn tasks_are_counted_and_listed_page_by_page(site: Site) {
    let admin = site.scheduler.admin("default").unwrap();
    let tasks = (0..230).map(|number| site.scheduler.schedule_in(HOUR, Do::Succeed(number)));
    for handle in site.scheduler.enqueue_many(tasks).await {
        handle.unwrap();
    }
    // All due at the same time: the page ends amid a score.
    let at = kv_core::Timestamp::from_micros(1_000_000);
    let same = (0..150).map(|number| {
        let task = site.scheduler.schedule_at(at, Do::Succeed(number));
        task.id(format!("same-{number:03}"))
    });
    for handle in site.scheduler.enqueue_many(same).await {
        handle.unwrap();
    }
    let (mut after, mut ids) = (None, Vec::new());
    loop {
        let stage = Stage::Pending(Priority::Normal);
        let page = admin.list(stage, after.as_ref()).await.unwrap();
        ids.extend(page.tasks.iter().map(|it| it.id.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(ids.len(), 380);
    let same: Vec<_> = (0..150).map(|number| format!("same-{number:03}")).collect();
    assert_eq!(ids[..150], same);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 380);
    let counts = admin.counts().await.unwrap();
    assert_eq!((counts.pending, counts.due), (380, 150));
}

async fn a_tenant_lists_its_own(site: Site) {
    let admin = site.scheduler.admin("default").unwrap();
    for tenant in ["ann", "bob"] {
        let task = site.scheduler.schedule_in(HOUR, Do::Succeed(1));
        let task = task.id("same").context(Context::tenant(tenant));
        task.await.unwrap();
    }
    let list = || async {
        let page = admin.list(Stage::Pending(Priority::Normal), None).await;
        let tasks = page.unwrap().tasks;
        tasks
            .into_iter()
            .map(|it| it.tenant.unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(Context::tenant("bob").scope(list()).await, [b"bob"]);
    assert_eq!(list().await.len(), 2);
}

async fn the_dead_can_be_tried_again_as_if_they_were_new(site: Site) {
    let admin = site.scheduler.admin("default").unwrap();
    let first = site.scheduler.enqueue(Do::Die("x".into())).await.unwrap();
    let second = site.scheduler.enqueue(Do::Die("y".into())).await.unwrap();
    site.worker().drain().await.unwrap();
    assert!(admin.requeue(&first).await.unwrap());
    assert!(!admin.requeue(&first).await.unwrap());
    let status = first.status().await.unwrap().unwrap();
    assert!(matches!(status.state, State::Pending { .. }));
    assert_eq!((status.attempts, status.error.as_deref()), (0, Some("x")));
    assert_eq!(admin.requeue_all().await.unwrap(), 1);
    assert_eq!(site.worker().drain().await.unwrap().dead, 2);
    assert_eq!(second.status().await.unwrap().unwrap().attempts, 1);
    assert_eq!(admin.counts().await.unwrap().dead, 2);
}

async fn a_tenant_requeues_its_own(site: Site) {
    let admin = site.scheduler.admin("default").unwrap();
    for tenant in ["ann", "bob"] {
        let task = site.scheduler.enqueue(Do::Die("x".into()));
        task.context(Context::tenant(tenant)).await.unwrap();
    }
    site.worker().drain().await.unwrap();
    let requeued = Context::tenant("ann").scope(admin.requeue_all()).await;
    assert_eq!(requeued.unwrap(), 1);
    let page = admin.list(Stage::Dead, None).await.unwrap();
    let left: Vec<_> = page.tasks.iter().map(|it| it.tenant.as_deref()).collect();
    assert_eq!(left, [Some(&b"bob"[..])]);
}

async fn no_more_is_kept_than_should_be(site: Site) {
    let tasks = (0..20).map(|number| {
        let task = site.scheduler.enqueue(Do::Succeed(number));
        // Some go because their time is over, some because they are too many.
        let keep = if number < 5 {
            Duration::from_millis(1)
        } else {
            HOUR
        };
        task.retention(Retention::keep(keep))
    });
    let handles = site.scheduler.enqueue_many(tasks).await;
    let (stop, running) = crate::waiting::spawn(site.worker().keep_at_most(8));
    let admin = site.scheduler.admin("default").unwrap();
    let mut counts = Counts::default();
    while counts.done != 8 || counts.pending + counts.running > 0 {
        tokio::task::yield_now().await;
        counts = admin.counts().await.unwrap();
    }
    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().succeeded, 20);
    let mut kept = 0;
    for handle in handles {
        kept += u32::from(handle.unwrap().status().await.unwrap().is_some());
    }
    assert_eq!(kept, 8);
}

async fn a_task_of_any_kind_is_shown_and_moved(site: Site) {
    let admin = site.scheduler.admin("default").unwrap();
    let deadline = site.kv.now().await.unwrap().saturating_add(2 * HOUR);
    let task = site.scheduler.schedule_in(HOUR, Do::Succeed(7)).id("seven");
    let context = Context::tenant("ann").with_user("u1");
    let task = task.context(context.clone()).deadline(deadline);
    task.unique(Unique::by_key("k")).await.unwrap();
    assert_eq!(admin.task("seven").unwrap().details().await.unwrap(), None);

    let page = admin.list(Stage::Pending(Priority::Normal), None).await;
    let seven = admin.listed(&page.unwrap().tasks[0]);
    let details = seven.details().await.unwrap().unwrap();
    assert_eq!(details.payload_as::<Json>().unwrap(), json!({"Succeed": 7}));
    assert_eq!(details.result_as::<Json>().unwrap(), None);
    assert_eq!(
        (&*details.status.kind, details.deadline),
        ("do", Some(deadline))
    );
    assert_eq!(details.unique.as_deref(), Some("k"));
    let whose = (details.tenant.as_deref(), details.user.as_deref());
    assert_eq!(whose, (Some(&b"ann"[..]), Some(&b"u1"[..])));
    assert_eq!(details.retention, Some(HOUR));
    assert!(!format!("{details:?}").contains("Succeed"), "{details:?}");

    assert!(seven.run_now().await.unwrap());
    assert_eq!(site.worker().drain().await.unwrap().succeeded, 1);
    let details = seven.details().await.unwrap().unwrap();
    assert_eq!(details.result_as::<Json>().unwrap(), Some(json!(7)));
    assert_eq!((details.claims.all, details.claims.failed), (1, 0));

    let dies = site.scheduler.enqueue(Do::Die("x".into())).id("dies");
    dies.await.unwrap();
    site.worker().drain().await.unwrap();
    let dies = admin.task("dies").unwrap();
    let details = dies.details().await.unwrap().unwrap();
    assert_eq!((details.claims.all, details.claims.failed), (1, 1));
    assert!(admin.requeue(&dies).await.unwrap());
    let later = site.kv.now().await.unwrap().saturating_add(HOUR);
    assert!(dies.reschedule(later).await.unwrap());
    let status = dies.status().await.unwrap().unwrap();
    assert_eq!(status.state, State::Pending { due: later });
    assert_eq!(dies.cancel().await.unwrap(), Cancelled::Pending);
    assert_eq!(dies.details().await.unwrap(), None);
}

crate::on_each_store! {
    a_task_of_any_kind_is_shown_and_moved
    a_paused_queue_gives_nothing_away
    tasks_are_counted_and_listed_page_by_page
    a_tenant_lists_its_own
    the_dead_can_be_tried_again_as_if_they_were_new
    a_tenant_requeues_its_own
    no_more_is_kept_than_should_be
}
