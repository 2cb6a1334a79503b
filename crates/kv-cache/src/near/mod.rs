//! The level in this process.
//!
//! Looking at a stripe's count and putting an entry in is one step under the stripe's lock, and so is counting up
//! and taking one out. Were the count only looked at again after the entry was put in, a reader in between
//! could see what had been removed before it asked. Hits do not take that lock.

use crate::{
    entry::Kept,
    freshness::{Ticket, may_keep, may_replace},
    place::Physical,
    tags::Marks,
};
use foldhash::fast::RandomState;
use parking_lot::{Mutex, MutexGuard};
use quick_cache::{Lifecycle, Options, OptionsBuilder, Weighter, sync::Cache};
use std::{
    hash::BuildHasher, marker::PhantomData, num::NonZero, sync::Arc, thread::available_parallelism,
    time::Duration,
};

/// So many stripes: a fill is lost to the removal of another key about once in as many.
const STRIPES: usize = 1024;
/// What an entry takes beside its key and value, roughly: its place in the table, its times, its counts, and its part
/// of what is remembered of those that have left. With values of 10 to 1,000 bytes a process grows by what it is
/// allowed, to the twentieth.
pub(crate) const OVERHEAD: usize = 360;
/// What most entries weigh, roughly: how many have left of late is remembered by it.
const USUAL: u64 = 512;
/// No part is smaller than this, if there is more than one.
const SMALLEST_PART: u64 = 4 << 20;
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
    /// What is asked for often stays. What takes more than three megabytes may not be kept, nor what takes nearly all of it.
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
    held: Cache<Physical, Arc<Kept<V>>, Weight, RandomState, Leaving<V>>,
    stripes: Box<[Stripe]>,
    hasher: RandomState,
}

/// How often one of its keys was touched; apart from the others, which other processors write to.
#[derive(Default)]
#[repr(align(64))]
struct Stripe(Mutex<u64>);

/// What an entry weighs, which it knows.
#[derive(Clone)]
struct Weight;

/// What makes room goes when the locks are free again: its end may be somebody else's code.
struct Leaving<V>(PhantomData<fn(V)>);

type Left<V> = Vec<(Physical, Arc<Kept<V>>)>;

impl<V: Send + Sync + 'static> NearLevel<V> {
    pub(crate) fn new(near: Near) -> Self {
        let hasher = RandomState::default();
        // Our own clock decides what has ended, and what has is hit no more, so it is among the first to make room.
        let held = Cache::with_options(
            options(near.bytes),
            Weight,
            hasher.clone(),
            Leaving(PhantomData),
        );
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
        let mut left = Left::new();
        let touches = self.stripe(key);
        if !may_keep(ticket, *touches) {
            return false;
        }
        // Whoever changes this key has the lock, so nothing newer comes in between.
        let there = self.held.peek(key).map(|it| it.version);
        if may_replace(there, kept.version) {
            self.put(key, kept, &mut left);
        }
        true
    }

    /// Takes an entry out, and lets nothing in that was read before; a ticket for what is put there now.
    pub(crate) fn touch(&self, key: &[u8]) -> Ticket {
        let _left;
        let mut touches = self.stripe(key);
        *touches += 1;
        _left = self.held.remove(key);
        Ticket(*touches)
    }

    /// Makes an entry stale, and lets nothing in that was read before.
    pub(crate) fn expire(&self, key: &[u8], now: Duration) {
        let mut left = Left::new();
        let mut touches = self.stripe(key);
        *touches += 1;
        if let Some(kept) = self.held.peek(key) {
            let times = kept.times.expire(now);
            let kept = Kept {
                times,
                ..(*kept).clone()
            };
            self.put(key, kept, &mut left);
        }
    }

    /// Takes this very entry out, if it is still there: nobody is to have it any more.
    pub(crate) fn discard(&self, key: &[u8], kept: &Arc<Kept<V>>) {
        let _touches = self.stripe(key);
        // Its value does not end here: the caller has it.
        if self.held.peek(key).is_some_and(|it| Arc::ptr_eq(&it, kept)) {
            self.held.remove(key);
        }
    }

    pub(crate) fn size(&self) -> (u64, u64) {
        (self.held.len() as u64, self.held.weight())
    }

    fn put(&self, key: &[u8], kept: Kept<V>, left: &mut Left<V>) {
        let kept = Arc::new(kept);
        self.held.insert_with_lifecycle(key.into(), kept, left);
    }

    fn stripe(&self, key: &[u8]) -> MutexGuard<'_, u64> {
        let at = self.hasher.hash_one(key) as usize % STRIPES;
        self.stripes[at].0.lock()
    }
}

/// In as many parts as serve this machine, none of which is small: an entry must have room in one.
fn options(bytes: u64) -> Options {
    let processors = available_parallelism().map_or(1, NonZero::get) as u64;
    let parts = (processors * 4).min(bytes / SMALLEST_PART).max(1);
    let items = usize::try_from(bytes / USUAL).unwrap_or(usize::MAX);
    let options = OptionsBuilder::new()
        // Rounded up to a power of two there.
        .shards(1 << parts.ilog2())
        .estimated_items_capacity(items)
        .weight_capacity(bytes)
        .build();
    #[expect(
        clippy::unwrap_used,
        reason = "it lacks nothing that it has to be told"
    )]
    options.unwrap()
}

/// What an entry weighs whose value is so many bytes long.
pub(crate) fn weight(key: &[u8], value: usize, marks: &Marks) -> u32 {
    let sum = key.len().saturating_add(value).saturating_add(OVERHEAD);
    let sum = sum.saturating_add(marks.weight());
    u32::try_from(sum).unwrap_or(u32::MAX)
}

impl<V> Weighter<Physical, Arc<Kept<V>>> for Weight {
    fn weight(&self, _: &Physical, kept: &Arc<Kept<V>>) -> u64 {
        kept.weight.into()
    }
}

impl<V> Lifecycle<Physical, Arc<Kept<V>>> for Leaving<V> {
    type RequestState = Left<V>;

    fn on_evict(&self, left: &mut Left<V>, key: Physical, kept: Arc<Kept<V>>) {
        left.push((key, kept));
    }
}

impl<V> Clone for Leaving<V> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
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
    use std::{
        sync::{
            Arc, Weak,
            atomic::{AtomicU32, Ordering},
        },
        time::Duration,
    };

    fn kept(version: u64) -> Kept<u64> {
        of(version, version)
    }

    fn of<V>(version: u64, value: V) -> Kept<V> {
        let terms = Terms {
            fresh: Duration::from_secs(60),
            life: Duration::from_secs(60),
            took: Duration::ZERO,
        };
        let sure = Duration::MAX;
        Kept {
            value: Some(Arc::new(value)),
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

    #[test]
    fn what_has_no_room_leaves_nothing_older_behind() {
        let near = NearLevel::new(Near::megabytes(1));
        let ticket = near.ticket(b"k");
        near.keep(ticket, b"k", kept(1));
        let large = Kept {
            weight: 2 << 20,
            ..kept(2)
        };
        near.keep(ticket, b"k", large);
        assert!(near.get(b"k").is_none());
        assert_eq!(near.size(), (0, 0));
    }

    /// Its end may look something up, and remove it.
    #[test]
    fn a_value_goes_when_no_lock_is_held() {
        struct Value(Weak<NearLevel<Self>>, Arc<AtomicU32>);
        impl Drop for Value {
            fn drop(&mut self) {
                let Some(near) = self.0.upgrade() else {
                    return;
                };
                let mut stripes = near.stripes.iter();
                if stripes.all(|it| it.0.try_lock().is_some())
                    && near.held.try_get(&b"k"[..]).is_ok()
                {
                    self.1.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        let near = Arc::new(NearLevel::new(Near::bytes(1)));
        let ended = Arc::new(AtomicU32::new(0));
        let value = || Value(Arc::downgrade(&near), ended.clone());
        let ticket = near.ticket(b"k");
        near.keep(ticket, b"k", of(1, value()));
        near.keep(ticket, b"k", of(2, value()));
        assert_eq!(ended.load(Ordering::Relaxed), 1, "it was replaced");
        near.touch(b"k");
        assert_eq!(ended.load(Ordering::Relaxed), 2, "it was taken out");
        for key in [&b"a"[..], b"b"] {
            near.keep(near.ticket(key), key, of(1, value()));
        }
        assert_eq!(ended.load(Ordering::Relaxed), 3, "it made room");
    }
}
