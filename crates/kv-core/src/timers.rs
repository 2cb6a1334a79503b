//! Deadlines of calls, on timers that are used again.

use crate::{BoxFuture, Clock};
use parking_lot::Mutex;
use std::{
    fmt,
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    runtime::{Handle, Id},
    time::{Interval, interval},
};

/// How many timers are kept while nobody waits.
const MOST_IDLE: usize = 1_024;

/// Of no use to who has it; each use sets its own time.
const PERIOD: Duration = Duration::from_secs(1);

/// Gives calls, one at a time or many at once, the same limit.
///
/// A timer for each call would cost more than all else that a layer does for it. As long as nobody
/// waits there is none, so each new one wakes the thread that waits for the network to tell it how
/// long it may; and each takes the lock of the runtime's wheel twice. One that is there already is
/// just moved to later, which is why they all run for as long. At most 1024 are kept.
///
/// On a clock that is not the runtime's own, such as [`VirtualClock`](crate::VirtualClock), each use
/// is a [`sleep`](Clock::sleep).
///
/// ```
/// # use kv_core::{SystemClock, Timers};
/// # use std::{future::pending, sync::Arc, time::Duration};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let timers = Timers::new(Arc::new(SystemClock), Duration::from_millis(5));
/// assert_eq!(timers.timeout(async { 7 }).await, Some(7));
/// assert_eq!(timers.timeout(pending::<u8>()).await, None);
/// # }
/// ```
pub struct Timers {
    clock: Arc<dyn Clock>,
    limit: Duration,
    /// Each with the runtime that moves it: in another it would end with that.
    idle: Mutex<Vec<(Id, Interval)>>,
}

impl Timers {
    /// Timers that run for this long.
    pub fn new(clock: Arc<dyn Clock>, limit: Duration) -> Self {
        Self {
            clock,
            limit,
            idle: Mutex::default(),
        }
    }

    /// How long they run.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// What a future ends with, or nothing if it takes longer than the limit, which is counted from
    /// its first poll. An end that is there when the time is over still counts.
    ///
    /// # Panics
    /// On [`SystemClock`](crate::SystemClock), if the future has to wait outside of a Tokio runtime
    /// with time enabled.
    ///
    /// # Cancel safety
    /// May be dropped, and drops the future when its time is over.
    pub async fn timeout<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut timer = None;
        let either = |task: &mut Context<'_>| match future.as_mut().poll(task) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                // Not before: what ends at once needs no timer.
                let timer = timer.get_or_insert_with(|| self.begin());
                timer.poll(task).map(|()| None)
            }
        };
        poll_fn(either).await
    }

    fn begin(&self) -> Timer<'_> {
        let here = self.clock.is_runtime_time().then(Handle::try_current);
        let Some(Ok(runtime)) = here.map(|it| it.map(|it| it.id())) else {
            return Timer::Once(self.clock.sleep(self.limit));
        };
        let idle = {
            let mut idle = self.idle.lock();
            idle.pop_if(|(home, _)| *home == runtime)
        };
        let (_, mut interval) = idle.unwrap_or_else(|| (runtime, interval(PERIOD)));
        interval.reset_after(self.limit);
        Timer::Lent {
            timers: self,
            runtime,
            interval: Some(interval),
        }
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timers({:?})", self.limit)
    }
}

/// A timer in use.
enum Timer<'a> {
    Once(BoxFuture<'static, ()>),
    Lent {
        timers: &'a Timers,
        runtime: Id,
        /// None once it is dropped.
        interval: Option<Interval>,
    },
}

impl Timer<'_> {
    fn poll(&mut self, task: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Once(sleep) => sleep.as_mut().poll(task),
            Self::Lent {
                interval: Some(interval),
                ..
            } => interval.poll_tick(task).map(drop),
            Self::Lent { .. } => Poll::Ready(()),
        }
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        let Self::Lent {
            timers,
            runtime,
            interval,
        } = self
        else {
            return;
        };
        let mut idle = timers.idle.lock();
        if let Some(interval) = interval.take()
            && idle.len() < MOST_IDLE
        {
            idle.push((*runtime, interval));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Timers;
    use crate::{Clock, Stopwatch, SystemClock, VirtualClock};
    use futures_util::FutureExt;
    use std::{future::pending, pin::pin, sync::Arc, time::Duration};
    use tokio::runtime::Builder;

    const LIMIT: Duration = Duration::from_millis(20);

    fn timers() -> Timers {
        Timers::new(Arc::new(SystemClock), LIMIT)
    }

    async fn has_the_whole_time(timers: &Timers) {
        let began = Stopwatch::start();
        assert_eq!(timers.timeout(pending::<()>()).await, None);
        assert!(began.elapsed() >= LIMIT);
    }

    #[tokio::test]
    async fn each_use_of_a_timer_has_the_whole_time() {
        let timers = timers();
        for _ in 0..3 {
            assert_eq!(
                timers.timeout(SystemClock.sleep(LIMIT / 10)).await,
                Some(())
            );
            assert_eq!(timers.timeout(pending::<()>()).now_or_never(), None);
            has_the_whole_time(&timers).await;
        }
        assert_eq!(timers.idle.lock().len(), 1);
    }

    #[tokio::test]
    async fn what_ends_at_once_takes_no_timer() {
        let timers = timers();
        assert_eq!(timers.timeout(async { 7 }).await, Some(7));
        assert!(timers.idle.lock().is_empty());
    }

    #[tokio::test]
    async fn as_many_as_wait_at_once_have_one_each_also_who_is_dropped() {
        let timers = timers();
        tokio::join!(has_the_whole_time(&timers), has_the_whole_time(&timers));
        assert_eq!(timers.idle.lock().len(), 2);
        {
            let mut dropped = pin!(timers.timeout(pending::<()>()));
            assert_eq!(dropped.as_mut().now_or_never(), None);
            assert_eq!(timers.idle.lock().len(), 1);
        }
        assert_eq!(timers.idle.lock().len(), 2);
    }

    #[test]
    fn a_runtime_gets_none_of_another_and_keeps_its_own() {
        let runtime = || Builder::new_current_thread().enable_time().build().unwrap();
        let timers = timers();
        let first = runtime();
        first.block_on(has_the_whole_time(&timers));
        drop(first);
        let second = runtime();
        second.block_on(has_the_whole_time(&timers));
        second.block_on(has_the_whole_time(&timers));
        assert_eq!(timers.idle.lock().len(), 2);
    }

    #[test]
    fn on_another_clock_that_one_decides() {
        let clock = VirtualClock::default();
        let timers = Timers::new(Arc::new(clock.clone()), LIMIT);
        let mut call = pin!(timers.timeout(pending::<()>()));
        let mut is_over = || call.as_mut().now_or_never().is_some();
        assert!(!is_over());
        clock.advance(LIMIT - Duration::from_nanos(1));
        assert!(!is_over());
        clock.advance(Duration::from_nanos(1));
        assert!(is_over());
        assert_eq!(clock.monotonic(), LIMIT);
    }
}
