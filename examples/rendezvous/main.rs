//! Processes meet at a barrier: nobody goes on before everybody is there, and nobody polls.
//!
//! ```text
//! cargo run --example rendezvous                                # tasks of one process, in memory
//! cargo xtask example rendezvous --store default_redis          # real processes, on a Redis
//! ```

mod party;
mod report;

use clap::Parser;
use kv_core::{Cleanup, Clock, Kv, SystemClock};
use kv_factory::Factory;
use kv_memory::MemoryStore;
use party::{Meeting, Passage};
use std::{
    env,
    error::Error,
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
};

/// Lets some parties meet at a barrier and tells who waited how long.
#[derive(Parser)]
struct Args {
    /// The store, by its name in the settings. In memory the parties are tasks, else processes.
    #[arg(long, default_value = "default_local")]
    store: String,
    /// The settings.
    #[arg(long)]
    config: Option<PathBuf>,
    /// How many parties meet.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=500))]
    parties: u16,
    /// The latest that a party comes, in milliseconds.
    #[arg(long, default_value_t = 500)]
    latest: u64,
    /// Given to the processes that this one starts.
    #[arg(long, hide = true, requires = "meeting")]
    rank: Option<u16>,
    /// Which meeting they belong to.
    #[arg(long, hide = true)]
    meeting: Option<String>,
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
                    "a server of your own is named by KV_REDIS_URL or KV_ETCD_URL; `cargo xtask example rendezvous --store NAME` brings one along"
                );
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<bool, Box<dyn Error>> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let usual = || home.join("../config/settings.toml");
    let factory = Factory::from_file(args.config.clone().unwrap_or_else(usual))?;
    let kv = factory.open(&args.store).await?;
    let well = match (args.rank, &args.meeting) {
        (Some(rank), Some(name)) => {
            let meeting = Meeting::new(&kv, name, args.parties, args.latest)?;
            println!("{}", serde_json::to_string(&meeting.attend(rank).await?)?);
            true
        }
        _ => meet(&kv, &args).await?,
    };
    factory.close_all().await;
    Ok(well)
}

/// Lets all parties meet, and judges what they tell.
async fn meet(kv: &Kv, args: &Args) -> Result<bool, Box<dyn Error>> {
    let name = format!("meeting-{}", SystemClock.now().as_micros());
    let meeting = Meeting::new(kv, &name, args.parties, args.latest)?;
    let alone = kv.native::<MemoryStore>().is_ok();
    let passages = match alone {
        true => as_tasks(&meeting).await?,
        false => as_processes(args, &name)?,
    };
    let place = match alone {
        true => "tasks of one process",
        false => "processes",
    };
    // Only what this meeting wrote, and it is told how much that was.
    let cleared = meeting.scope().clone().close(Cleanup::Delete).await?;
    println!("store      {kv:?}");
    println!("parties    {} {place}", args.parties);
    Ok(report::print(args.parties, &passages, cleared))
}

async fn as_tasks(meeting: &Meeting) -> Result<Vec<Passage>, Box<dyn Error>> {
    let mut tasks = tokio::task::JoinSet::new();
    for rank in 0..meeting.parties() {
        let meeting = meeting.clone();
        tasks.spawn(async move { meeting.attend(rank).await });
    }
    let mut passages = Vec::new();
    while let Some(passage) = tasks.join_next().await {
        passages.push(passage??);
    }
    Ok(passages)
}

/// Runs this program again for each party. They end by themselves: their wait has a limit.
fn as_processes(args: &Args, name: &str) -> Result<Vec<Passage>, Box<dyn Error>> {
    let children: Vec<io::Result<Child>> = (0..args.parties)
        .map(|rank| start(args, name, rank))
        .collect();
    let mut passages = Vec::new();
    for child in children {
        let output = child?.wait_with_output()?;
        if !output.status.success() {
            return Err(format!("a party ended with {}", output.status).into());
        }
        passages.push(serde_json::from_slice(&output.stdout)?);
    }
    Ok(passages)
}

fn start(args: &Args, name: &str, rank: u16) -> io::Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--store", &args.store, "--meeting", name]);
    command.args(["--rank", &rank.to_string()]);
    command.args(["--parties", &args.parties.to_string()]);
    command.args(["--latest", &args.latest.to_string()]);
    if let Some(config) = &args.config {
        command.arg("--config").arg(config);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

fn is_unreachable(error: &kv_core::Error) -> bool {
    error.kind() == kv_core::ErrorKind::Unavailable
}
