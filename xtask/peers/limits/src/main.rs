//! Rate limits, asked of the store each time, against rate-limiter-flexible on Node and limits on Python, on
//! the same server: one caller, and 64 of them. The peers' scripts time themselves, so that starting them
//! does not count.

use kv_core::Kv;
use kv_ratelimit::{Policy, Quota, RateLimiter, Tier};
use kv_redis::RedisStore;
use kv_tests::{
    bench::{Claim, Effort, Outcome, Row, Suite},
    server::Redis,
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

const CALLS: u64 = 20_000;
const SUBJECTS: u64 = 1_000;

fn main() -> Outcome<ExitCode> {
    let mut suite = Suite::begin()?;
    for (peer, tasks, target) in [
        (Peer::Flexible, 1, 1.25),
        (Peer::Flexible, 64, 1.25),
        (Peer::Limits, 1, 8.0),
        (Peer::Limits, 64, 8.0),
    ] {
        let claim = Claim::ratio(format!("limits/{}/{tasks}", peer.name()), target);
        if !suite.want(&claim.name) {
            continue;
        }
        match rounds(&suite, peer, tasks) {
            Ok(figures) => suite.report(Row::of_figures(&claim, figures)),
            Err(failure) => suite.fail(&claim.name, failure),
        }
    }
    Ok(suite.end())
}

#[derive(Clone, Copy)]
enum Peer {
    Flexible,
    Limits,
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::Flexible => "rate_limiter_flexible",
            Self::Limits => "limits_py",
        }
    }

    /// What runs the script, and the script.
    fn script(self) -> Outcome<(PathBuf, PathBuf)> {
        match self {
            Self::Flexible => flexible(),
            Self::Limits => limits(),
        }
    }
}

/// Questions a second, ours and theirs.
fn rounds(suite: &Suite, peer: Peer, tasks: u64) -> Outcome<Vec<(f64, f64)>> {
    let (program, script) = peer.script()?;
    let calls = suite.amount(CALLS).max(tasks);
    let rounds = match suite.effort() {
        Effort::Full { pairs } => pairs,
        Effort::Smoke => 1,
    };
    let server = Redis::start();
    let run = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut figures = Vec::new();
    for _ in 0..rounds {
        let ours = ours(&run, &server, tasks, calls)?;
        let told = Command::new(&program)
            .arg(&script)
            .args([server.url(), tasks.to_string(), calls.to_string()])
            .output()?;
        if !told.status.success() {
            return Err(String::from_utf8_lossy(&told.stderr).into_owned().into());
        }
        let seconds: f64 = String::from_utf8(told.stdout)?.trim().parse()?;
        figures.push((ours, calls as f64 / seconds));
    }
    Ok(figures)
}

fn ours(run: &Runtime, server: &Redis, tasks: u64, calls: u64) -> Outcome<f64> {
    run.block_on(async {
        let kv = Kv::builder(RedisStore::from_url(&server.url())?)
            .connect()
            .await?;
        let quota = Quota::gcra(1_000_000, Duration::from_secs(60), 1_000_000)?;
        let policy = Policy::new(quota).tier(Tier::Strict);
        let limiter = RateLimiter::builder(&kv)
            .policy("p", policy.deadline(LONG))
            .build()?;
        // What is done once does not count for the peers either.
        limiter.check("p", "warm").await?;
        let begun = Instant::now();
        let mut asking = JoinSet::new();
        for task in 0..tasks {
            let limiter = limiter.clone();
            asking.spawn(async move {
                for turn in 0..calls / tasks {
                    let subject = format!("user:{}", (task * 7919 + turn) % SUBJECTS);
                    if !limiter.check("p", subject).await?.is_allowed() {
                        return Err("denied".into());
                    }
                }
                Outcome::Ok(())
            });
        }
        while let Some(asked) = asking.join_next().await {
            asked??;
        }
        Ok(calls as f64 / begun.elapsed().as_secs_f64())
    })
}

const LONG: Duration = Duration::from_secs(10);

/// The peers' own directory in the target.
fn place(name: &str) -> Outcome<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").ok_or("CARGO_TARGET_DIR must be set")?;
    let place = PathBuf::from(target).join(name);
    fs::create_dir_all(&place)?;
    Ok(place)
}

fn flexible() -> Outcome<(PathBuf, PathBuf)> {
    let place = place("rate-limiter-flexible")?;
    let script = place.join("flexible.mjs");
    fs::write(&script, include_str!("flexible.mjs"))?;
    let package = r#"{"private":true,"type":"module",
        "dependencies":{"rate-limiter-flexible":"11.4.0","ioredis":"5.8.2"}}"#;
    fs::write(place.join("package.json"), package)?;
    let options = ["install", "--no-audit", "--no-fund", "--silent"];
    done(Command::new("npm").current_dir(&place).args(options))?;
    Ok(("node".into(), script))
}

fn limits() -> Outcome<(PathBuf, PathBuf)> {
    let place = place("limits-py")?;
    let script = place.join("limits_peer.py");
    fs::write(&script, include_str!("limits_peer.py"))?;
    let home = place.join("venv");
    let python = home.join("bin").join("python");
    if !python.is_file() {
        done(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
    }
    let packages = ["limits[redis,async-redis]==5.8.0"];
    done(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet"])
            .args(packages),
    )?;
    Ok((Path::new(&python).to_owned(), script))
}

fn done(command: &mut Command) -> Outcome {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}
