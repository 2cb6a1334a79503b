//! Ticks that are counted from the end of the last task.

use super::beat::{Beat, Heard, PERIOD, nodes, remove, stop, worker};
use crate::site::Site;
use kv_scheduler::{Every, Recurring, Retry};
use kv_tests::patience::until;
use std::{sync::Arc, time::Duration};

fn after_the_end(site: &Site, beat: Beat) -> Recurring<Beat> {
    let every = Every::fixed_delay(PERIOD);
    site.scheduler.every("beat", every, beat)
}

async fn a_tick_follows_the_end_by_the_delay(site: Site) {
    let heard = Arc::new(Heard::default());
    after_the_end(&site, Beat::Once).upsert().await.unwrap();
    let nodes = nodes(&site, &heard, 3).await;
    heard.until(6).await;
    remove(&site).await;
    stop(nodes).await;
    let mut begun = heard.all();
    begun.sort_by_key(|it| it.tick);
    for pair in begun.windows(2) {
        let distance = pair[1].tick.saturating_since(pair[0].at);
        assert!(distance >= PERIOD, "{distance:?} after the beginning");
    }
}

async fn a_lost_answer_does_not_stop_it(site: Site) {
    let heard = Arc::new(Heard::default());
    site.lost_answers.on();
    after_the_end(&site, Beat::Once).upsert().await.unwrap();
    let own = crate::waiting::spawn(worker(&site.scheduler, &heard));
    heard.until(12).await;
    site.lost_answers.off();
    remove(&site).await;
    stop(vec![own]).await;
    assert!(site.lost_answers.counts().apply_then_fail > 0);
    let ticks = heard.first_attempts();
    for pair in ticks.windows(2) {
        assert!(pair[1] - pair[0] >= 100_000, "{ticks:?}");
    }
}

async fn a_worker_that_dies_does_not_stop_it(site: Site) {
    let heard = Arc::new(Heard::default());
    let hold = after_the_end(&site, Beat::Hold);
    hold.retry(Retry::default().lapses(1))
        .upsert()
        .await
        .unwrap();
    // A claim must not end before it has begun.
    let lease = Duration::from_secs(2);
    let admin = site.scheduler.admin("default").unwrap();
    let mut dropped = 0;
    // The first run, one that is forgiven; then the task is dead, and the schedule goes on.
    while dropped < 4 {
        let node = worker(&site.scheduler, &heard).lease(lease);
        let (_stop, stopped) = tokio::sync::oneshot::channel::<()>();
        tokio::select! {
            _ = node.run_until(async { _ = stopped.await }) => {}
            () = heard.until(dropped + 1) => dropped += 1,
        }
    }
    let ticks = heard.ticks();
    assert_eq!((ticks[0], ticks[2]), (ticks[1], ticks[3]));
    assert!(ticks[2] - ticks[0] >= 200_000, "{ticks:?}");
    assert_eq!(admin.counts().await.unwrap().dead, 1);
    remove(&site).await;
    until("the second is dead", async || {
        worker(&site.scheduler, &heard).drain().await.unwrap();
        admin.counts().await.unwrap().dead == 2
    })
    .await;
}

crate::on_each_store! {
    a_tick_follows_the_end_by_the_delay
    a_lost_answer_does_not_stop_it
    a_worker_that_dies_does_not_stop_it
}
