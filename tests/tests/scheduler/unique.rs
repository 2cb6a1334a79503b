//! Ids and unique keys.

use crate::site::{Do, HOUR, Site};
use kv_scheduler::{Cancelled, Disposition, Retention, State, Unique};

async fn an_id_is_scheduled_once(site: Site) {
    let schedule = || site.scheduler.enqueue(Do::Succeed(1)).id("a");
    assert_eq!(
        schedule().await.unwrap().disposition(),
        Disposition::Scheduled
    );
    assert_eq!(
        schedule().await.unwrap().disposition(),
        Disposition::Existing
    );
    assert_eq!(site.worker().drain().await.unwrap().started, 1);
    // While it is kept.
    assert_eq!(
        schedule().await.unwrap().disposition(),
        Disposition::Existing
    );
}

async fn a_unique_key_is_freed_on_every_way_out(site: Site) {
    let unique = || Unique::by_key("k");
    let ways = [Do::Succeed(1), Do::Die("x".into()), Do::Cancel];
    for way in ways {
        let task = site.scheduler.enqueue(way.clone());
        let first = task.unique(unique()).await.unwrap();
        assert_eq!(first.disposition(), Disposition::Scheduled, "{way:?}");
        let second = site.scheduler.enqueue(Do::Succeed(2)).unique(unique());
        let second = second.await.unwrap();
        assert_eq!(second.disposition(), Disposition::Existing);
        assert_eq!(second.id().unwrap(), first.id().unwrap());
        site.worker().drain().await.unwrap();
        assert_eq!(site.log.take(), [way]);
    }
    let pending = site.scheduler.schedule_in(HOUR, Do::Succeed(1));
    let pending = pending.unique(unique()).await.unwrap();
    assert_eq!(pending.cancel().await.unwrap(), Cancelled::Pending);
    assert_eq!(pending.cancel().await.unwrap(), Cancelled::TooLate);
    let keys = site.keys().await;
    assert!(!keys.iter().any(|it| it.contains("unique")), "{keys:?}");
}

async fn one_that_waits_is_kept_replaced_or_put_off(site: Site) {
    let schedule = |number, unique| {
        let task = site.scheduler.schedule_in(HOUR, Do::Succeed(number));
        task.retention(Retention::NONE).unique(unique)
    };
    let first = schedule(1, Unique::by_key("k")).await.unwrap();
    let second = schedule(2, Unique::by_key("k").replace()).await.unwrap();
    assert_eq!(second.disposition(), Disposition::Replaced);
    assert_eq!(first.status().await.unwrap(), None);
    let due = |state| match state {
        State::Pending { due } => due,
        other => panic!("{other:?}"),
    };
    let before = due(second.status().await.unwrap().unwrap().state);
    let third = schedule(3, Unique::by_key("k").extend())
        .delay(2 * HOUR)
        .await
        .unwrap();
    assert_eq!(third.disposition(), Disposition::Extended);
    assert_eq!(third.id().unwrap(), second.id().unwrap());
    let after = due(second.status().await.unwrap().unwrap().state);
    assert!(after.saturating_since(before) >= HOUR);
    assert!(second.run_now().await.unwrap());
    site.worker().drain().await.unwrap();
    assert_eq!(site.log.take(), [Do::Succeed(2)]);
    assert_eq!(site.keys().await, [""; 0]);
}

async fn a_task_whose_id_is_there_replaces_nothing(site: Site) {
    let kept = site
        .scheduler
        .enqueue(Do::Succeed(1))
        .id("a")
        .await
        .unwrap();
    site.worker().drain().await.unwrap();
    let waits = site.scheduler.schedule_in(HOUR, Do::Succeed(2));
    let waits = waits.unique(Unique::by_key("k")).await.unwrap();
    let task = site.scheduler.enqueue(Do::Succeed(3)).id("a");
    let third = task.unique(Unique::by_key("k").replace()).await.unwrap();
    assert_eq!(third.disposition(), Disposition::Existing);
    assert_eq!(third.id().unwrap().as_str(), "a");
    let state = |status: Option<kv_scheduler::Status>| status.unwrap().state;
    assert!(matches!(
        state(waits.status().await.unwrap()),
        State::Pending { .. }
    ));
    assert!(matches!(
        state(kept.status().await.unwrap()),
        State::Done { .. }
    ));
    assert_eq!(site.worker().drain().await.unwrap().started, 0);
}

/// What is stored of a task is damaged, so that nobody knows which key it has.
async fn a_key_that_was_left_behind_is_taken_over(site: Site) {
    let schedule = |id: &'static str| {
        let task = site.scheduler.enqueue(Do::Succeed(1)).id(id);
        task.unique(Unique::by_key("k"))
    };
    schedule("a").await.unwrap();
    site.kv
        .hset("{tasks:default}:task", "a", "\x01?")
        .await
        .unwrap();
    assert_eq!(site.worker().drain().await.unwrap().dead, 1);
    let second = schedule("b").await.unwrap();
    assert_eq!(second.disposition(), Disposition::Scheduled);
    assert_eq!(
        schedule("c").await.unwrap().disposition(),
        Disposition::Existing
    );
    assert_eq!(site.worker().drain().await.unwrap().succeeded, 1);
}

async fn the_payload_can_be_the_key(site: Site) {
    let schedule = |number| {
        let task = site.scheduler.enqueue(Do::Succeed(number));
        task.unique(Unique::by_payload())
    };
    assert_eq!(
        schedule(1).await.unwrap().disposition(),
        Disposition::Scheduled
    );
    assert_eq!(
        schedule(2).await.unwrap().disposition(),
        Disposition::Scheduled
    );
    assert_eq!(
        schedule(1).await.unwrap().disposition(),
        Disposition::Existing
    );
}

crate::on_each_store! {
    an_id_is_scheduled_once
    a_unique_key_is_freed_on_every_way_out
    one_that_waits_is_kept_replaced_or_put_off
    a_task_whose_id_is_there_replaces_nothing
    a_key_that_was_left_behind_is_taken_over
    the_payload_can_be_the_key
}
