//! What tasks cost the server: room, scripts that hold up everybody else, and commands while nothing
//! happens.

use crate::figures::{at_most, report};
use kv_core::{Clock, Kv, SystemClock};
use kv_redis::{RedisConfig, RedisStore};
use kv_tests::{
    bench::{Claim, Effort, Figure, Outcome, Suite},
    noop::Backlog,
    server::Redis,
};
use redis::Commands;
use std::{
    collections::HashMap,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};

/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(20);

/// What scripts and connections take that the server keeps.
const KEPT: f64 = 1e6;

pub(super) fn rows(suite: &mut Suite) {
    let (many, burst) = (suite.amount(1_000_000), suite.amount(50_000));
    let idle = match suite.effort() {
        Effort::Full { .. } => IDLE,
        Effort::Smoke => Duration::from_millis(100),
    };
    // A megabyte of a million tasks is a byte of one.
    let claim = Claim::megabytes("redis/scheduler/size/1000000", 400.0);
    report(suite, &claim, 1, || size(many));
    let claim = at_most("redis/scheduler/burst/slowest", Figure::Nanos, 2e6);
    report(suite, &claim, 5, || slowest(burst));
    let claim = at_most("redis/scheduler/idle", Figure::Rate, 2.0);
    report(suite, &claim, 1, || commands(idle));
}

/// Bytes that a pending task takes.
fn size(tasks: u64) -> Outcome<f64> {
    let stage = Stage::open()?;
    stage.run.block_on(stage.backlog.fill(1))?;
    let before = stage.used()?;
    stage.run.block_on(stage.backlog.fill(tasks))?;
    let taken = stage.used()? - before;
    stage.run.block_on(stage.backlog.drain(tasks + 1))?;
    // What scripts and hash tables keep is not the tasks'.
    let left = (stage.used()? - before).max(0.0);
    if left > taken / 50.0 + KEPT {
        return Err(format!("{left} of {taken} bytes are left of tasks that are done").into());
    }
    Ok(taken / tasks as f64)
}

/// Nanoseconds of the slowest script while tasks are done that are all due at once.
fn slowest(tasks: u64) -> Outcome<f64> {
    let stage = Stage::open()?;
    stage.run.block_on(stage.backlog.fill(tasks))?;
    let mut control = stage.control()?;
    let () = redis::cmd("SLOWLOG").arg("RESET").query(&mut control)?;
    let () = redis::cmd("CONFIG")
        .arg(&[
            "SET",
            "slowlog-log-slower-than",
            "100",
            "slowlog-max-len",
            "100000",
        ])
        .query(&mut control)?;
    stage.run.block_on(stage.backlog.drain(tasks))?;
    let log: Vec<Vec<redis::Value>> = redis::cmd("SLOWLOG")
        .arg(&["GET", "-1"])
        .query(&mut control)?;
    let micros = log.iter().filter_map(|entry| match entry.get(2) {
        Some(redis::Value::Int(micros)) => Some(*micros),
        _ => None,
    });
    Ok(micros.max().unwrap_or(100) as f64 * 1e3)
}

/// Commands a second that a worker sends which has nothing to do.
fn commands(span: Duration) -> Outcome<f64> {
    let stage = Stage::open()?;
    stage.run.block_on(async {
        let rest = async {
            // What it sends when it begins is not what it costs to have one.
            SystemClock.sleep(span / 10).await;
            let seen = Seen::begin(&stage.server)?;
            SystemClock.sleep(span).await;
            Outcome::Ok(seen.end()? as f64 / span.as_secs_f64())
        };
        tokio::select! {
            rate = rest => rate,
            ended = stage.backlog.do_some(u64::MAX) => {
                ended?;
                Err("the worker has ended".into())
            }
        }
    })
}

struct Stage {
    run: Runtime,
    backlog: Backlog,
    server: Redis,
}

impl Stage {
    fn open() -> Outcome<Self> {
        let server = Redis::start();
        let run = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let store = RedisStore::new(RedisConfig::from_url(server.url()))?;
        let kv = run.block_on(Kv::builder(store).connect())?;
        Ok(Self {
            backlog: Backlog::new(&kv, "costs")?,
            run,
            server,
        })
    }

    fn control(&self) -> Outcome<redis::Connection> {
        Ok(redis::Client::open(self.server.url())?.get_connection()?)
    }

    fn used(&self) -> Outcome<f64> {
        let facts: HashMap<String, String> = self.facts("memory")?;
        Ok(facts
            .get("used_memory")
            .ok_or("the server does not tell its memory")?
            .parse()?)
    }

    fn facts(&self, section: &str) -> Outcome<HashMap<String, String>> {
        let mut control = self.control()?;
        let () = control.ping()?;
        let told: String = redis::cmd("INFO").arg(section).query(&mut control)?;
        let facts = told.lines().filter_map(|line| line.split_once(':'));
        Ok(facts
            .map(|(name, fact)| (name.to_owned(), fact.trim().to_owned()))
            .collect())
    }
}

/// What the server tells of the commands that clients send, those that scripts run left out.
struct Seen(TcpStream);

impl Seen {
    fn begin(server: &Redis) -> Outcome<Self> {
        let url = server.url();
        let address = url.trim_start_matches("redis://");
        let address = address.split('/').next().unwrap_or(address);
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"MONITOR\r\n")?;
        Ok(Self(stream))
    }

    fn end(self) -> Outcome<usize> {
        let Self(stream) = self;
        // All that was told is there by now; the end of it is a read that finds nothing more.
        stream.set_nonblocking(true)?;
        let mut told = Vec::new();
        match (&stream).read_to_end(&mut told) {
            Ok(_) => return Err("the server has ended".into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        let told = String::from_utf8_lossy(&told);
        let lines = told.lines().filter(|line| line.contains(" [0 "));
        Ok(lines.filter(|line| !line.contains(" [0 lua] ")).count())
    }
}
