//! The time of one call.

use kv_core::{Clock, Expiry, TimeToLive, Ttl};
use std::{cell::Cell, time::Duration};

/// The deadline of what lives until it is deleted, in microseconds since the epoch as all deadlines.
pub(crate) const FOREVER: i64 = i64::MAX;

/// The time at which a call happens: read at most once, and only if a deadline asks for it.
pub(crate) struct Moment<'a> {
    clock: &'a dyn Clock,
    read: Cell<Option<i64>>,
}

impl<'a> Moment<'a> {
    pub(crate) fn new(clock: &'a dyn Clock) -> Self {
        Self {
            clock,
            read: Cell::new(None),
        }
    }

    /// Whether something with this deadline has ended.
    pub(crate) fn passed(&self, deadline: i64) -> bool {
        deadline != FOREVER && deadline <= self.micros()
    }

    /// The deadline that a write gives to a key which has the deadline `current`.
    pub(crate) fn deadline(&self, ttl: Ttl, current: i64) -> i64 {
        match ttl {
            Ttl::Keep => current,
            Ttl::In(lifetime) | Ttl::Held(lifetime) => self.after(lifetime.as_duration()),
            Ttl::At(deadline) => deadline.as_micros(),
            // The default is applied by a layer, or by nobody.
            _ => FOREVER,
        }
    }

    /// The deadline that `expire` gives; `None` for a form of a later version of the contract.
    pub(crate) fn expiry(&self, expiry: Expiry) -> Option<i64> {
        match expiry {
            Expiry::In(lifetime) | Expiry::Held(lifetime) => {
                Some(self.after(lifetime.as_duration()))
            }
            Expiry::At(deadline) => Some(deadline.as_micros()),
            _ => None,
        }
    }

    /// How long something with this deadline, not passed yet, still lives.
    pub(crate) fn left(&self, deadline: i64) -> TimeToLive {
        if deadline == FOREVER {
            return TimeToLive::NoExpiry;
        }
        let micros = deadline.saturating_sub(self.micros()).max(1) as u64;
        TimeToLive::In(Duration::from_millis(micros.div_ceil(1000)))
    }

    pub(crate) fn micros(&self) -> i64 {
        if let Some(micros) = self.read.get() {
            return micros;
        }
        let micros = self.clock.now().as_micros();
        self.read.set(Some(micros));
        micros
    }

    fn after(&self, span: Duration) -> i64 {
        let micros = i64::try_from(span.as_micros()).unwrap_or(FOREVER);
        self.micros().saturating_add(micros)
    }
}
