//! What is written with a fence is never undone by an earlier holder.

use crate::{ON_STORE, SECOND, Site, settle};
use kv_lock::{LockError, LostReason};

#[tokio::test]
async fn a_later_holder_keeps_an_earlier_one_out() {
    let site = Site::new();
    let (ann, bob, kv) = (site.process().await, site.process().await, site.kv().await);
    let first = ann.lock("orders/42").acquire().await.unwrap();
    first.fenced_put("orders/42", "first").await.unwrap();
    assert_eq!(
        first.fenced_get("orders/42").await.unwrap(),
        Some("first".into())
    );
    // Ann's holder key vanishes, which she does not know yet: her clock says that she holds it.
    kv.delete("{lock:orders/42}:holder").await.unwrap();
    let second = bob.lock("orders/42").acquire().await.unwrap();
    second.fenced_put("orders/42", "second").await.unwrap();
    first.check().unwrap();
    let late = first.fenced_put("orders/42", "late").await.unwrap_err();
    assert!(matches!(late, LockError::Stale(stale) if stale.seen() == second.fence()));
    let late = first.fenced_delete("orders/42").await.unwrap_err();
    assert!(matches!(late, LockError::Stale(_)));
    assert_eq!(
        second.fenced_get("orders/42").await.unwrap(),
        Some("second".into())
    );
    // The fence outlives what is deleted.
    second.fenced_delete("orders/42").await.unwrap();
    assert_eq!(second.fenced_get("orders/42").await.unwrap(), None);
    assert!(first.fenced_put("orders/42", "late").await.is_err());
    assert_eq!(kv.hget("orders/42", "v").await.unwrap(), None);
    // Also that of who did nothing but delete.
    second.fenced_put("orders/42", "again").await.unwrap();
    kv.delete("{lock:orders/42}:holder").await.unwrap();
    let third = ann.lock("orders/42").acquire().await.unwrap();
    third.fenced_delete("orders/42").await.unwrap();
    let late = second.fenced_put("orders/42", "late").await.unwrap_err();
    assert!(matches!(late, LockError::Stale(stale) if stale.seen() == third.fence()));
}

/// Else what it makes of what it has read would undo a write that was acknowledged in between.
#[tokio::test]
async fn who_has_read_keeps_earlier_holders_out() {
    let site = Site::new();
    let (ann, bob, kv) = (site.process().await, site.process().await, site.kv().await);
    for resource in ["nothing", "something"] {
        let first = ann.lock("a").acquire().await.unwrap();
        assert_eq!(first.fenced_get(resource).await.unwrap(), None);
        if resource == "something" {
            first.fenced_put(resource, "100").await.unwrap();
        }
        kv.delete("{lock:a}:holder").await.unwrap();
        let second = bob.lock("a").acquire().await.unwrap();
        let seen = second.fenced_get(resource).await.unwrap();
        let late = first.fenced_put(resource, "90").await.unwrap_err();
        assert!(matches!(late, LockError::Stale(stale) if stale.seen() == second.fence()));
        assert!(first.fenced_get(resource).await.is_err());
        assert_eq!(second.fenced_get(resource).await.unwrap(), seen);
        assert_eq!(second.release().await, kv_lock::Release::Released);
    }
    // What was read where nothing is does not stay for ever, what was written does.
    let left = kv.time_to_live("nothing").await.unwrap();
    assert!(matches!(left, kv_core::TimeToLive::In(_)), "{left:?}");
    let left = kv.time_to_live("something").await.unwrap();
    assert_eq!(left, kv_core::TimeToLive::NoExpiry);
}

/// Also if what an earlier one has left there was about to end.
#[tokio::test]
async fn the_fence_of_a_read_stays_for_a_day_from_then() {
    let site = Site::new();
    let (ann, bob, kv) = (site.process().await, site.process().await, site.kv().await);
    let first = ann.lock("a").acquire().await.unwrap();
    first.fenced_delete("r").await.unwrap();
    let second = bob.lock("b").acquire().await.unwrap();
    site.clock.advance(3600 * 24 * SECOND - SECOND);
    settle().await;
    let third = bob.lock("a").acquire().await.unwrap();
    assert_eq!(third.fenced_get("r").await.unwrap(), None);
    site.clock.advance(2 * SECOND);
    assert!(kv.exists("r").await.unwrap());
    drop(second);
}

#[tokio::test]
async fn who_knows_of_the_loss_sends_nothing() {
    let site = Site::new();
    let (ann, kv) = (site.process().await, site.kv().await);
    let guard = ann.lock("a").acquire().await.unwrap();
    site.clock.advance(10 * SECOND);
    let error = guard.fenced_put("r", "late").await.unwrap_err();
    assert!(matches!(error, LockError::Lost(lost) if lost.reason() == LostReason::Expired));
    assert!(!kv.exists("r").await.unwrap());
}

/// Holders that stand still for longer than their lease, as in a long pause for collecting garbage,
/// append to a list. With fences nothing is lost; without them something is, or the test tests nothing.
#[tokio::test]
async fn pauses_beyond_the_lease_lose_updates_only_without_fences() {
    let mut lost = [0, 0];
    for (fenced, lost) in [true, false].into_iter().zip(&mut lost) {
        let site = Site::new();
        let (locks, kv) = (site.process().await, site.kv().await);
        let mut acknowledged = Vec::new();
        for round in 0..50 {
            let slow = locks.lock("a").acquire().await.unwrap();
            let seen = slow.fenced_get("list").await.unwrap();
            let mine = add(seen, &format!("s{round}"));
            // It stands still before it writes; nothing of it runs, and another one comes.
            slow.check().unwrap();
            site.clock.advance(ON_STORE);
            let quick = site.process().await.lock("a").acquire().await.unwrap();
            let seen = quick.fenced_get("list").await.unwrap();
            quick
                .fenced_put("list", add(seen, &format!("q{round}")))
                .await
                .unwrap();
            acknowledged.push(format!("q{round}"));
            let written = match fenced {
                // On its way when the process was stopped: past all checks.
                true => send(&kv, slow.fence().get(), &mine).await,
                false => {
                    kv.hset("list", "v", mine.as_str()).await.unwrap();
                    true
                }
            };
            if written {
                acknowledged.push(format!("s{round}"));
            }
            quick.release().await;
        }
        let list = kv.hget("list", "v").await.unwrap().unwrap();
        let list = list.to_str().unwrap();
        *lost = acknowledged
            .iter()
            .filter(|it| !list.contains(&format!(" {it};")))
            .count();
    }
    assert_eq!(lost[0], 0, "lost in spite of fences");
    assert!(lost[1] > 0, "the test finds nothing");
}

fn add(list: Option<kv_core::Value>, entry: &str) -> String {
    let list = list.unwrap_or_default();
    format!("{} {entry};", list.to_str().unwrap())
}

async fn send(kv: &kv_core::Kv, fence: u64, list: &str) -> bool {
    use kv_core::{Guard, Key, Mark, Op, Txn};
    let key = Key::new("list").unwrap();
    let txn = Txn::new()
        .when(Guard::field_at_most(
            &key,
            "fence",
            i64::try_from(fence).unwrap(),
        ))
        .then(Op::HSet {
            key,
            fields: vec![
                ("v".into(), kv_core::Value::from(list).into()),
                ("fence".into(), Mark::from(fence.to_string()).into()),
            ],
        });
    kv.commit_one(txn).await.unwrap().applied
}
