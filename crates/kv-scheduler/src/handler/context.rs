//! What a handler knows of its attempt, and how it is told to stop.

use super::extract::SharedData;
use crate::{
    Priority, Scheduler, TaskId,
    envelope::Envelope,
    queue::Queue,
    record::Record,
    transitions::{self, Fence, Finished, Recorded},
};
use kv_core::{Codec, Error, ErrorKind, Result, Timestamp};
use parking_lot::Mutex;
use serde::Serialize;
use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, Ordering, fence},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// The longest progress, in bytes: it goes with every claim.
const MAX_PROGRESS: usize = 16 << 10;

/// What a handler knows of its attempt: cheap to clone.
#[derive(Clone)]
pub struct Ctx(Arc<Inner>);

struct Inner {
    scheduler: Scheduler,
    envelope: Arc<Envelope>,
    claim: Arc<Claim>,
    data: Arc<SharedData>,
    attempt: u32,
}

impl Ctx {
    pub(crate) fn new(
        scheduler: Scheduler,
        envelope: Arc<Envelope>,
        claim: Arc<Claim>,
        data: Arc<SharedData>,
        attempt: u32,
    ) -> Self {
        Self(Arc::new(Inner {
            scheduler,
            envelope,
            claim,
            data,
            attempt,
        }))
    }

    /// The task's id.
    ///
    /// # Errors
    /// [`Codec`](ErrorKind::Codec) if another program wrote one that is none.
    pub fn id(&self) -> Result<TaskId> {
        Ok(TaskId::parse_member(&self.0.claim.member)?.0)
    }

    /// The name of the task's kind.
    pub fn kind(&self) -> &str {
        &self.0.envelope.kind
    }

    /// The queue's name.
    pub fn queue(&self) -> &str {
        self.0.claim.queue.name.as_str()
    }

    /// Which attempt this is, counted from 1. Lapsed leases count, releases and snoozes do not.
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// How many attempts there are in all.
    pub fn max_attempts(&self) -> u32 {
        self.0.envelope.retry.max_attempts()
    }

    /// When the task is given up, by the store's clock.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.0.envelope.deadline()
    }

    /// When the task was scheduled, by the clock of who did.
    pub fn scheduled(&self) -> Timestamp {
        self.0.envelope.scheduled()
    }

    /// The name of the schedule that the task came of, if it came of one.
    pub fn schedule(&self) -> Option<&str> {
        Some(&self.0.envelope.tick.as_ref()?.schedule)
    }

    /// The tick of the [`schedule`](Self::schedule) that the task stands for, by the store's clock:
    /// what it should do is that of this instant, however late it is.
    pub fn tick(&self) -> Option<Timestamp> {
        Some(self.0.envelope.tick.as_ref()?.at())
    }

    /// Cancelled when the handler is to stop: it was asked to, its lease is lost, or the worker ends.
    /// What it returns counts all the same, unless the lease is lost.
    pub fn token(&self) -> &CancellationToken {
        self.0.claim.token()
    }

    /// Whether another worker may have the task by now: nothing that this attempt returns will count.
    pub fn is_lease_lost(&self) -> bool {
        self.0.claim.stop_reason() == Some(StopReason::Lost)
    }

    /// Whether the task was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.claim.stop_reason() == Some(StopReason::Cancelled)
    }

    /// How long the lease lasts if it is not extended, by the local clock.
    pub fn lease_left(&self) -> Duration {
        let now = self.0.scheduler.store().clock.monotonic();
        self.0.claim.until().saturating_sub(now)
    }

    /// Tells how far the work is, in a form of your own; [`Status::progress`](crate::Status::progress)
    /// reads it. One round trip.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) above 16 KiB, [`Conflict`](ErrorKind::Conflict) if the lease is
    /// lost; the store's.
    pub async fn progress<P: Serialize + Sync + ?Sized>(&self, progress: &P) -> Result<()> {
        let progress = Codec::JSON.encode(progress)?.into_bytes();
        if progress.len() > MAX_PROGRESS {
            let message = "what is told of a task's progress must not be longer than 16 KiB";
            return Err(
                Error::new(ErrorKind::TooLarge, message).with_context("bytes", progress.len())
            );
        }
        let claim = &self.0.claim;
        let store = self.0.scheduler.store();
        // Held throughout, so that no extension makes another fence of it meanwhile.
        let mut fence = claim.fence.lock().await;
        claim.is_recorded.store(true, Ordering::Release);
        let record = {
            let mut record = claim.record.lock();
            record.progress = Some(progress);
            record.encode()?
        };
        loop {
            let txn = transitions::note(&claim.queue, &fence, record.clone());
            let reply = store.commit(txn).await?;
            match transitions::noted(&fence, reply)? {
                Finished::Written => return Ok(()),
                // The echo of an extension whose answer was lost.
                Finished::Renewed(score) => {
                    fence.score = score;
                    fence.is_in_doubt = false;
                }
                _ => break,
            }
        }
        let message = "the lease is lost: another worker may have the task";
        Err(Error::new(ErrorKind::Conflict, message))
    }

    /// The scheduler, to schedule more.
    pub fn scheduler(&self) -> &Scheduler {
        &self.0.scheduler
    }

    pub(super) fn shared_data(&self) -> &SharedData {
        &self.0.data
    }
}

impl fmt::Debug for Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx")
            .field("task", &self.0.claim.member)
            .field("kind", &self.kind())
            .field("attempt", &self.0.attempt)
            .finish_non_exhaustive()
    }
}

/// A claimed task in this process.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) queue: Arc<Queue>,
    pub(crate) member: kv_core::Member,
    /// Whoever sends a transition under the fence holds this until it is answered.
    pub(crate) fence: Arc<tokio::sync::Mutex<Fence>>,
    pub(crate) record: Mutex<Record>,
    /// As far as it can be read.
    pub(crate) envelope: Option<Arc<Envelope>>,
    /// Where it waits if it comes back.
    pub(crate) home: Priority,
    /// Made when it is asked for: most handlers never do.
    token: OnceLock<CancellationToken>,
    /// Until when the lease lasts at least, by the clock's `monotonic`.
    until: Mutex<Duration>,
    stop: AtomicU8,
    /// Whether its end is on the way.
    is_ending: AtomicBool,
    /// Whether its end is being sent.
    is_sent: AtomicBool,
    /// Whether there may be a record on the store.
    is_recorded: AtomicBool,
}

/// Why a handler is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    Cancelled = 1,
    Lost = 2,
    Shutdown = 3,
    Deadline = 4,
}

impl Claim {
    pub(crate) fn new(
        queue: Arc<Queue>,
        fence: Fence,
        envelope: Option<Arc<Envelope>>,
        from: Option<Priority>,
        record: Record,
        recorded: Recorded,
        until: Duration,
    ) -> Self {
        let known = envelope.as_ref().map(|it| it.priority);
        Self {
            queue,
            envelope,
            home: known.or(from).unwrap_or_default(),
            member: fence.member.clone(),
            fence: Arc::new(tokio::sync::Mutex::new(fence)),
            record: Mutex::new(record),
            token: OnceLock::new(),
            until: Mutex::new(until),
            stop: AtomicU8::new(0),
            is_ending: AtomicBool::new(false),
            is_sent: AtomicBool::new(false),
            is_recorded: AtomicBool::new(recorded == Recorded::Perhaps),
        }
    }

    /// Whether its end is being sent. Until then its lease is extended, however many ends wait.
    pub(crate) fn is_sent(&self) -> bool {
        self.is_sent.load(Ordering::Acquire)
    }

    pub(crate) fn note_sending(&self) {
        self.is_sent.store(true, Ordering::Release);
    }

    /// Whether the caller is the one to end it: only the first who asks is.
    pub(crate) fn take_end(&self) -> bool {
        !self.is_ending.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn until(&self) -> Duration {
        *self.until.lock()
    }

    pub(crate) fn extend_until(&self, until: Duration) {
        *self.until.lock() = until;
    }

    /// Tells the handler to stop; `false` if that was known. The first reason stays, but a lost lease
    /// is worse than any.
    pub(crate) fn stop(&self, reason: StopReason) -> bool {
        let is_worse = |now| now == 0 || (reason == StopReason::Lost && now != reason as u8);
        let is_new = self
            .stop
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                is_worse(now).then_some(reason as u8)
            })
            .is_ok();
        // Either we see a token that is made at the same time, or who makes it sees why it is to stop.
        fence(Ordering::SeqCst);
        if let Some(token) = self.token.get() {
            token.cancel();
        }
        is_new
    }

    /// Cancelled when the handler is to stop.
    pub(crate) fn token(&self) -> &CancellationToken {
        let token = self.token.get_or_init(CancellationToken::new);
        // Whoever stopped it before has found no token to cancel.
        fence(Ordering::SeqCst);
        if self.stop_reason().is_some() {
            token.cancel();
        }
        token
    }

    pub(crate) fn recorded(&self) -> Recorded {
        match self.is_recorded.load(Ordering::Acquire) {
            true => Recorded::Perhaps,
            false => Recorded::Never,
        }
    }

    pub(crate) fn stop_reason(&self) -> Option<StopReason> {
        match self.stop.load(Ordering::Acquire) {
            0 => None,
            1 => Some(StopReason::Cancelled),
            2 => Some(StopReason::Lost),
            3 => Some(StopReason::Shutdown),
            _ => Some(StopReason::Deadline),
        }
    }
}
