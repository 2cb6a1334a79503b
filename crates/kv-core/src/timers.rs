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
/// just moved to later, which is why they all run for as long. At most 1024 are kept, each for the
/// runtime it was made in; those of a runtime that ended stay until there is no room for another.
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
    idle: Mutex<Idle>,
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
        let idle = self.idle.lock().take(runtime);
        let mut interval = idle.unwrap_or_else(|| interval(PERIOD));
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
        let Some(interval) = interval.take() else {
            return;
        };
        // What has to go does so once the lock is free: it takes that of the wheel it is on.
        let surplus = timers.idle.lock().keep(*runtime, interval);
        drop(surplus);
    }
}

/// The timers that nobody waits for.
#[derive(Default)]
struct Idle {
    /// The one used last comes last, which with one runtime is the only one.
    homes: Vec<Home>,
    /// How many timers all have.
    count: usize,
}

/// A runtime and the timers that it moves: in another they would end with it.
struct Home {
    runtime: Id,
    /// None while all are in use.
    timers: Vec<Interval>,
}

impl Idle {
    fn take(&mut self, runtime: Id) -> Option<Interval> {
        let timer = self.home(runtime)?.timers.pop()?;
        self.count -= 1;
        Some(timer)
    }

    /// Keeps a timer, and hands out the one that has no room then.
    fn keep(&mut self, runtime: Id, timer: Interval) -> Option<Interval> {
        let mut surplus = None;
        if self.count >= MOST_IDLE {
            let Some(other) = self.evict(runtime) else {
                return Some(timer);
            };
            surplus = Some(other);
        }
        self.count += 1;
        match self.home(runtime) {
            Some(home) => home.timers.push(timer),
            None => self.homes.push(Home {
                runtime,
                timers: vec![timer],
            }),
        }
        surplus
    }

    /// One of another runtime, the one that used none for the longest time; it may well have ended.
    fn evict(&mut self, keeping: Id) -> Option<Interval> {
        let is_other = |it: &Home| it.runtime != keeping && !it.timers.is_empty();
        let place = self.homes.iter().position(is_other)?;
        let timer = self.homes[place].timers.pop()?;
        self.count -= 1;
        if self.homes[place].timers.is_empty() {
            self.homes.remove(place);
        }
        Some(timer)
    }

    fn home(&mut self, runtime: Id) -> Option<&mut Home> {
        let mut homes = self.homes.iter();
        let place = homes.rposition(|it| it.runtime == runtime)?;
        self.homes[place..].rotate_left(1);
        self.homes.last_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::{Home, MOST_IDLE, Timers};
    use crate::{Clock, Stopwatch, SystemClock, VirtualClock};
    use futures_util::{FutureExt, future::join_all};
    use std::{future::pending, pin::pin, sync::Arc, time::Duration};
    use tokio::runtime::{Builder, Runtime};

    const LIMIT: Duration = Duration::from_millis(20);

    fn timers() -> Timers {
        Timers::new(Arc::new(SystemClock), LIMIT)
    }

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_time().build().unwrap()
    }

    /// Waits for so many at once, and gives up.
    async fn wait_at_once(timers: &Timers, count: usize) {
        let waiting = (0..count).map(|_| timers.timeout(pending::<()>()));
        assert!(join_all(waiting).now_or_never().is_none());
    }

    fn idle_of(timers: &Timers, runtime: &Runtime) -> usize {
        let idle = timers.idle.lock();
        let own = |it: &&Home| it.runtime == runtime.handle().id();
        idle.homes.iter().find(own).map_or(0, |it| it.timers.len())
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
        assert_eq!(timers.idle.lock().count, 1);
    }

    #[tokio::test]
    async fn what_ends_at_once_takes_no_timer() {
        let timers = timers();
        assert_eq!(timers.timeout(async { 7 }).await, Some(7));
        assert_eq!(timers.idle.lock().count, 0);
    }

    #[tokio::test]
    async fn as_many_as_wait_at_once_have_one_each_also_who_is_dropped() {
        let timers = timers();
        tokio::join!(has_the_whole_time(&timers), has_the_whole_time(&timers));
        assert_eq!(timers.idle.lock().count, 2);
        {
            let mut dropped = pin!(timers.timeout(pending::<()>()));
            assert_eq!(dropped.as_mut().now_or_never(), None);
            assert_eq!(timers.idle.lock().count, 1);
        }
        assert_eq!(timers.idle.lock().count, 2);
    }

    #[test]
    fn a_runtime_gets_none_of_another_and_keeps_its_own() {
        let timers = timers();
        let first = runtime();
        first.block_on(has_the_whole_time(&timers));
        drop(first);
        let second = runtime();
        second.block_on(has_the_whole_time(&timers));
        second.block_on(has_the_whole_time(&timers));
        assert_eq!(timers.idle.lock().count, 2);
    }

    #[test]
    fn runtimes_that_take_turns_use_their_own_again() {
        let timers = timers();
        let runtimes = [runtime(), runtime(), runtime()];
        for _ in 0..4 {
            for runtime in &runtimes {
                runtime.block_on(wait_at_once(&timers, 2));
            }
        }
        for runtime in &runtimes {
            assert_eq!(idle_of(&timers, runtime), 2);
        }
        assert_eq!(timers.idle.lock().count, 6);
    }

    #[test]
    fn those_of_one_runtime_do_not_grow_without_bound() {
        let (timers, runtime) = (timers(), runtime());
        runtime.block_on(wait_at_once(&timers, MOST_IDLE + 10));
        assert_eq!(idle_of(&timers, &runtime), MOST_IDLE);
        assert_eq!(timers.idle.lock().count, MOST_IDLE);
    }

    #[test]
    fn without_room_those_go_that_were_not_used_for_the_longest_time() {
        let timers = timers();
        let (ended, busy, new) = (runtime(), runtime(), runtime());
        busy.block_on(wait_at_once(&timers, 1));
        ended.block_on(wait_at_once(&timers, MOST_IDLE - 1));
        busy.block_on(wait_at_once(&timers, 1));
        let gone = ended.handle().id();
        drop(ended);
        for _ in 0..3 {
            new.block_on(has_the_whole_time(&timers));
            new.block_on(wait_at_once(&timers, 5));
            assert_eq!(idle_of(&timers, &busy), 1);
            busy.block_on(wait_at_once(&timers, 1));
        }
        assert_eq!([idle_of(&timers, &new), idle_of(&timers, &busy)], [5, 1]);
        assert_eq!(timers.idle.lock().count, MOST_IDLE);
        new.block_on(wait_at_once(&timers, MOST_IDLE));
        let idle = timers.idle.lock();
        assert!(idle.homes.iter().all(|it| it.runtime != gone));
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
