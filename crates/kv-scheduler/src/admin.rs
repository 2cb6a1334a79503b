//! What operators do with a queue.

use crate::{
    Handle, Scheduler, Status, Task, TaskId,
    queue::{PAUSED, Queue},
    record::Record,
    status,
    transitions::{self, Place},
};
use kv_core::{
    Context, Key, Member, Op, OpReply, RangeOptions, Read, RelativeRange, RelativeScore, Result,
    Score, ScoreRange, ScoredMember, Scores, Txn,
};
use std::{fmt, sync::Arc};

/// So many tasks are on a page at most.
const PAGE: u32 = 100;

/// What operators do with a queue: [`Scheduler::admin`] makes one.
///
/// In the context of a tenant it shows the tasks of this tenant only; without one, all.
#[derive(Clone)]
pub struct Admin {
    scheduler: Scheduler,
    queue: Arc<Queue>,
}

/// How many tasks of a queue are where, of all tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Waiting, due or not.
    pub pending: u64,
    /// Waiting, and due by now.
    pub due: u64,
    /// Claimed by a worker.
    pub running: u64,
    /// Succeeded, and kept.
    pub done: u64,
    /// Failed for good, and kept.
    pub dead: u64,
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

/// A place in a list of tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    score: Score,
    member: Member,
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

    /// Whether the queue is paused.
    pub async fn is_paused(&self) -> Result<bool> {
        let read = Read::HGetMark {
            key: self.queue.control.clone(),
            field: PAUSED.into(),
        };
        let txn = Txn::new().then(Op::Read(read));
        let mut reply = self.scheduler.store().commit(txn).await?;
        Ok(reply.mark(0)?.is_some())
    }

    /// How many tasks are where.
    pub async fn counts(&self) -> Result<Counts> {
        let queue = &self.queue;
        let count = |key: &Key, range| {
            Op::Read(Read::ZCount {
                key: key.clone(),
                range,
            })
        };
        let due = RelativeRange::up_to(RelativeScore::NOW);
        let mut txn = Txn::new();
        for set in &queue.due {
            txn = txn
                .then(count(set, RelativeRange::ALL))
                .then(count(set, due));
        }
        for set in [&queue.lease, &queue.done, &queue.dead] {
            txn = txn.then(count(set, RelativeRange::ALL));
        }
        let reply = self.scheduler.store().commit(txn).await?;
        let count = |step: usize| match reply.answers.get(step) {
            Some(OpReply::Count(count)) => *count,
            _ => 0,
        };
        Ok(Counts {
            pending: count(0) + count(2) + count(4),
            due: count(1) + count(3) + count(5),
            running: count(6),
            done: count(7),
            dead: count(8),
        })
    }

    /// Lists tasks, 100 at a time. A task that moves meanwhile may be missed or come twice.
    pub async fn list(&self, stage: Stage, after: Option<&Cursor>) -> Result<Page> {
        let (shown, next) = self.page(self.set(stage), after).await?;
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

    /// Has a task that failed for good tried again, as if it were new; `false` if it is not among the
    /// dead. Its unique key, if it had one, is not taken again.
    pub async fn requeue<T: Task>(&self, handle: &Handle<T>) -> Result<bool> {
        self.requeue_member(handle.member()).await
    }

    /// The same with all that are dead by now; returns how many. In the context of a tenant, with those
    /// of the tenant.
    ///
    /// # Cancel safety
    /// Dropped, it has requeued some of them.
    pub async fn requeue_all(&self) -> Result<u64> {
        // All are found first: one that dies again meanwhile is not to be met again.
        let (mut after, mut dead) = (None, Vec::new());
        loop {
            let members = self.members(&self.queue.dead, after.as_ref()).await?;
            let Some(last) = members.last() else { break };
            after = last.score.map(|score| Cursor {
                score,
                member: last.member.clone(),
            });
            dead.extend(members.into_iter().map(|it| it.member));
        }
        let context = Context::current();
        let mut requeued = 0;
        for member in dead {
            let (_, tenant) = TaskId::parse_member(&member)?;
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

    /// The next members of a set that the caller may see, and where to go on.
    pub(crate) async fn page(
        &self,
        set: &Key,
        after: Option<&Cursor>,
    ) -> Result<(Vec<Member>, Option<Cursor>)> {
        let members = self.members(set, after).await?;
        let next = behind(&members);
        let context = Context::current();
        let mut shown = Vec::with_capacity(members.len());
        for it in members {
            let (_, of) = TaskId::parse_member(&it.member)?;
            if is_shown(context.as_ref(), of.as_deref()) {
                shown.push(it.member);
            }
        }
        Ok((shown, next))
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

    /// The next members behind a place. Members of one score are in the order of their bytes.
    async fn members(&self, set: &Key, after: Option<&Cursor>) -> Result<Vec<ScoredMember>> {
        let kv = self.scheduler.store().kv();
        let from = after.map_or(Score::MIN, |it| it.score);
        let mut options = RangeOptions::default().limit(PAGE).scores(Scores::Include);
        loop {
            let range = ScoreRange::new(from, Score::MAX);
            let found = kv.zrangebyscore_with(set, range, options).await?;
            let is_last = found.len() < PAGE as usize;
            let is_behind = |it: &ScoredMember| {
                after.is_none_or(|after| it.score != Some(after.score) || it.member > after.member)
            };
            let is_all_behind = found.first().is_none_or(is_behind);
            let behind: Vec<_> = found.into_iter().filter(is_behind).collect();
            // Only a whole page tells that more may follow.
            if is_last || is_all_behind {
                return Ok(behind);
            }
            let before = PAGE - behind.len() as u32;
            options.offset += before;
        }
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Admin({})", self.queue.name)
    }
}

/// Where to go on behind a page; nowhere if it is not full.
fn behind(members: &[ScoredMember]) -> Option<Cursor> {
    let last = members.last().filter(|_| members.len() == PAGE as usize)?;
    Some(Cursor {
        score: last.score?,
        member: last.member.clone(),
    })
}

/// Whether somebody in this context may see tasks of this tenant.
fn is_shown(context: Option<&Context>, tenant: Option<&[u8]>) -> bool {
    match context.and_then(Context::tenant_id) {
        None => true,
        mine => mine == tenant,
    }
}
