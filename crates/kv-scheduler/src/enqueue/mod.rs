//! Scheduling tasks.

mod heads;
mod send;
mod settle;

use crate::{
    Disposition, Handle, Priority, Retention, Retry, Scheduler, Task, TaskId, TaskOptions,
    TraceContext, Unique,
    envelope::Envelope,
    options::UniqueKey,
    queue::Queue,
    scheduler::DEFAULT_QUEUE,
    telemetry::{self, Fail},
    transitions::Planned,
};
use kv_core::{BoxFuture, Context, Error, ErrorKind, RelativeScore, Result, Timestamp};
use std::{borrow::Cow, fmt, marker::PhantomData, sync::Arc, time::Duration};
use tracing::Instrument;

pub(crate) use self::send::many;

/// The longest unique key, in bytes.
const LONGEST_KEY: usize = 512;

/// A task that is to be scheduled; awaiting it does so.
///
/// The answer is a [`Handle`] on the task, or on the one that is there already: see
/// [`Handle::disposition`].
///
/// # Errors
/// [`TooLarge`](ErrorKind::TooLarge) above 256 KiB, [`InvalidArgument`](ErrorKind::InvalidArgument) for
/// names that are none; the store's otherwise. After an error of unknown outcome the task may be there,
/// or even be done: what was surely not written is sent again here, and what is due in a minute or later,
/// but a task that is due soon may have been done and be gone.
///
/// # Cancel safety
/// Dropped, it leaves the task scheduled or not.
#[must_use = "a task is scheduled when this is awaited"]
pub struct Enqueue<T> {
    scheduler: Scheduler,
    task: T,
    options: TaskOptions,
    at: RelativeScore,
    id: Option<String>,
    unique: Option<Unique>,
    deadline: Option<Timestamp>,
    context: Option<Context>,
    trace: Option<TraceContext>,
}

impl<T: Task> Enqueue<T> {
    pub(crate) fn new(scheduler: Scheduler, task: T) -> Self {
        Self {
            scheduler,
            task,
            options: T::options(),
            at: RelativeScore::NOW,
            id: None,
            unique: None,
            deadline: None,
            context: Context::current(),
            trace: TraceContext::current(),
        }
    }

    /// Due so much later than now, by the store's clock.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.at = RelativeScore::after(delay);
        self
    }

    /// Due at this instant, by the store's clock.
    pub fn at(mut self, at: Timestamp) -> Self {
        self.at = at.into();
        self
    }

    /// In this queue.
    pub fn queue(mut self, queue: impl Into<Cow<'static, str>>) -> Self {
        self.options.queue = Some(queue.into());
        self
    }

    /// With this priority in its queue.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.options.priority = priority;
        self
    }

    /// Under this id: while a task of the tenant with it is in the queue, running or kept, no other is
    /// scheduled. Without it the task gets one that has not been before.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// At most one such task at a time.
    pub fn unique(mut self, unique: Unique) -> Self {
        self.unique = Some(unique);
        self
    }

    /// Tried so often.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.options.retry = retry;
        self
    }

    /// Given up at this instant by the store's clock, with whatever attempt is under way.
    pub fn deadline(mut self, deadline: Timestamp) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// An attempt may take so long.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(Some(timeout));
        self
    }

    /// The result is kept so long.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.options.retention = retention;
        self
    }

    /// For this tenant and user, whatever the calling task's are.
    pub fn context(mut self, context: Context) -> Self {
        self.context = Some(context);
        self
    }

    /// As part of this trace.
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.trace = Some(trace);
        self
    }

    /// What goes to the store.
    fn plan(self) -> Result<Plan<T>> {
        let options = self.options;
        let queue = options.queue.as_deref().unwrap_or(DEFAULT_QUEUE);
        let queue = self.scheduler.queue(queue)?;
        let payload = options.codec.encode(&self.task)?.into_bytes();
        let is_generated = self.id.is_none();
        let id = match self.id {
            Some(id) => TaskId::new(id)?,
            None => self.scheduler.new_id(),
        };
        let unique = self.unique.as_ref().map(|it| match &it.key {
            UniqueKey::Payload => Ok(fingerprint(T::KIND, &payload)),
            UniqueKey::Named(name) => parse_unique(name),
        });
        let unique = unique.transpose()?;
        let context = self.context.as_ref();
        let (member, key) = (
            id.member(context),
            unique.as_deref().map(|it| queue.unique(it, context)),
        );
        let now = self.scheduler.store().clock.now();
        let mut envelope = Envelope::new(T::KIND, payload, now)
            .with_context(context)
            .with_deadline(self.deadline)
            .with_timeout(options.timeout);
        envelope.codec = options.codec;
        envelope.priority = options.priority;
        envelope.unique = unique;
        envelope.retry = self.scheduler.retry_for(options.retry);
        envelope.retention = options.retention;
        envelope.trace = self.trace;
        let planned = Planned {
            member,
            priority: options.priority,
            at: self.at,
            unique: key,
            envelope: envelope.encode()?,
        };
        Ok(Plan {
            scheduler: self.scheduler,
            queue,
            planned,
            conflict: self.unique.map(|it| it.conflict),
            is_generated,
            kind: PhantomData,
        })
    }
}

impl<T: Task> IntoFuture for Enqueue<T> {
    type Output = Result<Handle<T>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let plan = self.plan()?;
            let span = telemetry::enqueue(&plan.queue, &plan.planned, T::KIND);
            let sent = send::one(plan).instrument(span.clone()).await;
            if let Err(error) = &sent {
                span.fail(error);
            }
            sent
        })
    }
}

impl<T> fmt::Debug for Enqueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enqueue")
            .field("id", &self.id)
            .field("at", &self.at)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A task whose every option has been parsed.
struct Plan<T> {
    scheduler: Scheduler,
    queue: Arc<Queue>,
    planned: Planned,
    conflict: Option<crate::options::Conflict>,
    is_generated: bool,
    kind: PhantomData<fn() -> T>,
}

impl<T> Plan<T> {
    fn handle(&self, disposition: Disposition) -> Handle<T> {
        let (queue, member) = (self.queue.clone(), self.planned.member.clone());
        Handle::new(self.scheduler.clone(), queue, member).with_disposition(disposition)
    }
}

/// The same for the same kind and payload: a name-based UUID (RFC 9562, version 5).
fn fingerprint(kind: &str, payload: &[u8]) -> String {
    let name = [kind.as_bytes(), b"\0", payload].concat();
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &name)
        .simple()
        .to_string()
}

fn parse_unique(name: &str) -> Result<String> {
    if name.is_empty() || name.len() > LONGEST_KEY {
        let message = "a unique key must have 1 to 512 bytes";
        return Err(
            Error::new(ErrorKind::InvalidArgument, message).with_context("bytes", name.len())
        );
    }
    Ok(name.to_owned())
}
