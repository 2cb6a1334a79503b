//! What operators do with a queue.

mod overview;

use crate::{
    Cursor, Handle, Scheduler, Status, TaskId, Untyped,
    pages::{self, PAGE, page},
    queue::Queue,
    record::Record,
    status,
    transitions::{self, Place},
};
use kv_core::{Context, Key, Member, RangeOptions, Result, ScoreRange, ScoredMember};
use std::{fmt, sync::Arc};

pub use self::overview::{Counts, Overview};

/// What operators do with a queue: [`Scheduler::admin`] makes one.
///
/// In the context of a tenant it shows the tasks of this tenant only; without one, all.
#[derive(Clone)]
pub struct Admin {
    scheduler: Scheduler,
    queue: Arc<Queue>,
}

/// Which tasks to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Waiting, with this priority: the first due first.
    Pending(crate::Priority),
    /// Claimed: the first lease to end first.
    Running,
    /// Succeeded, and kept: the first to go first.
    Done,
    /// Failed for good, and kept: the first to go first.
    Dead,
}

/// Some tasks, and where to go on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page {
    /// The tasks; can be few, even none, while more follow.
    pub tasks: Vec<TaskInfo>,
    /// Behind what to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// A task in a list.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its id.
    pub id: TaskId,
    /// Its tenant.
    pub tenant: Option<Vec<u8>>,
    /// How it is; `None` if what is stored of it cannot be read.
    pub status: Option<Status>,
}

impl Scheduler {
    /// What operators do with a queue.
    ///
    /// # Errors
    /// [`InvalidArgument`](kv_core::ErrorKind::InvalidArgument) if the queue is no name.
    pub fn admin(&self, queue: &str) -> Result<Admin> {
        Ok(Admin {
            queue: self.queue(queue)?,
            scheduler: self.clone(),
        })
    }
}

/// Errors are the store's throughout.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
impl Admin {
    /// No task of the queue is claimed any more; those that run go on.
    pub async fn pause(&self) -> Result<()> {
        let txn = transitions::pause(&self.queue);
        self.scheduler.store().commit(txn).await.map(drop)
    }

    /// Tasks are claimed again.
    pub async fn resume(&self) -> Result<()> {
        let txn = transitions::resume(&self.queue);
        self.scheduler.store().commit(txn).await.map(drop)
    }

    /// Lists tasks, 100 at a time. A task that moves meanwhile may be missed or come twice.
    pub async fn list(&self, stage: Stage, after: Option<&Cursor>) -> Result<Page> {
        self.list_at_most(PAGE, stage, after).await
    }

    /// Lists tasks, so many at a time: 1 to 100.
    pub async fn list_at_most(
        &self,
        limit: u32,
        stage: Stage,
        after: Option<&Cursor>,
    ) -> Result<Page> {
        let limit = limit.clamp(1, PAGE);
        let (shown, next) = self.page(self.set(stage), after, limit).await?;
        let finds = shown
            .iter()
            .map(|member| transitions::find(&self.queue, member))
            .collect();
        let replies = self.scheduler.store().commit_all(finds).await?;
        let mut tasks = Vec::with_capacity(shown.len());
        for (member, reply) in shown.into_iter().zip(replies) {
            let (id, tenant) = TaskId::parse_member(&member)?;
            let Some(found) = transitions::found(reply?)? else {
                continue;
            };
            let envelope = status::envelope(&found);
            let status = envelope.ok().map(|it| Status::new(&found, &it));
            tasks.push(TaskInfo { id, tenant, status });
        }
        Ok(Page { tasks, next })
    }

    /// A task of the queue by its id, of whatever kind, in the context of the caller: without a tenant
    /// it is one that has none.
    ///
    /// ```
    /// # use kv_scheduler::{Cancelled, Scheduler, Task};
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Mail { to: String }
    /// # impl Task for Mail { const KIND: &'static str = "mail"; type Output = (); }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> kv_core::Result<()> {
    /// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
    /// # let scheduler = Scheduler::new(&kv)?;
    /// scheduler.enqueue(Mail { to: "ann".into() }).id("welcome").await?;
    ///
    /// let task = scheduler.admin("default")?.task("welcome")?;
    /// let details = task.details().await?.expect("it waits");
    /// assert_eq!(details.payload_as::<serde_json::Value>()?["to"], "ann");
    /// assert_eq!(task.cancel().await?, Cancelled::Pending);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](kv_core::ErrorKind::InvalidArgument) if it is no id. That there is no such
    /// task shows when something is done with it.
    pub fn task(&self, id: &str) -> Result<Handle<Untyped>> {
        let member = TaskId::new(id)?.member(Context::current().as_ref());
        Ok(self.handle(member))
    }

    /// A task that was listed, whoever's it is.
    pub fn listed(&self, task: &TaskInfo) -> Handle<Untyped> {
        let context = task.tenant.clone().map(Context::tenant);
        self.handle(task.id.member(context.as_ref()))
    }

    fn handle(&self, member: Member) -> Handle<Untyped> {
        Handle::new(self.scheduler.clone(), self.queue.clone(), member)
    }

    /// Has a task that failed for good tried again, as if it were new; `false` if it is not among the
    /// dead. Its unique key, if it had one, is not taken again.
    pub async fn requeue<T>(&self, handle: &Handle<T>) -> Result<bool> {
        self.requeue_member(handle.member()).await
    }

    /// The same with all that are dead by now; returns how many. In the context of a tenant, with those
    /// of the tenant.
    ///
    /// # Cancel safety
    /// Dropped, it has requeued some of them.
    pub async fn requeue_all(&self) -> Result<u64> {
        // All are found first: one that dies again meanwhile is not to be met again.
        let dead = pages::all(self.scheduler.store(), &self.queue.dead).await?;
        let context = Context::current();
        let mut requeued = 0;
        for ScoredMember { member, .. } in dead {
            let Ok((_, tenant)) = TaskId::parse_member(&member) else {
                continue;
            };
            if is_shown(context.as_ref(), tenant.as_deref()) {
                requeued += u64::from(self.requeue_member(&member).await?);
            }
        }
        Ok(requeued)
    }

    pub(crate) fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The next members of a set that the caller may see, and where to go on: behind a member that the
    /// caller may see, since a cursor names one.
    pub(crate) async fn page(
        &self,
        set: &Key,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<(Vec<Member>, Option<Cursor>)> {
        let context = Context::current();
        let mut shown = Vec::new();
        let mut after = after.cloned();
        loop {
            let members = page(self.scheduler.store(), set, after.as_ref(), limit).await?;
            after = Cursor::behind(&members, limit);
            let is_last = after.is_none();
            for it in members {
                // What another program has put there is nobody's task.
                let Ok((_, of)) = TaskId::parse_member(&it.member) else {
                    continue;
                };
                if is_shown(context.as_ref(), of.as_deref()) {
                    shown.push(it);
                }
                if shown.len() == limit as usize {
                    let next = Cursor::behind(&shown, limit);
                    return Ok((shown.into_iter().map(|it| it.member).collect(), next));
                }
            }
            if is_last {
                return Ok((shown.into_iter().map(|it| it.member).collect(), None));
            }
        }
    }

    /// Has the queue listed no more by [`Scheduler::queues`], if nothing is in it, no schedule is declared
    /// for it, and it is not paused; else `false`. It is listed again by a worker that serves it, within
    /// half a minute, and with the next task that is scheduled to it: at once by this process, within ten
    /// minutes by others.
    ///
    /// What is scheduled meanwhile is not touched: only the list is.
    pub async fn forget(&self) -> Result<bool> {
        let now = self.overview().await?;
        if now.counts != Counts::default() || now.is_paused {
            return Ok(false);
        }
        let schedules = self.scheduler.store().kv();
        let first = RangeOptions::default().limit(1);
        let schedules =
            schedules.zrangebyscore_with(&self.queue.recurring.names, ScoreRange::ALL, first);
        if !schedules.await?.is_empty() {
            return Ok(false);
        }
        let txn = transitions::unregister(self.scheduler.registry(), &self.queue.name);
        self.scheduler.store().commit(txn).await?;
        self.queue.announcement.reset();
        Ok(true)
    }

    async fn requeue_member(&self, member: &Member) -> Result<bool> {
        let store = self.scheduler.store();
        // It may be requeued, run and die again between the look and the deed.
        loop {
            let Some(found) = self.scheduler.find(&self.queue, member).await? else {
                return Ok(false);
            };
            if !matches!(found.place, Place::Dead(_)) {
                return Ok(false);
            }
            let record = Record::decode(found.record.as_ref(), found.tally).renewed(found.tally);
            let priority =
                status::envelope(&found).map_or_else(|_| crate::Priority::Normal, |it| it.priority);
            let txn =
                transitions::requeue(&self.queue, member, priority, found.tally, record.encode()?);
            if store.commit(txn).await?.applied {
                return Ok(true);
            }
        }
    }

    fn set(&self, stage: Stage) -> &Key {
        match stage {
            Stage::Pending(priority) => self.queue.due(priority),
            Stage::Running => &self.queue.lease,
            Stage::Done => &self.queue.done,
            Stage::Dead => &self.queue.dead,
        }
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Admin({})", self.queue.name)
    }
}

/// Whether somebody in this context may see tasks of this tenant.
fn is_shown(context: Option<&Context>, tenant: Option<&[u8]>) -> bool {
    match context.and_then(Context::tenant_id) {
        None => true,
        mine => mine == tenant,
    }
}
