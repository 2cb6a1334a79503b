//! Tasks that run where they are scheduled.

use crate::{Disposition, Handle, State, Worker};
use kv_core::{Error, ErrorKind, Result};
use std::sync::Arc;

tokio::task_local! {
    static INLINE: Arc<Worker>;
}

/// Runs code in which a task is done in the call that schedules it, whenever it is due: by this worker,
/// with the handler's layers, its data and its records on the store. If the handler fails, so does the
/// call: [`Unavailable`](ErrorKind::Unavailable) with what it said. The task is then as its retries
/// have it, pending or dead.
///
/// What handlers schedule is done as well if it is due. What the code schedules in tasks that it spawns
/// is not done: this goes by the task of the runtime.
///
/// ```
/// # use kv_core::Kv;
/// # use kv_memory::{MemoryConfig, MemoryStore};
/// # use kv_scheduler::{Scheduler, Task, TaskError, Worker, testing::{TestScheduler, inline}};
/// # use std::time::Duration;
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Mail { to: String }
/// # impl Task for Mail { const KIND: &'static str = "mail"; type Output = (); }
/// async fn remind(scheduler: &Scheduler, name: &str) -> kv_core::Result<()> {
///     let day = Duration::from_secs(24 * 3600);
///     scheduler.schedule_in(day, Mail { to: name.into() }).await?;
///     Ok(())
/// }
///
/// async fn send_mail(mail: Mail) -> Result<(), TaskError> {
///     if mail.to.contains('@') { Ok(()) } else { Err(TaskError::dead("that is no address")) }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// # let test = TestScheduler::connect(|clock| {
/// #     Kv::builder(MemoryStore::with_clock(MemoryConfig::default(), clock))
/// # })
/// # .await?;
/// let worker = Worker::new(&test).handle(send_mail);
/// inline(worker, async {
///     remind(&test, "ann@example.org").await?;
///     let error = remind(&test, "ann").await.unwrap_err();
///     assert!(error.to_string().contains("that is no address"));
///     Ok(())
/// })
/// .await
/// # }
/// ```
pub async fn inline<F: Future>(worker: Worker, code: F) -> F::Output {
    INLINE.scope(Arc::new(worker), code).await
}

/// Does a task that was just scheduled, if that is wanted here.
pub(crate) async fn run_inline<T>(handle: &Handle<T>) -> Result<()> {
    let Ok(worker) = INLINE.try_with(Arc::clone) else {
        return Ok(());
    };
    if !matches!(
        handle.disposition(),
        Disposition::Scheduled | Disposition::Replaced
    ) {
        return Ok(());
    }
    handle.run_now().await?;
    let report = worker.drain().await?;
    let Some(status) = handle.status().await? else {
        // Nothing is kept of a task that is begun at most once.
        return match report.failed {
            0 => Ok(()),
            _ => Err(Error::new(
                ErrorKind::Unavailable,
                "the task failed, and is not begun again",
            )),
        };
    };
    let refuse = |what: &str, why: &str| {
        let error = Error::new(ErrorKind::Unavailable, format!("{what}: {why}"));
        Err(error.with_context("kind", &status.kind))
    };
    match (status.state, &status.error) {
        (State::Done { .. }, _) => Ok(()),
        (_, Some(error)) => refuse("the task failed", error),
        // Its handler has put it off.
        _ if report.snoozed > 0 => Ok(()),
        _ if report.unable > 0 => refuse("the task was not done", "the worker has no handler"),
        _ => refuse(
            "the task was not done",
            "the worker does not serve its queue, or the queue is paused",
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::inline;
    use crate::{Ctx, Task, TaskError, Unique, Worker, testing::TestScheduler};
    use kv_core::Kv;
    use kv_memory::{MemoryConfig, MemoryStore};
    use serde::{Deserialize, Serialize};
    use std::time::Duration;

    #[derive(Serialize, Deserialize)]
    struct Countdown(u32);

    impl Task for Countdown {
        const KIND: &'static str = "countdown";
        type Output = ();
    }

    async fn count(task: Countdown, ctx: Ctx) -> Result<(), TaskError> {
        match task {
            Countdown(0) => Ok(()),
            Countdown(13) => Err("unlucky".into()),
            Countdown(99) => Err(TaskError::snooze(Duration::from_secs(1))),
            Countdown(left) => {
                ctx.scheduler().enqueue(Countdown(left - 1)).await?;
                Ok(())
            }
        }
    }

    async fn test() -> TestScheduler {
        let connect = TestScheduler::connect(|clock| {
            Kv::builder(MemoryStore::with_clock(MemoryConfig::default(), clock))
        });
        connect.await.unwrap()
    }

    #[tokio::test]
    async fn a_task_is_done_where_it_is_scheduled_with_what_it_schedules() {
        let test = test().await;
        let worker = Worker::new(&test).handle(count);
        inline(worker, async {
            let hour = Duration::from_secs(3600);
            let handle = test.schedule_in(hour, Countdown(5)).await.unwrap();
            assert_eq!(handle.status().await.unwrap(), None);
            test.enqueue(Countdown(99)).await.unwrap();
        })
        .await;
        let counts = test.admin("default").unwrap().counts().await.unwrap();
        assert_eq!((counts.pending, counts.due), (1, 0));
        // Outside nothing is done.
        test.enqueue(Countdown(0)).await.unwrap();
        let counts = test.admin("default").unwrap().counts().await.unwrap();
        assert_eq!((counts.pending, counts.due), (2, 1));
    }

    #[tokio::test]
    async fn errors_come_back_to_who_schedules() {
        let test = test().await;
        let worker = Worker::new(&test).handle(count);
        inline(worker, async {
            let error = test.enqueue(Countdown(13)).await.unwrap_err();
            assert!(error.to_string().contains("unlucky"), "{error}");
            let many = [13, 0].map(|it| test.enqueue(Countdown(it)));
            let many = test.enqueue_many(many).await;
            assert_eq!(
                many.iter().map(Result::is_ok).collect::<Vec<_>>(),
                [false, true]
            );
            let elsewhere = test.enqueue(Countdown(0)).queue("other").await;
            assert!(
                elsewhere
                    .unwrap_err()
                    .to_string()
                    .contains("does not serve its queue")
            );
            // One that is there is not done again.
            let unique = || test.enqueue(Countdown(99)).unique(Unique::by_payload());
            unique().await.unwrap();
            unique().await.unwrap();
        })
        .await;
    }
}
