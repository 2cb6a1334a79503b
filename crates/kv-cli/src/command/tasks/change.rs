//! What is done to tasks and queues.

use crate::{
    args::tasks::{Named, Retry},
    command::span::span,
    exit::{Exit, Failure},
    output::Output,
};
use kv_scheduler::{Cancelled, Scheduler};
use serde_json::json;
use std::time::Duration;

pub(super) async fn cancel(
    scheduler: &Scheduler,
    task: Named,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let handle = scheduler.admin(&task.queue)?.task(&task.id)?;
    let cancelled = handle.cancel().await?;
    let (text, word) = match cancelled {
        Cancelled::Pending => ("cancelled", "pending"),
        Cancelled::Requested => ("asked to stop", "requested"),
        Cancelled::TooLate => ("too late: there is no such task, or it is over", "too_late"),
    };
    let json = json!({ "queue": task.queue, "id": task.id, "cancelled": word });
    out.result(|| text.to_owned(), json)?;
    Ok(Exit::found(cancelled != Cancelled::TooLate))
}

pub(super) async fn retry(
    scheduler: &Scheduler,
    retry: Retry,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let admin = scheduler.admin(&retry.queue)?;
    let requeued = match &retry.id {
        None => admin.requeue_all().await?,
        Some(id) => admin.requeue(&admin.task(id)?).await?.into(),
    };
    let json = json!({ "queue": retry.queue, "requeued": requeued });
    out.result(|| format!("{requeued} requeued"), json)?;
    Ok(Exit::found(requeued > 0))
}

pub(super) async fn run(
    scheduler: &Scheduler,
    task: Named,
    delay: Option<Duration>,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let admin = scheduler.admin(&task.queue)?;
    let handle = admin.task(&task.id)?;
    let is_moved = match delay {
        None => handle.run_now().await?,
        Some(delay) => {
            let now = admin.overview().await?.now;
            handle.reschedule(now.saturating_add(delay)).await?
        }
    };
    let text = || match (is_moved, delay) {
        (false, _) => "it does not wait".to_owned(),
        (true, None) => "due now".to_owned(),
        (true, Some(delay)) => format!("due in {}", span(delay)),
    };
    let json = json!({ "queue": task.queue, "id": task.id, "moved": is_moved });
    out.result(text, json)?;
    Ok(Exit::found(is_moved))
}

pub(super) async fn pause(
    scheduler: &Scheduler,
    queue: &str,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    scheduler.admin(queue)?.pause().await?;
    let json = json!({ "queue": queue, "paused": true });
    out.result(|| "paused".to_owned(), json)?;
    Ok(Exit::Found)
}

pub(super) async fn resume(
    scheduler: &Scheduler,
    queue: &str,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    scheduler.admin(queue)?.resume().await?;
    let json = json!({ "queue": queue, "paused": false });
    out.result(|| "resumed".to_owned(), json)?;
    Ok(Exit::Found)
}

pub(super) async fn forget(
    scheduler: &Scheduler,
    queue: &str,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let is_forgotten = scheduler.admin(queue)?.forget().await?;
    let text = match is_forgotten {
        true => "forgotten",
        false => "refused; something is in the queue, or it is paused",
    };
    let json = json!({ "queue": queue, "forgotten": is_forgotten });
    out.result(|| text.to_owned(), json)?;
    Ok(Exit::found(is_forgotten))
}
