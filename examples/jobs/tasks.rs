//! The kinds of tasks, and what does them.

use crate::fleet;
use kv_core::{Clock, SystemClock};
use kv_scheduler::{Ctx, Data, Retention, Retry, Task, TaskError, TaskOptions};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A mail that is to be sent.
#[derive(Serialize, Deserialize)]
pub(crate) struct Mail {
    pub(crate) number: u32,
}

impl Task for Mail {
    const KIND: &'static str = "mail";
    type Output = ();

    fn options() -> TaskOptions {
        let retry = Retry::exponential(Duration::from_millis(50), Duration::from_secs(1));
        TaskOptions::new().queue("mail").retry(retry.attempts(5))
    }
}

/// A report that takes a while; its result is its number of pages.
#[derive(Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) chapters: u32,
}

impl Task for Summary {
    const KIND: &'static str = "report";
    type Output = u32;

    fn options() -> TaskOptions {
        TaskOptions::new().retention(Retention::keep(Duration::from_secs(600)))
    }
}

/// A task that nobody can do.
#[derive(Serialize, Deserialize)]
pub(crate) struct Poison;

impl Task for Poison {
    const KIND: &'static str = "poison";
    type Output = ();
}

/// Looks after the outbox now and then.
#[derive(Serialize, Deserialize)]
pub(crate) struct Sweep;

impl Task for Sweep {
    const KIND: &'static str = "sweep";
    type Output = ();
}

/// The mails that are out.
#[derive(Default)]
pub(crate) struct Outbox {
    sent: Mutex<HashSet<u32>>,
    sweeps: AtomicU64,
}

impl Outbox {
    pub(crate) fn sent(&self) -> usize {
        self.sent.lock().map_or(0, |it| it.len())
    }

    pub(crate) fn sweeps(&self) -> u64 {
        self.sweeps.load(Ordering::Relaxed)
    }
}

/// The server is busy now and then; at least once means that a mail may be sent twice, so it is known
/// by its number.
pub(crate) async fn send_mail(mail: Mail, ctx: Ctx, outbox: Data<Outbox>) -> Result<(), TaskError> {
    if ctx.attempt() == 1 && mail.number % 10 == 3 {
        Err("the mail server is busy")?;
    }
    if let Ok(mut sent) = outbox.sent.lock() {
        sent.insert(mail.number);
    }
    Ok(())
}

/// The same for one of several processes: what is out it tells whoever started it.
pub(crate) async fn send_aloud(mail: Mail, ctx: Ctx) -> Result<(), TaskError> {
    SystemClock.sleep(Duration::from_millis(5)).await;
    if ctx.attempt() == 1 && mail.number % 10 == 3 {
        Err("the mail server is busy")?;
    }
    fleet::tell(mail.number)?;
    Ok(())
}

pub(crate) async fn do_report(report: Summary, ctx: Ctx) -> Result<u32, TaskError> {
    for chapter in 1..=report.chapters {
        SystemClock.sleep(Duration::from_millis(60)).await;
        let text = format!("chapter {chapter} of {} is written", report.chapters);
        ctx.progress(&text).await?;
    }
    Ok(12 * report.chapters)
}

pub(crate) async fn sweep(_: Sweep, outbox: Data<Outbox>) -> Result<(), TaskError> {
    outbox.sweeps.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

pub(crate) async fn poison(_: Poison) -> Result<(), TaskError> {
    Err(TaskError::dead("the address does not exist"))
}
