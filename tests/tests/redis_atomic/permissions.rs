//! Users who may not run some of the commands of a script: whatever it is, nothing is applied.

use crate::{hincrement, increment, key, open, set, zadd};
use kv_core::{
    Error, ErrorKind, Expiry, Fate, Guard, Kv, Lifetime, Op, Outcome, Read, RelativeScore, Rule,
    Score, SetOptions, Throttle, ThrottleMode, Timestamp, Ttl, Txn, Value, When, ZMove,
};
use kv_redis::redis;
use kv_tests::{patience, server::Redis};
use redis::aio::MultiplexedConnection;
use std::time::Duration;

const FAR: Timestamp = Timestamp::from_micros(4_000_000_000_000_000);

fn within() -> Lifetime {
    Lifetime::try_from(Duration::from_secs(9)).unwrap()
}

/// A server, its contents, and a user with few rights.
struct Site {
    server: Redis,
    admin: Kv,
    connection: MultiplexedConnection,
}

impl Site {
    async fn start() -> Self {
        let (server, admin) = open().await;
        let connection = admin.native().unwrap();
        let site = Self {
            server,
            admin,
            connection,
        };
        site.ask::<redis::Value>("ACL SETUSER ann on nopass ~* &* +@all")
            .await;
        site
    }

    async fn ask<T: redis::FromRedisValue>(&self, words: &str) -> T {
        let mut command = redis::Cmd::new();
        words.split(' ').for_each(|word| {
            command.arg(word);
        });
        command
            .query_async(&mut self.connection.clone())
            .await
            .unwrap()
    }

    async fn forbid(&self, command: &str) {
        self.ask::<redis::Value>(&format!("ACL SETUSER ann -{command}"))
            .await;
    }

    async fn permit(&self, command: &str) {
        self.ask::<redis::Value>(&format!("ACL SETUSER ann +{command}"))
            .await;
    }

    async fn ann(&self) -> Kv {
        let uri = format!("redis://ann:any@{}", self.server.address());
        let store = patience::redis(&uri);
        Kv::builder(store).connect().await.unwrap()
    }

    /// All that the server holds.
    async fn contents(&self) -> Vec<(Vec<u8>, Vec<u8>, i64)> {
        let mut keys: Vec<Vec<u8>> = self.ask("KEYS *").await;
        keys.sort();
        let mut contents = Vec::new();
        for name in keys {
            let about = async |command: &str| {
                let mut command = redis::cmd(command);
                command.arg(&name);
                command.query_async(&mut self.connection.clone()).await
            };
            let (dump, deadline) = (about("DUMP").await, about("PEXPIRETIME").await);
            let read = |it: redis::Value| redis::from_redis_value(it).unwrap();
            let deadline = redis::from_redis_value(deadline.unwrap()).unwrap();
            contents.push((name.clone(), read(dump.unwrap()), deadline));
        }
        contents
    }
}

fn assert_denied(error: &Error, command: &str) {
    let told = (error.kind(), error.outcome());
    let expected = (ErrorKind::Denied, Outcome::Final);
    assert_eq!(told, expected, "{command}: {error}");
    assert!(error.to_string().contains("ACL"), "{command}: {error}");
}

/// Steps of every kind, and the command that is forbidden.
fn steps() -> Vec<(&'static str, Vec<Op>)> {
    let at = |name: &str, ttl_if_created: Ttl| Op::Increment {
        key: key(name),
        by: 1,
        ttl_if_created,
    };
    let expire = |expiry| Op::Expire {
        key: key("s"),
        expiry,
    };
    let fields = || vec!["f".into(), "g".into()];
    vec![
        ("set", vec![set("text", "v")]),
        ("unlink", vec![Op::Delete { key: key("s") }]),
        ("incrby", vec![increment("n", 1)]),
        ("pexpireat", vec![at("new", Ttl::At(FAR))]),
        ("pexpire", vec![at("new", Ttl::In(within()))]),
        ("pexpireat", vec![expire(Expiry::At(FAR))]),
        ("pexpire", vec![expire(Expiry::In(within()))]),
        ("persist", vec![Op::Persist { key: key("s") }]),
        ("hincrby", vec![hincrement("h", 1)]),
        (
            "hset",
            vec![Op::HSet {
                key: key("h"),
                fields: vec![("x".into(), Value::from("v").into())],
            }],
        ),
        (
            "hdel",
            vec![Op::HDel {
                key: key("h"),
                fields: fields(),
            }],
        ),
        (
            "hset",
            vec![
                Op::HSet {
                    key: key("h"),
                    fields: Vec::new(),
                },
                Op::HSet {
                    key: key("h"),
                    fields: vec![
                        ("x".into(), Value::from("v").into()),
                        ("y".into(), Value::from("v").into()),
                    ],
                },
            ],
        ),
        ("zadd", vec![zadd("z", &[("x", 1.0)])]),
        ("zadd", vec![zadd("z", &[("x", 1.0), ("y", 2.0)])]),
        (
            "zrem",
            vec![Op::ZRem {
                key: key("z"),
                members: vec!["m".into()],
            }],
        ),
        (
            "set",
            vec![Op::NextToken {
                key: key("token"),
                ttl: Ttl::Never,
            }],
        ),
        // What is read after it was written.
        (
            "zscore",
            vec![
                zadd("z", &[("x", 1.0)]),
                Op::from(Read::ZScore {
                    key: key("z"),
                    member: "x".into(),
                }),
            ],
        ),
        // What an exact answer may take.
        ("get", vec![increment("long", 1)]),
        ("hget", vec![hincrement("longer", 1)]),
    ]
}

async fn fill(kv: &Kv) {
    kv.set(key("s"), "v").await.unwrap();
    kv.set(key("n"), "1").await.unwrap();
    kv.set(key("long"), "9007199254740993").await.unwrap();
    kv.hset_many(key("h"), [("f", "1"), ("g", "2")])
        .await
        .unwrap();
    kv.hset(key("longer"), "f", "9007199254740993")
        .await
        .unwrap();
    kv.zadd(key("z"), [("m", 1), ("n", 2)]).await.unwrap();
}

#[tokio::test]
async fn a_transaction_is_denied_whole_whichever_command_is_forbidden() {
    let site = Site::start().await;
    fill(&site.admin).await;
    let before = site.contents().await;
    // Its rights change while it is connected.
    let ann = site.ann().await;
    for (command, steps) in steps() {
        site.forbid(command).await;
        let other = match command {
            "hset" => zadd("other", &[("m", 1.0), ("n", 1.0)]),
            _ => Op::HSet {
                key: key("other"),
                fields: vec![
                    ("f".into(), Value::from("v").into()),
                    ("g".into(), Value::from("v").into()),
                ],
            },
        };
        let steps = || steps.iter().cloned();
        let last = steps().fold(Txn::new().then(other.clone()), Txn::then);
        let first = steps().fold(Txn::new(), Txn::then).then(other);
        let alone = steps().fold(Txn::new(), Txn::then);
        for txn in [last, first, alone] {
            for count in [1, 3] {
                let replies = ann.commit(vec![txn.clone(); count]).await.unwrap();
                for reply in replies {
                    assert_denied(&reply.unwrap_err(), command);
                }
                assert!(site.contents().await == before, "{command}: {txn:?}");
            }
            // Where nothing is to be done, nothing is forbidden.
            let refused = txn.when(Guard::exists(key("no")));
            assert!(!ann.commit_one(refused).await.unwrap().applied, "{command}");
        }
        site.permit(command).await;
    }
    for (command, steps) in steps() {
        let txn = steps.into_iter().fold(Txn::new(), Txn::then);
        assert!(ann.commit_one(txn).await.unwrap().applied, "{command}");
    }
}

#[tokio::test]
async fn a_move_is_denied_whole_whichever_command_is_forbidden() {
    let site = Site::start().await;
    let [ready, late, lease, body, tries] = ["ready", "late", "lease", "body", "tries"].map(key);
    let admin = &site.admin;
    // The second source has a member of the first.
    admin.zadd(&ready, [("a", 1), ("b", 2)]).await.unwrap();
    admin.zadd(&late, [("a", 1), ("c", 2)]).await.unwrap();
    for hash in [&body, &tries] {
        let fields = [("a", "1"), ("b", "9007199254740993"), ("c", "3")];
        admin.hset_many(hash, fields).await.unwrap();
    }
    let before = site.contents().await;
    let ann = site.ann().await;
    let step = ZMove::new(9)
        .from_counted(&ready, Score::MAX, &tries)
        .from(&late, Score::MAX)
        .to(&lease, RelativeScore::after(Duration::from_secs(60)))
        .with(&body, Fate::Take);
    for command in [
        "zremrangebyrank",
        "zrem",
        "zadd",
        "hset",
        "hincrby",
        "hget",
        "hdel",
        "hmget",
        "zrange",
    ] {
        site.forbid(command).await;
        let error = ann.zmove(step.clone()).await.unwrap_err();
        assert_denied(&error, command);
        // What is asked before the first write is told by name; reads fail by themselves.
        let name = format!("command {};", command.to_uppercase());
        let is_named = error.to_string().contains(&name);
        assert_eq!(is_named, !["hmget", "zrange"].contains(&command), "{error}");
        assert!(site.contents().await == before, "{command}");
        site.permit(command).await;
    }
    assert_eq!(ann.zmove(step).await.unwrap().members.len(), 3);
}

#[tokio::test]
async fn what_else_takes_several_commands_is_denied_whole() {
    let site = Site::start().await;
    fill(&site.admin).await;
    let fixed = || Rule::fixed(5, Duration::from_secs(86_400)).unwrap();
    let both = Throttle::new()
        .limit(key("used"), fixed())
        .limit(key("unused"), fixed());
    // One is left in use, and giving back deletes the other.
    let debit = Throttle::new().limit(key("used"), fixed()).cost(3);
    for debit in [debit, both.clone()] {
        assert!(site.admin.throttle(debit).await.unwrap().allowed);
    }
    let refund = both.mode(ThrottleMode::Refund);
    let before = site.contents().await;
    let ann = site.ann().await;
    let until = Ttl::At(FAR);
    for command in ["incrby", "get", "pexpireat"] {
        site.forbid(command).await;
        let error = ann.increment_with(key("new"), 1, until).await.unwrap_err();
        assert_denied(&error, command);
        assert!(site.contents().await == before, "{command}");
        site.permit(command).await;
    }
    for command in ["incrby", "set"] {
        site.forbid(command).await;
        let error = ann
            .increment_with(key("new"), 1, Ttl::In(within()))
            .await
            .unwrap_err();
        assert_denied(&error, command);
        assert!(site.contents().await == before, "{command}");
        site.permit(command).await;
    }
    for command in ["get", "set"] {
        site.forbid(command).await;
        let options = SetOptions::from(When::IfValue("v".into()));
        let error = ann.set_with(key("s"), "w", options).await.unwrap_err();
        assert_denied(&error, command);
        site.permit(command).await;
    }
    for command in ["zrange", "zremrangebyrank"] {
        site.forbid(command).await;
        let error = ann.zpopbyscore(key("z"), Score::MAX).await.unwrap_err();
        assert_denied(&error, command);
        site.permit(command).await;
    }
    for command in ["set", "del"] {
        site.forbid(command).await;
        let error = ann.throttle(refund.clone()).await.unwrap_err();
        assert_denied(&error, command);
        site.permit(command).await;
    }
    assert!(site.contents().await == before);
    assert!(ann.throttle(refund).await.unwrap().allowed);
}
