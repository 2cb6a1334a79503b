//! The command `kv` on a real server: in this process, and as one.

#![allow(clippy::unwrap_used, reason = "a test")]

mod cache;
mod limits;
mod locks;
mod tasks;

use kv_cli::Exit;
use kv_core::{Key, Kv};
use kv_tests::{patience, server::Redis};
use serde_json::{Value as Json, json};
use std::{
    io::{BufRead, BufReader, Lines, Read},
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio},
};

/// What a command answered.
struct Answer {
    exit: Exit,
    out: String,
    err: String,
}

impl Answer {
    fn json(&self) -> Vec<Json> {
        let lines = self.out.lines();
        lines.map(|it| serde_json::from_str(it).unwrap()).collect()
    }
}

async fn kv(server: &Redis, args: &[&str]) -> Answer {
    kv_at(&server.url(), args).await
}

async fn kv_at(url: &str, args: &[&str]) -> Answer {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let all = [&["kv", "--url", url], args].concat();
    let exit = kv_cli::run(all, &mut out, &mut err).await;
    Answer {
        exit,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}

async fn connected(server: &Redis) -> Kv {
    let store = patience::redis(&server.url());
    Kv::builder(store).connect().await.unwrap()
}

#[tokio::test]
async fn strings() {
    let server = Redis::start();
    let told = async |args: &[&str]| {
        let answer = kv(&server, args).await;
        assert_eq!(answer.err, "", "{args:?}");
        (answer.exit, answer.out)
    };
    let found = |out: &str| (Exit::Found, out.to_owned());
    let absent = |out: &str| (Exit::Absent, out.to_owned());

    assert_eq!(told(&["get", "a"]).await, absent(""));
    assert_eq!(
        told(&["set", "a", "one\ntwo", "--ttl", "30s"]).await,
        found("ok\n")
    );
    assert_eq!(told(&["get", "a"]).await, found("one\ntwo\n"));
    assert_eq!(told(&["get", "a", "--raw"]).await, found("one\ntwo"));
    let ttl = told(&["ttl", "a"]).await;
    assert!(ttl.1.starts_with("29s") || ttl.1 == "30s\n", "{ttl:?}");
    assert_eq!(
        told(&["set", "a", "2", "--if-absent"]).await,
        absent("refused; the key has one\\ntwo\n")
    );
    assert_eq!(
        told(&["set", "a", "2", "--if-value", "one\ntwo", "--no-ttl"]).await,
        found("ok\n")
    );
    assert_eq!(told(&["ttl", "a"]).await, found("no expiry\n"));
    assert_eq!(told(&["incr", "a", "-5"]).await, found("-3\n"));
    assert_eq!(told(&["del", "a", "b"]).await, found("1 deleted\n"));
    assert_eq!(told(&["del", "a", "b"]).await, absent("0 deleted\n"));
    assert_eq!(told(&["ttl", "a"]).await, absent("missing\n"));
}

#[tokio::test]
async fn structures_and_ranges() {
    let server = Redis::start();
    let store = connected(&server).await;
    store
        .hset_many("h", [("f", "1"), ("a", "2")])
        .await
        .unwrap();
    store.zadd("z", [("soon", 10), ("late", 30)]).await.unwrap();
    store
        .set(Key::new(&b"s:\xff"[..]).unwrap(), "x")
        .await
        .unwrap();

    let hash = kv(&server, &["hgetall", "h"]).await;
    let rows: Vec<_> = hash.out.lines().map(|it| it.split_whitespace()).collect();
    assert!(
        rows.iter().cloned().any(|it| it.eq(["a", "2"])),
        "{}",
        hash.out
    );
    let hash = kv(&server, &["hgetall", "h", "--json"]).await;
    assert_eq!(
        hash.json(),
        [
            json!({"field": "a", "value": "2"}),
            json!({"field": "f", "value": "1"})
        ]
    );
    let by_score = ["zrange", "z", "(10", "inf", "--by-score", "--rev", "--json"];
    assert_eq!(
        kv(&server, &by_score).await.json(),
        [json!({"member": "late", "score": 30})]
    );
    assert_eq!(
        kv(&server, &["zrange", "z", "0", "-1", "--json"])
            .await
            .json()
            .len(),
        2
    );
    assert_eq!(kv(&server, &["zrange", "z", "5"]).await.exit, Exit::Absent);
    assert_eq!(
        kv(&server, &["hgetall", "nothing"]).await.exit,
        Exit::Absent
    );

    assert_eq!(
        kv(&server, &["--json", "scan", "s:"]).await.json(),
        [json!({"key": {"base64": "czr/"}})]
    );
    assert_eq!(kv(&server, &["scan", "s:"]).await.out, "s:\\xff\n");
    assert_eq!(
        kv(&server, &["scan", "--limit", "2"])
            .await
            .out
            .lines()
            .count(),
        2
    );
    assert_eq!(kv(&server, &["scan", "nothing"]).await.exit, Exit::Absent);
    store.close().await;
}

#[tokio::test]
async fn errors_tell_the_remedy() {
    let mut server = Redis::start();
    connected(&server).await.hset("h", "f", "1").await.unwrap();
    let wrong = kv(&server, &["get", "h"]).await;
    assert_eq!((wrong.exit, &*wrong.out), (Exit::Failed, ""));
    assert!(
        wrong.err.contains("get `h`") && wrong.err.contains("hgetall for hashes"),
        "{}",
        wrong.err
    );
    server.kill();
    let gone = kv(&server, &["get", "h"]).await;
    assert_eq!((gone.exit, &*gone.out), (Exit::Failed, ""));
    assert!(gone.err.contains("is the server running"), "{}", gone.err);
    server.restart();
}

#[tokio::test]
async fn a_wait_is_over_when_its_keys_are_there() {
    let server = Redis::start();
    let writer = connected(&server).await;
    let over = kv(
        &server,
        &["wait", "r:0/ready", "--timeout", "50ms", "--json"],
    )
    .await;
    assert_eq!((over.exit, &*over.out), (Exit::Absent, ""));
    assert!(
        over.err.contains("wait_for_key `r:0/ready`: nothing came"),
        "{}",
        over.err
    );

    let keys = ["wait", "--keys", "r:*/ready", "--count", "2", "--json"];
    let (waited, ()) = tokio::join!(kv(&server, &keys), async {
        writer.set("r:0/ready", "1").await.unwrap();
        writer.set("r:1/other", "1").await.unwrap();
        writer.set("r:1/ready", "1").await.unwrap();
    });
    assert_eq!(waited.exit, Exit::Found, "{}", waited.err);
    assert_eq!(
        waited.json(),
        [json!({"key": "r:0/ready"}), json!({"key": "r:1/ready"})]
    );

    let value = ["wait", "v", "--value", "go", "--json"];
    let (waited, ()) = tokio::join!(kv(&server, &value), async {
        writer.set("v", "stop").await.unwrap();
        writer.set("v", "go").await.unwrap();
    });
    assert_eq!(
        waited.json(),
        [json!({"key": "v", "value": "go"})],
        "{}",
        waited.err
    );
}

/// The program as a process, reading what it prints.
struct Program {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    err: BufReader<ChildStderr>,
}

impl Program {
    /// Starts a watch, which is live when this returns.
    fn watch(server: &Redis, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kv-for-tests"))
            .args(["--url", &server.url(), "watch"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let mut note = String::new();
        err.read_line(&mut note).unwrap();
        assert!(note.starts_with("watching"), "{note}");
        Self { child, out, err }
    }

    fn line(&mut self) -> String {
        self.out.next().unwrap().unwrap()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", r#"kill -s "$0" "$1""#, name, &id])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end; what it still had to say.
    fn end(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.err.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), rest)
    }
}

#[tokio::test]
async fn a_watch_prints_each_event_at_once_and_ends_by_ctrl_c() {
    let server = Redis::start();
    let mut program = Program::watch(&server, &["a", "b", "--json"]);
    let line = |program: &mut Program| serde_json::from_str::<Json>(&program.line()).unwrap();

    assert_eq!(kv(&server, &["set", "a", "1"]).await.exit, Exit::Found);
    let put = line(&mut program);
    assert_eq!((&put["event"], &put["key"]), (&json!("put"), &json!("a")));
    kv(&server, &["set", "other", "1"]).await;
    kv(&server, &["del", "a"]).await;
    assert_eq!(line(&mut program), json!({"event": "delete", "key": "a"}));
    program.signal("INT");
    let (status, rest) = program.end();
    assert_eq!((status.code(), &*rest), (Some(0), ""));
}

#[tokio::test]
async fn a_watch_of_a_channel_prints_every_message() {
    let server = Redis::start();
    let mut program = Program::watch(&server, &["--channel", "news", "--events", "2"]);
    for payload in ["one", "two"] {
        assert_eq!(
            kv(&server, &["notify", "news", payload]).await.out,
            "sent\n"
        );
    }
    assert_eq!(program.line(), "message  news  one");
    assert_eq!(program.line(), "message  news  two");
    let (status, rest) = program.end();
    assert_eq!((status.code(), &*rest), (Some(0), ""));
}

#[tokio::test]
async fn a_broken_pipe_ends_a_watch_quietly() {
    let server = Redis::start();
    let mut program = Program::watch(&server, &["--prefix", "p:"]);
    kv(&server, &["set", "p:1", "1"]).await;
    assert!(program.line().starts_with("put      p:1"));
    let Program {
        mut child,
        out,
        mut err,
    } = program;
    drop(out);
    kv(&server, &["set", "p:2", "2"]).await;
    let mut rest = String::new();
    err.read_to_string(&mut rest).unwrap();
    assert_eq!((child.wait().unwrap().code(), &*rest), (Some(0), ""));
}
