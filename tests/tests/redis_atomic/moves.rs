//! Moves.

use crate::{key, open};
use kv_core::{
    ErrorKind, Fate, Guard, RelativeScore, Score, ScoredMember, Scores, Timestamp, ZMove,
};
use std::time::Duration;

#[tokio::test]
async fn a_move_claims_reclaims_and_counts() {
    let (_server, kv) = open().await;
    let (ready, lease, body, tries) = (key("ready"), key("lease"), key("body"), key("tries"));
    for (at, name) in ["a", "b\0", "c", "d"].into_iter().enumerate() {
        kv.zadd(&ready, [(name, at as f64)]).await.unwrap();
        kv.hset(&body, name, format!("body {at}")).await.unwrap();
    }
    kv.zadd(&lease, [("x", 1.0), ("a", 0.5), ("y", f64::INFINITY)])
        .await
        .unwrap();
    kv.hset(&tries, "a", "9007199254740992").await.unwrap();
    let step = ZMove::new(3)
        .from_counted(&lease, RelativeScore::NOW, &tries)
        .from_counted(&ready, RelativeScore::NOW, &tries)
        .to(&lease, RelativeScore::after(Duration::from_secs(60)))
        .capacity(4)
        .with(&body, Fate::Take);
    let moved = kv.zmove(step.clone()).await.unwrap();
    let names: Vec<_> = moved
        .members
        .iter()
        .map(|it| (it.member.clone(), it.source, it.tally))
        .collect();
    // Both lapsed leases come first and take no room; for the one new member there is room.
    let expected = [
        ("a".into(), 0, Some(9_007_199_254_740_993)),
        ("x".into(), 0, Some(1)),
        ("b\0".into(), 1, Some(1)),
    ];
    assert_eq!(names, expected);
    let bodies = |at: usize| moved.members[at].all_bodies().unwrap();
    assert_eq!(bodies(2), [Some("body 1".into())]);
    assert_eq!(bodies(1), [None]);
    assert!(moved.more && moved.next == Some(Score::from(0)));
    assert_eq!(
        moved.members[0].after,
        Some(RelativeScore::after(Duration::from_secs(60)).at(moved.now))
    );
    assert_eq!(
        kv.zscore(&lease, "x").await.unwrap(),
        moved.members[0].after
    );
    assert_eq!(
        kv.hget(&tries, "a").await.unwrap(),
        Some("9007199254740993".into())
    );
    assert_eq!(kv.hget(&body, "b\0").await.unwrap(), None);
    assert_eq!(kv.hlen(&body).await.unwrap(), 2);
    // Full.
    let moved = kv.zmove(step).await.unwrap();
    assert!(moved.applied && moved.members.is_empty() && moved.more);
    // Out of the sets, nowhere.
    let pop = ZMove::new(200).from(&ready, Score::MAX);
    let moved = kv.zmove(pop).await.unwrap();
    assert_eq!(moved.members.len(), 3);
    assert!(!moved.more && moved.next.is_none());
    assert!(!kv.exists(&ready).await.unwrap());
}

#[tokio::test]
async fn dropped_bodies_are_never_read() {
    let (server, kv) = open().await;
    let (done, body) = (key("done"), key("body"));
    let calls = async |command: &str| {
        let mut redis = redis::Client::open(server.url())
            .unwrap()
            .get_multiplexed_async_connection()
            .await
            .unwrap();
        let mut info = redis::cmd("INFO");
        let stats: String = info
            .arg("commandstats")
            .query_async(&mut redis)
            .await
            .unwrap();
        let found = stats.lines().find_map(|line| {
            let calls = line.strip_prefix(&format!("cmdstat_{command}:calls="))?;
            Some(calls.split_once(',')?.0.to_owned())
        });
        found.unwrap_or_else(|| "0".to_owned())
    };
    for (fate, reads, left) in [
        (Fate::Drop, "0", 0),
        (Fate::Take, "1", 0),
        (Fate::Keep, "2", 1),
    ] {
        kv.zadd(&done, [("a", 1)]).await.unwrap();
        kv.hset(&body, "a", "body").await.unwrap();
        let step = ZMove::new(9).from(&done, 1).with(&body, fate);
        let moved = kv.zmove(step).await.unwrap();
        let brought = (fate != Fate::Drop).then(|| "body".into());
        assert_eq!(moved.members[0].all_bodies().unwrap(), [brought]);
        assert_eq!(kv.hlen(&body).await.unwrap(), left, "{fate:?}");
        assert_eq!(calls("hmget").await, reads, "{fate:?}");
    }
}

#[tokio::test]
async fn a_move_that_cannot_be_made_changes_nothing() {
    let (_server, kv) = open().await;
    let (ready, text, tally) = (key("ready"), key("text"), key("tally"));
    kv.zadd(&ready, [("a", 1.0)]).await.unwrap();
    kv.set(&text, "x").await.unwrap();
    kv.hset(&tally, "a", i64::MAX.to_string()).await.unwrap();
    let one = || ZMove::new(1).from(&ready, Score::MAX);
    let cases = [
        (one().to(&text, 1), ErrorKind::WrongType, "{g}text"),
        (
            one().with(&text, Fate::Keep),
            ErrorKind::WrongType,
            "{g}text",
        ),
        (
            one().from(&text, Score::MAX),
            ErrorKind::WrongType,
            "{g}text",
        ),
        (
            ZMove::new(1).from(key("none"), 1).with(&text, Fate::Keep),
            ErrorKind::WrongType,
            "{g}text",
        ),
        (
            ZMove::new(1).from_counted(&ready, Score::MAX, &text),
            ErrorKind::WrongType,
            "{g}text",
        ),
        (
            ZMove::new(1).from_counted(&ready, Score::MAX, &tally),
            ErrorKind::Overflow,
            "{g}tally",
        ),
        (
            one().when(Guard::at_most(&text, 1)),
            ErrorKind::NotAnInteger,
            "{g}text",
        ),
    ];
    for (step, kind, name) in cases {
        let told = format!("{step:?}");
        let error = kv.zmove(step).await.unwrap_err();
        assert_eq!((error.kind(), error.key()), (kind, Some(name)), "{told}");
        assert_eq!(
            kv.zscore(&ready, "a").await.unwrap(),
            Some(Score::from(1)),
            "{told}"
        );
    }
    let refused = one().when(Guard::exists(key("no")));
    let moved = kv.zmove(refused).await.unwrap();
    assert!(!moved.applied && moved.now > Timestamp::from_micros(1));
    assert_eq!(kv.zmove(one()).await.unwrap().members.len(), 1);
}

/// A member that is due in two sets moves once, from the first, and stays in the other.
#[tokio::test]
async fn a_member_in_two_sources_moves_once() {
    let (_server, kv) = open().await;
    let (first, second) = (key("1"), key("2"));
    kv.zadd(&first, [("a", 1.0), ("b", 2.0)]).await.unwrap();
    kv.zadd(&second, [("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 4.0)])
        .await
        .unwrap();
    let step = ZMove::new(3)
        .from(&first, Score::MAX)
        .from(&second, Score::MAX);
    let step = step.to(
        key("target"),
        f64::MAX.try_into().unwrap_or(RelativeScore::NOW),
    );
    let moved = kv.zmove(step).await.unwrap();
    let names: Vec<_> = moved
        .members
        .iter()
        .map(|it| (it.member.clone(), it.source))
        .collect();
    assert_eq!(names, [("a".into(), 0), ("b".into(), 0), ("c".into(), 1)]);
    let left = kv.zrange(&second, 0, -1, Scores::Omit).await.unwrap();
    assert_eq!(left, ["a", "b", "d"].map(|it| ScoredMember::new(it, None)));
}
