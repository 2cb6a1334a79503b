//! Moves between structures whose deadline has come, while a lease has not collected them yet.

use crate::site::{Site, lifetime, millis};
use kv_core::{Expiry, Fate, Key, KeyGroup, Kv, Op, RelativeScore, TimeToLive, Txn, ZMove};
use kv_tests::patience::until;

fn key(name: &str) -> Key {
    KeyGroup::new("g").unwrap().key(name)
}

/// Lets a key come to its end.
async fn end(kv: &Kv, name: &str) {
    assert!(kv.expire(key(name), lifetime(millis(50))).await.unwrap());
    until("the key has ended", async || {
        kv.time_to_live(key(name)).await.unwrap() == TimeToLive::Missing
    })
    .await;
}

fn step() -> ZMove {
    ZMove::new(10)
        .from(key("z"), RelativeScore::NOW)
        .to(key("lease"), RelativeScore::NOW)
}

#[tokio::test]
async fn nothing_moves_from_a_set_that_has_ended() {
    let site = Site::start().await;
    let kv = &site.kv;
    kv.zadd(key("z"), [("m", 1.0)]).await.unwrap();
    end(kv, "z").await;
    let moved = kv.zmove(step()).await.unwrap();
    assert!(moved.members.is_empty(), "{moved:?}");
    assert_eq!((moved.next, moved.more), (None, false));
}

#[tokio::test]
async fn a_target_that_has_ended_is_empty() {
    let site = Site::start().await;
    let kv = &site.kv;
    kv.zadd(key("z"), [("m", 1.0)]).await.unwrap();
    kv.zadd(key("lease"), [("old", 1.0)]).await.unwrap();
    end(kv, "lease").await;
    let moved = kv.zmove(step().capacity(1)).await.unwrap();
    assert_eq!(moved.members.len(), 1);
    let members = ["m", "old"].map(|it| kv.zscore(key("lease"), it));
    let [new, old] = members;
    assert!(new.await.unwrap().is_some());
    assert_eq!(old.await.unwrap(), None);
}

#[tokio::test]
async fn no_body_comes_from_a_hash_that_has_ended() {
    let site = Site::start().await;
    let kv = &site.kv;
    for fate in [Fate::Keep, Fate::Take] {
        kv.zadd(key("z"), [("m", 1.0)]).await.unwrap();
        kv.hset(key("h"), "m", "body").await.unwrap();
        end(kv, "h").await;
        let moved = kv.zmove(step().with(key("h"), fate)).await.unwrap();
        let bodies = moved.members[0].all_bodies().unwrap();
        assert_eq!(bodies, [None], "{fate:?}");
    }
}

#[tokio::test]
async fn a_count_begins_anew_when_its_hash_has_ended() {
    let site = Site::start().await;
    let kv = &site.kv;
    kv.zadd(key("z"), [("m", 1.0)]).await.unwrap();
    kv.hset(key("count"), "m", "7").await.unwrap();
    end(kv, "count").await;
    let step = ZMove::new(10)
        .from_counted(key("z"), RelativeScore::NOW, key("count"))
        .to(key("lease"), RelativeScore::NOW);
    let moved = kv.zmove(step).await.unwrap();
    assert_eq!(moved.members[0].tally, Some(1));
}
#[tokio::test]
async fn elements_go_with_the_lease_however_the_deadline_came() {
    let site = Site::start().await;
    let members = (0..500).map(|at| (format!("m{at}"), 1.0));
    site.kv.zadd("many", members).await.unwrap();
    let key = Key::try_from("many").unwrap();
    let expiry = Expiry::In(lifetime(millis(50)));
    let txn = Txn::new().then(Op::Expire {
        key: key.clone(),
        expiry,
    });
    site.kv.commit([txn]).await.unwrap();
    until("the lease has ended", async || {
        site.raw.record("many").await.is_none()
    })
    .await;
    let left = site.raw.elements("many").await.len();
    let moved = site
        .kv
        .zmove(ZMove::new(10).from(key, RelativeScore::NOW))
        .await
        .unwrap();
    assert_eq!((left, moved.members.len()), (0, 0));
}
