use parking_lot::Mutex;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// What was really injected, in calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultCounts {
    /// Calls that the plan was asked about.
    pub seen: u64,
    /// Calls that failed before the store saw them.
    pub fail_before: u64,
    /// Calls that were carried out and whose reply was dropped.
    pub apply_then_fail: u64,
    /// Calls that were held back.
    pub delay: u64,
    /// Calls that were sent a second time.
    pub duplicate: u64,
    /// Calls that were left hanging.
    pub hang: u64,
}

impl FaultCounts {
    /// All faults together.
    pub fn total(&self) -> u64 {
        self.fail_before + self.apply_then_fail + self.delay + self.duplicate + self.hang
    }
}

impl fmt::Display for FaultCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} calls: {} failed before, {} lost replies, {} delayed, {} sent twice, {} hung",
            self.total(),
            self.seen,
            self.fail_before,
            self.apply_then_fail,
            self.delay,
            self.duplicate,
            self.hang
        )
    }
}

/// Turns the faults of a layer on and off while it runs, and tells what it did.
#[derive(Clone)]
pub struct FaultSwitch {
    tally: Arc<Tally>,
}

impl FaultSwitch {
    pub(super) fn new(tally: Arc<Tally>) -> Self {
        Self { tally }
    }

    /// Lets the plan go on where it stopped.
    pub fn on(&self) {
        self.tally.off.store(false, Ordering::Release);
    }

    /// Lets every later call pass; the plan waits.
    pub fn off(&self) {
        self.tally.off.store(true, Ordering::Release);
    }

    /// What was injected so far.
    pub fn counts(&self) -> FaultCounts {
        *self.tally.counts.lock()
    }
}

impl fmt::Debug for FaultSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.tally.is_on() { "on" } else { "off" };
        write!(f, "FaultSwitch({state}, {})", self.counts())
    }
}

/// What a layer and its switches share.
#[derive(Default)]
pub(super) struct Tally {
    off: AtomicBool,
    counts: Mutex<FaultCounts>,
}

impl Tally {
    pub(super) fn is_on(&self) -> bool {
        !self.off.load(Ordering::Acquire)
    }

    pub(super) fn see(&self) {
        self.count(|it| it.seen += 1);
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut FaultCounts)) {
        change(&mut self.counts.lock());
    }
}
