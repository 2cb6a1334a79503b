//! Which queues there are, and which workers serve them: for people to look at. No task depends on it;
//! whatever is missing here is done all the same.

use crate::{QueueName, Scheduler, TaskId, pages, queue::Queue, stored, transitions};
use kv_core::{Field, Key, KeyGroup, Member, Result, Score, Timestamp, Value};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// After this time a process that schedules tells again that the queue is there.
const AGAIN: Duration = Duration::from_secs(600);

/// The same after it could not be told.
const SOON: Duration = Duration::from_secs(5);

/// How long a call that schedules may wait for the registry.
const PATIENCE: Duration = Duration::from_millis(500);

/// So many queues go with one transaction: not all stores take long ones.
const BATCH: usize = 16;

/// A worker that was not heard of for so long is taken for gone.
const GONE: Duration = Duration::from_secs(90);

/// The keys of the registry, a group of their own.
#[derive(Debug)]
pub(crate) struct Registry {
    /// When each queue was heard of last.
    pub(crate) queues: Key,
    /// When each worker is to be taken for gone.
    pub(crate) workers: Key,
    /// What workers tell of themselves.
    pub(crate) details: Key,
}

impl Registry {
    pub(crate) fn new(namespace: &QueueName) -> Result<Self> {
        let group = KeyGroup::new(namespace.as_str())?;
        Ok(Self {
            queues: group.key(":queues"),
            workers: group.key(":workers"),
            details: group.key(":worker"),
        })
    }
}

/// A queue that somebody has scheduled to, or serves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownQueue {
    /// Its name.
    pub name: QueueName,
    /// When it was heard of last, by the store's clock: a worker tells every 30 seconds, a process that
    /// schedules every ten minutes.
    pub seen: Timestamp,
}

/// A worker that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// An id that no other worker has.
    pub id: TaskId,
    /// What it was called: [`Worker::name`](crate::Worker::name).
    pub name: String,
    /// The number of its process on its machine.
    pub process: u32,
    /// The queues that it serves, and how many tasks of each at a time.
    pub queues: Vec<(QueueName, usize)>,
    /// When it began, by its own clock.
    pub started: Timestamp,
    /// When it is taken for gone if it is not heard of, by the store's clock.
    pub gone_at: Timestamp,
}

/// Errors are the store's.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
impl Scheduler {
    /// The queues of the namespace, by name: all that somebody has scheduled to or served since they
    /// were [forgotten](crate::Admin::forget), whether something is in them or not.
    ///
    /// It is for people: where the registry could not be written, a queue may be missing for a while,
    /// and is served all the same.
    ///
    /// ```
    /// # use kv_scheduler::{Scheduler, Task};
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Mail { to: String }
    /// # impl Task for Mail { const KIND: &'static str = "mail"; type Output = (); }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> kv_core::Result<()> {
    /// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
    /// # let scheduler = Scheduler::new(&kv)?;
    /// scheduler.enqueue(Mail { to: "ann".into() }).await?;
    /// let queues = scheduler.queues().await?;
    /// assert_eq!(queues[0].name.as_str(), "default");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn queues(&self) -> Result<Vec<KnownQueue>> {
        let members = pages::all(self.store(), &self.registry().queues).await?;
        // One that was heard of meanwhile comes twice.
        let mut queues = BTreeMap::new();
        for it in members {
            // What another program has put there is no queue.
            let Ok(name) = it.member.to_str().and_then(QueueName::new) else {
                continue;
            };
            queues.insert(name, it.score.map(time_of).unwrap_or_default());
        }
        let queues = queues.into_iter();
        Ok(queues
            .map(|(name, seen)| KnownQueue { name, seen })
            .collect())
    }

    /// The workers of the namespace that were heard of within the last 90 seconds, the first to be
    /// taken for gone first. One that could not reach the registry may be missing, and works all the
    /// same; [`Worker::drain`](crate::Worker::drain) does not enter it.
    pub async fn workers(&self) -> Result<Vec<WorkerInfo>> {
        let (store, registry) = (self.store(), self.registry());
        let now = store.kv().now().await?;
        let mut found = BTreeMap::new();
        for it in pages::all(store, &registry.workers).await? {
            let gone_at = it.score.map(time_of).unwrap_or_default();
            if gone_at > now {
                found.insert(it.member, gone_at);
            }
        }
        let mut workers = Vec::with_capacity(found.len());
        let found: Vec<_> = found.into_iter().collect();
        for page in found.chunks(pages::PAGE as usize) {
            let fields = page.iter().map(|(member, _)| field(member));
            let fields: Vec<_> = fields.collect();
            let kv = store.kv();
            let details = kv.hget_many(&registry.details, fields).await?;
            for ((member, gone_at), details) in page.iter().zip(details) {
                let presence = details.as_ref().and_then(|it| stored::decode(it).ok());
                workers.extend(presence.and_then(|it| told(member, it, *gone_at).ok()));
            }
        }
        workers.sort_by_key(|it| it.gone_at);
        Ok(workers)
    }

    /// Tells the registry of queues that something is scheduled to, if it was not told lately. If that
    /// fails it is tried again with a later call.
    pub(crate) async fn announce(&self, queues: impl IntoIterator<Item = &Queue>) {
        let now = self.store().clock.monotonic();
        let mut new = Untold {
            queues: BTreeMap::new(),
            now,
        };
        for it in queues {
            if !new.queues.contains_key(&it.name) && it.announcement.is_due(now) {
                new.queues.insert(&it.name, it);
            }
        }
        while !new.queues.is_empty() {
            let patience =
                PATIENCE.saturating_sub(self.store().clock.monotonic().saturating_sub(now));
            if patience.is_zero() {
                return;
            }
            let batch: Vec<_> = new.queues.keys().copied().take(BATCH).collect();
            let txn = transitions::register(self.registry(), batch.iter().copied());
            if let Err(error) = self.store().commit_within(txn, patience).await {
                tracing::debug!(%error, "the registry of queues could not be told");
                return;
            }
            for name in batch {
                new.queues.remove(name);
            }
        }
    }
}

/// Queues that are to be told of. Whatever becomes of the call, those that were not are told soon.
struct Untold<'a> {
    queues: BTreeMap<&'a QueueName, &'a Queue>,
    now: Duration,
}

impl Drop for Untold<'_> {
    fn drop(&mut self) {
        for queue in self.queues.values() {
            queue.announcement.failed(self.now);
        }
    }
}

/// When a process tells the registry of a queue again, in microseconds of the monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct Announcement(AtomicU64);

impl Announcement {
    /// Whether it is time; whoever asks first is to tell.
    fn is_due(&self, now: Duration) -> bool {
        let due = self.0.load(Ordering::Relaxed);
        let is_due = due <= micros(now);
        let next = micros(now + AGAIN);
        let order = Ordering::Relaxed;
        is_due && self.0.compare_exchange(due, next, order, order).is_ok()
    }

    fn failed(&self, now: Duration) {
        self.0.store(micros(now + SOON), Ordering::Relaxed);
    }

    /// The queue was forgotten.
    pub(crate) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// What a worker tells of itself.
///
/// On the store as [envelopes](crate::envelope::Envelope) are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Presence {
    #[serde(rename = "n")]
    pub(crate) name: String,
    #[serde(rename = "p")]
    pub(crate) process: u32,
    #[serde(rename = "q")]
    pub(crate) queues: Vec<(String, usize)>,
    /// By its own clock: microseconds since the epoch.
    #[serde(rename = "t")]
    pub(crate) started: i64,
}

impl Presence {
    /// Tells that the worker is there, and its queues; forgets others that are gone.
    pub(crate) async fn tell(&self, scheduler: &Scheduler, id: &Member) -> Result<()> {
        let (store, registry) = (scheduler.store(), scheduler.registry());
        let details = Value::from(stored::encode(self)?);
        store
            .commit(transitions::enter(registry, id, GONE, details))
            .await?;
        let names = self.queues.iter().map(|(name, _)| QueueName::new(name));
        let names: Vec<_> = names.collect::<Result<_>>()?;
        for batch in names.chunks(BATCH) {
            store.commit(transitions::register(registry, batch)).await?;
        }
        store.zmove(transitions::sweep(registry)).await.map(drop)
    }

    /// Takes the worker out.
    pub(crate) async fn leave(scheduler: &Scheduler, id: &Member) {
        let txn = transitions::exit(scheduler.registry(), id);
        if let Err(error) = scheduler.store().commit_within(txn, PATIENCE).await {
            tracing::debug!(%error, "the registry of workers could not be told");
        }
    }
}

fn told(member: &Member, presence: Presence, gone_at: Timestamp) -> Result<WorkerInfo> {
    let queues = presence.queues.into_iter();
    let queues = queues.map(|(name, places)| Ok((QueueName::new(name)?, places)));
    Ok(WorkerInfo {
        id: TaskId::new(member.to_str()?)?,
        name: presence.name,
        process: presence.process,
        queues: queues.collect::<Result<_>>()?,
        started: Timestamp::from_micros(presence.started),
        gone_at,
    })
}

fn field(member: &Member) -> Field {
    Field::new(member.clone().into_bytes())
}

fn time_of(score: Score) -> Timestamp {
    Timestamp::from_micros(score.get() as i64)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::{AGAIN, Announcement, GONE, Presence, SOON};
    use crate::Scheduler;
    use kv_core::{Kv, Timestamp, VirtualClock};
    use kv_memory::{MemoryConfig, MemoryStore};
    use std::{sync::Arc, time::Duration};

    #[tokio::test]
    async fn a_worker_that_is_not_heard_of_is_gone_and_swept_up_by_others() {
        let clock = Arc::new(VirtualClock::at(Timestamp::from_micros(1_000_000)));
        let store = MemoryStore::with_clock(MemoryConfig::default(), clock.clone());
        let kv = Kv::builder(store).connect().await.unwrap();
        let scheduler = Scheduler::builder(&kv).clock(clock.clone()).build();
        let scheduler = scheduler.unwrap();
        let presence = Presence {
            name: "a".into(),
            process: 7,
            queues: (0..40).map(|it| (format!("q{it}"), 1)).collect(),
            started: 3,
        };
        presence.tell(&scheduler, &"first".into()).await.unwrap();
        clock.advance(GONE / 2);
        presence.tell(&scheduler, &"second".into()).await.unwrap();
        assert_eq!(scheduler.workers().await.unwrap().len(), 2);
        assert_eq!(scheduler.queues().await.unwrap().len(), 40);
        clock.advance(GONE / 2);
        let left = scheduler.workers().await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!((left[0].id.as_str(), left[0].process), ("second", 7));
        presence.tell(&scheduler, &"second".into()).await.unwrap();
        let details = &scheduler.registry().details;
        assert_eq!(kv.hlen(details).await.unwrap(), 1);
    }

    #[test]
    fn a_queue_is_told_once_and_soon_again_if_that_failed() {
        let (it, start) = (Announcement::default(), Duration::ZERO);
        assert!(it.is_due(start));
        assert!(!it.is_due(start + AGAIN / 2));
        assert!(it.is_due(start + AGAIN));
        it.failed(start);
        assert!(!it.is_due(start + SOON / 2));
        assert!(it.is_due(start + SOON));
        it.reset();
        assert!(it.is_due(start));
    }
}
