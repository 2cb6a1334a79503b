//! How much a bounded store may hold, and how much it does.

use crate::{
    config::{MemoryConfig, OnFull},
    entry::Entry,
};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The limits, and what is taken of them, over all shards.
pub(crate) struct Bound {
    entries: Account,
    bytes: Account,
    policy: OnFull,
    /// Counts uses, so that an entry's last one can be told from another's.
    ticks: AtomicU64,
    refused: AtomicU64,
}

/// What a write wants to add.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Growth {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
    /// What the entry would take with it; of a transaction, all its entries.
    pub(crate) whole: usize,
}

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Entries {
        max: usize,
        growth: Growth,
    },
    Bytes {
        max: usize,
        growth: Growth,
    },
    /// The entry, or the transaction, would not fit an empty store.
    Never {
        max: usize,
    },
    /// The transaction adds more entries than an empty store takes.
    Crowd {
        max: usize,
    },
}

impl Bound {
    /// None if the configuration sets no limit.
    pub(crate) fn new(config: &MemoryConfig) -> Option<Self> {
        let limit = |it: Option<std::num::NonZeroUsize>| it.map_or(usize::MAX, |it| it.get());
        let (entries, bytes) = (limit(config.max_entries), limit(config.max_bytes));
        let bounded = entries.min(bytes) < usize::MAX;
        bounded.then(|| Self {
            entries: Account::new(entries),
            bytes: Account::new(bytes),
            policy: config.on_full,
            ticks: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    pub(crate) fn evicts(&self) -> bool {
        self.policy == OnFull::Evict
    }

    /// Notes that an entry is used, where that decides about its life.
    pub(crate) fn touch(&self, entry: &Entry) {
        if self.evicts() {
            entry.used.store(self.tick(), Ordering::Relaxed);
        }
    }

    pub(crate) fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes room for a write, all or nothing.
    pub(crate) fn reserve(&self, growth: Growth) -> Result<(), Full> {
        if growth.whole > self.bytes.max {
            let max = self.bytes.max;
            return Err(Full::Never { max });
        }
        if growth.entries > self.entries.max {
            let max = self.entries.max;
            return Err(Full::Crowd { max });
        }
        if !self.entries.take(growth.entries) {
            let max = self.entries.max;
            return Err(Full::Entries { max, growth });
        }
        if !self.bytes.take(growth.bytes) {
            self.entries.give_back(growth.entries);
            let max = self.bytes.max;
            return Err(Full::Bytes { max, growth });
        }
        Ok(())
    }

    pub(crate) fn release(&self, entries: usize, bytes: usize) {
        self.entries.give_back(entries);
        self.bytes.give_back(bytes);
    }

    /// Whether there is room now.
    pub(crate) fn fits(&self, growth: Growth) -> bool {
        self.entries.fits(growth.entries) && self.bytes.fits(growth.bytes)
    }

    pub(crate) fn count_refusal(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Entries and bytes taken.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> (usize, usize) {
        let taken = |it: &Account| it.taken.load(Ordering::Relaxed);
        (taken(&self.entries), taken(&self.bytes))
    }
}

/// A number that never exceeds its limit.
struct Account {
    taken: AtomicUsize,
    max: usize,
}

impl Account {
    fn new(max: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            max,
        }
    }

    fn take(&self, more: usize) -> bool {
        if more == 0 {
            return true;
        }
        let within = |taken: usize| taken.checked_add(more).filter(|&sum| sum <= self.max);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, within)
            .is_ok()
    }

    fn give_back(&self, less: usize) {
        if less > 0 {
            self.taken.fetch_sub(less, Ordering::Relaxed);
        }
    }

    fn fits(&self, more: usize) -> bool {
        let taken = self.taken.load(Ordering::Relaxed);
        more == 0 || taken.checked_add(more).is_some_and(|sum| sum <= self.max)
    }
}
