//! Who watches what.

use super::watcher::{Interest, Watcher};
use ahash::RandomState;
use bytes::Bytes;
use kv_core::{Key, Notice, Prefixes};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
};

/// The watches of a store. Its locks are taken inside those of the shards, never around them.
#[derive(Default)]
pub(crate) struct Hub {
    /// How many keys and ranges are watched: all that a write looks at while it is none.
    watched: AtomicUsize,
    changes: RwLock<Changes>,
    /// Not shared by senders, so that all receivers see messages in the same order.
    channels: Mutex<Named>,
    handles: AtomicU64,
}

#[derive(Default)]
struct Changes {
    keys: Named,
    ranges: Vec<(Prefixes, Arc<Watcher>)>,
}

/// Watchers by the bytes of what they watch, with the name as the caller knows it.
type Named = HashMap<Bytes, Vec<(Key, Arc<Watcher>)>, RandomState>;

impl Hub {
    /// A number for one more handle of the store.
    pub(crate) fn handle(&self) -> u64 {
        self.handles.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether a change could interest anybody. Relaxed is enough: a write that must be told comes
    /// after the watch in an order that something else makes, at the latest the shard's lock.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed) > 0
    }

    /// Tells the watchers of a key that it changed. Whom to wake is put to the others, for when the
    /// caller's lock is gone.
    #[cold]
    pub(crate) fn changed(&self, key: &[u8], woken: &mut Vec<Waker>) {
        let changes = self.changes.read();
        for (name, watcher) in changes.keys.get(key).into_iter().flatten() {
            watcher.changed(name, woken);
        }
        let mut name = None;
        for (prefixes, watcher) in &changes.ranges {
            if !prefixes.as_slice().iter().any(|it| it.contains(key)) {
                continue;
            }
            // A key that is stored has a name.
            let made = || Key::new(Bytes::copy_from_slice(key)).ok();
            name = name.or_else(made);
            if let Some(name) = &name {
                watcher.changed(name, woken);
            }
        }
    }

    /// Gives a message to everyone who watches its channel.
    pub(crate) fn send(&self, notice: &Notice, woken: &mut Vec<Waker>) {
        let channels = self.channels.lock();
        let listeners = channels.get(notice.channel.as_bytes());
        for (name, watcher) in listeners.into_iter().flatten() {
            let notice = Notice::new(name, notice.payload.clone());
            watcher.message(notice, woken);
        }
    }

    pub(crate) fn add(&self, watcher: &Arc<Watcher>) {
        match &watcher.interest {
            Interest::Keys(keys) => {
                self.change(|changes| put(&mut changes.keys, keys, watcher));
            }
            Interest::Prefixes(prefixes) => {
                let range = (prefixes.clone(), Arc::clone(watcher));
                self.change(|changes| changes.ranges.push(range));
            }
            Interest::Channels(channels) => put(&mut self.channels.lock(), channels, watcher),
        }
    }

    /// Forgets a watch, if it is there.
    pub(crate) fn remove(&self, watcher: &Arc<Watcher>) {
        match &watcher.interest {
            Interest::Keys(keys) => {
                self.change(|changes| take(&mut changes.keys, keys, watcher));
            }
            Interest::Prefixes(_) => {
                let other = |it: &(Prefixes, Arc<Watcher>)| !Arc::ptr_eq(&it.1, watcher);
                self.change(|changes| changes.ranges.retain(other));
            }
            Interest::Channels(channels) => take(&mut self.channels.lock(), channels, watcher),
        }
    }

    /// Ends the watches of a handle, or all.
    pub(crate) fn close(&self, handle: Option<u64>) {
        let mut closing = Vec::new();
        {
            let changes = self.changes.read();
            let channels = self.channels.lock();
            let named = changes.keys.values().chain(channels.values()).flatten();
            let ranges = changes.ranges.iter().map(|(_, watcher)| watcher);
            let all = named.map(|(_, watcher)| watcher).chain(ranges);
            let chosen = all.filter(|it| handle.is_none_or(|handle| handle == it.handle));
            closing.extend(chosen.cloned());
        }
        // A watch of several keys is met several times.
        closing.sort_unstable_by_key(Arc::as_ptr);
        closing.dedup_by(|a, b| Arc::ptr_eq(a, b));
        let mut woken = Vec::new();
        for watcher in closing {
            self.remove(&watcher);
            watcher.close(&mut woken);
        }
        for waker in woken {
            waker.wake();
        }
    }

    /// How many names and ranges are watched.
    #[cfg(test)]
    pub(crate) fn size(&self) -> usize {
        self.watched.load(Ordering::Relaxed) + self.channels.lock().len()
    }

    fn change(&self, change: impl FnOnce(&mut Changes)) {
        let mut changes = self.changes.write();
        change(&mut changes);
        let watched = changes.keys.len() + changes.ranges.len();
        self.watched.store(watched, Ordering::Relaxed);
    }
}

fn put(named: &mut Named, names: &[Key], watcher: &Arc<Watcher>) {
    for name in names {
        // Not a slice of something larger that it would keep alive.
        let bytes = Bytes::copy_from_slice(name.as_bytes());
        let listener = (name.clone(), Arc::clone(watcher));
        named.entry(bytes).or_default().push(listener);
    }
}

fn take(named: &mut Named, names: &[Key], watcher: &Arc<Watcher>) {
    for name in names {
        let Some(listeners) = named.get_mut(name.as_bytes()) else {
            continue;
        };
        listeners.retain(|(_, it)| !Arc::ptr_eq(it, watcher));
        if listeners.is_empty() {
            named.remove(name.as_bytes());
        }
    }
}
