//! Time, injected: nothing else in the workspace reads a clock or sleeps.

use crate::BoxFuture;
use parking_lot::Mutex;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::Notify;

/// An instant: microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// An instant by its microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This much later, at most the end of time.
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// The span since an earlier instant; zero if that one is later.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0) as u64)
    }
}

/// Runs a future for no longer than this; `None` if it had to be dropped.
pub(crate) async fn within<T>(span: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(span, future).await.ok()
}

/// Tells the time and sleeps.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now. It can step, as the machine's clock can.
    fn now(&self) -> Timestamp;

    /// Ends at this instant, never before it.
    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()>;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the one place")]
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let micros = match since {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        };
        Timestamp(micros)
    }

    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // In slices: a clock that is set forward, or a machine that slept, must not delay us by
            // more than one of them.
            const SLICE: Duration = Duration::from_secs(60);
            loop {
                let left = deadline.saturating_since(Self.now());
                if left.is_zero() {
                    return;
                }
                #[expect(clippy::disallowed_methods, reason = "this is the one place")]
                tokio::time::sleep(left.min(SLICE)).await;
            }
        })
    }
}

/// Measures how long something takes, whatever steps the clock makes meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// A clock that stands still until it is told to move: for tests and simulations.
///
/// ```
/// # use kv_core::{Clock, Timestamp, VirtualClock};
/// # use std::time::Duration;
/// let clock = VirtualClock::at(Timestamp::from_micros(0));
/// clock.advance(Duration::from_secs(5));
/// assert_eq!(clock.now(), Timestamp::from_micros(5_000_000));
/// ```
#[derive(Clone, Debug, Default)]
pub struct VirtualClock {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    now: Mutex<Timestamp>,
    moved: Notify,
}

impl VirtualClock {
    /// A clock that shows this instant.
    pub fn at(now: Timestamp) -> Self {
        let clock = Self::default();
        *clock.shared.now.lock() = now;
        clock
    }

    /// Moves the clock forward and wakes the sleepers whose time has come.
    pub fn advance(&self, span: Duration) {
        {
            let mut now = self.shared.now.lock();
            *now = now.saturating_add(span);
        }
        self.shared.moved.notify_waiters();
    }

    /// Sets the clock, also back.
    pub fn set(&self, now: Timestamp) {
        *self.shared.now.lock() = now;
        self.shared.moved.notify_waiters();
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        *self.shared.now.lock()
    }

    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        Box::pin(async move {
            loop {
                // Enlisted before the look, so that a move in between is not missed.
                let moved = clock.shared.moved.notified();
                if clock.now() >= deadline {
                    return;
                }
                moved.await;
            }
        })
    }
}
