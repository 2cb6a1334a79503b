//! How a task is.

use crate::{
    Priority,
    envelope::Envelope,
    record::Record,
    stored::Unreadable,
    transitions::{Found, Place},
};
use kv_core::{Codec, Error, ErrorKind, Result, Score, Timestamp};
use serde::de::DeserializeOwned;

/// How a task is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// Where it is in its life.
    pub state: State,
    /// How many attempts were begun that count.
    pub attempts: u32,
    /// Why the last one failed.
    pub error: Option<String>,
    /// When that was, by the worker's clock.
    pub failed_at: Option<Timestamp>,
    /// The name of its kind.
    pub kind: String,
    /// When it was scheduled, by the clock of who did.
    pub scheduled: Timestamp,
    /// Which tasks of the queue come first.
    pub priority: Priority,
    progress: Option<bytes::Bytes>,
}

impl Status {
    pub(crate) fn new(found: &Found, envelope: &Envelope) -> Self {
        let record = Record::decode(found.record.as_ref(), found.tally);
        Self {
            state: state(found),
            attempts: record.begun(found.tally),
            failed_at: record.failed_at(),
            error: record.error,
            kind: envelope.kind.clone(),
            scheduled: envelope.scheduled(),
            priority: envelope.priority,
            progress: record.progress,
        }
    }

    /// What the handler told last of its progress.
    ///
    /// # Errors
    /// [`Codec`](ErrorKind::Codec) if it is of another type.
    pub fn progress<P: DeserializeOwned>(&self) -> Result<Option<P>> {
        let progress = self.progress.as_ref();
        progress
            .map(|it| Codec::JSON.decode(&it.clone().into()))
            .transpose()
    }
}

/// Where a task is in its life. Instants are the store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It waits until it is due, and for a worker.
    Pending {
        /// When it is due.
        due: Timestamp,
    },
    /// A worker has it.
    Running {
        /// When it is taken for lost if the worker does not say otherwise.
        lease_ends: Timestamp,
        /// Whether the worker was asked to stop.
        is_cancelled: bool,
    },
    /// It succeeded.
    Done {
        /// How long it is kept.
        kept_until: Timestamp,
    },
    /// It failed for good.
    Dead {
        /// How long it is kept.
        kept_until: Timestamp,
    },
}

/// The envelope of a task that was found.
pub(crate) fn envelope(found: &Found) -> Result<Envelope> {
    let envelope = found.envelope.as_ref().map(Envelope::decode);
    envelope.unwrap_or(Err(Unreadable::Damaged)).map_err(|it| {
        let message = match it {
            Unreadable::Later => "the task was scheduled by a newer program",
            Unreadable::Damaged => "what is stored of the task cannot be read",
        };
        Error::new(ErrorKind::Codec, message)
    })
}

fn state(found: &Found) -> State {
    let at = |score: Score| Timestamp::from_micros(score.get() as i64);
    match found.place {
        Place::Due(_, score) => State::Pending { due: at(score) },
        Place::Lease(score) => State::Running {
            lease_ends: at(score),
            is_cancelled: found.is_cancelled,
        },
        Place::Done(score) => State::Done {
            kept_until: at(score),
        },
        Place::Dead(score) => State::Dead {
            kept_until: at(score),
        },
    }
}
