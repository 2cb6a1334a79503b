//! A task that was scheduled.

use crate::{
    Details, Priority, Scheduler, Status, Task, TaskId,
    envelope::Envelope,
    queue::{Owner, Queue},
    record::Record,
    recurring, status,
    transitions::{self, AtEnd, Found, Owned, Place},
};
use futures_util::StreamExt;
use kv_core::{Error, ErrorKind, Event, Events, Member, RelativeScore, Result, Timestamp, Watch};
use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

/// How often to look whether a task has ended, should the message be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A task that was scheduled, or stood in the way of one.
pub struct Handle<T> {
    scheduler: Scheduler,
    queue: Arc<Queue>,
    member: Member,
    disposition: Disposition,
    kind: PhantomData<fn() -> T>,
}

/// Stands for the kind of a task that is not known, or of no concern: [`Admin::task`](crate::Admin::task).
#[derive(Clone, Copy, Debug)]
pub enum Untyped {}

/// What became of a task that was to be scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disposition {
    /// It was scheduled.
    Scheduled,
    /// Nothing was scheduled: a task with the same id, or the same unique key, is there. The handle is
    /// on that one.
    Existing,
    /// It was scheduled, and the task that had its unique key is gone.
    Replaced,
    /// The task that has its unique key waits as long as it would have. The handle is on that one.
    Extended,
}

/// What became of a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The task waited; it is gone and never starts.
    Pending,
    /// The task runs: its worker was told, and stops it unless it ends first.
    Requested,
    /// There is no such task, or it is over.
    TooLate,
}

impl<T> Handle<T> {
    pub(crate) fn new(scheduler: Scheduler, queue: Arc<Queue>, member: Member) -> Self {
        Self {
            scheduler,
            queue,
            member,
            disposition: Disposition::Existing,
            kind: PhantomData,
        }
    }

    pub(crate) fn with_disposition(mut self, disposition: Disposition) -> Self {
        self.disposition = disposition;
        self
    }

    pub(crate) fn member(&self) -> &Member {
        &self.member
    }

    /// The task's id.
    ///
    /// # Errors
    /// [`Codec`](ErrorKind::Codec) if another program wrote one that is none.
    pub fn id(&self) -> Result<TaskId> {
        Ok(TaskId::parse_member(&self.member)?.0)
    }

    /// What became of the task that was to be scheduled.
    pub fn disposition(&self) -> Disposition {
        self.disposition
    }

    /// How the task is; `None` if nothing is known of it (any more).
    ///
    /// # Errors
    /// The store's; [`Codec`](ErrorKind::Codec) if what is there cannot be read.
    pub async fn status(&self) -> Result<Option<Status>> {
        let Some((found, envelope)) = self.find().await? else {
            return Ok(None);
        };
        Ok(Some(Status::new(&found, &envelope)))
    }

    /// All that is stored of the task; `None` if nothing is known of it (any more). One round trip.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub async fn details(&self) -> Result<Option<Details>> {
        let found = self.find().await?;
        let details = found.map(|(found, envelope)| Details::new(&self.member, &found, envelope));
        details.transpose()
    }

    /// Cancels the task. One that waits never starts; one that runs is told to stop, through its
    /// [`Ctx`](crate::Ctx), and does not come back if it fails.
    ///
    /// # Errors
    /// The store's; may be sent again.
    pub async fn cancel(&self) -> Result<Cancelled> {
        // It may be claimed or come back between the look and the two attempts to catch it.
        for _ in 0..8 {
            let Some((found, envelope)) = self.find().await? else {
                return Ok(Cancelled::TooLate);
            };
            if matches!(found.place, Place::Done(_) | Place::Dead(_)) {
                return Ok(Cancelled::TooLate);
            }
            let owned = owned(&self.queue, &self.member, &envelope);
            let priority = waits_in(&found, &envelope);
            let [waits, runs] =
                transitions::cancel(&self.queue, &self.member, priority, owned.as_ref());
            let waits = match self.at_end(&envelope).await? {
                None => waits,
                Some(at_end) => at_end.join(&self.queue, waits),
            };
            let txns = [waits, runs];
            let replies = self.scheduler.store().commit_all(txns.into()).await?;
            let is_applied: Vec<bool> = replies
                .into_iter()
                .map(|it| it.map(|it| it.applied))
                .collect::<Result<_>>()?;
            match is_applied[..] {
                [true, _] => return Ok(Cancelled::Pending),
                [_, true] => return Ok(Cancelled::Requested),
                _ => {}
            }
        }
        Err(Error::new(
            ErrorKind::Conflict,
            "the task changed hands again and again; try later",
        ))
    }

    /// Moves a task that waits to another time; `false` if it does not wait.
    ///
    /// # Errors
    /// The store's; may be sent again.
    pub async fn reschedule(&self, at: Timestamp) -> Result<bool> {
        self.move_to(at.into()).await
    }

    /// Makes a task that waits due now; `false` if it does not wait.
    ///
    /// # Errors
    /// The store's; may be sent again.
    pub async fn run_now(&self) -> Result<bool> {
        self.move_to(RelativeScore::NOW).await
    }

    async fn move_to(&self, at: RelativeScore) -> Result<bool> {
        let Some((found, envelope)) = self.find().await? else {
            return Ok(false);
        };
        let priority = waits_in(&found, &envelope);
        let txn = transitions::reschedule(&self.queue, &self.member, priority, at);
        Ok(self.scheduler.store().commit(txn).await?.applied)
    }

    /// What the end of the task does to the schedule that it came of.
    async fn at_end(&self, envelope: &Envelope) -> Result<Option<AtEnd>> {
        let Some(guess) = recurring::rearm(&self.member, Some(envelope)) else {
            return Ok(None);
        };
        let txn = transitions::inspect(&self.queue, &guess.schedule);
        let known = transitions::known(self.scheduler.store().commit(txn).await?)?;
        let at_end = recurring::at_end(guess.schedule, &self.member, known.wait);
        Ok(Some(at_end))
    }

    async fn find(&self) -> Result<Option<(Found, Envelope)>> {
        let Some(found) = self.scheduler.find(&self.queue, &self.member).await? else {
            return Ok(None);
        };
        let envelope = status::envelope(&found)?;
        Ok(Some((found, envelope)))
    }
}

impl<T: Task> Handle<T> {
    /// Waits until the task has ended, at most so long, and returns its result. The task must keep its
    /// result ([`Retention`](crate::Retention)), and longer than the time it takes to read it.
    ///
    /// # Errors
    /// [`Timeout`](ErrorKind::Timeout) if it has not ended by then, [`Unexpected`](ErrorKind::Unexpected)
    /// if nothing is known of it: it was cancelled, or its result is not kept (any more);
    /// [`Unavailable`](ErrorKind::Unavailable) with the reason if it failed for good. Else the store's.
    pub async fn wait(&self, timeout: Duration) -> Result<T::Output> {
        let store = self.scheduler.store();
        let channels = Watch::Channels(vec![self.queue.ended.clone()]);
        let mut ended = store.kv().watch(channels).await?;
        let end = store.clock.monotonic().saturating_add(timeout);
        loop {
            if let Some(result) = self.result().await? {
                return Ok(result);
            }
            let left = end.saturating_sub(store.clock.monotonic());
            if left.is_zero() {
                let message = "the task has not ended within the time to wait";
                return Err(Error::new(ErrorKind::Timeout, message));
            }
            tokio::select! {
                // Messages can be lost.
                () = store.clock.sleep(left.min(LOOK_AGAIN)) => {}
                heard = self.hear(&mut ended) => heard?,
            }
        }
    }

    /// Ends with the message that the task has ended, or when one may have been missed.
    async fn hear(&self, ended: &mut Events) -> Result<()> {
        loop {
            match ended.next().await.transpose()? {
                Some(Event::Message { payload, .. })
                    if payload.as_bytes() != self.member.as_bytes() => {}
                Some(_) => return Ok(()),
                None => {
                    let message = "the messages of the store have ended";
                    return Err(Error::new(ErrorKind::Closed, message));
                }
            }
        }
    }

    /// The result, if the task has ended.
    async fn result(&self) -> Result<Option<T::Output>> {
        let Some((found, envelope)) = self.find().await? else {
            return Err(Error::new(
                ErrorKind::Unexpected,
                "nothing is known of the task: it was cancelled, or its result is not kept; give it \
                 a retention",
            ));
        };
        match found.place {
            Place::Due(..) | Place::Lease(_) => Ok(None),
            Place::Done(_) => {
                let result = found.result.unwrap_or_default();
                envelope.codec.decode(&result).map(Some)
            }
            Place::Dead(_) => {
                let record = Record::decode(found.record.as_ref(), found.tally);
                let reason = record.error.unwrap_or_default();
                Err(
                    Error::new(ErrorKind::Unavailable, "the task failed for good")
                        .with_context("reason", reason),
                )
            }
        }
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        let (scheduler, queue) = (self.scheduler.clone(), self.queue.clone());
        Self::new(scheduler, queue, self.member.clone()).with_disposition(self.disposition)
    }
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("queue", &self.queue.name)
            .field("task", &self.member)
            .field("disposition", &self.disposition)
            .finish()
    }
}

/// Where a task waits: one that was given back by a worker that could not read it may wait elsewhere
/// than its envelope has it.
fn waits_in(found: &Found, envelope: &Envelope) -> Priority {
    match found.place {
        Place::Due(priority, _) => priority,
        _ => envelope.priority,
    }
}

/// The unique key of a task, if it has one.
pub(crate) fn owned(queue: &Queue, member: &Member, envelope: &Envelope) -> Option<Owned> {
    let unique = envelope.unique.as_deref()?;
    Some(Owned {
        key: queue.unique(unique, envelope.context().as_ref()),
        owner: Owner {
            priority: envelope.priority,
            member: member.clone(),
        },
    })
}
