//! Timers that wait to be used again.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::{runtime::Id, time::Interval};

/// How many are kept in each pool.
pub(super) const MOST_IDLE: usize = 1_024;

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

impl Idle {
    pub(super) fn take(&mut self, runtime: Id) -> Option<Interval> {
        let timer = self.home(runtime)?.timers.pop()?;
        self.count -= 1;
        Some(timer)
    }

    /// Keeps a timer, and hands out the one that has no room then.
    pub(super) fn keep(&mut self, runtime: Id, timer: Interval) -> Option<Interval> {
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
