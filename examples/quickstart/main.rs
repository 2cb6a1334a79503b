//! Schedules a list of tasks on any store and runs them in due order, for several tenants at once.
//!
//! ```text
//! cargo run --release --example quickstart                     # in memory, no server
//! cargo run --release --example quickstart -- --store default_redis
//! cargo xtask example quickstart --store default_etcd          # with the feature, and a server
//! cargo run --release --example quickstart -- my-tasks.jsonl   # or `-` for standard input
//! ```

mod journal;
mod report;
mod tasks;
mod work;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use kv_core::{Context, Kv, Stopwatch, TimeToLive};
use kv_factory::Factory;
use std::{
    collections::BTreeMap,
    error::Error,
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    process::ExitCode,
};
use tasks::Task;

/// Runs a list of tasks on a store and checks that each ran once, in time and in order.
#[derive(Parser)]
struct Args {
    /// The task list in JSON lines, `-` for standard input; 10,000 tasks come along.
    tasks: Option<PathBuf>,
    /// The store, by its name in the settings.
    #[arg(long, default_value = "default_local")]
    store: String,
    /// The settings.
    #[arg(long)]
    config: Option<PathBuf>,
    /// How many workers run tasks.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    workers: u16,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(it) = cause {
                eprintln!("  caused by: {it}");
                cause = it.source();
            }
            if error.downcast_ref().is_some_and(is_unreachable) {
                eprintln!(
                    "a server of your own is named by KV_REDIS_URL or KV_ETCD_URL; `cargo xtask example quickstart --store NAME` brings one along"
                );
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<bool, Box<dyn Error>> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = args
        .config
        .unwrap_or_else(|| home.join("../config/settings.toml"));
    let factory = Factory::from_file(config)?;
    let kv = factory.open(&args.store).await?;

    let start = kv.now().await?;
    let list = args
        .tasks
        .unwrap_or_else(|| home.join("quickstart/tasks.jsonl"));
    let (name, input): (_, Box<dyn io::BufRead>) = if list.as_os_str() == "-" {
        ("standard input".to_owned(), Box::new(io::stdin().lock()))
    } else {
        let name = list.display().to_string();
        let file = File::open(&list).map_err(|error| format!("{name}: {error}"))?;
        (name, Box::new(BufReader::new(file)))
    };
    let (tasks, bad) = tasks::read(input, start)?;
    for line in &bad {
        eprintln!("{name}, {line}");
    }

    let keys = work::Keys::of_run(start);
    work::schedule(&kv, &keys, &tasks).await?;
    let watch = Stopwatch::start();
    let journal = run_workers(&kv, &keys, &tasks, args.workers).await?;
    let took = watch.elapsed();

    let faults = journal::check(&tasks, &journal);
    let mut counted = BTreeMap::new();
    for tenant in tenants(&tasks) {
        let own = kv.bind(Context::tenant(tenant.clone()));
        counted.insert(tenant, own.increment(keys.done(), 0).await?);
    }
    let well = report::print(&report::Run {
        stack: format!("{kv:?}"),
        tasks: &tasks,
        journal: &journal,
        faults: &faults,
        counted: &counted,
        took,
        sample: sample(&kv, &keys, &journal).await?,
        bad_lines: bad.len(),
    });
    factory.close_all().await;
    Ok(well)
}

async fn run_workers(
    kv: &Kv,
    keys: &work::Keys,
    tasks: &[Task],
    workers: u16,
) -> Result<Vec<journal::Entry>, Box<dyn Error>> {
    let bar = ProgressBar::new(tasks.len() as u64);
    bar.set_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} tasks, {per_sec}",
    )?);
    let mut running = tokio::task::JoinSet::new();
    for worker in 0..usize::from(workers) {
        let bar = bar.clone();
        let ran = move |count| bar.inc(count);
        let (kv, keys, tenants) = (kv.clone(), keys.clone(), tenants(tasks));
        running.spawn(work::work(kv, keys, tenants, worker, ran));
    }
    let mut journal = Vec::with_capacity(tasks.len());
    while let Some(worker) = running.join_next().await {
        journal.extend(worker??);
    }
    bar.finish_and_clear();
    Ok(journal)
}

/// Where one of the results lies on the store, and how long it still lives.
async fn sample(
    kv: &Kv,
    keys: &work::Keys,
    journal: &[journal::Entry],
) -> kv_core::Result<Option<(kv_core::PhysicalKey, std::time::Duration)>> {
    let Some(entry) = journal.last() else {
        return Ok(None);
    };
    let own = kv.bind(Context::tenant(entry.tenant.clone()));
    let key = keys.result(&entry.id);
    let left = match own.time_to_live(&key).await? {
        TimeToLive::In(left) => left,
        TimeToLive::Missing | TimeToLive::NoExpiry => return Ok(None),
    };
    Ok(Some((own.resolve(&key)?, left)))
}

fn tenants(tasks: &[Task]) -> Vec<String> {
    let tenants: std::collections::BTreeSet<_> = tasks.iter().map(|it| &it.tenant).collect();
    tenants.into_iter().cloned().collect()
}

fn is_unreachable(error: &kv_core::Error) -> bool {
    error.kind() == kv_core::ErrorKind::Unavailable
}
