//! Four processes with a thousand callers each that miss the same entry at once: how often it is loaded, and how
//! much longer than the load the last of them waits.

use super::builder;
use kv_cache::Near;
use kv_core::{Clock, Kv, SystemClock};
use kv_redis::{RedisConfig, RedisStore};
use kv_tests::{
    bench::{Claim, Effort, Figure, Judged, Outcome, Row, Suite},
    server::Redis,
};
use std::{
    convert::Infallible,
    env,
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Builder, task::JoinSet};

const PROCESSES: usize = 4;

const CALLERS: u64 = 1_000;

const LOAD: Duration = Duration::from_millis(50);

/// The first argument of a child process.
const CHILD: &str = "--callers-of-a-cache";

pub(super) fn rows(suite: &mut Suite) {
    let claim = |name: &str, figure, target| Claim {
        name: format!("redis/cache/stampede/{name}"),
        figure,
        judged: Judged::Ours,
        target,
    };
    let loads = claim("loads", Figure::Loads, Some(1.0));
    let late = claim("late", Figure::Nanos, None);
    if !suite.want(&loads.name) && !suite.want(&late.name) {
        return;
    }
    let rounds = match suite.effort() {
        Effort::Full { pairs } => pairs,
        Effort::Smoke => 1,
    };
    let measured = || {
        let server = Redis::start();
        (0..rounds).map(|it| round(&server, it)).collect()
    };
    let measured: Outcome<Vec<_>> = measured();
    match measured {
        Ok(rounds) => {
            let (counts, nanos): (Vec<_>, Vec<_>) = rounds.into_iter().unzip();
            for (claim, figures) in [(&loads, counts), (&late, nanos)] {
                if suite.want(&claim.name) {
                    let figures = figures.into_iter().map(|it| (it, 0.0));
                    suite.report(Row::of_figures(claim, figures));
                }
            }
        }
        Err(failure) => suite.fail(&loads.name, failure),
    }
}

/// How many loads there were, and the nanoseconds from the load's end to the last answer.
fn round(server: &Redis, number: usize) -> Outcome<(f64, f64)> {
    let begin = || Process::begin(server, &format!("wanted:{number}"));
    let mut processes: Vec<Process> = (0..PROCESSES).map(|_| begin()).collect::<Outcome<_>>()?;
    for process in &mut processes {
        process.line()?;
    }
    for process in &mut processes {
        writeln!(process.child.stdin.as_mut().ok_or("it has no input")?)?;
    }
    let (mut loads, mut ended, mut last) = (0, 0, 0);
    for mut process in processes {
        let line = process.line()?;
        let numbers = line.split(' ').map(|it| Ok(it.trim().parse()?));
        let numbers: Vec<u64> = numbers.collect::<Outcome<_>>()?;
        let [its_loads, its_end, its_last] = numbers[..] else {
            return Err(format!("a process said {line:?}").into());
        };
        loads += its_loads;
        ended = ended.max(its_end);
        last = last.max(its_last);
        process.child.wait()?;
    }
    Ok((loads as f64, (last - ended) as f64))
}

struct Process {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Process {
    fn begin(server: &Redis, key: &str) -> Outcome<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args([CHILD, &server.url(), key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let says = child.stdout.take().ok_or("it has no output")?;
        Ok(Self {
            child,
            says: BufReader::new(says),
        })
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        match self.says.read_line(&mut line)? {
            0 => Err("a process has ended early".into()),
            _ => Ok(line),
        }
    }
}

/// The work of a child process, if this is one: says that it is there, asks when it reads a line, and prints how
/// often it loaded, when the load ended, and when its last caller was answered, in nanoseconds since the machine
/// was started.
pub(crate) fn child() -> Option<Outcome> {
    let args: Vec<String> = env::args().skip(1).collect();
    match &args.iter().map(|it| &**it).collect::<Vec<_>>()[..] {
        [CHILD, url, key] => Some(ask(url, key)),
        _ => None,
    }
}

fn ask(url: &str, key: &str) -> Outcome {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let store = RedisStore::new(RedisConfig::from_url(url))?;
        let kv = Kv::builder(store).connect().await?;
        let cache = builder(&kv).near(Near::megabytes(1)).build()?;
        // The connection is there, and the scripts are.
        cache.set("warm", String::new()).await?;
        cache.get_or_load("warm", super::missing).await?;
        println!("ready");
        if io::stdin().read_line(&mut String::new())? == 0 {
            return Ok(());
        }
        let loads = Arc::new(AtomicU64::new(0));
        let ended = Arc::new(AtomicU64::new(0));
        let mut asking = JoinSet::new();
        for _ in 0..CALLERS {
            let (cache, key) = (cache.clone(), key.to_owned());
            let (loads, ended) = (loads.clone(), ended.clone());
            asking.spawn(async move {
                let load = move |_| async move {
                    loads.fetch_add(1, Ordering::Relaxed);
                    SystemClock.sleep(LOAD).await;
                    ended.store(now(), Ordering::Relaxed);
                    Ok::<_, Infallible>("v".repeat(100))
                };
                cache.get_or_load(&key, load).await?;
                Outcome::Ok(now())
            });
        }
        let mut last = 0;
        while let Some(answered) = asking.join_next().await {
            last = last.max(answered??);
        }
        cache.idle().await;
        let [loads, ended] = [loads, ended].map(|it| it.load(Ordering::Relaxed));
        println!("{loads} {ended} {last}");
        Ok(())
    })
}

fn now() -> u64 {
    SystemClock.monotonic().as_nanos() as u64
}
