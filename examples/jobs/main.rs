//! Tasks that are done later, by whoever has time: mails of which some fail at first, a report that
//! tells how far it is, a task that nobody can do, one that is cancelled, and one that comes again and again.
//!
//! ```text
//! cargo run --example jobs                               # in memory
//! cargo xtask example jobs --store default_redis         # on a Redis
//! cargo xtask example jobs --store default_redis --processes 4     # one of the four is killed
//! ```

mod fleet;
mod tasks;

use clap::Parser;
use kv_core::{Clock, SystemClock};
use kv_factory::Factory;
use kv_scheduler::{Cancelled, Every, Handle, Report, Scheduler, State, Worker};
use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tasks::{Mail, Outbox, Poison, Summary, Sweep, do_report, poison, send_mail, sweep};
use tokio::sync::oneshot;

/// The store in memory, which no two processes share.
const LOCAL: &str = "default_local";

/// Schedules some tasks, does them, and tells what became of them.
#[derive(Parser)]
struct Args {
    /// The store, by its name in the settings.
    #[arg(long, default_value = LOCAL)]
    store: String,
    /// The settings.
    #[arg(long)]
    config: Option<PathBuf>,
    /// How many mails are sent.
    #[arg(long, default_value_t = 1_000)]
    mails: u32,
    /// So many processes send them, of which one is killed; not with a store in memory.
    #[arg(long, value_parser = clap::value_parser!(u8).range(2..=16))]
    processes: Option<u8>,
}

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let args = Args::parse();
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let usual = || home.join("../config/settings.toml");
    let factory = Factory::from_file(args.config.clone().unwrap_or_else(usual))?;
    let kv = factory.open(&args.store).await?;
    // A store that outlives us may hold tasks of an earlier run.
    let anew = || format!("jobs-{}", SystemClock.now().as_micros());
    let mine = fleet::namespace();
    let run = mine.clone().unwrap_or_else(anew);
    let scheduler = Scheduler::builder(&kv).namespace(&run).build()?;
    let is_well = match args.processes {
        _ if mine.is_some() => fleet::serve(&scheduler).await.map(|()| true)?,
        None => work(&scheduler, args.mails).await?,
        Some(_) if args.store == LOCAL => {
            return Err("several processes need a store that they share: --store".into());
        }
        Some(count) => fleet::run(&scheduler, &run, count.into(), args.mails).await?,
    };
    factory.close_all().await;
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn work(scheduler: &Scheduler, mails: u32) -> Result<bool, Failure> {
    let tasks = (0..mails).map(|number| scheduler.enqueue(Mail { number }));
    for scheduled in scheduler.enqueue_many(tasks).await {
        scheduled?;
    }
    let report = scheduler.enqueue(Summary { chapters: 5 }).await?;
    let broken = scheduler.enqueue(Poison).await?;
    let later = scheduler.schedule_in(Duration::from_secs(3600), Mail { number: mails });
    let later = later.await?;
    let often = Every::fixed_rate(Duration::from_millis(100));
    scheduler.every("sweep", often, Sweep).upsert().await?;
    println!(
        "scheduled {mails} mails, a report, a task that cannot be done, a mail in an hour, and a sweep \
         ten times a second"
    );

    let outbox = Arc::<Outbox>::default();
    let worker = Worker::new(scheduler)
        .queue("mail", 64)
        .queue("default", 4)
        .data(outbox.clone())
        .handle(send_mail)
        .handle(do_report)
        .handle(sweep)
        .handle(poison);
    let (stop, stopped) = oneshot::channel();
    let running = tokio::spawn(worker.run_until(async { _ = stopped.await }));

    let pages = follow(&report).await?;
    println!("the report has {pages} pages");
    println!("the mail in an hour: {:?}", later.cancel().await?);
    let is_gone = later.cancel().await? == Cancelled::TooLate;
    let admin = scheduler.admin("mail")?;
    loop {
        let counts = admin.counts().await?;
        if counts.pending + counts.running == 0 {
            break;
        }
        SystemClock.sleep(Duration::from_millis(20)).await;
    }
    scheduler.admin("default")?.remove_schedule("sweep").await?;
    _ = stop.send(());
    let Report {
        succeeded,
        retried,
        dead,
        ..
    } = running.await??;
    println!("{succeeded} succeeded, {retried} attempts were repeated, {dead} failed for good");
    let status = broken.status().await?;
    if let Some(reason) = status.as_ref().and_then(|it| it.error.as_ref()) {
        println!("the dead one: {reason}");
    }
    let is_dead = status.is_some_and(|it| matches!(it.state, State::Dead { .. }));
    let sent = outbox.sent();
    let sweeps = outbox.sweeps();
    println!("{sent} different mails are out; {sweeps} sweeps");
    let expected = u64::from(mails) + 1 + sweeps;
    Ok(is_gone && is_dead && sweeps > 0 && sent == mails as usize && succeeded == expected)
}

/// Prints how far the report is until it is there.
async fn follow(report: &Handle<Summary>) -> Result<u32, Failure> {
    let mut told = None;
    loop {
        if let Ok(pages) = report.wait(Duration::from_millis(20)).await {
            return Ok(pages);
        }
        let progress = match report.status().await? {
            Some(status) => status.progress::<String>()?,
            None => return Err("the report is gone".into()),
        };
        if progress.is_some() && progress != told {
            println!("report: {}", progress.as_deref().unwrap_or_default());
            told = progress;
        }
    }
}
