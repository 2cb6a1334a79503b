//! Deadlines of calls, on timers that are used again.

mod idle;

pub(crate) use self::idle::Pools;
use crate::{BoxFuture, Clock};
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

/// A timer that is not needed any more may wake who used it last, and keeps its memory, until then.
const LONGEST: Duration = Duration::from_secs(60);

/// Of no use to who has it; each use sets its own time.
const PERIOD: Duration = Duration::from_secs(1);

/// Gives calls, one at a time or many at once, the same limit.
///
/// A timer for each call would cost more than all else that a layer does for it. As long as nobody
/// waits there is none, so each new one wakes the thread that waits for the network to tell it how
/// long it may; and each takes the lock of the runtime's wheel twice. One that is there already is
/// just moved to later, which is why they all run for as long. At most 1024 are kept for a thread, each
/// for the runtime it was made in, and those of three runtimes. A limit above a minute is a timer of its own.
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
    idle: Pools,
}

impl Timers {
    /// Timers that run for this long.
    pub fn new(clock: Arc<dyn Clock>, limit: Duration) -> Self {
        Self {
            clock,
            limit,
            idle: Pools::default(),
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
        let mut limit = self.limit_one();
        let either = |task: &mut Context<'_>| match future.as_mut().poll(task) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // Not before: what ends at once needs no timer.
            Poll::Pending => limit.poll(task).map(|()| None),
        };
        poll_fn(either).await
    }

    /// The limit of one wait, for futures written by hand.
    pub fn limit_one(&self) -> Limit<'_> {
        Limit {
            timers: self,
            timer: None,
        }
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timers({:?})", self.limit)
    }
}

/// The limit of one wait, made by [`Timers::limit_one`]; it holds a timer once it was polled.
#[derive(Debug)]
pub struct Limit<'a> {
    timers: &'a Timers,
    timer: Option<Timer<'a>>,
}

impl Limit<'_> {
    /// Ready when the time is over, which is counted from the first poll.
    ///
    /// # Panics
    /// As [`Timers::timeout`].
    pub fn poll(&mut self, task: &mut Context<'_>) -> Poll<()> {
        let Timers { clock, limit, idle } = self.timers;
        let begin = || Timer::begin(idle, &**clock, *limit);
        self.timer.get_or_insert_with(begin).poll(task)
    }
}

/// A timer in use.
pub(crate) enum Timer<'a> {
    Once(BoxFuture<'static, ()>),
    Lent {
        pools: &'a Pools,
        runtime: Id,
        /// None once it is dropped.
        interval: Option<Interval>,
    },
}

impl fmt::Debug for Timer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Timer")
    }
}

impl<'a> Timer<'a> {
    /// One that ends after this much time, by this clock.
    pub(crate) fn begin(pools: &'a Pools, clock: &dyn Clock, after: Duration) -> Self {
        let is_lent = clock.is_runtime_time() && after <= LONGEST;
        let here = is_lent.then(Handle::try_current);
        let Some(Ok(runtime)) = here.map(|it| it.map(|it| it.id())) else {
            return Self::Once(clock.sleep(after));
        };
        let idle = pools.here().lock().take(runtime);
        let mut interval = idle.unwrap_or_else(|| interval(PERIOD));
        interval.reset_after(after);
        Self::Lent {
            pools,
            runtime,
            interval: Some(interval),
        }
    }

    pub(crate) fn poll(&mut self, task: &mut Context<'_>) -> Poll<()> {
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
            pools,
            runtime,
            interval,
        } = self
        else {
            return;
        };
        let Some(interval) = interval.take() else {
            return;
        };
        // What has to go does so once the lock is free: it takes that of the wheel it is on.
        let surplus = pools.here().lock().keep(*runtime, interval);
        drop(surplus);
    }
}

#[cfg(test)]
mod tests;
