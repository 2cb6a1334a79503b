//! Deadlines of calls, on timers that are used again.
//!
//! A timer for each call would cost more than all else that is done for it here. As long as nobody
//! waits there is none, so each new one wakes the thread that waits for the network to tell it how
//! long it may; and each takes the lock of the runtime's wheel twice. One that is there already is
//! just moved to later.

use parking_lot::Mutex;
use std::{
    future::poll_fn,
    pin::pin,
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

/// Timers of one runtime that all run for as long: one can only be moved to later.
pub(crate) struct Timers {
    limit: Duration,
    idle: Mutex<Vec<Interval>>,
    runtime: Option<Id>,
}

impl Timers {
    /// Timers of the runtime that this is called in.
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            idle: Mutex::default(),
            runtime: here(),
        }
    }

    /// How long they run.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// What a future ends with, or nothing if it takes too long.
    pub(crate) async fn timeout<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut timer = self.take();
        let either = |context: &mut Context<'_>| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => timer.poll(context).map(|()| None),
        };
        poll_fn(either).await
    }

    fn take(&self) -> Timer<'_> {
        // One of another runtime would end with that.
        let ours = self.runtime == here();
        let idle = ours.then(|| self.idle.lock().pop()).flatten();
        let mut interval = idle.unwrap_or_else(|| interval(PERIOD));
        interval.reset_after(self.limit);
        Timer {
            interval: Some(interval),
            home: ours.then_some(self),
        }
    }
}

/// A timer in use.
struct Timer<'a> {
    /// None once it is dropped.
    interval: Option<Interval>,
    home: Option<&'a Timers>,
}

impl Timer<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.interval {
            Some(interval) => interval.poll_tick(context).map(drop),
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        let (Some(home), Some(interval)) = (self.home, self.interval.take()) else {
            return;
        };
        let mut idle = home.idle.lock();
        if idle.len() < MOST_IDLE {
            idle.push(interval);
        }
    }
}

fn here() -> Option<Id> {
    Handle::try_current().ok().map(|it| it.id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use kv_core::Stopwatch;
    use std::future::pending;
    use tokio::{runtime::Builder, time};

    const LIMIT: Duration = Duration::from_millis(20);

    async fn has_the_whole_time(timers: &Timers) {
        let began = Stopwatch::start();
        assert_eq!(timers.timeout(pending::<()>()).await, None);
        assert!(began.elapsed() >= LIMIT);
    }

    #[tokio::test]
    async fn each_use_of_a_timer_has_the_whole_time() {
        let timers = Timers::new(LIMIT);
        for _ in 0..3 {
            assert_eq!(timers.timeout(async { 7 }).await, Some(7));
            let some = time::timeout(LIMIT / 2, pending::<()>());
            assert!(some.await.is_err());
            has_the_whole_time(&timers).await;
        }
        assert_eq!(timers.idle.lock().len(), 1);
    }

    #[tokio::test]
    async fn as_many_as_wait_at_once_have_one_each_also_who_is_dropped() {
        let timers = Timers::new(LIMIT);
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
    fn another_runtime_gets_none_of_this_one() {
        let runtime = || Builder::new_current_thread().enable_time().build().unwrap();
        let first = runtime();
        let timers = first.block_on(async { Timers::new(LIMIT) });
        first.block_on(has_the_whole_time(&timers));
        drop(first);
        runtime().block_on(has_the_whole_time(&timers));
        assert_eq!(timers.idle.lock().len(), 1);
    }
}
