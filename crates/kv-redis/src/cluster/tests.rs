//! What is sent again and what never is, against two servers that misbehave.

use crate::{
    RedisConfig, RedisStore,
    fake::{DEADLINE, read},
};
use kv_core::{ErrorKind, Kv, Outcome, SetOptions, Stopwatch};
use parking_lot::Mutex;
use std::{collections::HashMap, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// Two servers, of which the first has all slots. By the first letters of a key: "loop" is sent to
/// and fro, "moved" and "ask" are on the second server, "down" is not served, "once" not at first, and
/// "lost" is answered by closing the connection.
struct Pair {
    addresses: [SocketAddr; 2],
    /// How often each server was asked about each key.
    asked: Arc<Mutex<HashMap<(usize, String), usize>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Pair {
    async fn start() -> Self {
        let listeners = [listen().await, listen().await];
        let addresses = listeners.each_ref().map(|it| it.local_addr().unwrap());
        let asked = Arc::<Mutex<HashMap<_, _>>>::default();
        let tasks = (0..).zip(listeners).map(|(number, listener)| {
            let asked = Arc::clone(&asked);
            tokio::spawn(async move {
                // Dropped with this task, and the connections with it.
                let mut open = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    open.spawn(serve(stream, number, addresses, Arc::clone(&asked)));
                }
            })
        });
        Self {
            addresses,
            tasks: tasks.collect(),
            asked,
        }
    }

    async fn kv(&self) -> Kv {
        let url = format!("redis-cluster://{}", self.addresses[0]);
        let mut config = RedisConfig::from_url(url);
        config.response_timeout = DEADLINE;
        let store = RedisStore::new(config).unwrap();
        Kv::builder(store).connect().await.unwrap()
    }

    fn asked(&self, server: usize, key: &str) -> usize {
        let asked = self.asked.lock();
        asked.get(&(server, key.to_owned())).copied().unwrap_or(0)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

async fn serve(
    stream: TcpStream,
    number: usize,
    addresses: [SocketAddr; 2],
    asked: Arc<Mutex<HashMap<(usize, String), usize>>>,
) {
    let mut stream = BufReader::new(stream);
    let mut asking = false;
    while let Some(command) = read(&mut stream).await {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let key = match words[..] {
            ["GET" | "SET" | "INCRBY" | "UNLINK", key, ..] => key,
            ["EVAL" | "EVALSHA", _, _, key, ..] => key.trim_start_matches("{g}"),
            _ => "",
        };
        let times = {
            let mut asked = asked.lock();
            let times = asked.entry((number, key.to_owned())).or_insert(0);
            *times += 1;
            *times
        };
        let port = addresses[1 - number].port();
        let reply = match (words[0], key.trim_end_matches(char::is_numeric), number) {
            ("HELLO", ..) => "%1\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n".to_owned(),
            ("CLUSTER", ..) => format!(
                "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:{}\r\n",
                addresses[0].port()
            ),
            (_, "lost", _) => return,
            (_, "down", _) => "-CLUSTERDOWN Hash slot not served\r\n".to_owned(),
            (_, "once", _) if times == 1 => "-CLUSTERDOWN not now\r\n".to_owned(),
            (_, "loop", _) | (_, "moved", 0) => format!("-MOVED 1 :{port}\r\n"),
            (_, "ask", 0) => format!("-ASK 1 127.0.0.1:{port}\r\n"),
            (_, "ask", _) if !asking => "-MOVED 1 127.0.0.1:1\r\n".to_owned(),
            ("EVAL" | "EVALSHA", ..) => "*2\r\n:1\r\n:1\r\n".to_owned(),
            ("GET", ..) => "$1\r\nv\r\n".to_owned(),
            ("INCRBY" | "UNLINK", ..) => ":1\r\n".to_owned(),
            _ => "+OK\r\n".to_owned(),
        };
        asking = words[0] == "ASKING";
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn redirections_are_followed_and_bounded() {
    let pair = Pair::start().await;
    let kv = pair.kv().await;
    for key in ["moved", "ask"] {
        assert_eq!(kv.get(key).await.unwrap(), Some("v".into()), "{key}");
        assert_eq!((pair.asked(0, key), pair.asked(1, key)), (1, 1), "{key}");
    }
    let error = kv.increment("loop", 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.outcome(), Outcome::NotApplied);
    let asked = pair.asked(0, "loop") + pair.asked(1, "loop");
    assert!((3..=18).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_cluster_that_is_down_is_asked_until_the_deadline() {
    let pair = Pair::start().await;
    let kv = pair.kv().await;
    let watch = Stopwatch::start();
    let error = kv.increment("down", 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert!((DEADLINE..DEADLINE * 4).contains(&watch.elapsed()));
    let asked = pair.asked(0, "down");
    assert!((3..40).contains(&asked), "{asked}");
}

#[tokio::test]
async fn what_may_have_been_executed_is_never_sent_again() {
    let pair = Pair::start().await;
    let kv = pair.kv().await;
    let error = kv.increment("lost", 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.outcome(), Outcome::Unknown);
    // The connection is restored, and nothing comes after.
    assert_eq!(kv.get("k").await.unwrap(), Some("v".into()));
    assert_eq!((pair.asked(0, "lost"), pair.asked(1, "lost")), (1, 0));
}

#[tokio::test]
async fn of_a_batch_only_what_was_sent_back_is_sent_on() {
    let pair = Pair::start().await;
    let kv = pair.kv().await;
    let keys = [
        "k1", "moved1", "k2", "ask1", "moved2", "ask2", "k3", "down1",
    ];
    let items = keys.map(|key| (key, "v"));
    let set = kv
        .set_many_with(items, SetOptions::default())
        .await
        .unwrap();
    for (key, set) in keys.iter().zip(set) {
        match set {
            Ok(applied) => assert!(applied && *key != "down1", "{key}"),
            Err(error) => assert_eq!((*key, error.outcome()), ("down1", Outcome::NotApplied)),
        }
        let expected = match key.trim_end_matches(char::is_numeric) {
            "k" => (1, 0),
            "down" => continue,
            _ => (1, 1),
        };
        assert_eq!((pair.asked(0, key), pair.asked(1, key)), expected, "{key}");
    }
}

#[tokio::test]
async fn what_a_later_command_with_its_key_has_overtaken_is_given_up() {
    let pair = Pair::start().await;
    let kv = pair.kv().await;
    // The server sends the first one back, and serves the second.
    let items = [("once", "old"), ("k", "v"), ("once", "new")];
    let set = kv
        .set_many_with(items, SetOptions::default())
        .await
        .unwrap();
    let outcomes: Vec<_> = set
        .iter()
        .map(|it| it.as_ref().err().map(kv_core::Error::outcome))
        .collect();
    assert_eq!(outcomes, [Some(Outcome::NotApplied), None, None]);
    assert_eq!(pair.asked(0, "once"), 2);
}

/// A script has several keys; that they are of one slot is what counts.
#[tokio::test]
async fn a_transaction_that_a_later_one_of_its_group_has_overtaken_is_given_up() {
    let pair = Pair::start().await;
    let kv = pair.kv().await;
    let set = |key: &str, text: &str| kv_core::Op::Set {
        key: kv_core::Key::new(key.to_owned()).unwrap(),
        content: kv_core::Value::from(text).into(),
        ttl: kv_core::Ttl::Unset,
    };
    let first = kv_core::Txn::new()
        .then(set("{g}once", "1"))
        .then(set("{g}b", "first"));
    let second = kv_core::Txn::new().then(set("{g}b", "second"));
    let answers = kv.commit([first, second]).await.unwrap();
    let outcomes: Vec<_> = answers
        .iter()
        .map(|it| it.as_ref().err().map(kv_core::Error::outcome))
        .collect();
    assert_eq!(outcomes, [Some(Outcome::NotApplied), None]);
}
