//! Tasks that recur, without a leader: any number of nodes may try to fire a tick.

use super::*;
use crate::site::Site;

/// Only who sees the tick that is there fires it; the next one follows from the tick.
pub(super) fn fire(queue: &Queue, name: &str, tick: Score, next: Score) -> Txn {
    let id = format!("cron:{name}:{}", tick.get());
    Txn::new()
        .when(Guard::score_is(queue.key("cron"), name, tick))
        .then(zadd(queue.key("cron"), name, next))
        .then(hset(queue.key("task"), &id, value("cron")))
        .then(zadd_waking(queue.due(1), &id, tick, queue.key("wake")))
        .otherwise(Read::ZScore {
            key: queue.key("cron"),
            member: name.into(),
        })
}

/// While the run before is not over, the tick passes without one.
pub(super) fn fire_or_skip(queue: &Queue, name: &str, tick: Score, next: Score) -> [Txn; 2] {
    let running = queue.unique(&format!("cron:{name}"));
    let id = format!("cron:{name}:{}", tick.get());
    let fires = fire(queue, name, tick, next)
        .when(Guard::absent(&running))
        .then(set(running, mark(id), Ttl::Never));
    let skips = Txn::new()
        .when(Guard::score_is(queue.key("cron"), name, tick))
        .then(zadd(queue.key("cron"), name, next));
    [fires, skips]
}

async fn each_tick_fires_once_whoever_races(site: Site) {
    let queue = &Queue::new();
    let (tick, next) = (Score::from(10), Score::from(20));
    site.kv
        .zadd(queue.key("cron"), [("nightly", tick)])
        .await
        .unwrap();
    let [first, mut second] = site
        .commit_all([
            fire(queue, "nightly", tick, next),
            fire(queue, "nightly", tick, next),
        ])
        .await;
    assert!(first.applied && !second.applied);
    assert_eq!(second.score(0).unwrap(), Some(next));
    assert!(
        site.kv
            .hget(queue.key("task"), "cron:nightly:10")
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(
        site.kv
            .zcount(queue.due(1), kv_core::ScoreRange::ALL)
            .await
            .unwrap(),
        1
    );
}

async fn a_tick_is_skipped_while_the_last_run_lasts(site: Site) {
    let queue = &Queue::new();
    let ticks = [10, 20, 30, 40].map(Score::from);
    site.kv
        .zadd(queue.key("cron"), [("nightly", ticks[0])])
        .await
        .unwrap();
    let fired = site
        .commit_all(fire_or_skip(queue, "nightly", ticks[0], ticks[1]))
        .await;
    assert_eq!(fired.map(|it| it.applied), [true, false]);
    let skipped = site
        .commit_all(fire_or_skip(queue, "nightly", ticks[1], ticks[2]))
        .await;
    assert_eq!(skipped.map(|it| it.applied), [false, true]);
    let raced = site
        .commit_all(fire_or_skip(queue, "nightly", ticks[1], ticks[2]))
        .await;
    assert_eq!(raced.map(|it| it.applied), [false, false]);
    let moved = site.zmove(claim(queue, 1, &[1], seconds(LEASE))).await;
    let run = unique("cron:nightly:10", "cron:nightly");
    assert!(
        site.commit(ack(queue, &run, &Claim::from(&moved.members[0])))
            .await
            .applied
    );
    let fired = site
        .commit_all(fire_or_skip(queue, "nightly", ticks[2], ticks[3]))
        .await;
    assert_eq!(fired.map(|it| it.applied), [true, false]);
}

crate::on_each_store! {
    each_tick_fires_once_whoever_races
    a_tick_is_skipped_while_the_last_run_lasts
}
