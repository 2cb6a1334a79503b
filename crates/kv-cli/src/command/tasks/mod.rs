//! Queues, tasks and workers of a scheduler.

mod change;
mod list;
mod show;
mod when;

use crate::{
    args::tasks::{TaskVerb, Tasks},
    exit::{Exit, Failure},
    output::Output,
};
use kv_core::{Context, Kv};
use kv_scheduler::{Scheduler, SchedulerSettings};

/// Runs one of the commands, in the name of the tenant of the context.
pub(crate) async fn run(
    kv: &Kv,
    tasks: Tasks,
    settings: &SchedulerSettings,
    context: Option<Context>,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let usual = settings.namespace.as_str();
    let namespace = tasks.namespace.as_deref().unwrap_or(usual);
    let scheduler = Scheduler::builder(kv).namespace(namespace).build()?;
    let done = verb(&scheduler, tasks.verb, out);
    match context {
        Some(context) => context.scope(done).await,
        None => done.await,
    }
}

async fn verb(
    scheduler: &Scheduler,
    verb: TaskVerb,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    match verb {
        TaskVerb::Queues => list::queues(scheduler, out).await,
        TaskVerb::Workers => list::workers(scheduler, out).await,
        TaskVerb::Ls(list) => list::tasks(scheduler, list, out).await,
        TaskVerb::Show { task, payload } => show::show(scheduler, task, payload.into(), out).await,
        TaskVerb::Cancel { task } => change::cancel(scheduler, task, out).await,
        TaskVerb::Retry(retry) => change::retry(scheduler, retry, out).await,
        TaskVerb::Run { task, delay } => change::run(scheduler, task, delay, out).await,
        TaskVerb::Pause { queue } => change::pause(scheduler, &queue, out).await,
        TaskVerb::Resume { queue } => change::resume(scheduler, &queue, out).await,
        TaskVerb::Forget { queue } => change::forget(scheduler, &queue, out).await,
    }
}
