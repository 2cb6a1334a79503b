//! Programs that append to a list under a lock, and are stopped past their lease when they have read it;
//! some are killed, and the server starts anew. With fences no write that was acknowledged is lost. Without
//! them some are, or the test finds nothing.

mod fleet;
mod kinds;

use self::fleet::{Fleet, Way};
use crate::history::History;
use kv_core::{Kv, Stopwatch};
use kv_tests::{
    kinds::Kind,
    patience::{self, PATIENCE},
    server::{Etcd, Redis, Server},
};
use std::time::Duration;
use tokio::time::timeout;

const PROGRAMS: usize = 4;

/// So many are stopped, one after the other.
const STOPS: usize = 8;

/// Longer than all of it takes.
const LONGEST: Duration = Duration::from_secs(120);

async fn append(server: &mut impl Server, kv: &Kv, way: Way) -> History {
    let mut fleet = Fleet::start(server.url(), way, Kind::Exclusive, PROGRAMS);
    let begun = Stopwatch::start();
    for round in 0..STOPS {
        assert!(begun.elapsed() < LONGEST, "{round} rounds");
        let reader = next_reader(&mut fleet, |_| true).await;
        fleet.stop(reader);
        match round {
            3 | 7 => fleet.replace((reader + 1) % PROGRAMS),
            5 => tokio::task::block_in_place(|| {
                server.kill();
                server.restart();
            }),
            _ => {}
        }
        // Its lease has ended when another two have read; the last of them thinks when it goes on.
        for _ in 0..2 {
            next_reader(&mut fleet, |it| it != reader).await;
        }
        fleet.go_on(reader);
        next_reader(&mut fleet, |it| it == reader).await;
    }
    ended(fleet, kv, Kind::Exclusive).await
}

/// What they noted, and what is there when nobody writes any more.
async fn ended(fleet: Fleet, kv: &Kv, kind: Kind) -> History {
    let mut history = fleet.end();
    let list = kv.hget(kind.name(), "v").await.unwrap().unwrap();
    let fences = list.to_str().unwrap().split_whitespace();
    history.written = fences.map(|it| it.parse().unwrap()).collect();
    history
}

/// Who has just read the list.
async fn next_reader(fleet: &mut Fleet, is_it: impl Fn(usize) -> bool) -> usize {
    loop {
        let reader = timeout(PATIENCE, fleet.readers.recv()).await;
        let reader = reader.expect("nobody reads").unwrap();
        // Those before are told late.
        if fleet.readers.is_empty() && is_it(reader) {
            return reader;
        }
    }
}

async fn nothing_is_lost(server: &mut impl Server, kv: &Kv) {
    let history = append(server, kv, Way::Fenced).await;
    let verdict = history.check().unwrap();
    let acknowledged = history.acknowledged.len();
    println!("fenced: {verdict}; {acknowledged} acknowledged, none lost");
    assert!(
        verdict.grants > STOPS && verdict.writes > STOPS,
        "{verdict}"
    );
    // Those who were stopped were refused.
    assert!(verdict.grants > acknowledged, "nobody was stopped in time");

    kv.delete(Kind::Exclusive.name()).await.unwrap();
    let history = append(server, kv, Way::Bare).await;
    let (lost, acknowledged) = (history.lost().len(), history.acknowledged.len());
    println!("bare: {lost} of {acknowledged} acknowledged writes lost");
    assert!(lost > 0, "the test finds nothing");
    assert!(history.check().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_on_redis() {
    let mut server = Redis::start_durable();
    let store = patience::redis(&server.url());
    let kv = Kv::builder(store).connect().await.unwrap();
    nothing_is_lost(&mut server, &kv).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_on_etcd() {
    let mut server = Etcd::start_durable();
    let store = patience::etcd(&server.url());
    let kv = Kv::builder(store).connect().await.unwrap();
    nothing_is_lost(&mut server, &kv).await;
}
