//! An acquisition, as it is told.

use super::{
    Meters, Telemetry,
    meters::Outcome,
    spans::{self, Fail},
};
use crate::{Lease, LockError};
use kv_core::Clock;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tracing::Span;

/// An acquisition is under way; dropped without an end it was cancelled.
#[derive(Debug)]
pub struct Asking {
    meters: Arc<Meters>,
    clock: Arc<dyn Clock>,
    since: Duration,
    calls: AtomicU32,
    outcome: Outcome,
    span: Span,
}

impl Asking {
    pub(crate) fn new(
        telemetry: &Telemetry,
        kind: &'static str,
        name: &[u8],
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let meters = telemetry.meters(kind);
        meters.asks();
        Self {
            meters,
            since: clock.monotonic(),
            clock: clock.clone(),
            calls: AtomicU32::default(),
            outcome: Outcome::Cancelled,
            span: spans::acquire(kind, telemetry.shown(name)),
        }
    }

    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// The store is called.
    pub(crate) fn calls(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// It has ended, without a lock if others have it. To be called outside of its span.
    pub(crate) fn end(mut self, done: Result<Option<&Lease>, &LockError>) {
        self.outcome = match done {
            Ok(Some(lease)) => {
                lease.hold.enter_span();
                Outcome::Acquired
            }
            Ok(None) => Outcome::Busy,
            Err(LockError::Timeout) => Outcome::Timeout,
            Err(_) => Outcome::Failed,
        };
        match done {
            Err(LockError::Store(error)) => self.span.fail(error.kind().name()),
            Err(_) => self.span.fail(self.outcome.name()),
            Ok(_) => {}
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let took = self.clock.monotonic().saturating_sub(self.since);
        let calls = self.calls.load(Ordering::Relaxed);
        self.meters.asked(self.outcome, took, calls);
        self.span.record("kv.lock.outcome", self.outcome.name());
        self.span.record("kv.lock.calls", calls);
    }
}
