//! A program that asks a rate limiter. It ends with its parent.
//!
//! Arguments: the URL of the store, the quota, the tier, how many ask at the same time, and for how many
//! milliseconds they go on; 0 means that each asks once. It prints `ready` when it is connected, begins when it reads a
//! line, and then prints for each request that passed when it was asked and when it was answered, in
//! microseconds since the machine was started, and in the end `asked N errors N source=N…`.

use kv_core::{Clock, Kv, SystemClock};
use kv_etcd::EtcdStore;
use kv_ratelimit::{Policy, RateLimiter, Tier};
use kv_redis::RedisStore;
use std::{collections::BTreeMap, env, error, io, io::Write, process, thread, time::Duration};
use tokio::task::JoinSet;

type Outcome<T = ()> = Result<T, Box<dyn error::Error + Send + Sync>>;

/// How long the store may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Seen {
    passed: Vec<(Duration, Duration)>,
    asked: u64,
    errors: u64,
    sources: BTreeMap<&'static str, u64>,
}

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, quota, tier, tasks, millis] = &arguments[..] else {
        return Err("wrong arguments".into());
    };
    let builder = match url.starts_with("etcd") {
        true => Kv::builder(EtcdStore::from_url(url)?),
        false => Kv::builder(RedisStore::from_url(url)?),
    };
    let kv = builder.connect().await?;
    let tier = match &**tier {
        "strict" => Tier::Strict,
        "mirrored" => Tier::Mirrored,
        "leased" => Tier::leased(),
        _ => return Err("no such tier".into()),
    };
    let policy = Policy::new(quota.parse()?).tier(tier).deadline(PATIENCE);
    let limiter = RateLimiter::builder(&kv).policy("p", policy).build()?;
    // The connection is there, and the scripts are.
    limiter.limit("p", "warm")?.peek().await?;
    println!("ready");
    let mut line = String::new();
    if io::stdin().read_line(&mut line)? == 0 {
        return Ok(());
    }
    end_with_parent();
    let span = Duration::from_millis(millis.parse()?);
    let end = SystemClock.monotonic() + span;
    let mut asking = JoinSet::new();
    for _ in 0..tasks.parse()? {
        asking.spawn(ask(limiter.clone(), end));
    }
    let mut all = Seen::default();
    while let Some(seen) = asking.join_next().await {
        let seen = seen?;
        all.asked += seen.asked;
        all.errors += seen.errors;
        all.passed.extend(seen.passed);
        for (source, count) in seen.sources {
            *all.sources.entry(source).or_default() += count;
        }
    }
    let mut out = io::stdout().lock();
    for (asked, answered) in all.passed {
        writeln!(out, "{} {}", asked.as_micros(), answered.as_micros())?;
    }
    write!(out, "asked {} errors {}", all.asked, all.errors)?;
    for (source, count) in all.sources {
        write!(out, " {source}={count}")?;
    }
    writeln!(out)?;
    Ok(())
}

async fn ask(limiter: RateLimiter, end: Duration) -> Seen {
    let mut seen = Seen::default();
    loop {
        let asked = SystemClock.monotonic();
        let decision = limiter.check("p", "hot").await;
        let answered = SystemClock.monotonic();
        seen.asked += 1;
        match decision {
            Ok(decision) => {
                *seen.sources.entry(decision.source.name()).or_default() += 1;
                if decision.is_allowed() {
                    seen.passed.push((asked, answered));
                } else if seen.asked.is_multiple_of(64) {
                    // Denials that need no store never yield.
                    tokio::task::yield_now().await;
                }
            }
            Err(error) => {
                eprintln!("{error}");
                seen.errors += 1;
            }
        }
        if answered >= end {
            return seen;
        }
    }
}

/// Its input is a pipe that the parent holds.
fn end_with_parent() {
    thread::spawn(|| {
        let mut line = String::new();
        while io::stdin().read_line(&mut line).is_ok_and(|it| it > 0) {}
        process::exit(3);
    });
}
