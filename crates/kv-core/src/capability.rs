//! What a store, or a stack of layers on it, can do.

use crate::{Error, ErrorKind, Result, command::Command};
use std::{fmt, time::Duration};

macro_rules! capabilities {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// One thing that a store can do or lack.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Capability {
            $($(#[$doc])* $name,)*
        }

        impl Capability {
            /// Every capability there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name in texts.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

capabilities! {
    /// Strings: get, set, delete, exists.
    Strings = "strings",
    /// Writing on condition that a key is absent or present.
    ConditionalSet = "conditional set",
    /// Writing on condition that the string has certain bytes.
    CompareValue = "compare value",
    /// Atomic counters in strings, which `get` reads and `set` writes. Those of transactions, which
    /// are read as marks, need it not.
    Counters = "counters",
    /// Deadlines on keys.
    Expiry = "expiry",
    /// Deadlines kept by the store's own clock alone.
    HeldExpiry = "held expiry",
    /// Listing and clearing ranges of keys.
    Scan = "scan",
    /// Resuming a scan behind a key instead of at a page's cursor.
    ScanAfter = "scan after a key",
    /// Hashes.
    Hashes = "hashes",
    /// The same as counters, in the fields of hashes.
    HashCounters = "counters in hashes",
    /// Sorted sets.
    SortedSets = "sorted sets",
    /// The store's own time.
    StoreTime = "store time",
    /// Transactions with conditions.
    Commit = "commit",
    /// Moving due members between sorted sets.
    Move = "move",
    /// Rate limits.
    Throttle = "throttle",
    /// Messages on channels.
    Channels = "channels",
    /// Streams of changes of keys and of ranges of keys.
    Watch = "watch",
    /// Changes are pushed by the store; without it a watch polls, and a change and its undoing
    /// between two looks can go unseen.
    PushedChanges = "pushed changes",
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct CapabilitySet(u64);

impl CapabilitySet {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self(u64::MAX >> (64 - Capability::ALL.len()));

    /// This set and one more.
    #[must_use]
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | 1 << capability as u32)
    }

    /// This set without one.
    #[must_use]
    pub const fn without(self, capability: Capability) -> Self {
        Self(self.0 & !(1 << capability as u32))
    }

    /// Whether it holds one.
    pub const fn has(self, capability: Capability) -> bool {
        self.0 & 1 << capability as u32 != 0
    }

    /// What it holds, in the order of their definition.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL
            .iter()
            .copied()
            .filter(move |&it| self.has(it))
    }

    /// The first that it holds and the other lacks.
    fn first_missing_in(self, other: Self) -> Option<Capability> {
        // Every call comes by here, and hardly any lacks something.
        match self.0 & !other.0 {
            0 => None,
            missing => Self(missing).iter().next(),
        }
    }
}

impl fmt::Debug for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl FromIterator<Capability> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        capabilities.into_iter().fold(Self::NONE, Self::with)
    }
}

/// Whose clock decides when a key has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeadlineClock {
    /// The store's own: all readers agree.
    Store,
    /// Each reader's: two may disagree by as much as their clocks do.
    Client {
        /// The difference between clocks that the store's promises allow for.
        skew: Duration,
    },
}

/// What a store can do and where it ends. A layer subtracts what it cannot honour.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// What it can do.
    pub can: CapabilitySet,
    /// The step in which deadlines are kept.
    pub ttl_granularity: Duration,
    /// Whose clock decides about deadlines.
    pub deadline_clock: DeadlineClock,
    /// The longest key, in bytes on the store.
    pub max_key_bytes: usize,
    /// The longest value, member or field, in bytes on the store.
    pub max_value_bytes: usize,
    /// The most conditions, and the most elements written, in one transaction.
    pub max_txn_ops: usize,
}

impl Capabilities {
    /// Capabilities without limits but 1000 steps a transaction, deadlines kept to the millisecond by
    /// the store.
    pub fn new(can: CapabilitySet) -> Self {
        Self {
            can,
            ttl_granularity: Duration::from_millis(1),
            deadline_clock: DeadlineClock::Store,
            max_key_bytes: usize::MAX,
            max_value_bytes: usize::MAX,
            max_txn_ops: 1000,
        }
    }

    /// With these limits, in bytes on the store.
    #[must_use]
    pub fn with_limits(mut self, max_key_bytes: usize, max_value_bytes: usize) -> Self {
        self.max_key_bytes = max_key_bytes;
        self.max_value_bytes = max_value_bytes;
        self
    }

    /// With this many conditions, and elements written, in one transaction.
    #[must_use]
    pub fn with_max_txn_ops(mut self, max_txn_ops: usize) -> Self {
        self.max_txn_ops = max_txn_ops;
        self
    }

    /// Without one capability.
    #[must_use]
    pub fn without(mut self, capability: Capability) -> Self {
        self.can = self.can.without(capability);
        self
    }

    /// Whether one is there.
    pub fn has(&self, capability: Capability) -> bool {
        self.can.has(capability)
    }

    /// Refuses what the store lacks, before anything is sent.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`], naming the capability.
    pub fn allow(&self, command: &Command) -> Result<()> {
        let Some(missing) = command.needs().first_missing_in(self.can) else {
            return Ok(());
        };
        Err(Error::new(
            ErrorKind::Unsupported,
            "this store, or a layer on it, cannot do that",
        )
        .with_operation(command.spec().name)
        .with_context("missing", missing))
    }
}
