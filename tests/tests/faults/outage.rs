//! Cases 150 and 151: a server that is not there, and one that goes away and comes back.

use crate::{
    load::Load,
    site::{Backend, CONNECT, RESPONSE, SLACK, Site, on_each_server, recovers},
};
use kv_conformance::proxy::{FaultProxy, Mode};
use kv_core::{ErrorKind, Kv, Stopwatch};
use kv_tests::patience::until;
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};
use tokio::time::timeout;

on_each_server! {
    case_150_a_server_that_is_not_there_fails_to_open_and_is_named
    case_150_a_server_that_does_not_answer_fails_to_open_within_the_deadline
    case_150_a_handle_can_be_opened_once_the_server_is_there
    case_151_a_killed_server_that_is_started_again_is_found_without_reopening
    case_151_a_paused_server_costs_deadlines_and_nothing_else
    case_151_connections_reset_under_load_lose_replies_and_apply_nothing_twice
}

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// Opens a store that cannot be reached and returns how long that took.
async fn fails_to_open<S: Backend>(address: SocketAddr) -> Duration {
    let uri = format!("{}ann:s3cr3t-w0rd@{address}", S::SCHEME);
    let kv = Kv::builder(S::store(&uri)).build();
    let watch = Stopwatch::start();
    let opening = timeout(CONNECT + SLACK, kv.connect()).await;
    let took = watch.elapsed();
    let error = opening.expect("open hangs").unwrap_err();
    let kinds = [ErrorKind::Unavailable, ErrorKind::Timeout];
    assert!(kinds.contains(&error.kind()), "{error:?}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    for text in [error.to_string(), format!("{error:?}"), format!("{kv:?}")] {
        assert!(!text.contains("s3cr3t"), "{text}");
    }
    let health = kv.health().await;
    assert!(!health.available && health.reason.is_some(), "{health:?}");
    took
}

async fn case_150_a_server_that_is_not_there_fails_to_open_and_is_named<S: Backend>() {
    let took = fails_to_open::<S>(nobody()).await;
    println!("case 150: nobody listens: {took:?}");
}

async fn case_150_a_server_that_does_not_answer_fails_to_open_within_the_deadline<S: Backend>() {
    let site = Site::<S>::start().await;
    site.proxy.set(Mode::BlackHole);
    let took = fails_to_open::<S>(site.proxy.address()).await;
    let hole = site.proxy.counts();

    site.server.pause();
    let paused = fails_to_open::<S>(site.server.address()).await;
    site.server.resume();
    println!("case 150: black hole {took:?}, {hole}; one paused server {paused:?}");
    assert!(hole.lost_requests > 0, "{hole}");
    assert!(took >= CONNECT && paused >= CONNECT, "it gave up early");
}

async fn case_150_a_handle_can_be_opened_once_the_server_is_there<S: Backend>() {
    let site = Site::<S>::start().await;
    let proxy = FaultProxy::start(site.server.address()).await.unwrap();
    proxy.set(Mode::Refuse);
    let kv = Kv::builder(S::store_at(proxy.address())).build();
    kv.connect().await.unwrap_err();
    proxy.set(Mode::Pass);
    kv.connect().await.unwrap();
    kv.set("k", "v").await.unwrap();
    assert!(proxy.counts().refused > 0);
}

async fn case_151_a_killed_server_that_is_started_again_is_found_without_reopening<S: Backend>() {
    const KILLS: usize = 3;
    let mut site = Site::<S>::start_durable().await;
    let kv = site.through().await;
    let load = Load::start(&kv, 8);
    let mut killed = Vec::new();
    for _ in 0..KILLS {
        load.succeeds(200).await;
        killed.push(site.server.pid());
        site.server.kill();
        load.fails(8).await;
        let health = timeout(RESPONSE + SLACK, kv.health()).await;
        assert!(!health.expect("health hangs").available);
        site.server.restart();
        assert!(
            !killed.contains(&site.server.pid()),
            "it is not a new process"
        );
        load.succeeds(200).await;
        until("health says so", async || kv.is_available().await).await;
    }
    until("the other handle is back", async || {
        site.direct.get("k").await.is_ok()
    })
    .await;
    let totals = load.verdict(&site.direct).await;
    println!(
        "case 151: {KILLS} kills and restarts; proxy: {}",
        site.proxy.counts()
    );
    assert!(totals.unknown + totals.not_applied > 0, "{totals:?}");
}

async fn case_151_a_paused_server_costs_deadlines_and_nothing_else<S: Backend>() {
    const PAUSES: usize = 3;
    let site = Site::<S>::start().await;
    let kv = site.through().await;
    let load = Load::start(&kv, 8);
    for _ in 0..PAUSES {
        load.succeeds(200).await;
        site.server.pause();
        load.fails(16).await;
        site.server.resume();
        load.succeeds(200).await;
    }
    let totals = load.verdict(&site.direct).await;
    println!("case 151: {PAUSES} pauses; proxy: {}", site.proxy.counts());
    assert!(totals.unknown > 0, "{totals:?}");
}

async fn case_151_connections_reset_under_load_lose_replies_and_apply_nothing_twice<S: Backend>() {
    const RESETS: u64 = 20;
    let site = Site::<S>::start().await;
    let kv = site.through().await;
    let load = Load::start(&kv, 16);
    for round in 0..RESETS {
        load.succeeds(100).await;
        match round % 2 {
            0 => site.proxy.reset_all(),
            _ => site.proxy.close_all(),
        }
    }
    load.succeeds(100).await;
    let totals = load.verdict(&site.direct).await;
    let counts = site.proxy.counts();
    println!("case 151: {counts}");
    assert!(counts.reset > 0 && counts.closed > 0, "{counts}");
    assert!(totals.unknown > 0, "no reply was lost: {totals:?}");
    recovers(&kv).await;
}
