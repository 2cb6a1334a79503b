use super::{START, fails, fixture};
use crate::MemoryConfig;
use kv_core::{
    ErrorKind, Fate, Guard, Key, Kv, Moved, RelativeScore, Score, Scores, Timestamp, ZMove,
};

fn key(name: &str) -> Key {
    Key::new(format!("{{g}}{name}")).unwrap()
}

fn names(members: &[Moved]) -> Vec<&str> {
    members
        .iter()
        .map(|it| it.member.to_str().unwrap())
        .collect()
}

async fn held(kv: &Kv, name: &str) -> Vec<(String, f64)> {
    let found = kv.zrange(key(name), 0, -1, Scores::Include).await.unwrap();
    let show = |it: kv_core::ScoredMember| {
        (
            it.member.to_str().unwrap().to_owned(),
            it.score.unwrap().get(),
        )
    };
    found.into_iter().map(show).collect()
}

fn pairs(expected: &[(&str, i32)]) -> Vec<(String, f64)> {
    let pair = |(member, score): &(&str, i32)| ((*member).to_owned(), f64::from(*score));
    expected.iter().map(pair).collect()
}

#[tokio::test]
async fn a_claim_moves_counts_and_brings_bodies() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    kv.zadd(key("due"), [("b", 1), ("a", 1), ("c", 2), ("late", 9)])
        .await
        .unwrap();
    kv.hset_many(key("body"), [("a", "A"), ("b", "B")])
        .await
        .unwrap();
    kv.hset_many(key("once"), [("a", "1"), ("c", "3")])
        .await
        .unwrap();
    kv.hset_many(key("notes"), [("a", "1"), ("late", "9")])
        .await
        .unwrap();
    kv.hset(key("tries"), "a", "4").await.unwrap();
    let step = ZMove::new(200)
        .from_counted(key("due"), 5, key("tries"))
        .to(key("leased"), RelativeScore::Now(7))
        .with(key("body"), Fate::Keep)
        .with(key("notes"), Fate::Drop)
        .with(key("once"), Fate::Take);
    let moved = kv.zmove(step).await.unwrap();
    assert!(moved.applied && !moved.more);
    assert_eq!((moved.now, moved.next), (START, Some(9.into())));
    assert_eq!(names(&moved.members), ["a", "b", "c"]);
    let lease = Score::from(Timestamp::from_micros(START.as_micros() + 7));
    assert!(
        moved
            .members
            .iter()
            .all(|it| it.after == Some(lease) && it.source == 0)
    );
    let tallies: Vec<_> = moved.members.iter().map(|it| it.tally).collect();
    assert_eq!(tallies, [Some(5), Some(1), Some(1)]);
    assert_eq!(
        moved.members[0].all_bodies().unwrap(),
        [Some("A".into()), None, Some("1".into())]
    );
    assert_eq!(
        moved.members[2].all_bodies().unwrap(),
        [None, None, Some("3".into())]
    );
    assert_eq!(held(kv, "due").await, pairs(&[("late", 9)]));
    assert_eq!(kv.zcount(key("leased"), (lease, lease)).await.unwrap(), 3);
    assert_eq!(kv.hlen(key("body")).await.unwrap(), 2);
    let left = kv.hgetall(key("notes")).await.unwrap();
    assert_eq!(left, [("late".into(), "9".into())], "dropped, not brought");
    assert!(!kv.exists(key("once")).await.unwrap(), "drained, so gone");
    it.audit();
}

#[tokio::test]
async fn a_member_in_two_sources_moves_once_from_the_first() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    kv.zadd(key("a"), [("m", 3), ("n", 4)]).await.unwrap();
    kv.zadd(key("b"), [("m", 1), ("o", 2), ("p", 3)])
        .await
        .unwrap();
    let step = ZMove::new(3)
        .from(key("a"), 9)
        .from(key("b"), 9)
        .to(key("t"), 20);
    let moved = kv.zmove(step).await.unwrap();
    assert_eq!(names(&moved.members), ["m", "n", "o"]);
    assert_eq!(moved.members[0].before, 3.into());
    assert_eq!(moved.members[2].source, 1);
    assert_eq!((moved.next, moved.more), (Some(1.into()), true));
    assert_eq!(held(kv, "b").await, pairs(&[("m", 1), ("p", 3)]));
    assert!(!kv.exists(key("a")).await.unwrap());
    it.audit();
}

#[tokio::test]
async fn the_capacity_holds_and_reclaims_need_none() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    kv.zadd(key("due"), [("a", 1), ("b", 2), ("c", 3)])
        .await
        .unwrap();
    kv.zadd(key("leased"), [("x", 1), ("y", 2), ("z", 50)])
        .await
        .unwrap();
    let step = |capacity| {
        ZMove::new(10)
            .from(key("due"), 9)
            .from(key("leased"), 9)
            .to(key("leased"), 30)
            .capacity(capacity)
    };
    let moved = kv.zmove(step(5)).await.unwrap();
    assert_eq!(names(&moved.members), ["a", "b", "x", "y"]);
    assert_eq!((moved.next, moved.more), (Some(3.into()), true));
    let all = [("a", 30), ("b", 30), ("x", 30), ("y", 30), ("z", 50)];
    assert_eq!(held(kv, "leased").await, pairs(&all));
    let moved = kv.zmove(step(2)).await.unwrap();
    assert!(moved.applied && moved.members.is_empty() && moved.more);
    // The sources share the room.
    kv.zadd(key("other"), [("o", 1), ("p", 1)]).await.unwrap();
    let both = step(7).from(key("other"), 9);
    let moved = kv.zmove(both).await.unwrap();
    assert_eq!(names(&moved.members), ["c", "o"]);
    it.audit();
}

#[tokio::test]
async fn without_a_target_it_pops() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    kv.zadd(key("z"), [("a", 1), ("b", 2)]).await.unwrap();
    let step = ZMove::new(9).from_counted(key("z"), 9, key("n"));
    let moved = kv.zmove(step.clone()).await.unwrap();
    assert_eq!(names(&moved.members), ["a", "b"]);
    assert!(moved.members.iter().all(|it| it.after.is_none()));
    assert_eq!((moved.next, moved.more), (None, false));
    assert!(!kv.exists(key("z")).await.unwrap());
    let again = kv.zmove(step).await.unwrap();
    assert!(again.applied && again.members.is_empty());
    it.audit();
}

#[tokio::test]
async fn what_cannot_move_changes_nothing() {
    let it = fixture(MemoryConfig::default()).await;
    let kv = &it.kv;
    kv.zadd(key("z"), [("a", 1), ("b", 2)]).await.unwrap();
    kv.hset_many(key("tally"), [("b", i64::MAX.to_string())])
        .await
        .unwrap();
    kv.hset(key("text"), "b", "two").await.unwrap();
    kv.set(key("s"), "v").await.unwrap();
    let step = || ZMove::new(9).from(key("z"), 9).to(key("t"), 9);
    let counted = |name| {
        ZMove::new(9)
            .from_counted(key("z"), 9, key(name))
            .to(key("t"), 9)
    };
    fails(
        kv.zmove(counted("tally")).await,
        ErrorKind::Overflow,
        "{g}tally",
    );
    fails(
        kv.zmove(counted("text")).await,
        ErrorKind::NotAnInteger,
        "{g}text",
    );
    let wrong = [
        // Judged even where nothing is due.
        ZMove::new(9).from(key("z"), 0).to(key("s"), 9),
        step().from(key("s"), 0),
        step().with(key("s"), Fate::Keep),
        counted("s"),
    ];
    for step in wrong {
        fails(kv.zmove(step).await, ErrorKind::WrongType, "{g}s");
    }
    let refused = kv
        .zmove(step().when(Guard::absent(key("z"))))
        .await
        .unwrap();
    assert_eq!(
        (refused.applied, refused.more, refused.now),
        (false, false, START)
    );
    assert_eq!((refused.members.len(), refused.next), (0, None));
    assert_eq!(held(kv, "z").await, pairs(&[("a", 1), ("b", 2)]));
    assert!(!kv.exists(key("t")).await.unwrap());
    assert_eq!(kv.hlen(key("tally")).await.unwrap(), 1);
    it.audit();
}
