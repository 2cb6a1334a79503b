//! What can be said of a task besides its payload.

use crate::{PayloadCodec, Retry};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, time::Duration};

/// Which tasks of a queue come first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Priority {
    /// Before all others.
    #[serde(rename = "h")]
    High,
    /// As most.
    #[default]
    #[serde(rename = "n")]
    Normal,
    /// When nothing else is due.
    #[serde(rename = "l")]
    Low,
}

impl Priority {
    /// All, the first to be served first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// How long what has ended can still be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// In milliseconds; 0 keeps nothing.
    #[serde(rename = "k")]
    done: u64,
}

impl Retention {
    /// Nothing of a task that succeeded. This is what happens if nothing is said.
    pub const NONE: Self = Self { done: 0 };

    /// A task that succeeded, and its result, for this long, in milliseconds, rounded up.
    pub fn keep(span: Duration) -> Self {
        let millis = span.as_nanos().div_ceil(1_000_000);
        let done = u64::try_from(millis).unwrap_or(u64::MAX);
        Self { done }
    }

    pub(crate) fn done(self) -> Option<Duration> {
        (self.done > 0).then(|| Duration::from_millis(self.done))
    }
}

/// What a kind of task is scheduled with where the caller says nothing else.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TaskOptions {
    /// The queue; `None` is `default`.
    pub queue: Option<Cow<'static, str>>,
    /// Which tasks of the queue come first.
    pub priority: Priority,
    /// How often it is tried.
    pub retry: Retry,
    /// How long an attempt may take: `None` is an hour, `Some(None)` for ever.
    pub timeout: Option<Option<Duration>>,
    /// How long its result is kept.
    pub retention: Retention,
    /// In which form payload and result are stored.
    pub codec: PayloadCodec,
}

impl TaskOptions {
    /// As most tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// In this queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<Cow<'static, str>>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// With this priority in its queue.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Tried so often.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// An attempt may take so long, then it counts as failed.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(Some(timeout));
        self
    }

    /// An attempt may take for ever. One that hangs then holds its place in the worker for ever.
    #[must_use]
    pub fn without_timeout(mut self) -> Self {
        self.timeout = Some(None);
        self
    }

    /// The result is kept so long.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Payload and result are stored in this form.
    #[must_use]
    pub fn codec(mut self, codec: PayloadCodec) -> Self {
        self.codec = codec;
        self
    }
}

/// What to do if a task with the same unique key is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    pub(crate) key: UniqueKey,
    pub(crate) conflict: Conflict,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UniqueKey {
    /// The kind and the payload.
    Payload,
    Named(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    Keep,
    Replace,
    Extend,
}

impl Unique {
    /// At most one task of this kind with this payload.
    pub fn by_payload() -> Self {
        Self::new(UniqueKey::Payload)
    }

    /// At most one task with this key, of whatever kind, in the queue and for the tenant.
    pub fn by_key(key: impl Into<String>) -> Self {
        Self::new(UniqueKey::Named(key.into()))
    }

    /// The task that waits gives way to the new one. One that runs is kept.
    #[must_use]
    pub fn replace(mut self) -> Self {
        self.conflict = Conflict::Replace;
        self
    }

    /// The task that waits is kept, and starts when the new one would have. One that runs is kept as
    /// it is.
    #[must_use]
    pub fn extend(mut self) -> Self {
        self.conflict = Conflict::Extend;
        self
    }

    fn new(key: UniqueKey) -> Self {
        Self {
            key,
            conflict: Conflict::Keep,
        }
    }
}
