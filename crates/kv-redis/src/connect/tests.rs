//! Outages, against a server that speaks just enough of the protocol to misbehave.

use crate::{RedisConfig, RedisStore};
use kv_core::{ErrorKind, Kv, Outcome, Stopwatch};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

const DEADLINE: Duration = Duration::from_millis(200);

/// A server that answers `GET` with "v", but for the key "hang" only together with the next command,
/// and for "drop" by closing the connection.
struct Fake {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Fake {
    async fn start(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            // Dropped with this task, and the connections with it.
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                open.spawn(serve(stream));
            }
        });
        Self {
            address,
            connections,
            task,
        }
    }

    async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    async fn kv(&self) -> Kv {
        let mut config = RedisConfig::from_url(format!("redis://{}", self.address));
        config.response_timeout = DEADLINE;
        let store = RedisStore::new(config).unwrap();
        Kv::builder(store).connect().await.unwrap()
    }
}

async fn serve(stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    let mut owed = 0;
    while let Some(command) = read(&mut stream).await {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let reply = match words[..] {
            ["GET", "hang"] => {
                owed += 1;
                continue;
            }
            ["GET", "drop"] => return,
            ["HELLO", ..] => "%1\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n",
            ["GET", _] => "$1\r\nv\r\n",
            _ => "+OK\r\n",
        };
        let reply = "$1\r\nv\r\n".repeat(owed) + reply;
        owed = 0;
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let count = read_number(stream, '*').await?;
    let mut words = Vec::new();
    for _ in 0..count {
        let mut word = vec![0; read_number(stream, '$').await? + 2];
        stream.read_exact(&mut word).await.ok()?;
        words.push(String::from_utf8_lossy(&word).trim_end().to_owned());
    }
    Some(words)
}

async fn read_number(stream: &mut BufReader<TcpStream>, mark: char) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.strip_prefix(mark)?.trim_end().parse().ok()
}

fn told(result: kv_core::Result<Option<kv_core::Value>>) -> Option<(ErrorKind, Outcome)> {
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
