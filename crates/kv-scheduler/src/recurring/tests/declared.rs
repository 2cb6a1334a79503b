//! What is declared is what there is.

use super::{NONE, Ping, SECOND, Site};
use crate::{
    Change, Every, Misfire, Overlap, Retention, Upserted,
    transitions::{self, Written},
};
use kv_core::{Context, ErrorKind, Member};
use std::time::Duration;

#[tokio::test]
async fn each_tick_is_a_task_and_none_is_early() {
    let site = Site::new().await;
    let first = site.every_ten(Ping::Succeed).upsert().await.unwrap();
    let next = Some(site.at(10));
    assert_eq!(
        first,
        Upserted {
            change: Change::Created,
            next
        }
    );
    assert_eq!(site.after(9).await, NONE);
    assert_eq!(site.after(1).await, [10]);
    // Counted from the tick, not from when somebody looked.
    assert_eq!(site.after(13).await, [20]);
    assert_eq!(site.after(7).await, [30]);
    assert_eq!(site.after(9).await, NONE);
}

#[tokio::test]
async fn the_next_tick_stays_unless_the_timing_is_another() {
    let site = Site::new().await;
    site.every_ten(Ping::Succeed).upsert().await.unwrap();
    site.clock.advance(4 * SECOND);
    let again = site.every_ten(Ping::Succeed).upsert().await.unwrap();
    assert_eq!(
        (again.change, again.next),
        (Change::Unchanged, Some(site.at(10)))
    );
    // Another trace is no change.
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = site.every_ten(Ping::Succeed).trace(trace.parse().unwrap());
    assert_eq!(traced.upsert().await.unwrap().change, Change::Unchanged);
    let payload = site.every_ten(Ping::Cancel).upsert().await.unwrap();
    assert_eq!(
        (payload.change, payload.next),
        (Change::Changed, Some(site.at(10)))
    );
    let policy = site.every_ten(Ping::Cancel).overlap(Overlap::Skip);
    assert_eq!(policy.upsert().await.unwrap().change, Change::Changed);
    // One that is due already stays, too.
    site.clock.advance(7 * SECOND);
    let retention = Retention::keep(SECOND);
    let kept = site.every_ten(Ping::Cancel).retention(retention);
    assert_eq!(kept.upsert().await.unwrap().next, Some(site.at(10)));
    assert_eq!(site.after(0).await, [10]);
    let every = Every::fixed_rate(5 * SECOND);
    let faster = site.scheduler.every("ping", every, Ping::Cancel);
    let faster = faster.upsert().await.unwrap();
    assert_eq!(
        (faster.change, faster.next),
        (Change::Changed, Some(site.at(16)))
    );
}

/// A tick that came between the look and the deed must not come again.
#[tokio::test]
async fn a_schedule_that_is_declared_while_it_ticks_keeps_the_tick_that_was() {
    let site = Site::new().await;
    site.every_ten(Ping::Succeed).upsert().await.unwrap();
    let queue = site.scheduler.queue("default").unwrap();
    let schedule = Member::from("ping");
    let store = site.scheduler.store();
    site.clock.advance(9 * SECOND);
    let reply = store.commit(transitions::inspect(&queue, &schedule)).await;
    let known = transitions::known(reply.unwrap()).unwrap();
    assert_eq!(site.after(1).await, [10]);
    let written = Written {
        spec: known.spec.clone().unwrap(),
        print: "another".into(),
        next: Some(site.at(10)),
    };
    let write = transitions::write(&queue, &schedule, &known, &written);
    assert!(!store.commit(write).await.unwrap().applied);
    assert_eq!(site.after(9).await, NONE);
    assert_eq!(site.after(1).await, [20]);
}

#[tokio::test]
async fn a_damaged_spec_is_mended_by_declaring_it_again() {
    let site = Site::new().await;
    site.every_ten(Ping::Succeed).upsert().await.unwrap();
    let queue = site.scheduler.queue("default").unwrap();
    let kv = site.scheduler.store().kv();
    kv.hset(&queue.recurring.spec, "ping", "\u{1}?")
        .await
        .unwrap();
    assert_eq!(site.after(10).await, NONE);
    let again = site.every_ten(Ping::Succeed).upsert().await.unwrap();
    assert_eq!(again.change, Change::Changed);
    assert_eq!(site.after(10).await, [20]);
}

#[tokio::test]
async fn what_is_removed_has_no_ticks_and_what_is_not_declared_goes_on() {
    let site = Site::new().await;
    site.every_ten(Ping::Succeed).upsert().await.unwrap();
    let admin = site.scheduler.admin("default").unwrap();
    let [listed] = &admin.schedules().await.unwrap()[..] else {
        panic!("one schedule");
    };
    assert_eq!(listed.name.as_str(), "ping");
    assert_eq!(listed.kind.as_deref(), Some("ping"));
    assert_eq!(listed.timing.as_deref(), Some("every 10s"));
    assert_eq!((listed.next, listed.last), (Some(site.at(10)), None));
    assert_eq!(site.after(10).await, [10]);
    assert_eq!(admin.schedules().await.unwrap()[0].last, Some(site.at(10)));
    assert!(admin.remove_schedule("ping").await.unwrap());
    assert!(!admin.remove_schedule("ping").await.unwrap());
    assert_eq!(admin.schedules().await.unwrap(), []);
    assert_eq!(site.after(100).await, NONE);
}

#[tokio::test]
async fn a_schedule_can_be_paused_and_drops_what_passes_meanwhile() {
    let site = Site::new().await;
    site.every_ten(Ping::Succeed).upsert().await.unwrap();
    let admin = site.scheduler.admin("default").unwrap();
    assert!(!admin.pause_schedule("other").await.unwrap());
    assert!(!admin.resume_schedule("ping").await.unwrap());
    assert!(admin.pause_schedule("ping").await.unwrap());
    assert_eq!(site.after(35).await, NONE);
    // It stays so, also if it is declared anew.
    site.every_ten(Ping::Succeed).upsert().await.unwrap();
    let changed = site.every_ten(Ping::Cancel).upsert().await.unwrap();
    assert_eq!((changed.change, changed.next), (Change::Changed, None));
    assert!(admin.schedules().await.unwrap()[0].is_paused);
    assert!(admin.resume_schedule("ping").await.unwrap());
    assert_eq!(site.after(9).await, NONE);
    assert_eq!(site.after(1).await, [45]);
}

#[tokio::test]
async fn a_paused_queue_has_no_ticks_and_makes_up_for_them_as_the_policy_says() {
    let site = Site::new().await;
    site.every_ten(Ping::Succeed).upsert().await.unwrap();
    let admin = site.scheduler.admin("default").unwrap();
    admin.pause().await.unwrap();
    assert_eq!(site.after(35).await, NONE);
    assert_eq!(admin.counts().await.unwrap().pending, 0);
    admin.resume().await.unwrap();
    assert_eq!(site.after(0).await, [30]);
}

#[tokio::test]
async fn a_schedule_begins_and_ends_when_it_is_told() {
    let site = Site::new().await;
    let between = || {
        let ten = site.every_ten(Ping::Succeed);
        ten.starting_at(site.at(3)).until(site.at(23))
    };
    assert_eq!(between().upsert().await.unwrap().next, Some(site.at(3)));
    assert_eq!(site.after(3).await, [3]);
    assert_eq!(site.after(10).await, [13]);
    assert_eq!(site.after(10).await, [23]);
    assert_eq!(site.after(100).await, NONE);
    let over = between().upsert().await.unwrap();
    assert_eq!((over.change, over.next), (Change::Unchanged, None));
    // The others are counted from the first, also by who comes later.
    let late = site.every_ten(Ping::Succeed).starting_at(site.at(3));
    assert_eq!(late.upsert().await.unwrap().next, Some(site.at(133)));
}

#[tokio::test]
async fn tasks_start_later_by_their_jitter() {
    let site = Site::new().await;
    let jittered = || site.every_ten(Ping::Succeed).jitter(5 * SECOND);
    jittered().upsert().await.unwrap();
    let tick = site.at(10);
    let late = super::super::ticks::jitter(&"ping".into(), tick, 5 * SECOND);
    assert!(late > Duration::from_millis(100), "{late:?}");
    site.clock
        .advance(10 * SECOND + late - Duration::from_micros(1));
    site.drain().await;
    assert_eq!(site.ticks(), NONE);
    assert_eq!(jittered().upsert().await.unwrap().change, Change::Unchanged);
    site.clock.advance(Duration::from_micros(1));
    site.drain().await;
    assert_eq!(site.ticks(), [10]);
}

#[tokio::test]
async fn tenants_have_schedules_of_one_name() {
    let site = Site::new().await;
    for tenant in ["a", "b"] {
        let ten = site
            .every_ten(Ping::Succeed)
            .context(Context::tenant(tenant));
        assert_eq!(ten.upsert().await.unwrap().change, Change::Created);
    }
    let admin = site.scheduler.admin("default").unwrap();
    assert_eq!(admin.schedules().await.unwrap().len(), 2);
    assert_eq!(site.after(10).await, [10, 10]);
    let of_a = async || {
        assert_eq!(admin.schedules().await.unwrap().len(), 1);
        assert!(admin.remove_schedule("ping").await.unwrap());
        assert_eq!(admin.schedules().await.unwrap(), []);
    };
    Context::tenant("a").scope(of_a()).await;
    site.clock.advance(10 * SECOND);
    site.drain().await;
    let begun = std::mem::take(&mut *site.log.lock());
    assert_eq!(begun, [("ping".to_owned(), 20, Some("b".to_owned()))]);
}

#[tokio::test]
async fn a_task_with_the_id_of_a_tick_does_not_hold_the_schedule_up() {
    let site = Site::new().await;
    site.every_ten(Ping::Succeed).upsert().await.unwrap();
    let id = format!("cron:ping:{}", site.at(10).as_micros());
    let squatter = site.scheduler.enqueue(Ping::Succeed).id(id);
    squatter.delay(1000 * SECOND).await.unwrap();
    assert_eq!(site.after(10).await, NONE);
    assert_eq!(site.after(10).await, [20]);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_remedy() {
    let site = Site::new().await;
    let ten = || site.every_ten(Ping::Succeed);
    let short = Every::fixed_rate(Duration::from_millis(99));
    let refused = [
        (
            site.scheduler.every("a b", short.clone(), Ping::Fail),
            "1 to 100",
        ),
        (site.scheduler.every("a", short, Ping::Fail), "100 ms"),
        (ten().jitter(11 * SECOND), "Recurring::jitter"),
        (ten().misfire(Misfire::All { max: 0 }), "Misfire::All"),
        (ten().until(site.at(9)), "has no tick"),
        (ten().queue("a b"), "queue"),
        (
            site.ten_after(Ping::Fail).overlap(Overlap::Allow),
            "never overlap",
        ),
        (
            site.ten_after(Ping::Fail).misfire(Misfire::Coalesce),
            "misses no tick",
        ),
    ];
    for (recurring, remedy) in refused {
        let error = recurring.upsert().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        let text = format!("{error:?}");
        assert!(text.contains(remedy) && text.contains("schedule"), "{text}");
    }
}
