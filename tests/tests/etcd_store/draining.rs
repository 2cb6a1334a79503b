//! Moves that take the last members of what has a deadline: its record goes with them, whoever takes
//! them.

use crate::site::{Site, lifetime, millis, open, secs};
use kv_core::{ClaimOrder, Fate, Key, KeyGroup, Kv, Moved, RelativeScore, TimeToLive, ZMove};
use kv_tests::patience::pause;
use std::collections::BTreeMap;
use tokio::task::JoinSet;

fn key(name: &str) -> Key {
    KeyGroup::new("g").unwrap().key(name)
}

/// A set and a hash that end, the hash with a body for each of the first members.
async fn fill(kv: &Kv, members: usize, bodies: usize) {
    let all = (0..members).map(|at| (format!("m{at}"), at as f64));
    kv.zadd(key("z"), all).await.unwrap();
    let all = (0..bodies).map(|at| (format!("m{at}"), format!("body {at}")));
    kv.hset_many(key("h"), all).await.unwrap();
    for name in ["z", "h"] {
        assert!(kv.expire(key(name), lifetime(secs(600))).await.unwrap());
    }
}

fn step(limit: u32) -> ZMove {
    ZMove::new(limit)
        .from(key("z"), RelativeScore::NOW)
        .to(key("lease"), RelativeScore::NOW)
        .with(key("h"), Fate::Take)
}

fn is_whole(moved: &Moved, bodies: usize) -> bool {
    let name = moved.member.to_str().unwrap();
    let at: usize = name[1..].parse().unwrap();
    let body = (at < bodies).then(|| format!("body {at}").into());
    moved.all_bodies().unwrap() == [body]
}

/// What is made anew must not inherit the deadline.
async fn nothing_is_left(site: &Site) {
    for name in ["z", "h"] {
        let raw = String::from_utf8(key(name).as_bytes().to_vec()).unwrap();
        assert!(site.raw.record(&raw).await.is_none(), "{name}");
        assert!(site.raw.elements(&raw).await.is_empty(), "{name}");
    }
    fill_again(&site.kv).await;
}

async fn fill_again(kv: &Kv) {
    kv.zadd(key("z"), [("new", 1.0)]).await.unwrap();
    kv.hset(key("h"), "new", "v").await.unwrap();
    for name in ["z", "h"] {
        let left = kv.time_to_live(key(name)).await.unwrap();
        assert_eq!(left, TimeToLive::NoExpiry, "{name}");
    }
}

#[tokio::test]
async fn one_move_takes_as_many_as_it_is_asked_for_and_the_records_with_the_last() {
    let site = Site::start().await;
    fill(&site.kv, 200, 50).await;
    let moved = site.kv.zmove(step(199)).await.unwrap();
    assert_eq!((moved.members.len(), moved.more), (199, true));
    assert!(moved.members.iter().all(|it| is_whole(it, 50)));
    let left = site.kv.time_to_live(key("z")).await.unwrap();
    assert!(matches!(left, TimeToLive::In(_)), "{left:?}");
    let moved = site.kv.zmove(step(200)).await.unwrap();
    assert_eq!((moved.members.len(), moved.more), (1, false));
    nothing_is_left(&site).await;
}

/// There are more bodies than a transaction can have conditions: one move takes fewer members.
#[tokio::test]
async fn a_hash_that_is_drained_of_many_fields_is_drained_in_parts() {
    let site = Site::start().await;
    fill(&site.kv, 200, 200).await;
    let mut taken = 0;
    loop {
        let moved = site.kv.zmove(step(200)).await.unwrap();
        assert!(!moved.members.is_empty());
        assert!(moved.members.iter().all(|it| is_whole(it, 200)));
        taken += moved.members.len();
        if !moved.more {
            break;
        }
    }
    assert_eq!(taken, 200);
    nothing_is_left(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_compete_for_what_ends_take_each_member_once_with_its_body() {
    const MEMBERS: usize = 300;
    const BODIES: usize = 150;
    let site = Site::start().await;
    fill(&site.kv, MEMBERS, BODIES).await;
    let mut claimers = JoinSet::new();
    for (number, order) in [ClaimOrder::Strict, ClaimOrder::Relaxed]
        .repeat(3)
        .into_iter()
        .enumerate()
    {
        // Stores of their own, which do not wait for each other.
        let kv = open(&site.server.url()).await;
        claimers.spawn(async move {
            let mut claimed = Vec::new();
            loop {
                let claim = kv.zmove(step(3 + number as u32 * 5).order(order)).await;
                let moved = match claim {
                    Ok(moved) => moved,
                    Err(error) => panic!("{error}"),
                };
                claimed.extend(moved.members);
                if moved.next.is_none() {
                    return claimed;
                }
            }
        });
    }
    let mut times = BTreeMap::new();
    for moved in claimers.join_all().await.into_iter().flatten() {
        assert!(is_whole(&moved, BODIES), "{moved:?}");
        *times.entry(moved.member).or_insert(0) += 1;
    }
    assert_eq!(times.len(), MEMBERS);
    assert!(times.values().all(|it| *it == 1), "{times:?}");
    nothing_is_left(&site).await;
}

/// The last members do not move because somebody writes where they are to go: then nothing is drained.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_does_not_move_keeps_its_set_and_its_body() {
    const ROUNDS: usize = 30;
    let site = Site::start().await;
    let other = open(&site.server.url()).await;
    let writing = tokio::spawn(async move {
        for score in 0.. {
            pause(millis(5)).await;
            other
                .zadd(key("lease"), [("m0", f64::from(score))])
                .await
                .unwrap();
        }
    });
    let mut moves = 0;
    for _ in 0..ROUNDS {
        fill(&site.kv, 1, 1).await;
        let moved = site.kv.zmove(step(1)).await.unwrap();
        moves += moved.members.len();
        let moved = moved.members.len() == 1;
        let there = site.kv.zscore(key("z"), "m0").await.unwrap().is_some();
        let body = site.kv.hget(key("h"), "m0").await.unwrap().is_some();
        assert_eq!((there, body), (!moved, !moved));
    }
    writing.abort();
    assert!(moves > 0);
}
