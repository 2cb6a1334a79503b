//! What a cache counts.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident)*) => {
        /// What a cache has counted since it was built.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counts {
            $(pub(crate) $name: Count,)*
        }

        impl Counts {
            pub(crate) fn read(&self) -> Stats {
                Stats {
                    $($name: self.$name.0.load(Ordering::Relaxed),)*
                }
            }
        }
    };
}

counts! {
    /// Given out from this process's memory.
    near_hits
    /// Found in the store.
    far_hits
    /// Neither in this process nor in the store: it had to be loaded.
    misses
    /// Loaders that were begun.
    loads
    /// Those that failed, panicked, or did not end.
    failed_loads
    /// Callers who found their entry being loaded for another.
    coalesced
    /// Callers who got a stale value at once, while a new one was loaded.
    stale_served
    /// Loads that failed where a stale value was given out in place of a new one.
    stale_on_error
    /// Loads that began before the entry was due.
    early_refreshes
    /// Callers who had nothing and waited for a loader in vain.
    timeouts
    /// What was loaded or read and not kept in this process, since something had been removed meanwhile.
    refused_fills
    /// What was loaded and not taken by the store, since something had been removed meanwhile.
    dropped_fills
    /// Times that another process's load was waited for.
    waits
    /// Calls to the store that failed or took too long.
    far_errors
    /// Removals and expiries that the store had not taken, and took later.
    tried_again
    /// Those that it will not take: refused, or too many waited for it.
    given_up
    /// Removals, writes and expiries that other processes have told.
    heard
    /// Times that something may have been told and not heard.
    doubts
    /// Entries in the store that could not be read: damaged, or written by a newer program.
    unreadable
}

/// Apart from the others, which other processors write to.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
