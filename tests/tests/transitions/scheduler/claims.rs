//! From the claim to the end of a task.

use super::*;
use crate::site::{Site, heard};
use kv_core::{ErrorKind, Value};

async fn put(site: &Site, queue: &Queue, tasks: &[Task]) {
    for task in tasks {
        assert!(site.commit(schedule(queue, task, 0)).await.applied);
    }
}

async fn claim_one(site: &Site, queue: &Queue, lease: impl Into<RelativeScore>) -> Claim {
    let moved = site.zmove(claim(queue, 1, &[0, 1, 2], lease)).await;
    assert_eq!(moved.members.len(), 1);
    Claim::from(&moved.members[0])
}

async fn exists(site: &Site, queue: &Queue, names: &[&str]) -> Vec<bool> {
    let mut found = Vec::new();
    for name in names {
        found.push(site.kv.exists(queue.key(name)).await.unwrap());
    }
    found
}

async fn a_claim_takes_by_priority_and_brings_bodies(site: Site) {
    let queue = &Queue::new();
    let tasks = [
        plain("a"),
        Task {
            priority: 0,
            ..plain("b")
        },
        Task {
            priority: 2,
            ..plain("c")
        },
    ];
    put(&site, queue, &tasks).await;
    site.commit(schedule(queue, &plain("later"), seconds(100)))
        .await;
    let first = site
        .zmove(claim(queue, 2, &[0, 1, 2], seconds(LEASE)))
        .await;
    let taken: Vec<_> = first
        .members
        .iter()
        .map(|it| it.member.to_str().unwrap())
        .collect();
    assert_eq!(taken, ["b", "a"]);
    assert!(first.applied && first.more);
    assert_eq!(
        first.members[0].all_bodies().unwrap(),
        [Some(Value::from("body of b")), None]
    );
    assert_eq!(first.members[0].tally, Some(1));
    assert_eq!(first.members[0].after, Some(seconds(LEASE).at(first.now)));
    let second = site
        .zmove(claim(queue, 2, &[0, 1, 2], seconds(LEASE)))
        .await;
    assert_eq!(second.members.len(), 1);
    assert!(
        !second.more && second.next.is_some(),
        "the sleep until the next is known"
    );
}

async fn a_lapsed_lease_is_claimed_again_in_the_same_call(site: Site) {
    let queue = &Queue::new();
    put(&site, queue, &[plain("a"), plain("b")]).await;
    let old = claim_one(&site, queue, LAPSED).await;
    let both = site.zmove(claim(queue, 10, &[1], seconds(LEASE))).await;
    let found: Vec<_> = both
        .members
        .iter()
        .map(|it| (it.source, it.tally))
        .collect();
    assert_eq!(found, [(0, Some(2)), (1, Some(1))]);
    let new = Claim::from(&both.members[0]);
    assert_eq!(new.id, old.id);
    // All that the first claimer may still try is refused, and says why.
    let task = plain("a");
    for txn in [
        extend(queue, &old),
        ack(queue, &task, &old),
        ack_keeping(queue, &task, &old, "r"),
        again(queue, &old, 0, "r"),
        bury(queue, &task, &old, "e"),
    ] {
        let mut reply = site.commit(txn).await;
        assert!(!reply.applied);
        assert_eq!(reply.score(0).unwrap(), Some(new.score));
        assert_eq!(reply.mark(1).unwrap(), Some("2".into()));
    }
    // The score of a lease can repeat, the number of claims cannot.
    let repeated = Claim {
        score: new.score,
        ..old
    };
    assert!(!site.commit(ack(queue, &task, &repeated)).await.applied);
    assert!(site.commit(ack(queue, &task, &new)).await.applied);
}

async fn pause_and_caps_hold_claims_back(site: Site) {
    let queue = &Queue::new();
    put(&site, queue, &[plain("a"), plain("b"), plain("c")]).await;
    let mut events = site.listen(queue.key("wake")).await;
    site.commit(set_caps(queue, "v1")).await;
    heard(&mut events).await;
    let capped = site.zmove(claim_capped(queue, 10, "v1", 2)).await;
    assert_eq!(capped.members.len(), 2);
    assert!(capped.more);
    assert!(
        site.zmove(claim_capped(queue, 10, "v1", 2))
            .await
            .members
            .is_empty()
    );
    site.commit(set_caps(queue, "v2")).await;
    assert!(!site.zmove(claim_capped(queue, 10, "v1", 2)).await.applied);
    site.commit(pause(queue)).await;
    assert!(!site.zmove(claim_capped(queue, 10, "v2", 3)).await.applied);
    site.commit(resume(queue)).await;
    for _changed_and_resumed in 0..2 {
        heard(&mut events).await;
    }
    assert_eq!(
        site.zmove(claim_capped(queue, 10, "v2", 3))
            .await
            .members
            .len(),
        1
    );
}

async fn leases_are_extended_together_and_each_is_answered(site: Site) {
    let queue = &Queue::new();
    put(&site, queue, &[plain("a"), plain("b"), plain("c")]).await;
    let moved = site.zmove(claim(queue, 3, &[1], seconds(1))).await;
    let [a, b, c]: [Claim; 3] = moved
        .members
        .iter()
        .map(Claim::from)
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    site.commit_all(cancel(queue, &plain("b"))).await;
    site.commit(ack(queue, &plain("c"), &c)).await;
    let [mut kept, mut cancelled, mut lost] = site
        .commit_all([extend(queue, &a), extend(queue, &b), extend(queue, &c)])
        .await;
    assert!(kept.applied && kept.mark(1).unwrap().is_none());
    assert!(cancelled.applied && cancelled.mark(1).unwrap().is_some());
    assert!(!lost.applied && lost.score(0).unwrap().is_none());
    // Re-sent after its reply was lost: refused, and what is there says that it is mine still.
    let renewed = seconds(LEASE).at(kept.now.unwrap());
    let mut again = site.commit(extend(queue, &a)).await;
    assert!(!again.applied);
    assert_eq!(again.score(0).unwrap(), Some(renewed));
    assert_eq!(again.mark(1).unwrap(), Some(a.tally.to_string().into()));
    let mine = Claim {
        score: renewed,
        ..a
    };
    assert!(site.commit(extend(queue, &mine)).await.applied);
}

async fn an_ack_leaves_nothing_and_can_be_sent_again(site: Site) {
    let queue = &Queue::new();
    let task = unique("a", "report");
    put(&site, queue, &[unique("a", "report")]).await;
    let mine = claim_one(&site, queue, seconds(LEASE)).await;
    assert!(site.commit(ack(queue, &task, &mine)).await.applied);
    let mut again = site.commit(ack(queue, &task, &mine)).await;
    assert!(!again.applied && again.score(0).unwrap().is_none());
    assert!(!site.kv.exists(queue.unique("report")).await.unwrap());
    let keys = ["task", "meta", "tally", "lease", "due:1", "cancel"];
    assert_eq!(exists(&site, queue, &keys).await, [false; 6]);
}

async fn a_result_is_kept_announced_and_collected(site: Site) {
    let queue = &Queue::new();
    put(&site, queue, &[plain("a")]).await;
    let mut events = site.listen(queue.key("results")).await;
    let mine = claim_one(&site, queue, seconds(LEASE)).await;
    assert!(
        site.commit(ack_keeping(queue, &plain("a"), &mine, "42"))
            .await
            .applied
    );
    assert_eq!(heard(&mut events).await, "a");
    assert_eq!(
        site.kv.hget(queue.key("result"), "a").await.unwrap(),
        Some("42".into())
    );
    assert!(site.zmove(collect(queue, "done")).await.members.is_empty());
    assert!(
        site.kv
            .zscore(queue.key("done"), "a")
            .await
            .unwrap()
            .is_some()
    );
    site.kv.zadd(queue.key("done"), [("a", 0)]).await.unwrap();
    let gone = site.zmove(collect(queue, "done")).await;
    assert_eq!(gone.members[0].after, None);
    let gone = gone.members[0].all_bodies().unwrap();
    assert_eq!(gone, [const { None }; 4]);
    let keys = ["task", "meta", "tally", "done", "result"];
    assert_eq!(exists(&site, queue, &keys).await, [false; 5]);
}

async fn a_retried_task_is_due_again_and_keeps_its_count(site: Site) {
    let queue = &Queue::new();
    put(&site, queue, &[plain("a")]).await;
    let mine = claim_one(&site, queue, seconds(LEASE)).await;
    assert!(
        site.commit(again(queue, &mine, RelativeScore::NOW, "refunded: 1"))
            .await
            .applied
    );
    assert!(
        !site
            .commit(again(queue, &mine, RelativeScore::NOW, "x"))
            .await
            .applied
    );
    let moved = site.zmove(claim(queue, 1, &[1], seconds(LEASE))).await;
    assert_eq!(moved.members[0].tally, Some(2));
    let bodies = moved.members[0].all_bodies().unwrap();
    assert_eq!(bodies[1], Some("refunded: 1".into()));
    // One that is to be cancelled does not come back.
    site.commit_all(cancel(queue, &plain("a"))).await;
    let mine = Claim::from(&moved.members[0]);
    let mut refused = site.commit(again(queue, &mine, 0, "x")).await;
    assert!(!refused.applied && refused.mark(2).unwrap().is_some());
    assert!(site.commit(ack(queue, &plain("a"), &mine)).await.applied);
    assert_eq!(exists(&site, queue, &["cancel"]).await, [false]);
}

async fn a_poison_pill_is_buried_by_its_claimer_and_can_be_dug_out(site: Site) {
    let queue = &Queue::new();
    let task = unique("a", "report");
    put(&site, queue, &[unique("a", "report")]).await;
    for _ in 0..3 {
        claim_one(&site, queue, LAPSED).await;
    }
    let mine = claim_one(&site, queue, seconds(LEASE)).await;
    assert_eq!(mine.tally, 4, "it killed three");
    let mut buried = site.commit(bury(queue, &task, &mine, "lapsed")).await;
    assert!(buried.applied);
    let count = buried.answers.len() - 1;
    assert_eq!(buried.count(count).unwrap(), 1);
    assert!(!site.kv.exists(queue.unique("report")).await.unwrap());
    let record = async || site.kv.hget(queue.key("meta"), "a").await.unwrap();
    assert_eq!(record().await, Some("lapsed".into()));
    assert!(site.commit(requeue(queue, &task, "again")).await.applied);
    assert_eq!(record().await, Some("again".into()));
    assert!(!site.commit(requeue(queue, &task, "again")).await.applied);
    assert_eq!(claim_one(&site, queue, seconds(LEASE)).await.tally, 5);
}

async fn at_most_once_takes_it_away(site: Site) {
    let queue = &Queue::new();
    put(&site, queue, &[plain("a")]).await;
    let popped = site.zmove(pop(queue, 10)).await;
    let bodies = popped.members[0].all_bodies().unwrap();
    assert_eq!(bodies, [Some(Value::from("body of a"))]);
    assert_eq!(exists(&site, queue, &["task", "due:1"]).await, [false; 2]);
}

async fn a_tally_that_is_no_number_moves_nothing(site: Site) {
    let queue = &Queue::new();
    put(&site, queue, &[plain("a")]).await;
    site.kv.hset(queue.key("tally"), "a", "x").await.unwrap();
    let error = site
        .kv
        .zmove(claim(queue, 1, &[1], seconds(LEASE)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAnInteger);
    assert!(site.kv.zscore(queue.due(1), "a").await.unwrap().is_some());
}

crate::on_each_store! {
    a_claim_takes_by_priority_and_brings_bodies
    a_lapsed_lease_is_claimed_again_in_the_same_call
    pause_and_caps_hold_claims_back
    leases_are_extended_together_and_each_is_answered
    an_ack_leaves_nothing_and_can_be_sent_again
    a_result_is_kept_announced_and_collected
    a_retried_task_is_due_again_and_keeps_its_count
    a_poison_pill_is_buried_by_its_claimer_and_can_be_dug_out
    at_most_once_takes_it_away
    a_tally_that_is_no_number_moves_nothing
}
