//! Time, injected: nothing else in the workspace reads a clock or sleeps.

use crate::{BoxFuture, uptime::uptime};
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

    /// The time since some moment in the past, the same one for the life of the process. It only
    /// grows, whatever steps the clock makes: for measuring spans. The time that the machine sleeps
    /// counts where the system can tell: with [`SystemClock`] on Linux, Android, Windows and Apple's.
    fn monotonic(&self) -> Duration;

    /// Ends when this much time has passed, never before, whatever steps the clock makes. The span
    /// is counted from the call, not from the first poll. The time that the machine sleeps may come on
    /// top: who must know of it looks at [`monotonic`](Self::monotonic) now and then.
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()>;

    /// Whether spans pass as they do for the Tokio runtime, so that its timers can stand in for
    /// [`sleep`](Self::sleep), as [`Timers`](crate::Timers) does. No, unless said otherwise.
    fn is_runtime_time(&self) -> bool {
        false
    }
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

    fn monotonic(&self) -> Duration {
        uptime()
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place")]
        let sleep = tokio::time::sleep(span);
        Box::pin(sleep)
    }

    fn is_runtime_time(&self) -> bool {
        true
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
    hands: Mutex<Hands>,
    moved: Notify,
}

#[derive(Debug, Default)]
struct Hands {
    now: Timestamp,
    /// Grows with each advance; setting the clock leaves it alone.
    passed: Duration,
}

impl VirtualClock {
    /// A clock that shows this instant.
    pub fn at(now: Timestamp) -> Self {
        let clock = Self::default();
        clock.shared.hands.lock().now = now;
        clock
    }

    /// Moves the clock forward and wakes the sleepers whose time has come.
    pub fn advance(&self, span: Duration) {
        {
            let mut hands = self.shared.hands.lock();
            hands.now = hands.now.saturating_add(span);
            hands.passed = hands.passed.saturating_add(span);
        }
        self.shared.moved.notify_waiters();
    }

    /// Sets the clock, also back. No time passes by it for those who measure spans.
    pub fn set(&self, now: Timestamp) {
        self.shared.hands.lock().now = now;
        self.shared.moved.notify_waiters();
    }

    /// Ends when this holds; looked at again whenever the clock moves.
    fn wait(
        &self,
        mut over: impl FnMut(&Hands) -> bool + Send + 'static,
    ) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        Box::pin(async move {
            loop {
                // Enlisted before the look, so that a move in between is not missed.
                let moved = clock.shared.moved.notified();
                if over(&clock.shared.hands.lock()) {
                    return;
                }
                moved.await;
            }
        })
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.shared.hands.lock().now
    }

    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        self.wait(move |hands| hands.now >= deadline)
    }

    fn monotonic(&self) -> Duration {
        self.shared.hands.lock().passed
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        let end = self.monotonic().saturating_add(span);
        self.wait(move |hands| hands.passed >= end)
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Timestamp, VirtualClock};
    use std::{
        pin::Pin,
        task::{Context, Waker},
        time::Duration,
    };

    fn is_over(sleep: &mut Pin<Box<dyn Future<Output = ()> + Send>>) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        sleep.as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn a_span_is_not_shortened_or_lengthened_by_setting_the_clock() {
        let clock = VirtualClock::at(Timestamp::from_micros(1_000));
        let mut sleep = clock.sleep(Duration::from_secs(1));
        clock.set(Timestamp::from_micros(i64::MAX));
        assert!(!is_over(&mut sleep));
        clock.set(Timestamp::default());
        clock.advance(Duration::from_millis(999));
        assert!(!is_over(&mut sleep));
        clock.advance(Duration::from_millis(1));
        assert!(is_over(&mut sleep));
        assert_eq!(clock.monotonic(), Duration::from_secs(1));
    }
}
