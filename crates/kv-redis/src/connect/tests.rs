//! Outages, against a server that misbehaves.

use super::{STRIKES, Single, disconnected};
use crate::{
    fake::{DEADLINE, Fake},
    handshake::Settings,
};
use kv_core::{ErrorKind, Outcome, Stopwatch};
use redis::{Client, RedisError, RedisResult};
use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::timeout;

fn told<T>(result: kv_core::Result<T>) -> Option<(ErrorKind, Outcome)> {
    result.err().map(|error| (error.kind(), error.outcome()))
}

const UNANSWERED: Option<(ErrorKind, Outcome)> = Some((ErrorKind::Timeout, Outcome::Unknown));
const LOST: Option<(ErrorKind, Outcome)> = Some((ErrorKind::Unavailable, Outcome::Unknown));
const UNSENT: Option<(ErrorKind, Outcome)> = Some((ErrorKind::Unavailable, Outcome::NotApplied));

#[tokio::test]
async fn a_call_lost_in_flight_is_unknown_and_the_next_one_waits_for_the_new_connection() {
    let server = Fake::start("127.0.0.1:0").await;
    let kv = server.kv().await;
    for connections in 2..5 {
        assert_eq!(told(kv.get("drop").await), LOST);
        assert_eq!(told(kv.get("k").await), None);
        assert_eq!(server.connections.load(Ordering::Relaxed), connections);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_goes_silent_is_replaced_after_three_calls() {
    let server = Fake::start("127.0.0.1:0").await;
    let kv = server.kv().await;
    // Two calls without an answer are not enough, and an answer in between starts the count anew.
    for _ in 0..2 {
        for _ in 0..2 {
            assert_eq!(told(kv.get("hang").await), UNANSWERED);
        }
        assert_eq!(told(kv.get("k").await), None);
        assert_eq!(server.connections.load(Ordering::Relaxed), 1);
    }
    for _ in 0..3 {
        assert_eq!(told(kv.get("hang").await), UNANSWERED);
    }
    assert_eq!(told(kv.get("k").await), None);
    assert_eq!(server.connections.load(Ordering::Relaxed), 2);
    server.stop().await;
}

#[tokio::test]
async fn while_the_server_is_gone_calls_fail_in_time_and_were_not_applied() {
    let server = Fake::start("127.0.0.1:0").await;
    let kv = server.kv().await;
    let address = server.address.to_string();
    server.stop().await;
    // The first may still meet the connection's end.
    let _ = kv.get("k").await;
    for _ in 0..3 {
        let watch = Stopwatch::start();
        assert_eq!(told(kv.get("k").await), UNSENT);
        assert!(watch.elapsed() < DEADLINE * 3);
    }
    let server = Fake::start(&address).await;
    let watch = Stopwatch::start();
    while told(kv.get("k").await).is_some() {
        assert!(watch.elapsed() < Duration::from_secs(10), "not restored");
    }
    server.stop().await;
}

#[tokio::test]
async fn closing_ends_waiting_calls_and_leaves_no_task() {
    let server = Fake::start("127.0.0.1:0").await;
    let kv = server.kv().await;
    let before = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    server.stop().await;
    let _ = kv.get("k").await;
    let waiting = kv.clone();
    let waiting = tokio::spawn(async move { waiting.get("k").await });
    tokio::task::yield_now().await;
    kv.close().await;
    let error = waiting.await.unwrap().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Closed | ErrorKind::Unavailable),
        "{error}"
    );
    let metrics = tokio::runtime::Handle::current().metrics();
    let watch = Stopwatch::start();
    while metrics.num_alive_tasks() >= before {
        assert!(watch.elapsed() < Duration::from_secs(10), "a task is left");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_silent_connection_is_replaced_though_its_callers_give_up_early() {
    let server = Fake::start("127.0.0.1:0").await;
    let kv = server.kv().await;
    server.silence();
    let watch = Stopwatch::start();
    while !matches!(timeout(DEADLINE / 4, kv.get("k")).await, Ok(Ok(_))) {
        assert!(watch.elapsed() < Duration::from_secs(10), "not replaced");
    }
    assert_eq!(server.connections.load(Ordering::Relaxed), 2);
    let pings = server.unanswered_pings();
    assert!((1..=STRIKES as usize).contains(&pings), "{pings} pings");
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_answers_outlives_calls_given_up_early() {
    let server = Fake::start("127.0.0.1:0").await;
    let kv = server.kv().await;
    for _ in 0..2 * STRIKES {
        // Longer in sum than a silent connection would last.
        let _ = timeout(DEADLINE / 2, kv.get("hang")).await;
    }
    assert_eq!(told(kv.get("k").await), None);
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
    server.stop().await;
}

#[tokio::test]
async fn late_timeouts_of_a_replaced_connection_do_not_count_against_the_new_one() {
    let server = Fake::start("127.0.0.1:0").await;
    let single = connected(&server).await;
    let mut late = Vec::new();
    for _ in 0..STRIKES {
        late.push(single.lease().await.ok().unwrap().call);
    }
    single.shared.lost(1, crate::error::Failure::closed());
    let replaced = single.lease().await.ok().unwrap();
    for call in late {
        let timed_out = RedisError::from(io::Error::from(io::ErrorKind::TimedOut));
        let unanswered: RedisResult<()> = Err(timed_out);
        assert!(call.judge(unanswered).is_err());
    }
    assert!(single.shared.is_live(2));
    assert!(replaced.call.judge(Ok(())).is_ok());
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_ends_before_it_is_in_use_is_never_used() {
    let server = Fake::start("127.0.0.1:0").await;
    let single = Single::new(client(&server), settings(&server));
    let shared = &single.shared;
    let (epoch, connection) = shared.open().await.ok().unwrap();
    disconnected(&Arc::downgrade(shared), epoch);
    assert!(shared.restored(epoch, connection).is_err());
    assert!(shared.live.load().is_none());
    // The next attempt is another one.
    assert!(shared.attempt().await.is_ok());
    assert!(shared.is_live(epoch + 1));
    server.stop().await;
}

#[tokio::test]
async fn a_call_that_waited_until_its_deadline_is_not_sent() {
    let server = Fake::start("127.0.0.1:0").await;
    let single = Arc::new(Single::new(client(&server), settings(&server)));
    let (epoch, connection) = single.shared.open().await.ok().unwrap();
    let waiting = Arc::clone(&single);
    let waiting = tokio::spawn(async move { waiting.lease().await.err() });
    tokio::task::yield_now().await;
    assert!(single.shared.restored(epoch, connection).is_ok());
    // The one thread is held up, so that the call learns of the connection too late.
    let watch = Stopwatch::start();
    while watch.elapsed() <= DEADLINE {
        std::hint::spin_loop();
    }
    let failure = waiting.await.unwrap().expect("it was sent");
    assert_eq!(told::<()>(Err(failure.into())), UNSENT);
    server.stop().await;
}

async fn connected(server: &Fake) -> Single {
    let single = Single::connect(client(server), settings(server)).await;
    single.ok().unwrap()
}

fn client(server: &Fake) -> Client {
    Client::open(format!("redis://{}/?protocol=resp3", server.address)).unwrap()
}

fn settings(server: &Fake) -> Settings {
    Settings {
        address: server.address.to_string().into(),
        connect_timeout: Duration::from_secs(10),
        response_timeout: DEADLINE,
        client_name: None,
    }
}
