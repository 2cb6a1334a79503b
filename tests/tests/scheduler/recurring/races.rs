//! Many nodes fire the same ticks.

use super::beat::{Beat, Heard, PERIOD, check, fast, nodes, remove, stop};
use crate::site::Site;
use kv_core::Context;
use kv_scheduler::{Change, Misfire};
use kv_tests::patience::until;
use std::{sync::Arc, time::Duration};

/// Every tick that has passed counts, however slow the machine is.
const ALL: Misfire = Misfire::All { max: 1000 };

async fn of_many_nodes_one_fires_each_tick(site: Site) {
    let heard = Arc::new(Heard::default());
    let nodes = nodes(&site, &heard, 4).await;
    fast(&site, Beat::Once).misfire(ALL).upsert().await.unwrap();
    heard.until(20).await;
    remove(&site).await;
    stop(nodes).await;
    let ticks = heard.ticks();
    check(&ticks, PERIOD);
    for begun in heard.all() {
        assert!(begun.tick <= begun.at, "{begun:?} is early");
        assert_eq!(begun.attempt, 1);
    }
}

async fn a_lost_answer_neither_doubles_nor_drops_a_tick(site: Site) {
    let heard = Arc::new(Heard::default());
    site.lost_answers.on();
    let first = fast(&site, Beat::Once).misfire(ALL).upsert().await.unwrap();
    assert_eq!(first.change, Change::Created);
    let nodes = nodes(&site, &heard, 3).await;
    let own = crate::waiting::spawn(super::beat::worker(&site.scheduler, &heard));
    heard.until(20).await;
    site.lost_answers.off();
    remove(&site).await;
    stop(nodes).await;
    stop(vec![own]).await;
    assert!(site.lost_answers.counts().apply_then_fail > 0);
    // A task whose lease was not told to be extended may be begun again; a tick is not.
    let ticks = heard.first_attempts();
    check(&ticks, PERIOD);
    assert_eq!(ticks[0], first.next.unwrap().as_micros());
}

async fn a_new_schedule_wakes_who_sleeps(site: Site) {
    // A busy machine may be late once. Who is not woken is late each time.
    let mut late = Duration::MAX;
    for _ in 0..3 {
        let heard = Arc::new(Heard::default());
        let nodes = nodes(&site, &heard, 1).await;
        // It has looked, found nothing, and would look again in eight seconds or more.
        kv_tests::patience::pause(Duration::from_secs(1)).await;
        let first = fast(&site, Beat::Once).upsert().await.unwrap();
        heard.until(1).await;
        let begun = &heard.all()[0];
        late = begun.at.saturating_since(first.next.unwrap());
        remove(&site).await;
        stop(nodes).await;
        if late < Duration::from_secs(5) {
            return;
        }
    }
    panic!("late by {late:?} at the third time, too");
}

async fn tenants_have_schedules_of_one_name(site: Site) {
    let heard = Arc::new(Heard::default());
    let nodes = nodes(&site, &heard, 2).await;
    for tenant in ["a", "b"] {
        let beat = fast(&site, Beat::Once).misfire(ALL);
        let beat = beat.context(Context::tenant(tenant));
        assert_eq!(beat.upsert().await.unwrap().change, Change::Created);
    }
    let of = |tenant: &[u8]| {
        let mut ticks: Vec<_> = heard.all();
        ticks.retain(|it| it.tenant.as_deref() == Some(tenant));
        let mut ticks: Vec<_> = ticks.iter().map(|it| it.tick.as_micros()).collect();
        ticks.sort_unstable();
        ticks
    };
    until("both have ticks", async || {
        of(b"a").len() > 4 && of(b"b").len() > 4
    })
    .await;
    let admin = site.scheduler.admin("default").unwrap();
    assert_eq!(admin.schedules().await.unwrap().len(), 2);
    Context::tenant("a").scope(remove(&site)).await;
    let (a, b) = (of(b"a").len(), of(b"b").len());
    until("b goes on", async || of(b"b").len() > b + 4).await;
    // What was fired already may still have been begun.
    assert!(of(b"a").len() <= a + 1);
    let names = admin.schedules().await.unwrap();
    assert_eq!(names[0].tenant.as_deref(), Some(&b"b"[..]));
    Context::tenant("b").scope(remove(&site)).await;
    stop(nodes).await;
    check(&of(b"a"), PERIOD);
    check(&of(b"b"), PERIOD);
    assert_eq!(site.keys().await, [""; 0]);
}

async fn what_is_declared_again_keeps_its_tick(site: Site) {
    let hourly = || {
        let every = kv_scheduler::Every::fixed_rate(crate::site::HOUR);
        site.scheduler.every("beat", every, Beat::Once)
    };
    let first = hourly().upsert().await.unwrap();
    let again = hourly().upsert().await.unwrap();
    assert_eq!(again.change, Change::Unchanged);
    assert_eq!(again.next, first.next);
    let policy = hourly().misfire(ALL).upsert().await.unwrap();
    assert_eq!((policy.change, policy.next), (Change::Changed, first.next));
    let every = kv_scheduler::Every::fixed_rate(2 * crate::site::HOUR);
    let changed = site.scheduler.every("beat", every, Beat::Once);
    let changed = changed.upsert().await.unwrap();
    assert_eq!(changed.change, Change::Changed);
    assert!(changed.next > first.next);
    let admin = site.scheduler.admin("default").unwrap();
    let listed = admin.schedules().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].kind.as_deref(), Some("beat"));
    assert_eq!((listed[0].next, listed[0].last), (changed.next, None));
    assert!(admin.pause_schedule("beat").await.unwrap());
    let listed = admin.schedules().await.unwrap();
    assert_eq!((listed[0].next, listed[0].is_paused), (None, true));
    assert!(admin.resume_schedule("beat").await.unwrap());
    assert!(admin.schedules().await.unwrap()[0].next > changed.next);
    remove(&site).await;
    assert_eq!(site.keys().await, [""; 0]);
}

crate::on_each_store! {
    of_many_nodes_one_fires_each_tick
    a_lost_answer_neither_doubles_nor_drops_a_tick
    a_new_schedule_wakes_who_sleeps
    tenants_have_schedules_of_one_name
    what_is_declared_again_keeps_its_tick
}
