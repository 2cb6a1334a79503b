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
    pub(crate) fn ended(&self, ended: Ended) {
        add(match ended {
            Ended::Succeeded => &self.succeeded,
            Ended::Retried => &self.retried,
            Ended::Snoozed => &self.snoozed,
            Ended::Released => &self.released,
            Ended::Unable => &self.unable,
            Ended::Dead => &self.dead,
            Ended::Cancelled => &self.cancelled,
            Ended::Failed => &self.failed,
            Ended::Lost => &self.lost,
        });
    }
}

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Succeeded,
    Retried,
    Snoozed,
    Released,
    Unable,
    Dead,
    Cancelled,
    Failed,
    Lost,
}

impl Ended {
    pub(crate) const ALL: [Self; 9] = [
        Self::Succeeded,
        Self::Retried,
        Self::Snoozed,
        Self::Released,
        Self::Unable,
        Self::Dead,
        Self::Cancelled,
        Self::Failed,
        Self::Lost,
    ];

    /// As an ending has it that was written; `None` if the task only begins now.
    pub(crate) fn by(ending: &Ending) -> Option<Self> {
        Some(match ending {
            Ending::Ack(Over::Begun) => return None,
            Ending::Ack(Over::Succeeded) | Ending::Keep(..) => Self::Succeeded,
            Ending::Ack(Over::Cancelled) => Self::Cancelled,
            Ending::Bury(_) => Self::Dead,
            Ending::Again(Again::Retried, ..) => Self::Retried,
            Ending::Again(Again::Snoozed, ..) => Self::Snoozed,
            Ending::Again(Again::Released, ..) => Self::Released,
            Ending::Again(Again::Unable, ..) => Self::Unable,
        })
    }

    /// The name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Retried => "retried",
            Self::Snoozed => "snoozed",
            Self::Released => "released",
            Self::Unable => "unable",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }
}

pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
