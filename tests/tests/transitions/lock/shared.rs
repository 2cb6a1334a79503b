//! Several at a time: readers and a writer, permits, and those who wait for each other.

use super::*;
use crate::site::{Site, heard};
use kv_core::{Expiry, TimeToLive};
use std::time::Duration;

async fn readers_share_and_a_writer_waits_for_them(site: Site) {
    let lock = Lock::new("a");
    let mut ann = site.commit(read_lock(&lock, "ann", seconds(LEASE))).await;
    assert!(ann.applied);
    let first = ann.token(2).unwrap();
    // Re-sent: still one reader, and a later fence.
    let mut again = site.commit(read_lock(&lock, "ann", seconds(LEASE))).await;
    assert!(again.token(2).unwrap() > first);
    assert!(
        site.commit(read_lock(&lock, "bob", seconds(LEASE)))
            .await
            .applied
    );

    let [intent, mut writer] = site
        .commit_all(write_lock(&lock, "cid", seconds(WAITER)))
        .await;
    assert!(intent.applied && !writer.applied);
    assert_eq!(writer.count(1).unwrap(), 2);
    // The intent keeps new readers out; those inside renew and leave.
    let mut late = site.commit(read_lock(&lock, "dan", seconds(LEASE))).await;
    assert!(!late.applied);
    assert_eq!(late.score(0).unwrap(), None);
    assert_eq!(late.members(2).unwrap()[0].member, "cid");
    let mut resent = site.commit(read_lock(&lock, "ann", seconds(LEASE))).await;
    assert!(resent.score(0).unwrap().is_some());
    let before = site.kv.zscore(lock.key("readers"), "ann").await.unwrap();
    assert!(site.commit(read_renew(&lock, "ann")).await.applied);
    assert!(site.kv.zscore(lock.key("readers"), "ann").await.unwrap() > before);

    assert!(site.commit(read_unlock(&lock, "ann")).await.applied);
    assert!(!site.commit(read_unlock(&lock, "ann")).await.applied);
    let mut writers = site.listen(lock.key("write")).await;
    let mut readers = site.listen(lock.key("read")).await;
    site.commit(read_unlock(&lock, "bob")).await;
    heard(&mut writers).await;

    let [_, mut writer] = site
        .commit_all(write_lock(&lock, "cid", seconds(WAITER)))
        .await;
    let fence = writer.token(1).unwrap();
    assert!(writer.applied && fence > first);
    assert!(!site.kv.exists(lock.key("intents")).await.unwrap());

    let [_, mut again] = site
        .commit_all(write_lock(&lock, "cid", seconds(WAITER)))
        .await;
    assert_eq!(again.mark(0).unwrap(), Some("cid".into()));
    assert_eq!(again.token(2).unwrap(), fence);
    let mut other = site.commit(write_unlock(&lock, "dan")).await;
    assert!(!other.applied);
    assert_eq!(other.mark(0).unwrap(), Some("cid".into()));
    // The writer alone keeps readers out, without the intent that was sent twice.
    site.kv.zrem(lock.key("intents"), ["cid"]).await.unwrap();
    let mut late = site.commit(read_lock(&lock, "dan", seconds(LEASE))).await;
    assert!(!late.applied);
    assert!(matches!(late.ttl(1).unwrap(), TimeToLive::In(_)));
    // Nor is a reader renewed that is there, for whatever reason.
    site.kv
        .zadd(lock.key("readers"), [("ann", f64::MAX)])
        .await
        .unwrap();
    assert!(!site.commit(read_renew(&lock, "ann")).await.applied);
    site.kv.zrem(lock.key("readers"), ["ann"]).await.unwrap();
    site.commit_all(write_lock(&lock, "cid", seconds(WAITER)))
        .await;
    assert!(site.commit(write_unlock(&lock, "cid")).await.applied);

    heard(&mut writers).await;
    heard(&mut readers).await;

    assert!(
        site.commit(read_lock(&lock, "dan", seconds(LEASE)))
            .await
            .applied
    );
}

async fn what_lapsed_neither_blocks_nor_renews(site: Site) {
    let lock = Lock::new("a");
    site.commit(read_lock(&lock, "ann", LAPSED)).await;
    assert!(!site.commit(read_renew(&lock, "ann")).await.applied);
    let [_, writer] = site
        .commit_all(write_lock(&lock, "cid", seconds(WAITER)))
        .await;
    assert!(writer.applied);
    assert_eq!(
        site.kv.zscore(lock.key("readers"), "ann").await.unwrap(),
        None
    );
    site.commit(write_unlock(&lock, "cid")).await;
    // A writer that died while it waited.
    site.commit(read_lock(&lock, "ann", seconds(LEASE))).await;
    site.commit_all(write_lock(&lock, "dead", LAPSED)).await;
    site.commit(read_lock(&lock, "gone", LAPSED)).await;
    assert!(
        site.commit(read_lock(&lock, "bob", seconds(LEASE)))
            .await
            .applied
    );
    assert_eq!(
        site.kv.zscore(lock.key("readers"), "gone").await.unwrap(),
        None
    );
}

async fn permits_are_weighed_resized_and_come_back_after_a_crash(site: Site) {
    let lock = Lock::new("a");
    site.commit(resize(&lock, 5)).await;
    let mut ann = site
        .commit(permits(&lock, "ann", 3, 5, seconds(LEASE)))
        .await;
    assert!(ann.applied && ann.token(2).unwrap() > 0);

    assert!(
        !site
            .commit(permits(&lock, "bob", 3, 5, seconds(LEASE)))
            .await
            .applied
    );
    assert!(
        site.commit(permits(&lock, "bob", 2, 5, seconds(LEASE)))
            .await
            .applied
    );
    // Re-sent at the limit: refused, and she finds what she holds.
    let mut again = site
        .commit(permits(&lock, "ann", 3, 5, seconds(LEASE)))
        .await;
    assert!(!again.applied && again.score(1).unwrap().is_some());
    assert_eq!(
        again.members(2).unwrap()[0].member,
        "ann#0",
        "the first to lapse"
    );
    // Another size than the client knows.
    let mut events = site.listen(lock.key("free")).await;
    site.commit(resize(&lock, 7)).await;
    heard(&mut events).await;
    assert!(
        !site
            .commit(permits(&lock, "cid", 1, 9, seconds(LEASE)))
            .await
            .applied
    );
    site.commit(resize(&lock, 4)).await;
    heard(&mut events).await;

    let mut stale = site
        .commit(permits(&lock, "cid", 1, 5, seconds(LEASE)))
        .await;
    assert_eq!(stale.mark(0).unwrap(), Some("4".into()));
    assert!(
        !site
            .commit(permits(&lock, "cid", 1, 4, seconds(LEASE)))
            .await
            .applied
    );
    assert!(site.commit(give_permits(&lock, "bob", 2)).await.applied);
    heard(&mut events).await;

    assert!(!site.commit(give_permits(&lock, "bob", 2)).await.applied);
    assert!(
        site.commit(permits(&lock, "dead", 1, 4, LAPSED))
            .await
            .applied
    );
    assert!(
        site.commit(permits(&lock, "cid", 1, 4, seconds(LEASE)))
            .await
            .applied
    );
    assert_eq!(site.kv.zcount(lock.key("holders"), RANGE).await.unwrap(), 4);
}

const RANGE: kv_core::ScoreRange = kv_core::ScoreRange::ALL;

async fn participants_are_counted_once(site: Site) {
    let lock = Lock::new("a");
    let mut events = site.listen(lock.key("arrivals")).await;
    // What an earlier time has left.
    site.kv
        .zadd(lock.key("arrived"), [("old", 0)])
        .await
        .unwrap();
    for (participant, count) in [("x", 1), ("y", 2), ("y", 2), ("z", 3)] {
        let [_, mut reply] = site.commit_all(arrive(&lock, participant, 3)).await;
        assert_eq!(reply.count(1).unwrap(), count);
        heard(&mut events).await;
        for name in ["count", "arrived"] {
            let left = site.kv.time_to_live(lock.key(name)).await.unwrap();
            let hour = Duration::from_secs(3600);
            assert!(matches!(left, TimeToLive::In(left) if left > hour));
            site.kv
                .expire(lock.key(name), Expiry::In(lifetime(60)))
                .await
                .unwrap();
        }
    }
    let [_, mut other] = site.commit_all(arrive(&lock, "w", 4)).await;
    assert!(!other.applied);
    assert_eq!(other.mark(0).unwrap(), Some("3".into()));
    let arrived = site.kv.zcount(lock.key("arrived"), RANGE).await.unwrap();
    assert_eq!(arrived, 3);
}

crate::on_each_store! {
    readers_share_and_a_writer_waits_for_them
    what_lapsed_neither_blocks_nor_renews
    permits_are_weighed_resized_and_come_back_after_a_crash
    participants_are_counted_once
}
