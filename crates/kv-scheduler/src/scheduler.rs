//! The handle that tasks are scheduled with.

use crate::{
    Enqueue, Handle, QueueName, Retry, Task, TaskId,
    queue::Queue,
    registry::Registry,
    store::Store,
    transitions::{self, Found},
};
use kv_core::{Clock, Context, Kv, Member, Result, SystemClock, Timestamp};
use parking_lot::Mutex;
use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

/// The namespace of queues where nothing else is said.
pub(crate) const NAMESPACE: &str = "tasks";

/// The queue where nothing else is said.
pub(crate) const DEFAULT_QUEUE: &str = "default";

/// So many queues are kept ready; names beyond are made anew, and told to the registry, for each call.
const KNOWN_QUEUES: usize = 1024;

/// Schedules tasks: a cheap, cloneable handle.
///
/// Whatever is scheduled is on the store before the call returns, and is done at least once by some
/// worker, whatever processes die meanwhile. It is not done early by the store's clock.
///
/// The tenant and user of the caller travel with the task and are restored in its handler; tenants may
/// use the same task ids and unique keys. The store itself is used without anybody's context: with the
/// layer `key_resolver`, leave `tenant = "required"` off for it, and give the application a prefix of
/// its own.
///
/// ```
/// use kv_scheduler::{Scheduler, Task, TaskError, Worker};
/// # use serde::{Serialize, Deserialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Mail {
///     to: String,
/// }
///
/// impl Task for Mail {
///     const KIND: &'static str = "mail";
///     type Output = ();
/// }
///
/// async fn send_mail(mail: Mail) -> Result<(), TaskError> {
///     println!("to {}", mail.to);
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// let scheduler = Scheduler::new(&kv)?;
/// scheduler.enqueue(Mail { to: "ann".into() }).await?;
///
/// let worker = Worker::new(&scheduler).handle(send_mail);
/// assert_eq!(worker.drain().await?.succeeded, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Scheduler(Arc<Inner>);

struct Inner {
    store: Store,
    namespace: QueueName,
    registry: Registry,
    retry: Retry,
    queues: Mutex<HashMap<QueueName, Arc<Queue>>>,
    sequence: Mutex<uuid::ContextV7>,
}

/// Makes a [`Scheduler`].
#[derive(Debug)]
pub struct SchedulerBuilder<'a> {
    kv: &'a Kv,
    namespace: &'a str,
    retry: Retry,
    clock: Arc<dyn Clock>,
}

impl<'a> SchedulerBuilder<'a> {
    /// Queues of this name belong to this application: 1 to 128 of `a-z A-Z 0-9 . _ -`. Without it,
    /// `tasks`.
    #[must_use]
    pub fn namespace(mut self, namespace: &'a str) -> Self {
        self.namespace = namespace;
        self
    }

    /// How often tasks are tried whose kind says nothing of it, or asks for just the usual.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Measures spans and sleeps by this clock; for tests.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the scheduler.
    ///
    /// # Errors
    /// [`Unsupported`](kv_core::ErrorKind::Unsupported) if the store lacks what is needed,
    /// [`InvalidArgument`](kv_core::ErrorKind::InvalidArgument) if the namespace is no name or a layer
    /// demands a tenant.
    pub fn build(self) -> Result<Scheduler> {
        let namespace = QueueName::new(self.namespace)?;
        Ok(Scheduler(Arc::new(Inner {
            store: Store::new(self.kv, self.clock)?,
            registry: Registry::new(&namespace)?,
            namespace,
            retry: self.retry,
            queues: Mutex::default(),
            sequence: Mutex::default(),
        })))
    }
}

impl Scheduler {
    /// A scheduler on a connected store.
    ///
    /// # Errors
    /// As [`SchedulerBuilder::build`].
    pub fn new(kv: &Kv) -> Result<Self> {
        Self::builder(kv).build()
    }

    /// A scheduler with other than the usual settings.
    pub fn builder(kv: &Kv) -> SchedulerBuilder<'_> {
        SchedulerBuilder {
            kv,
            namespace: NAMESPACE,
            retry: Retry::default(),
            clock: Arc::new(SystemClock),
        }
    }

    /// Schedules a task, as soon as a worker is free. Await what is returned; without that nothing
    /// happens.
    pub fn enqueue<T: Task>(&self, task: T) -> Enqueue<T> {
        Enqueue::new(self.clone(), task)
    }

    /// Schedules a task for so much later, by the store's clock.
    pub fn schedule_in<T: Task>(&self, delay: Duration, task: T) -> Enqueue<T> {
        self.enqueue(task).delay(delay)
    }

    /// Schedules a task for an instant, by the store's clock. One that is past is as soon as possible.
    pub fn schedule_at<T: Task>(&self, at: Timestamp, task: T) -> Enqueue<T> {
        self.enqueue(task).at(at)
    }

    /// Schedules many tasks, up to 500 a round trip; each is answered by itself.
    ///
    /// # Cancel safety
    /// Dropped, it leaves some of the tasks scheduled.
    pub async fn enqueue_many<T: Task>(
        &self,
        tasks: impl IntoIterator<Item = Enqueue<T>>,
    ) -> Vec<Result<Handle<T>>> {
        crate::enqueue::many(self, tasks).await
    }

    /// A task by its id, in the context of the caller: only tasks of its tenant are found.
    ///
    /// # Errors
    /// [`InvalidArgument`](kv_core::ErrorKind::InvalidArgument) if the queue or the id is no name. That
    /// there is no such task shows when something is done with it.
    pub fn task<T: Task>(&self, queue: &str, id: &str) -> Result<Handle<T>> {
        let member = TaskId::new(id)?.member(Context::current().as_ref());
        Ok(Handle::new(self.clone(), self.queue(queue)?, member))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    pub(crate) fn namespace(&self) -> &str {
        self.0.namespace.as_str()
    }

    pub(crate) fn queue(&self, name: &str) -> Result<Arc<Queue>> {
        let name = QueueName::new(name)?;
        if let Some(known) = self.0.queues.lock().get(&name) {
            return Ok(known.clone());
        }
        let queue = Queue::new(&self.0.namespace, name.clone())?;
        let mut queues = self.0.queues.lock();
        if queues.len() >= KNOWN_QUEUES {
            return Ok(Arc::new(queue.unnamed()));
        }
        // Another caller may have been first.
        let queue = queues.entry(name).or_insert_with(|| Arc::new(queue));
        Ok(queue.clone())
    }

    /// Looks for a task wherever it may be.
    pub(crate) async fn find(&self, queue: &Queue, member: &Member) -> Result<Option<Found>> {
        let reply = self
            .store()
            .commit(transitions::find(queue, member))
            .await?;
        transitions::found(reply)
    }

    /// What a task is tried by that asks for this.
    pub(crate) fn retry_for(&self, asked: Retry) -> Retry {
        match asked == Retry::default() {
            true => self.0.retry,
            false => asked,
        }
    }

    pub(crate) fn new_id(&self) -> TaskId {
        let now = self.0.store.clock.now();
        TaskId::generate(&self.0.sequence.lock(), now)
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler")
            .field("namespace", &self.0.namespace)
            .finish_non_exhaustive()
    }
}
