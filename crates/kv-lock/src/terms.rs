//! For how long a lock is held here, and on the store.

use kv_core::{Error, ErrorKind, Lifetime, Result};
use std::{ops::RangeInclusive, time::Duration};

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) const LEASES: RangeInclusive<Duration> = Duration::from_millis(100)..=DAY;

pub(crate) const LONGEST_GRACE: Duration = DAY;

/// A lease, and how much longer the store keeps others out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// By the clock of the holder, from before it asked.
    pub(crate) lease: Duration,
    /// By the clock of the store, from when it answered.
    pub(crate) on_store: Lifetime,
    pub(crate) max_hold: Option<Duration>,
    /// The longest that the work may give no sign of life.
    pub(crate) silence: Option<Duration>,
}

impl Terms {
    /// The clocks may be set apart by the skew, and in a hundred seconds drift apart by one.
    pub(crate) fn new(lease: Duration, grace: Option<Duration>, skew: Duration) -> Result<Self> {
        if !LEASES.contains(&lease) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the lease of a lock must be 100ms to 1day",
            )
            .with_context("lease", format_args!("{lease:?}")));
        }
        if grace.is_some_and(|it| it > LONGEST_GRACE) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the grace of a lock must be at most 1day",
            )
            .with_context("grace", format_args!("{grace:?}")));
        }
        let drift = lease / 100 + Duration::from_millis(2);
        let longer = grace
            .unwrap_or(lease / 2)
            .saturating_add(skew)
            .saturating_add(drift);
        Ok(Self {
            lease,
            on_store: Lifetime::new(lease.saturating_add(longer))?,
            max_hold: None,
            silence: None,
        })
    }

    /// For a place where somebody waits: for so long it counts after its process has died.
    pub(crate) fn of_waiter(skew: Duration) -> Result<Self> {
        Self::new(Duration::from_secs(5), Some(Duration::ZERO), skew)
    }

    /// When to renew, counted from the last time: not all processes that began together at once.
    pub(crate) fn renew_after(&self) -> Duration {
        self.lease.mul_f64(0.28 + 0.1 * fastrand::f64())
    }

    /// How much earlier it may be renewed. At half of the pause there are soon no two groups left whose
    /// times are further apart.
    pub(crate) fn early(&self) -> Duration {
        self.lease / 6
    }

    /// Soon enough for several tries before the lease ends.
    pub(crate) fn retry_after(&self) -> Duration {
        self.lease / 12
    }

    /// A call that hangs must leave time for others before the lease ends.
    pub(crate) fn patience(&self) -> Duration {
        self.lease / 6
    }
}
