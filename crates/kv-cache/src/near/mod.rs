//! The level in this process.
//!
//! Looking at a stripe's count and putting an entry in is one step under the stripe's lock, and so is counting up
//! and taking one out. Were the count only looked at again after the entry was put in, a reader in between
//! could see what had been removed before it asked. Hits take no lock.

use crate::{
    entry::Kept,
    freshness::{Ticket, may_keep, may_replace},
    place::Physical,
    tags::Marks,
};
use foldhash::fast::RandomState;
use parking_lot::{Mutex, MutexGuard};
use std::{hash::BuildHasher, sync::Arc, time::Duration};

/// So many stripes: a fill is lost to the removal of another key about once in as many.
const STRIPES: usize = 1024;
/// What an entry takes beside its key and value, roughly: its place in the table, its times, its counts, and
/// the nodes of two lists.
const OVERHEAD: usize = 360;
/// For how long this process trusts what it has, unless something else is said.
pub(crate) const MAX_STALE: Duration = Duration::from_secs(5);

/// The level in this process: how much it holds, and for how long it is trusted.
///
/// ```
/// use kv_cache::Near;
/// use std::time::Duration;
///
/// let near = Near::megabytes(64).max_stale(Duration::from_secs(2));
/// # let _ = near;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Near {
    pub(crate) bytes: u64,
    pub(crate) max_stale: Duration,
}

impl Near {
    /// Holds so many bytes: keys and values as they are written for a store, and what an entry takes besides.
    /// What is asked for often stays.
    pub fn bytes(bytes: u64) -> Self {
        Self {
            bytes,
            max_stale: MAX_STALE,
        }
    }

    /// So many times 2²⁰ bytes.
    pub fn megabytes(count: u64) -> Self {
        Self::bytes(count.saturating_mul(1 << 20))
    }

    /// How long an entry is given out without asking the store whether it still holds, where it is not known that
    /// all has been heard that other processes tell: nobody is shown what was removed or written anew longer ago.
    /// Five seconds, unless this is said; the same in all processes, since senders give a sign of life five times in
    /// this time. Without a store it means nothing.
    #[must_use]
    pub fn max_stale(self, max_stale: Duration) -> Self {
        Self { max_stale, ..self }
    }
}

/// The entries of this process, by the key as the store sees it.
pub(crate) struct NearLevel<V> {
    /// Handed out for each hit, so as one word.
    held: moka::sync::Cache<Physical, Arc<Kept<V>>, RandomState>,
    stripes: Box<[Stripe]>,
    hasher: RandomState,
}

/// How often one of its keys was touched; apart from the others, which other processors write to.
#[derive(Default)]
#[repr(align(64))]
struct Stripe(Mutex<u64>);

impl<V: Send + Sync + 'static> NearLevel<V> {
    pub(crate) fn new(near: Near) -> Self {
        let hasher = RandomState::default();
        let held = moka::sync::Cache::builder()
            .max_capacity(near.bytes)
            // Our own clock decides what has ended, and what has is hit no more, so it is the first to make room.
            // To have it freed at once moka would keep a timer for each entry and look at it with each hit, which
            // makes a hit dearer by a fifth.
            .weigher(|_, kept: &Arc<Kept<V>>| kept.weight)
            .build_with_hasher(hasher.clone());
        Self {
            held,
            stripes: (0..STRIPES).map(|_| Stripe::default()).collect(),
            hasher,
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Arc<Kept<V>>> {
        self.held.get(key)
    }

    /// To be taken before anything is read that is to be kept.
    pub(crate) fn ticket(&self, key: &[u8]) -> Ticket {
        Ticket(*self.stripe(key))
    }

    /// Keeps an entry if nothing has touched its key since the ticket was taken; whether it did. One that is
    /// older than what is there is not kept either, and nobody minds.
    pub(crate) fn keep(&self, ticket: Ticket, key: &[u8], kept: Kept<V>) -> bool {
        let touches = self.stripe(key);
        if !may_keep(ticket, *touches) {
            return false;
        }
        // Whoever changes this key has the lock, so nothing newer comes in between.
        let there = self.held.get(key).map(|it| it.version);
        if may_replace(there, kept.version) {
            self.held.insert(key.into(), Arc::new(kept));
        }
        true
    }

    /// Takes an entry out, and lets nothing in that was read before; a ticket for what is put there now.
    pub(crate) fn touch(&self, key: &[u8]) -> Ticket {
        let mut touches = self.stripe(key);
        *touches += 1;
        self.held.invalidate(key);
        Ticket(*touches)
    }

    /// Makes an entry stale, and lets nothing in that was read before.
    pub(crate) fn expire(&self, key: &[u8], now: Duration) {
        let mut touches = self.stripe(key);
        *touches += 1;
        if let Some(kept) = self.held.get(key) {
            let times = kept.times.expire(now);
            let kept = Kept {
                times,
                ..(*kept).clone()
            };
            self.held.insert(key.into(), Arc::new(kept));
        }
    }

    /// Takes this very entry out, if it is still there: nobody is to have it any more.
    pub(crate) fn discard(&self, key: &[u8], kept: &Arc<Kept<V>>) {
        let _touches = self.stripe(key);
        if self.held.get(key).is_some_and(|it| Arc::ptr_eq(&it, kept)) {
            self.held.invalidate(key);
        }
    }

    pub(crate) fn size(&self) -> (u64, u64) {
        self.held.run_pending_tasks();
        (self.held.entry_count(), self.held.weighted_size())
    }

    fn stripe(&self, key: &[u8]) -> MutexGuard<'_, u64> {
        let at = self.hasher.hash_one(key) as usize % STRIPES;
        self.stripes[at].0.lock()
    }
}

/// What an entry weighs whose value is so many bytes long.
pub(crate) fn weight(key: &[u8], value: usize, marks: &Marks) -> u32 {
    let sum = key.len().saturating_add(value).saturating_add(OVERHEAD);
    let sum = sum.saturating_add(marks.weight());
    u32::try_from(sum).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Near, NearLevel};
    use crate::{
        entry::Kept,
        freshness::{Terms, Times},
        policy::Early,
        tags::{Mark, Marks, Tags},
    };
    use std::{sync::Arc, time::Duration};

    fn kept(version: u64) -> Kept<u64> {
        let terms = Terms {
            fresh: Duration::from_secs(60),
            life: Duration::from_secs(60),
            took: Duration::ZERO,
        };
        let sure = Duration::MAX;
        Kept {
            value: Some(Arc::new(version)),
            version,
            weight: 1,
            times: Times::new(terms, Duration::ZERO, Duration::ZERO, Early::Never, sure),
            heard: None,
            since: Duration::ZERO,
            marks: Marks::new(Mark::new(&Tags::default().scope(b"").all), Vec::new()),
        }
    }

    /// K3.
    #[test]
    fn versions_never_go_back() {
        let near = NearLevel::new(Near::megabytes(1));
        let ticket = near.ticket(b"k");
        for (version, there) in [(2, 2), (1, 2), (2, 2), (3, 3)] {
            assert!(near.keep(ticket, b"k", kept(version)));
            assert_eq!(near.get(b"k").map(|it| it.version), Some(there));
        }
    }

    #[test]
    fn what_was_read_before_a_touch_is_not_kept() {
        let near = NearLevel::new(Near::megabytes(1));
        let old = near.ticket(b"k");
        near.keep(old, b"k", kept(1));
        let new = near.touch(b"k");
        assert!(near.get(b"k").is_none());
        assert!(!near.keep(old, b"k", kept(2)));
        assert!(near.keep(new, b"k", kept(2)));
        near.expire(b"k", Duration::from_secs(1));
        assert!(!near.keep(new, b"k", kept(3)));
        let kept = near.get(b"k").unwrap();
        assert_eq!(kept.times.fresh_until, Duration::from_secs(1));
    }
}
