//! Transactions about sets of more members than etcd takes conditions.

use crate::site::Site;
use kv_core::{Key, Kv, Member, Op, OpReply, Score, ScoreRange, Scores, SetOptions, Ttl, Txn};

const MEMBERS: usize = 150;

fn key(name: &str) -> Key {
    Key::new(format!("{{g}}{name}")).unwrap()
}

async fn fill(kv: &Kv) {
    let all = (0..MEMBERS).map(|at| (format!("m{at:03}"), at as f64));
    kv.zadd(key("z"), all).await.unwrap();
}

fn add<const N: usize>(members: [(&str, f64); N]) -> Op {
    let member = |(member, score): (&str, f64)| {
        let score = Score::new(score).unwrap();
        (Member::from(member.to_owned()), score.into())
    };
    Op::ZAdd {
        key: key("z"),
        members: members.map(member).into(),
        notify_if_first: None,
    }
}

/// Both go out together.
#[tokio::test]
async fn a_set_is_removed_and_added_to_again() {
    let site = Site::start().await;
    fill(&site.kv).await;
    let removed = Txn::new().then(Op::Delete { key: key("z") });
    let anew = Txn::new().then(add([("m007", 1.0), ("new", 2.0)]));
    let replies = site.kv.commit([removed, anew]).await.unwrap();
    let answers: Vec<_> = replies.into_iter().map(|it| it.unwrap().answers).collect();
    assert_eq!(answers, [[OpReply::Flag(true)], [OpReply::Count(2)]]);
    let left = site.kv.zrange(key("z"), 0, -1, Scores::Include).await;
    let left: Vec<_> = left.unwrap().into_iter().map(|it| it.member).collect();
    assert_eq!(left, ["m007", "new"].map(Member::from));
    // Two members, two entries of the index, and nothing that was overlooked.
    assert_eq!(site.raw.elements("{g}z").await.len(), 4);
}

/// The second transaction removes, among many, a member that the first one moved: the two go out
/// together.
#[tokio::test]
async fn what_a_transaction_before_it_wrote_is_counted() {
    let site = Site::start().await;
    fill(&site.kv).await;
    let removed = Op::ZRemRange {
        key: key("z"),
        range: ScoreRange::ALL.into(),
        limit: MEMBERS as u32,
    };
    let replies = site
        .kv
        .commit([
            Txn::new().then(add([("m100", -1.0)])),
            Txn::new().then(removed),
        ])
        .await
        .unwrap();
    let answers: Vec<_> = replies.into_iter().map(|it| it.unwrap().answers).collect();
    let all = OpReply::Count(MEMBERS as u64);
    assert_eq!(answers, [vec![OpReply::Count(0)], vec![all]]);
    assert!(site.raw.elements("{g}z").await.is_empty());
}

/// A string with a deadline leaves nothing of what was there before, since it would never be seen or
/// collected again.
#[tokio::test]
async fn a_string_that_ends_takes_the_structure_below_it_along() {
    let site = Site::start().await;
    let minute = Ttl::In(std::time::Duration::from_secs(60).try_into().unwrap());
    for write in ["set", "txn"] {
        fill(&site.kv).await;
        match write {
            "set" => {
                let options = SetOptions::from(minute);
                site.kv.set_with(key("z"), "v", options).await.map(drop)
            }
            _ => {
                let set = Op::Set {
                    key: key("z"),
                    content: kv_core::Mark::from("v").into(),
                    ttl: minute,
                };
                site.kv.commit_one(Txn::new().then(set)).await.map(drop)
            }
        }
        .unwrap();
        assert!(site.raw.elements("{g}z").await.is_empty(), "{write}");
        assert!(site.raw.record("{g}z").await.is_none(), "{write}");
        site.kv.delete(key("z")).await.unwrap();
    }
    // Without a deadline it hides the structure until it is deleted, and then both are gone.
    fill(&site.kv).await;
    site.kv.set(key("z"), "v").await.unwrap();
    assert!(site.kv.delete(key("z")).await.unwrap());
    assert!(!site.kv.exists(key("z")).await.unwrap());
    assert!(site.raw.elements("{g}z").await.is_empty());
}
