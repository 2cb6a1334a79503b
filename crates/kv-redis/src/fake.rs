//! A server that speaks just enough of the protocol to misbehave.

use crate::{RedisConfig, RedisStore};
use kv_core::Kv;
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

/// How long a store that is connected to it waits for an answer.
pub(crate) const DEADLINE: Duration = Duration::from_millis(200);

/// A server that answers `GET` with "v", but for the key "hang" only together with the next command,
/// and for "drop" by closing the connection. It refuses to delete "refused" and fails to go on with
/// a scan; other keys are deleted.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    silence: Arc<Silence>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Silence {
    /// The first so many connections are not answered any more.
    connections: AtomicUsize,
    /// What they still asked.
    pings: AtomicUsize,
}

impl Fake {
    pub(crate) async fn start(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let silence = Arc::<Silence>::default();
        let silent = Arc::clone(&silence);
        let task = tokio::spawn(async move {
            // Dropped with this task, and the connections with it.
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = counter.fetch_add(1, Ordering::Relaxed) + 1;
                open.spawn(serve(stream, number, Arc::clone(&silent)));
            }
        });
        Self {
            address,
            connections,
            silence,
            task,
        }
    }

    /// From now on the connections that there are get no answer; new ones do.
    pub(crate) fn silence(&self) {
        let connections = self.connections.load(Ordering::Relaxed);
        self.silence
            .connections
            .store(connections, Ordering::Relaxed);
    }

    /// How many `PING`s got no answer.
    pub(crate) fn unanswered_pings(&self) -> usize {
        self.silence.pings.load(Ordering::Relaxed)
    }

    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub(crate) async fn kv(&self) -> Kv {
        let mut config = RedisConfig::from_url(format!("redis://{}", self.address));
        config.response_timeout = DEADLINE;
        config.allow_clear_all = true;
        let store = RedisStore::new(config).unwrap();
        Kv::builder(store).connect().await.unwrap()
    }
}

async fn serve(stream: TcpStream, number: usize, silence: Arc<Silence>) {
    let mut stream = BufReader::new(stream);
    let mut owed = 0;
    while let Some(command) = read(&mut stream).await {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        if number <= silence.connections.load(Ordering::Relaxed) {
            let pings = usize::from(words == ["PING"]);
            silence.pings.fetch_add(pings, Ordering::Relaxed);
            continue;
        }
        let deleted = format!(":{}\r\n", words.len() - 1);
        let reply = match words[..] {
            ["GET", "hang"] => {
                owed += 1;
                continue;
            }
            ["GET", "drop"] => return,
            ["HELLO", ..] => "%1\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n",
            ["UNLINK" | "EXISTS", "refused", ..] => "-NOPERM no permissions\r\n",
            ["UNLINK" | "EXISTS", ..] => &deleted,
            ["SCAN", "0", ..] => "*2\r\n$1\r\n7\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n",
            ["SCAN", ..] => "-LOADING the data\r\n",
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

pub(crate) async fn read(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
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
