//! Where the schedules of a queue lie on the store.

use kv_core::{Key, KeyGroup};

/// The keys of a queue's schedules. A schedule is its name, with `@tenant` if it has one.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// When the next tick of each is. What has none is paused, waits for a task to end, or is over.
    pub(crate) next: Key,
    /// All schedules, whether they have a tick or not.
    pub(crate) names: Key,
    /// The specs.
    pub(crate) spec: Key,
    /// What tells one spec from another, in a form that can be compared.
    pub(crate) print: Key,
    /// The last tick of each, and the last that became a task.
    pub(crate) last: Key,
    /// For the end of which task it waits, and what is then.
    pub(crate) wait: Key,
    pub(crate) paused: Key,
    /// The channel on which workers are told that a tick comes earlier than they knew.
    pub(crate) wake: Key,
}

impl Keys {
    pub(crate) fn new(group: &KeyGroup) -> Self {
        let key = |suffix: &str| group.key(suffix);
        Self {
            next: key(":cron"),
            names: key(":cron:names"),
            spec: key(":cron:spec"),
            print: key(":cron:print"),
            last: key(":cron:last"),
            wait: key(":cron:wait"),
            paused: key(":cron:paused"),
            wake: key(":cron:wake"),
        }
    }
}
