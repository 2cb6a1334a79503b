//! Handles on metrics, taken once for each kind of lock.

use super::table::{ACQUISITIONS, ASKING, CALLS, HELD, HOLD, LAG, LOST, METRICS, RENEWALS, WAIT};
use crate::LostReason;
use kv_core::telemetry::{MetricSpec, describe};
use metrics::{Counter, Gauge, Histogram, SharedString};
use std::time::Duration;

/// What is told of a kind of lock.
pub(crate) struct Meters {
    kind: &'static str,
    acquisitions: [Counter; Outcome::ALL.len()],
    wait: Histogram,
    calls: Histogram,
    asking: Gauge,
    held: Gauge,
    hold: Histogram,
    lost: [Counter; LostReason::ALL.len()],
    renewals: [Counter; Renewal::ALL.len()],
    lag: Histogram,
}

/// How an acquisition ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Acquired,
    Busy,
    Timeout,
    Failed,
    Cancelled,
}

#[derive(Clone, Copy)]
enum Renewal {
    Renewed,
    Refused,
    Failed,
}

impl Meters {
    pub(super) fn new(kind: &'static str) -> Self {
        describe(METRICS);
        let labels = |more: Option<&'static str>| [Some(kind), more].into_iter().flatten();
        let labels = |more| labels(more).map(SharedString::const_str);
        let counter = |spec: &MetricSpec, label| spec.counter(labels(Some(label)));
        let histogram = |spec: &MetricSpec| spec.histogram(labels(None));
        Self {
            kind,
            acquisitions: Outcome::ALL.map(|it| counter(&ACQUISITIONS, it.name())),
            wait: histogram(&WAIT),
            calls: histogram(&CALLS),
            asking: ASKING.gauge(labels(None)),
            held: HELD.gauge(labels(None)),
            hold: histogram(&HOLD),
            lost: LostReason::ALL.map(|it| counter(&LOST, it.name())),
            renewals: Renewal::ALL.map(|it| counter(&RENEWALS, it.name())),
            lag: histogram(&LAG),
        }
    }

    pub(super) fn asks(&self) {
        self.asking.increment(1);
    }

    pub(super) fn asked(&self, outcome: Outcome, took: Duration, calls: u32) {
        self.asking.decrement(1);
        self.acquisitions[outcome as usize].increment(1);
        if outcome == Outcome::Acquired {
            self.wait.record(took);
            self.calls.record(calls);
        }
    }

    pub(super) fn holds(&self) {
        self.held.increment(1);
    }

    /// It was held for so long, and then lost or not.
    pub(super) fn held(&self, span: Duration, lost: Option<LostReason>) {
        self.held.decrement(1);
        self.hold.record(span);
        if let Some(reason) = lost {
            self.lost[reason as usize].increment(1);
        }
    }

    /// So long after it was due.
    pub(crate) fn renewed(&self, lag: Duration) {
        self.lag.record(lag);
        self.renewals[Renewal::Renewed as usize].increment(1);
    }

    pub(crate) fn renewal_refused(&self) {
        self.renewals[Renewal::Refused as usize].increment(1);
    }

    pub(crate) fn renewal_failed(&self) {
        self.renewals[Renewal::Failed as usize].increment(1);
    }
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Meters({})", self.kind)
    }
}

impl Outcome {
    const ALL: [Self; 5] = [
        Self::Acquired,
        Self::Busy,
        Self::Timeout,
        Self::Failed,
        Self::Cancelled,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Acquired => "acquired",
            Self::Busy => "busy",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Renewal {
    const ALL: [Self; 3] = [Self::Renewed, Self::Refused, Self::Failed];

    fn name(self) -> &'static str {
        match self {
            Self::Renewed => "renewed",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl LostReason {
    const ALL: [Self; 4] = [
        Self::Expired,
        Self::Taken,
        Self::HeldTooLong,
        Self::NoHeartbeat,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Taken => "taken",
            Self::HeldTooLong => "held_too_long",
            Self::NoHeartbeat => "no_heartbeat",
        }
    }
}
