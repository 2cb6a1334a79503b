//! Before a task runs: scheduling, cancelling, changing.

use super::*;
use crate::site::{Site, heard};
use kv_core::Value;

async fn body(site: &Site, queue: &Queue, id: &str) -> Option<Value> {
    site.kv.hget(queue.key("task"), id).await.unwrap()
}

async fn scheduling_wakes_only_for_a_new_head_and_only_once(site: Site) {
    let queue = &Queue::new();
    let mut events = site.listen(queue.key("wake")).await;
    let replies = site
        .commit_all([
            schedule(queue, &plain("b"), 20),
            schedule(queue, &plain("c"), 30),
            schedule(queue, &plain("a"), 10),
            schedule(queue, &plain("b"), 5),
        ])
        .await;
    assert_eq!(replies.map(|it| it.applied), [true, true, true, false]);
    site.kv.notify(queue.key("wake"), "end").await.unwrap();
    let heard = [
        heard(&mut events).await,
        heard(&mut events).await,
        heard(&mut events).await,
    ];
    assert_eq!(heard, ["b", "a", "end"]);
    assert_eq!(
        site.kv.zscore(queue.due(1), "b").await.unwrap(),
        Some(20.into())
    );
}

async fn a_unique_task_is_kept_replaced_or_put_off(site: Site) {
    let (queue, kv) = (&Queue::new(), &site.kv);
    let [a, b] = [unique("a", "report"), unique("b", "report")];
    assert!(site.commit(schedule(queue, &a, 10)).await.applied);
    let mut kept = site.commit(schedule(queue, &b, 10)).await;
    assert!(!kept.applied);
    assert_eq!(kept.mark(0).unwrap(), Some("a".into()));
    for hash in ["meta", "tally"] {
        kv.hset(queue.key(hash), "a", "1").await.unwrap();
    }
    assert!(site.commit(replace(queue, &b, "a", 20)).await.applied);
    for hash in ["task", "meta", "tally"] {
        assert_eq!(kv.hget(queue.key(hash), "a").await.unwrap(), None);
    }
    assert_eq!(body(&site, queue, "b").await, Some("body of b".into()));
    assert_eq!(kv.zscore(queue.due(1), "a").await.unwrap(), None);
    // Re-sent: the owner is another by now, namely mine.
    let mut again = site.commit(replace(queue, &b, "a", 20)).await;
    assert!(!again.applied);
    assert_eq!(again.mark(0).unwrap(), Some("b".into()));
    for _ in 0..2 {
        assert!(site.commit(extend_unique(queue, &b, "b", 30)).await.applied);
    }
    assert_eq!(kv.zscore(queue.due(1), "b").await.unwrap(), Some(30.into()));
    // The owner is another, though the task that was seen is still due.
    kv.set(queue.unique("report"), "x").await.unwrap();
    let mut other = site.commit(extend_unique(queue, &b, "b", 40)).await;
    assert!(!other.applied);
    assert_eq!(other.mark(0).unwrap(), Some("x".into()));
    assert!(!site.commit(replace(queue, &a, "b", 0)).await.applied);
    kv.set(queue.unique("report"), "b").await.unwrap();
    // What runs is neither replaced nor put off.
    site.zmove(claim(queue, 1, &[1], seconds(LEASE))).await;
    assert!(!site.commit(replace(queue, &a, "b", 0)).await.applied);
    assert!(!site.commit(extend_unique(queue, &b, "b", 0)).await.applied);
}

async fn cancelling_is_final_for_what_is_due_and_asks_what_runs(site: Site) {
    let queue = &Queue::new();
    let mut events = site.listen(queue.key("cancelled")).await;
    let task = unique("a", "report");
    site.commit(schedule(queue, &task, 0)).await;
    let [due, leased] = site.commit_all(cancel(queue, &task)).await;
    assert!(due.applied && !leased.applied);
    assert!(!site.kv.exists(queue.unique("report")).await.unwrap());
    let [due, leased] = site.commit_all(cancel(queue, &task)).await;
    assert!(!due.applied && !leased.applied, "too late, or already");
    assert!(
        site.zmove(claim(queue, 1, &[1], seconds(LEASE)))
            .await
            .members
            .is_empty()
    );

    site.commit(schedule(queue, &task, 0)).await;
    site.zmove(claim(queue, 1, &[1], seconds(LEASE))).await;
    for _ in 0..2 {
        let [due, leased] = site.commit_all(cancel(queue, &task)).await;
        assert!(!due.applied && leased.applied);
        assert_eq!(heard(&mut events).await, "a");
    }
}

async fn a_due_task_is_rescheduled_and_changed_but_a_running_one_is_not(site: Site) {
    let (queue, task) = (&Queue::new(), plain("a"));
    site.commit(schedule(queue, &task, seconds(1000))).await;
    assert!(
        site.commit(change(queue, &task, None, "1", "new"))
            .await
            .applied
    );
    let mut stale = site.commit(change(queue, &task, None, "1", "other")).await;
    assert!(!stale.applied);
    assert_eq!(stale.mark(0).unwrap(), Some("1".into()));
    assert!(
        site.commit(change(queue, &task, Some("1"), "2", "newer"))
            .await
            .applied
    );
    for _ in 0..2 {
        assert!(
            site.commit(reschedule(queue, &task, RelativeScore::NOW))
                .await
                .applied
        );
    }
    let moved = site.zmove(claim(queue, 1, &[1], seconds(LEASE))).await;
    let bodies = moved.members[0].all_bodies().unwrap();
    assert_eq!(bodies[0], Some("newer".into()));
    let mut late = site.commit(reschedule(queue, &task, 0)).await;
    assert!(!late.applied);
    assert_eq!(late.score(0).unwrap(), moved.members[0].after);
    assert!(
        !site
            .commit(change(queue, &task, Some("2"), "3", "late"))
            .await
            .applied
    );
}

async fn a_queue_is_seen_in_the_registry(site: Site) {
    let queues = KeyGroup::new("registry").unwrap().key(":queues");
    let reply = site.commit(register("mail")).await;
    let seen = site.kv.zscore(&queues, "mail").await.unwrap();
    assert_eq!(seen, reply.now.map(Score::from));
}

crate::on_each_store! {
    scheduling_wakes_only_for_a_new_head_and_only_once
    a_unique_task_is_kept_replaced_or_put_off
    cancelling_is_final_for_what_is_due_and_asks_what_runs
    a_due_task_is_rescheduled_and_changed_but_a_running_one_is_not
    a_queue_is_seen_in_the_registry
}
