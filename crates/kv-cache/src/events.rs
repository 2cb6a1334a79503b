//! What happens to entries, told to who wants to see it.

use crate::{
    cache::Cache,
    key::CacheKey,
    shared::{CacheValue, Shared},
    tags::Change,
};
use kv_core::{Error, ErrorKind};
use std::{fmt, sync::Arc};
use tokio::sync::broadcast::{self, error::RecvError};

/// So many wait for who is slow to hear them; the oldest go first.
const WAITING: usize = 1024;

/// Something that has happened. Hits are none: they are counted, see [`Stats`](crate::Stats).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CacheEvent {
    /// A loader has brought a value, or that there is none.
    Loaded {
        /// The entry, as the store sees it: of which tenant it is is a part of it.
        key: Arc<[u8]>,
    },
    /// A loader has failed, panicked, or not ended in time.
    LoadFailed {
        /// The entry.
        key: Arc<[u8]>,
        /// What its callers got.
        instead: Instead,
    },
    /// An entry was removed, or written anew.
    Removed {
        /// The entry.
        key: Arc<[u8]>,
        /// Who did it.
        by: By,
    },
    /// An entry was made stale.
    Expired {
        /// The entry.
        key: Arc<[u8]>,
        /// Who did it.
        by: By,
    },
    /// All entries with a tag were removed; all entries of a caller if it has no name.
    TagRemoved {
        /// The tag.
        tag: Option<Arc<[u8]>>,
        /// Who did it.
        by: By,
    },
    /// They were made stale.
    TagExpired {
        /// The tag.
        tag: Option<Arc<[u8]>>,
        /// Who did it.
        by: By,
    },
    /// Other processes may have told something that was not heard: copies from before are asked for at the store.
    Doubt,
    /// A call to the store has failed or taken too long, and the cache has gone on without.
    StoreTrouble {
        /// What it was for.
        doing: &'static str,
        /// Of what kind its error was, ...
        kind: ErrorKind,
        /// ... and what it says.
        error: Arc<str>,
    },
    /// Who listens was too slow, and this many are lost to him.
    Missed(u64),
}

/// Who has changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// This process.
    Us,
    /// Another one, which has told.
    Others,
}

/// What callers get whose loader has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// The value from before.
    Stale,
    /// The error.
    Error,
}

/// What happens in a cache, from when it was asked for on; [`Cache::events`] gives it.
pub struct CacheEvents(broadcast::Receiver<CacheEvent>);

/// The side that tells.
pub(crate) struct Teller(broadcast::Sender<CacheEvent>);

impl<K: CacheKey + ?Sized, V: CacheValue> Cache<K, V> {
    /// What happens from now on in this process, for all callers: for logs, tests and reactions of a program. Nobody waits for
    /// who is slow to hear it, who misses the oldest beyond 1,024.
    pub fn events(&self) -> CacheEvents {
        CacheEvents(self.shared.events.0.subscribe())
    }
}

impl CacheEvents {
    /// The next; `None` once the cache is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost if this is dropped.
    pub async fn next(&mut self) -> Option<CacheEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(count)) => Some(CacheEvent::Missed(count)),
            Err(RecvError::Closed) => None,
        }
    }
}

impl Teller {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(WAITING))
    }

    fn tell(&self, event: impl FnOnce() -> CacheEvent) {
        if self.0.receiver_count() > 0 {
            // Whoever listened may be gone by now.
            let _ = self.0.send(event());
        }
    }
}

impl<V: CacheValue> Shared<V> {
    pub(crate) fn tell_loaded(&self, key: &[u8]) {
        let event = || CacheEvent::Loaded { key: key.into() };
        self.events.tell(event);
    }

    pub(crate) fn tell_failed(&self, key: &[u8], instead: Instead) {
        self.events.tell(|| CacheEvent::LoadFailed {
            key: key.into(),
            instead,
        });
    }

    pub(crate) fn tell_changed(&self, key: &[u8], change: Change, by: By) {
        self.events.tell(|| {
            let key = key.into();
            match change {
                Change::Removed => CacheEvent::Removed { key, by },
                Change::Expired => CacheEvent::Expired { key, by },
            }
        });
    }

    pub(crate) fn tell_tag(&self, tag: Option<&Arc<[u8]>>, change: Change, by: By) {
        self.events.tell(|| {
            let tag = tag.cloned();
            match change {
                Change::Removed => CacheEvent::TagRemoved { tag, by },
                Change::Expired => CacheEvent::TagExpired { tag, by },
            }
        });
    }

    pub(crate) fn tell_doubt(&self) {
        self.events.tell(|| CacheEvent::Doubt);
    }

    pub(crate) fn tell_trouble(&self, error: &Error, doing: &'static str) {
        self.events.tell(|| CacheEvent::StoreTrouble {
            doing,
            kind: error.kind(),
            error: error.to_string().into(),
        });
    }
}

impl fmt::Debug for CacheEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheEvents({} waiting)", self.0.len())
    }
}
