//! What waits in a queue, with its payload.

use crate::{
    Priority, Scheduler, Task, TaskId,
    envelope::Envelope,
    scheduler::DEFAULT_QUEUE,
    status,
    transitions::{self, Place},
};
use kv_core::{Context, RangeOptions, Result, ScoreRange, Timestamp};

/// A task that waits.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Scheduled<T> {
    /// The task itself.
    pub task: T,
    /// Its id.
    pub id: TaskId,
    /// The queue's name.
    pub queue: String,
    /// When it is due.
    pub due: Timestamp,
    /// Which tasks of the queue come first.
    pub priority: Priority,
    /// For whom it was scheduled.
    pub context: Option<Context>,
}

/// All tasks of this kind that wait in its own queue, by priority and due time: not those that run or
/// have ended. In the context of a tenant, those of the tenant.
///
/// ```
/// # use kv_scheduler::{Task, testing::{TestScheduler, scheduled}};
/// # use std::time::Duration;
/// # #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// # struct Mail { to: String }
/// # impl Task for Mail { const KIND: &'static str = "mail"; type Output = (); }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// # let test = TestScheduler::connect(|clock| {
/// #     kv_core::Kv::builder(kv_memory::MemoryStore::with_clock(kv_memory::MemoryConfig::default(), clock))
/// # })
/// # .await?;
/// # let hour = Duration::from_secs(3600);
/// use kv_core::Clock;
///
/// test.schedule_in(hour, Mail { to: "ann".into() }).await?;
/// let mails = scheduled::<Mail>(&test).await?;
/// assert_eq!(mails[0].task.to, "ann");
/// assert_eq!(mails[0].due, test.clock().now().saturating_add(hour));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The store's; [`Codec`](kv_core::ErrorKind::Codec) if a payload is not of this type.
pub async fn scheduled<T: Task>(scheduler: &Scheduler) -> Result<Vec<Scheduled<T>>> {
    let options = T::options();
    scheduled_in(scheduler, options.queue.as_deref().unwrap_or(DEFAULT_QUEUE)).await
}

/// The same in another queue.
///
/// # Errors
/// As [`scheduled`]; [`InvalidArgument`](kv_core::ErrorKind::InvalidArgument) if the queue is no name.
pub async fn scheduled_in<T: Task>(
    scheduler: &Scheduler,
    queue: &str,
) -> Result<Vec<Scheduled<T>>> {
    let waiting = waiting_in(scheduler, queue).await?;
    let of_kind = waiting.into_iter().filter(|it| it.envelope.kind == T::KIND);
    of_kind
        .map(|it| {
            let payload = it.envelope.payload.clone().into();
            Ok(Scheduled {
                task: it.envelope.codec.decode(&payload)?,
                context: it.envelope.context(),
                queue: queue.to_owned(),
                id: it.id,
                due: it.due,
                priority: it.priority,
            })
        })
        .collect()
}

/// A task of whatever kind.
pub(super) struct Waiting {
    pub(super) id: TaskId,
    pub(super) envelope: Envelope,
    pub(super) due: Timestamp,
    pub(super) priority: Priority,
}

pub(super) async fn waiting_in(scheduler: &Scheduler, queue: &str) -> Result<Vec<Waiting>> {
    let queue = scheduler.queue(queue)?;
    let (store, context) = (scheduler.store(), Context::current());
    let tenant = context.as_ref().and_then(Context::tenant_id);
    let mut waiting = Vec::new();
    for set in &queue.due {
        let all = RangeOptions::default();
        let members = store
            .kv()
            .zrangebyscore_with(set, ScoreRange::ALL, all)
            .await?;
        for chunk in members.chunks(store.batch) {
            let finds = chunk
                .iter()
                .map(|it| transitions::find(&queue, &it.member))
                .collect();
            for (it, reply) in chunk.iter().zip(store.commit_all(finds).await?) {
                let (id, of) = TaskId::parse_member(&it.member)?;
                let Some(found) = transitions::found(reply?)? else {
                    continue;
                };
                // It may have been claimed meanwhile; another tenant's is not ours to see.
                let Place::Due(priority, due) = found.place else {
                    continue;
                };
                if tenant.is_none() || tenant == of.as_deref() {
                    waiting.push(Waiting {
                        id,
                        envelope: status::envelope(&found)?,
                        due: Timestamp::from_micros(due.get() as i64),
                        priority,
                    });
                }
            }
        }
    }
    Ok(waiting)
}
