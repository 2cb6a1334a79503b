//! What a worker did.

use super::judge::{Again, Ending, Over};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a worker did, from its start to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Handlers that were begun.
    pub started: u64,
    /// Tasks that succeeded.
    pub succeeded: u64,
    /// Attempts that failed and are to be repeated.
    pub retried: u64,
    /// Tasks that their handlers put off.
    pub snoozed: u64,
    /// Tasks that were given back because the worker ended.
    pub released: u64,
    /// Tasks that were given back because this worker has no handler for them.
    pub unable: u64,
    /// Tasks that failed for good.
    pub dead: u64,
    /// Tasks that failed where a task is begun at most once: nothing is kept of them.
    pub failed: u64,
    /// Tasks that were cancelled while they ran.
    pub cancelled: u64,
    /// Tasks whose lease was lost: what their handlers made of them does not count here.
    pub lost: u64,
}

macro_rules! counts {
    ($($name:ident),*) => {
        /// The same while it grows.
        #[derive(Debug, Default)]
        pub(crate) struct Counts {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Counts {
            pub(crate) fn report(&self) -> Report {
                Report {
                    $($name: self.$name.load(Ordering::Relaxed),)*
                }
            }
        }

        impl Report {
            /// Both together.
            pub(crate) fn and(&self, other: &Self) -> Self {
                Self {
                    $($name: self.$name + other.$name,)*
                }
            }
        }
    };
}

counts!(
    started, succeeded, failed, retried, snoozed, released, unable, dead, cancelled, lost
);

impl Counts {
    /// An ending was written.
    pub(crate) fn written(&self, ending: &Ending) {
        add(match ending {
            // It counts when it has ended.
            Ending::Ack(Over::Begun) => return,
            Ending::Ack(Over::Succeeded) | Ending::Keep(..) => &self.succeeded,
            Ending::Ack(Over::Cancelled) => &self.cancelled,
            Ending::Bury(_) => &self.dead,
            Ending::Again(Again::Retried, ..) => &self.retried,
            Ending::Again(Again::Snoozed, ..) => &self.snoozed,
            Ending::Again(Again::Released, ..) => &self.released,
            Ending::Again(Again::Unable, ..) => &self.unable,
        });
    }
}

pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
