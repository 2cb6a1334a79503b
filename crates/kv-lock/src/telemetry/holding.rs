//! A lock that is held, as it is told.

use super::{
    Meters, Telemetry,
    spans::{self, Fail},
};
use crate::{Fence, Lost};
use kv_core::Key;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tracing::Span;

/// A lock is held, until its end is told.
#[derive(Debug)]
pub(crate) struct Holding {
    /// None for a place where somebody waits.
    meters: Option<Arc<Meters>>,
    span: OnceLock<Span>,
    fence: Fence,
}

impl Holding {
    pub(crate) fn new(telemetry: &Telemetry, kind: &'static str, fence: Fence) -> Self {
        let meters = telemetry.meters(kind);
        meters.holds();
        Self {
            meters: Some(meters),
            span: OnceLock::new(),
            fence,
        }
    }

    /// What is held is no lock: nobody is told.
    pub(crate) fn silent() -> Self {
        Self {
            meters: None,
            span: OnceLock::new(),
            fence: Fence::from_number(0),
        }
    }

    /// Begins the span in the span of who acquired the lock, not in that of the acquisition, which
    /// would not end as long as it has children.
    pub(crate) fn enter(&self, telemetry: &Telemetry, kind: &'static str, key: &Key) {
        let begin = || spans::hold(kind, telemetry.shown_in(key), self.fence);
        self.span.get_or_init(begin);
    }

    /// What is done under the lock is done in here.
    pub(crate) fn span(&self) -> Span {
        self.span.get().cloned().unwrap_or_else(Span::none)
    }

    /// So long after it was due.
    pub(crate) fn renewed(&self, lag: Duration) {
        self.tell(|it| it.renewed(lag));
    }

    pub(crate) fn renewal_refused(&self) {
        self.tell(Meters::renewal_refused);
    }

    pub(crate) fn renewal_failed(&self) {
        self.tell(Meters::renewal_failed);
    }

    /// It was held for so long, and lost. To be told once, this or [`released`](Self::released).
    pub(crate) fn lost(&self, held: Duration, lost: Lost) {
        let Some(meters) = &self.meters else {
            return tracing::debug!(%lost, "a place where somebody waits is lost");
        };
        meters.held(held, Some(lost.reason()));
        let (span, fence) = (self.span(), self.fence);
        span.record("kv.lock.outcome", "lost");
        span.fail(lost.reason().name());
        span.in_scope(|| tracing::warn!(%fence, %lost, "a lock is lost"));
    }

    /// It was held for so long.
    pub(crate) fn released(&self, held: Duration) {
        self.tell(|it| it.held(held, None));
        self.span().record("kv.lock.outcome", "released");
    }

    fn tell(&self, what: impl FnOnce(&Meters)) {
        if let Some(meters) = &self.meters {
            what(meters);
        }
    }
}
