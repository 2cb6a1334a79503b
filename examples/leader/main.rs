//! Candidates of whom one leads: the first leader resigns, the second is killed, the third is paused for
//! longer than its lease. Each time another takes over. Leaders write with their fence, and in the end
//! these writes show that none was made by a leader after a later one had begun.
//!
//! ```text
//! cargo run --example leader                               # in memory
//! cargo xtask example leader --store default_redis         # on a Redis
//! cargo xtask example leader --store default_redis --processes 4     # killed and paused by signals
//! ```

mod candidate;
mod fleet;
mod record;

use clap::Parser;
use fleet::Fleet;
use futures_util::StreamExt;
use kv_core::{Clock, SystemClock};
use kv_factory::Factory;
use kv_lock::{Leader, Leaders, LockManager};
use record::Record;
use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// The store in memory, which no two processes share.
const LOCAL: &str = "default_local";

/// After this long something is wrong.
const LONG: Duration = Duration::from_secs(120);

/// Lets candidates lead, ends three leaders in three ways, and tells who led when.
#[derive(Parser)]
struct Args {
    /// The store, by its name in the settings.
    #[arg(long, default_value = LOCAL)]
    store: String,
    /// The settings.
    #[arg(long)]
    config: Option<PathBuf>,
    /// So many processes are candidates, instead of four threads; not with a store in memory.
    #[arg(long, value_parser = clap::value_parser!(u8).range(3..=16))]
    processes: Option<u8>,
}

/// What becomes of a leader.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Resigns,
    IsKilled,
    IsPaused,
}

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let args = Args::parse();
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let usual = || home.join("../config/settings.toml");
    let factory = Factory::from_file(args.config.clone().unwrap_or_else(usual))?;
    let kv = factory.open(&args.store).await?;
    let locks = LockManager::new(&kv)?;
    let is_well = match (fleet::role(), args.processes) {
        (Some((run, name)), _) => fleet::serve(&locks, &run, &name).await.map(|()| true)?,
        (None, Some(_)) if args.store == LOCAL => {
            return Err("several processes need a store that they share: --store".into());
        }
        (None, processes) => {
            // A store that outlives us may know of an earlier run.
            let run = format!("leader-{}", SystemClock.now().as_micros());
            let fleet = match processes {
                Some(count) => Fleet::of_processes(&run, count.into())?,
                None => Fleet::of_threads(&kv, &run, 4)?,
            };
            tokio::select! {
                is_well = drama(&locks, &run, fleet) => is_well?,
                () = SystemClock.sleep(LONG) => return Err("nobody leads for too long".into()),
            }
        }
    };
    factory.close_all().await;
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn drama(locks: &LockManager, run: &str, mut fleet: Fleet) -> Result<bool, Failure> {
    let mut leaders = locks.election(run).observe()?;
    let mut record = Record::default();
    for fate in [Fate::Resigns, Fate::IsKilled, Fate::IsPaused] {
        let leader = follow(&mut leaders, &mut fleet, &mut record).await?;
        let name = leader.value.to_str()?;
        println!(
            "{name} leads, with the fence {}; it {}",
            leader.term,
            fate.name()
        );
        fleet.meet(name, fate)?;
    }
    let last = follow(&mut leaders, &mut fleet, &mut record).await?;
    println!(
        "{} leads, with the fence {}",
        last.value.to_str()?,
        last.term
    );
    // It wakes up, and believes that it leads.
    fleet.resume()?;
    while record.losses() == 0 {
        record.add(fleet.told().await?);
    }
    println!("who was paused goes on, and learns before its next write that it leads no more");
    fleet.end()?;
    Ok(record.judge() && record.terms() >= 4)
}

/// The next leader, once it has done some work.
async fn follow(
    leaders: &mut Leaders,
    fleet: &mut Fleet,
    record: &mut Record,
) -> Result<Leader, Failure> {
    let mut leader: Option<Leader> = None;
    loop {
        tokio::select! {
            change = leaders.next() => leader = change.ok_or("nobody tells who leads")??,
            told = fleet.told() => record.add(told?),
        }
        let is_new = |it: &Leader| record.is_last(it.term) && record.works() >= 20;
        if let Some(leader) = leader.take_if(|it| is_new(it)) {
            return Ok(leader);
        }
    }
}

impl Fate {
    fn name(self) -> &'static str {
        match self {
            Self::Resigns => "resigns",
            Self::IsKilled => "is killed",
            Self::IsPaused => "is paused",
        }
    }
}
