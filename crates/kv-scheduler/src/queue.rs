//! Where a queue lies on the store.

use crate::{Priority, QueueName, recurring, registry::Announcement, telemetry::Scheduled};
use kv_core::{Context, Key, KeyGroup, Member, Result};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

/// The keys of a queue, all of one group. A task is a member of exactly one of the sorted sets, and
/// that is its state.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) namespace: QueueName,
    pub(crate) name: QueueName,
    group: KeyGroup,
    /// When tasks are due; one for each priority, so that no score must tell both.
    pub(crate) due: [Key; 3],
    /// Until when tasks are claimed.
    pub(crate) lease: Key,
    /// Until when what succeeded is kept.
    pub(crate) done: Key,
    /// Until when what failed for good is kept.
    pub(crate) dead: Key,
    /// The envelopes.
    pub(crate) task: Key,
    /// The records.
    pub(crate) meta: Key,
    /// How often each task was claimed.
    pub(crate) tally: Key,
    /// Which of the claimed tasks are to be cancelled.
    pub(crate) cancel: Key,
    pub(crate) result: Key,
    pub(crate) control: Key,
    /// The channel on which dispatchers are woken.
    pub(crate) wake: Key,
    /// The channel on which tasks are told that have ended.
    pub(crate) ended: Key,
    /// The channel on which tasks are told that are to be cancelled.
    pub(crate) cancelled: Key,
    /// The schedules.
    pub(crate) recurring: recurring::Keys,
    /// When this process tells the registry again that the queue is there.
    pub(crate) announcement: Announcement,
    /// How many tasks this process has scheduled.
    pub(crate) scheduled: Scheduled,
}

/// The field of `control` that holds claims back.
pub(crate) const PAUSED: &str = "paused";

impl Queue {
    pub(crate) fn new(namespace: &QueueName, name: QueueName) -> Result<Self> {
        let group = KeyGroup::new(format!("{namespace}:{name}"))?;
        let key = |suffix: &str| group.key(suffix);
        Ok(Self {
            due: Priority::ALL.map(|it| key(&format!(":due:{}", it.index()))),
            lease: key(":lease"),
            done: key(":done"),
            dead: key(":dead"),
            task: key(":task"),
            meta: key(":meta"),
            tally: key(":tally"),
            cancel: key(":cancel"),
            result: key(":result"),
            control: key(":control"),
            wake: key(":wake"),
            ended: key(":ended"),
            cancelled: key(":cancelled"),
            recurring: recurring::Keys::new(&group),
            announcement: Announcement::default(),
            scheduled: Scheduled::new(namespace, &name),
            namespace: namespace.clone(),
            group,
            name,
        })
    }

    /// One of so many that metrics do not tell them apart.
    pub(crate) fn unnamed(mut self) -> Self {
        self.scheduled = Scheduled::new(&self.namespace, &QueueName::trusted("(other)"));
        self
    }

    pub(crate) fn due(&self, priority: Priority) -> &Key {
        &self.due[priority.index()]
    }

    /// Holds the task that has a unique key.
    pub(crate) fn unique(&self, name: &str, context: Option<&Context>) -> Key {
        let part = |bytes| percent_encode(bytes, NON_ALPHANUMERIC);
        let suffix = match context.and_then(Context::tenant_id) {
            None => format!(":unique:{}", part(name.as_bytes())),
            Some(tenant) => format!(":unique:{}@{}", part(name.as_bytes()), part(tenant)),
        };
        self.group.key(suffix)
    }

    /// All hashes that have a field for a task.
    pub(crate) fn books(&self) -> [&Key; 5] {
        [
            &self.task,
            &self.meta,
            &self.tally,
            &self.cancel,
            &self.result,
        ]
    }
}

/// Which task has a unique key: where it waits and its member, as it is written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) priority: Priority,
    pub(crate) member: Member,
}

impl Owner {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let digit = b'0' + self.priority.index() as u8;
        [&[digit], self.member.as_bytes()].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (digit, member) = bytes.split_first()?;
        let index = digit.checked_sub(b'0')?;
        let priority = *Priority::ALL.get(usize::from(index))?;
        Some(Self {
            priority,
            member: member.into(),
        })
    }
}
