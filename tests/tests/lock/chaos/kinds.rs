//! The same with other kinds of locks, each with programs and a list of its own, all at the same time.

use super::{
    LONGEST, ended,
    fleet::{Fleet, Way},
    next_reader,
};
use futures_util::future;
use kv_core::{Kv, Stopwatch};
use kv_tests::{
    kinds::Kind,
    patience,
    server::{Etcd, Redis},
};

/// Those that one at a time may hold.
const KINDS: [Kind; 4] = [Kind::Fair, Kind::Write, Kind::Permits, Kind::Election];

const PROGRAMS: usize = 3;

/// So many are stopped, one after the other, or more until one of them was late with its write.
const STOPS: usize = 2;

/// Only a broken test gets there.
const MOST: usize = 30;

async fn nothing_is_lost(url: String, kv: &Kv, kind: Kind) {
    let mut fleet = Fleet::start(url, Way::Fenced, kind, PROGRAMS);
    let begun = Stopwatch::start();
    let mut stops = 0;
    while stops < STOPS || (fleet.refused() == 0 && stops < MOST) {
        assert!(begun.elapsed() < LONGEST, "{kind:?}: {stops} rounds");
        let reader = next_reader(&mut fleet, |_| true).await;
        fleet.stop(reader);
        if stops == 1 {
            fleet.replace((reader + 1) % PROGRAMS);
        }
        // Its lease has ended when another has read.
        next_reader(&mut fleet, |it| it != reader).await;
        fleet.go_on(reader);
        next_reader(&mut fleet, |it| it == reader).await;
        stops += 1;
    }
    let refused = fleet.refused();
    let history = ended(fleet, kv, kind).await;
    let verdict = history.check().unwrap();
    let acknowledged = history.acknowledged.len();
    println!("{kind:?}: {verdict}; {acknowledged} acknowledged, none lost; {refused} refused");
    assert!(refused > 0, "nobody was stopped in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_on_redis() {
    let server = Redis::start();
    let store = patience::redis(&server.url());
    let kv = &Kv::builder(store).connect().await.unwrap();
    future::join_all(KINDS.map(|it| nothing_is_lost(server.url(), kv, it))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_on_etcd() {
    let server = Etcd::start();
    let store = patience::etcd(&server.url());
    let kv = &Kv::builder(store).connect().await.unwrap();
    future::join_all(KINDS.map(|it| nothing_is_lost(server.url(), kv, it))).await;
}
