//! What is kept, and the rule by which it may be.
//!
//! A read claims its key before it is sent. What it brings is kept only if since then nothing has
//! touched the key: every write of our own, before it is sent and again when it has ended, and every
//! event count the key's stripe up. Looking at the count and keeping the value is one step under the
//! stripe's lock, and so is counting up and removing; so no order of the two leaves an old value.
//!
//! What all entries depend on, that the watch is there and missed nothing, is a number that they bear:
//! the epoch. Clearing everything is a new epoch.

use super::{
    NearCacheConfig, NearCacheState, NearCacheStats,
    meters::{Meters, Removed},
};
use crate::{telemetry::StoreName, touched::Touched};
use foldhash::fast::RandomState;
use kv_core::{Key, Value};
use parking_lot::Mutex;
use std::{
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// So many stripes: a claim is lost to a write on another key of its stripe about once in as many.
const STRIPES: usize = 1024;
/// What an entry takes beside its key and value, roughly: its place in the table, its counts, and the
/// nodes of two lists.
const OVERHEAD: usize = 160;
/// The epoch in which nothing counts.
const NONE: u64 = 0;

pub(super) struct Entries {
    held: moka::sync::Cache<Box<[u8]>, Entry, RandomState>,
    stripes: Box<[Mutex<Stripe>]>,
    hasher: RandomState,
    /// What an entry must bear to count.
    epoch: Arc<AtomicU64>,
    last_epoch: AtomicU64,
    max_value_bytes: usize,
    meters: Meters,
    removed: Arc<Removed>,
}

#[derive(Clone)]
struct Entry {
    value: Option<Value>,
    /// On the clock that measures spans.
    ends: Duration,
    epoch: u64,
}

#[derive(Default)]
struct Stripe {
    touches: u64,
    /// How many writes of our own are under way.
    writers: u64,
}

/// What a read must bring along to have its answer kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    stripe: usize,
    touches: u64,
    epoch: u64,
}

impl Entries {
    pub(super) fn new(config: &NearCacheConfig, store: &StoreName) -> Self {
        let hasher = RandomState::default();
        let removed = Arc::new(Removed::new(store));
        let epoch = Arc::new(AtomicU64::new(NONE));
        let (counted, now) = (Arc::clone(&removed), Arc::clone(&epoch));
        let held = moka::sync::Cache::builder()
            .max_capacity(config.max_bytes)
            .weigher(weight)
            // Our own clock decides what counts; this only frees what nobody asks for any more.
            .time_to_live(config.max_ttl)
            // The cache tells of those that went all at once as of one that was touched.
            .eviction_listener(move |_, entry: Entry, cause| {
                match entry.epoch == now.load(Ordering::Acquire) {
                    true => counted.add(cause),
                    false => counted.add_cleared(cause),
                }
            })
            .build_with_hasher(hasher.clone());
        Self {
            held,
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            hasher,
            epoch,
            last_epoch: AtomicU64::new(NONE),
            max_value_bytes: config.max_value_bytes,
            meters: Meters::new(store),
            removed,
        }
    }

    /// What is known of a key; an inner `None` is a missing key.
    pub(super) fn find(&self, key: &Key, now: impl FnOnce() -> Duration) -> Option<Option<Value>> {
        let epoch = self.epoch.load(Ordering::Acquire);
        let entry = match epoch {
            NONE => None,
            _ => self.held.get(key.as_bytes()),
        };
        match entry {
            Some(entry) if entry.epoch == epoch && now() < entry.ends => {
                self.meters.hits.add();
                Some(entry.value)
            }
            _ => {
                self.meters.misses.add();
                None
            }
        }
    }

    /// To be taken before a read is sent; none if its answer could not be kept.
    pub(super) fn claim(&self, key: &Key) -> Option<Claim> {
        let epoch = self.epoch.load(Ordering::Acquire);
        let stripe = self.stripe(key);
        let Stripe { touches, writers } = *self.stripes[stripe].lock();
        (epoch != NONE && writers == 0).then_some(Claim {
            stripe,
            touches,
            epoch,
        })
    }

    /// Keeps what a read brought until then, if nothing has touched the key since it was claimed.
    pub(super) fn keep(&self, claim: Claim, key: &Key, value: Option<&Value>, ends: Duration) {
        if value.is_some_and(|value| value.as_bytes().len() > self.max_value_bytes) {
            return;
        }
        let entry = Entry {
            // Copies: slices would hold on to the buffers that they were received in.
            value: value.map(|it| Value::from(it.as_bytes())),
            ends,
            epoch: claim.epoch,
        };
        let key = Box::from(key.as_bytes());
        let stripe = self.stripes[claim.stripe].lock();
        if stripe.touches != claim.touches || self.epoch.load(Ordering::Acquire) != claim.epoch {
            self.meters.refused.add();
            return;
        }
        self.held.insert(key, entry);
    }

    /// Forgets what something may have changed.
    pub(super) fn forget(&self, touched: &Touched) {
        self.touch(touched, |_| {});
    }

    /// As [`forget`](Self::forget), and again when the write has ended, however it does; until then
    /// nothing is kept of its keys.
    pub(super) fn write(&self, touched: Touched) -> Writing<'_> {
        self.touch(&touched, |stripe| stripe.writers += 1);
        Writing {
            entries: self,
            touched,
        }
    }

    fn touch(&self, touched: &Touched, also: impl Fn(&mut Stripe)) {
        let touch = |key: &Key| {
            let mut stripe = self.stripes[self.stripe(key)].lock();
            stripe.touches += 1;
            also(&mut stripe);
            self.held.invalidate(key.as_bytes());
        };
        match touched {
            Touched::Nothing => {}
            Touched::One(key) => touch(key),
            Touched::Many(keys) => keys.iter().for_each(touch),
            Touched::Everything => self.clear(),
        }
    }

    /// Forgets everything, reads under way included.
    pub(super) fn clear(&self) {
        let next = self.next_epoch();
        let is_live = |epoch| (epoch != NONE).then_some(next);
        let _ = self
            .epoch
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, is_live);
        self.held.invalidate_all();
    }

    /// From here on answers may be kept.
    pub(super) fn begin(&self) {
        self.epoch.store(self.next_epoch(), Ordering::Release);
        self.meters.begins();
    }

    /// From here on none are, and none of those kept counts.
    pub(super) fn end(&self) {
        self.epoch.store(NONE, Ordering::Release);
        self.meters.ends();
        self.held.invalidate_all();
    }

    pub(super) fn is_live(&self) -> bool {
        self.epoch.load(Ordering::Acquire) != NONE
    }

    pub(super) fn stats(&self, state: NearCacheState) -> NearCacheStats {
        self.held.run_pending_tasks();
        NearCacheStats {
            state,
            hits: self.meters.hits.read(),
            misses: self.meters.misses.read(),
            refused: self.meters.refused.read(),
            evictions: self.removed.room.read(),
            entries: self.held.entry_count(),
            bytes: self.held.weighted_size(),
        }
    }

    fn next_epoch(&self) -> u64 {
        self.last_epoch.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn stripe(&self, key: &Key) -> usize {
        self.hasher.hash_one(key.as_bytes()) as usize % STRIPES
    }
}

/// A write under way.
pub(super) struct Writing<'a> {
    entries: &'a Entries,
    touched: Touched,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let end = |stripe: &mut Stripe| stripe.writers -= 1;
        self.entries.touch(&self.touched, end);
    }
}

#[expect(clippy::borrowed_box, reason = "what the cache hands over")]
fn weight(key: &Box<[u8]>, entry: &Entry) -> u32 {
    let value = entry.value.as_ref().map_or(0, |it| it.as_bytes().len());
    u32::try_from(key.len() + value + OVERHEAD).unwrap_or(u32::MAX)
}
