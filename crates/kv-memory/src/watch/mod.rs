//! Streams of changes and of messages.

mod hub;
mod stream;
mod watcher;

pub(crate) use self::hub::Hub;
#[cfg(test)]
pub(crate) use self::watcher::BUFFER;

use self::{
    stream::Subscription,
    watcher::{Interest, Watcher},
};
use crate::{access::Inner, entry::Data};
use kv_core::{Error, ErrorKind, Event, Events, Key, Notice, Result, Watch};
use std::sync::Arc;

impl Inner {
    /// Begins a watch for one of the store's handles.
    pub(crate) fn watch(self: &Arc<Self>, watch: Watch, handle: u64) -> Result<Events> {
        let watcher = Arc::new(Watcher::new(interest(watch)?, handle));
        self.hub.add(&watcher);
        Ok(Box::pin(Subscription::new(self, watcher)))
    }

    /// Sends a message that belongs to no transaction.
    pub(crate) fn notify(&self, notice: &Notice) {
        let mut woken = Vec::new();
        self.hub.send(notice, &mut woken);
        for waker in woken {
            waker.wake();
        }
    }

    /// What there is to tell about a key that changed. Nothing if it has just ended and nobody has
    /// noticed yet: it is freed then, which tells every watcher, the asking one too, once.
    fn event(&self, key: &Key) -> Option<Event> {
        let (index, slot) = self.locate(key);
        let now = self.moment();
        let shard = self.shards[index].read();
        let key = key.clone();
        let Some(entry) = shard.table.find(slot.hash, |it| *it.key == *slot.key) else {
            return Some(Event::Delete { key });
        };
        if !now.passed(entry.deadline) {
            let value = match &entry.data {
                Data::String(value) => Some(value.clone()),
                Data::Structure(_) => None,
            };
            return Some(Event::Put { key, value });
        }
        drop(shard);
        self.change(index, |shard| shard.occupied(slot, &now).is_some());
        None
    }
}

/// The streams do not keep the store alive, but must not hang without it either.
impl Drop for Inner {
    fn drop(&mut self) {
        self.hub.close(None);
    }
}

fn interest(watch: Watch) -> Result<Interest> {
    let once = |mut keys: Vec<Key>| {
        keys.sort_unstable();
        keys.dedup();
        keys
    };
    let interest = match watch {
        Watch::Keys(keys) => Interest::Keys(once(keys)),
        Watch::Prefixes(prefixes) => Interest::Prefixes(prefixes),
        Watch::Channels(channels) => Interest::Channels(once(channels)),
        _ => return Err(Error::unsupported("watch")),
    };
    match interest.is_empty() {
        false => Ok(interest),
        true => Err(Error::new(
            ErrorKind::InvalidArgument,
            "there is nothing to watch; name at least one key, range or channel",
        )),
    }
}
