//! Tellers pay money into one account, each under a lock, and one after the other is paused past its lease
//! right after it has read the balance. With fences what they were told is paid in is there in the end;
//! without them some of it is not.
//!
//! ```text
//! cargo run --example bank                               # in memory: tellers are threads
//! cargo xtask example bank --store default_redis         # on a Redis: tellers are processes
//! cargo xtask example bank --store default_etcd
//! ```

mod branch;
mod teller;

use clap::Parser;
use kv_core::{Clock, Kv, SystemClock};
use kv_factory::Factory;
use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};
use teller::{Account, Way};

/// The store in memory, which no two processes share.
const LOCAL: &str = "default_local";

/// Pays money into an account, with fences and without, and tells what became of it.
#[derive(Parser)]
struct Args {
    /// The store, by its name in the settings.
    #[arg(long, default_value = LOCAL)]
    store: String,
    /// The settings.
    #[arg(long)]
    config: Option<PathBuf>,
    /// How many pay in at the same time.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=16))]
    tellers: u8,
    /// How many of them are paused, one after the other.
    #[arg(long, default_value_t = 5)]
    pauses: u32,
}

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let args = Args::parse();
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let usual = || home.join("../config/settings.toml");
    let factory = Factory::from_file(args.config.clone().unwrap_or_else(usual))?;
    let kv = factory.open(&args.store).await?;
    let is_well = match branch::account(&kv)? {
        // We are one of the processes.
        Some(account) => teller::serve(account).await.map(|()| true)?,
        None => compare(&kv, &args).await?,
    };
    factory.close_all().await;
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn compare(kv: &Kv, args: &Args) -> Result<bool, Failure> {
    let mut is_well = true;
    for way in [Way::Fenced, Way::Bare] {
        // A store that outlives us may have the account of an earlier run.
        let account = Account::new(kv, SystemClock.now().as_micros(), way);
        let mut branch = match args.store == LOCAL {
            true => branch::Branch::of_threads(&account, args.tellers.into())?,
            false => branch::Branch::of_processes(&account, args.tellers.into())?,
        };
        let mut report = branch.pause(args.pauses).await?;
        branch.end(&mut report).await?;
        let (paid, balance) = (report.paid, account.balance().await?);
        // Nothing is paid in that nobody was told of: all tellers came to their end.
        let lost = paid.saturating_sub(balance);
        let verdict = match lost {
            0 => "nothing is lost".to_owned(),
            lost => format!("{lost} LOST"),
        };
        println!(
            "{way}: {} tellers paused, {paid} coins paid in, {} refused; the balance is {balance}: {verdict}",
            args.pauses, report.refused
        );
        is_well &= match way {
            Way::Fenced => paid == balance && report.refused > 0,
            Way::Bare => lost > 0,
        };
    }
    if !is_well {
        println!(
            "with fences all should be there and something be refused, without them something be lost"
        );
    }
    Ok(is_well)
}
