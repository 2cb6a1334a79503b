//! Timers that wait to be used again.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::{runtime::Id, time::Interval};

/// How many are kept in each pool.
pub(super) const MOST_IDLE: usize = 1_024;

/// Timers of so many runtimes are kept in each pool. One keeps open what its runtime had open, also when
/// that has ended: two file descriptors.
pub(super) const MOST_HOMES: usize = 3;

/// Threads share a pool if there are more than so many.
const POOLS: usize = 16;

/// A pool for each thread: one for all would be fetched from another core's cache twice a call, and
/// its timers with it.
#[derive(Default)]
pub(crate) struct Pools(Box<[Apart<Mutex<Idle>>; POOLS]>);

impl Pools {
    /// That of this thread. A timer goes where the call that used it came to its end.
    pub(super) fn here(&self) -> &Mutex<Idle> {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
        }
        // A thread that is ending has no number any more.
        let thread = THREAD.try_with(|it| *it).unwrap_or_default();
        &self.0[thread % POOLS].0
    }
}

/// On lines of the cache that nothing else is on; processors fetch them in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Apart<T>(T);

/// The timers that nobody waits for.
#[derive(Default)]
pub(super) struct Idle {
    /// The one used last comes last, which with one runtime is the only one.
    pub(super) homes: Vec<Home>,
    /// How many timers all have.
    pub(super) count: usize,
}

/// A runtime and the timers that it moves: in another they would end with it.
pub(super) struct Home {
    pub(super) runtime: Id,
    /// None while all are in use.
    pub(super) timers: Vec<Interval>,
}

/// What has no room. To be dropped when no pool is locked: a timer takes the lock of the wheel it is on.
#[derive(Default)]
pub(super) struct Surplus {
    timer: Option<Interval>,
    home: Option<Home>,
}

impl Idle {
    pub(super) fn take(&mut self, runtime: Id) -> Option<Interval> {
        let timer = self.home(runtime)?.timers.pop()?;
        self.count -= 1;
        Some(timer)
    }

    /// Keeps a timer, and hands out those that have no room then.
    pub(super) fn keep(&mut self, runtime: Id, timer: Interval) -> Surplus {
        let mut surplus = Surplus::default();
        if self.count >= MOST_IDLE {
            let other = self.evict(runtime);
            if other.is_none() {
                surplus.timer = Some(timer);
                return surplus;
            }
            surplus.timer = other;
        }
        self.count += 1;
        if let Some(home) = self.home(runtime) {
            home.timers.push(timer);
            return surplus;
        }
        if self.homes.len() >= MOST_HOMES {
            // It was not used for the longest time, so its runtime may well have ended.
            let home = self.homes.remove(0);
            self.count -= home.timers.len();
            surplus.home = Some(home);
        }
        self.homes.push(Home {
            runtime,
            timers: vec![timer],
        });
        surplus
    }

    /// One of another runtime, the one that used none for the longest time.
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
