//! Places for calls: one step takes a free one and one gives it back, as long as nobody waits.

use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Semaphore;

#[derive(Debug)]
pub(super) struct Places {
    /// How many are free, and in steps of [`WAITS`] how many calls wait. They begin to only while
    /// none is free, and as long as they do none becomes free: who leaves hands its place on.
    state: AtomicU64,
    /// Places handed on to those who wait, first come first served. One whose taker gave up meanwhile
    /// stays here for whoever comes next.
    handed: Semaphore,
}

/// One that waits.
const WAITS: u64 = 1 << 32;

/// How a call gets its place.
pub(super) enum Turn<'a> {
    Now(Place<'a>),
    Later(Queued<'a>),
    /// As many wait as may.
    Never,
}

impl Places {
    pub(super) fn new(count: u32) -> Self {
        Self {
            state: AtomicU64::new(count.into()),
            handed: Semaphore::new(0),
        }
    }

    /// A place, if there is one for somebody who does not wait.
    pub(super) fn take(&self) -> Option<Place<'_>> {
        let one_less = |state| (free(state) > 0).then(|| state - 1);
        if self.update(one_less).is_err() {
            self.handed.try_acquire().ok()?.forget();
        }
        Some(Place(self))
    }

    /// A place, or one to wait for if fewer than so many do.
    pub(super) fn turn(&self, most: u32) -> Turn<'_> {
        loop {
            if let Some(place) = self.take() {
                return Turn::Now(place);
            }
            match self.queue(most) {
                Ok(queued) => return Turn::Later(queued),
                // Somebody left just now.
                Err(state) if free(state) > 0 => {}
                Err(_) => return Turn::Never,
            }
        }
    }

    /// Waits, unless a place is free or as many wait as may; the state tells which.
    fn queue(&self, most: u32) -> Result<Queued<'_>, u64> {
        let one_waits = |state| (free(state) == 0 && waiting(state) < most).then(|| state + WAITS);
        self.update(one_waits).map(|_| Queued(self))
    }

    /// The state before, changed or not.
    fn update(&self, next: impl FnMut(u64) -> Option<u64>) -> Result<u64, u64> {
        let state = &self.state;
        state.fetch_update(Ordering::AcqRel, Ordering::Acquire, next)
    }
}

/// A place, given back when it is dropped.
pub(super) struct Place<'a>(&'a Places);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let one_more = |state| (waiting(state) == 0).then(|| state + 1);
        if self.0.update(one_more).is_err() {
            self.0.handed.add_permits(1);
        }
    }
}

/// One that waits, until it is dropped.
pub(super) struct Queued<'a>(&'a Places);

impl<'a> Queued<'a> {
    pub(super) async fn place(self) -> Option<Place<'a>> {
        // Nobody closes it.
        self.0.handed.acquire().await.ok()?.forget();
        Some(Place(self.0))
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_sub(WAITS, Ordering::AcqRel);
    }
}

fn free(state: u64) -> u32 {
    state as u32
}

fn waiting(state: u64) -> u32 {
    (state / WAITS) as u32
}

#[cfg(test)]
mod tests {
    use super::{Places, Turn, free, waiting};
    use futures_util::FutureExt;
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        thread,
    };
    use tokio::runtime::Builder;

    const LIMIT: u32 = 3;

    #[test]
    fn no_place_is_lost_and_none_is_made_whatever_threads_do_at_once() {
        let places = Places::new(LIMIT);
        let under_way = AtomicU32::new(0);
        let work = |seed| {
            let runtime = Builder::new_current_thread().build().unwrap();
            let mut random = fastrand::Rng::with_seed(seed);
            for _ in 0..20_000 {
                let place = match places.turn(4) {
                    Turn::Now(place) => Some(place),
                    Turn::Later(queued) if random.bool() => runtime.block_on(queued.place()),
                    // Gives up, perhaps with a place that was just handed to it.
                    Turn::Later(queued) => queued.place().now_or_never().flatten(),
                    Turn::Never => None,
                };
                if place.is_some() {
                    assert!(under_way.fetch_add(1, Ordering::SeqCst) < LIMIT);
                    if random.u8(..) < 8 {
                        thread::yield_now();
                    }
                    under_way.fetch_sub(1, Ordering::SeqCst);
                }
            }
        };
        thread::scope(|scope| {
            for seed in 0..8 {
                scope.spawn(move || work(seed));
            }
        });
        let state = places.state.into_inner();
        assert_eq!(waiting(state), 0);
        let left = places.handed.available_permits() as u32;
        assert_eq!(free(state) + left, LIMIT);
    }

    #[test]
    fn nobody_waits_while_a_place_is_free() {
        let places = Places::new(1);
        assert_eq!(places.queue(1).err().map(free), Some(1));
        let taken = places.take();
        assert!(places.queue(1).is_ok());
        drop(taken);
        assert!(places.take().is_some());
    }

    #[test]
    fn what_was_handed_to_one_who_gave_up_is_for_the_next() {
        let places = Places::new(1);
        let first = places.take().unwrap();
        let Turn::Later(queued) = places.turn(1) else {
            panic!("there is no place");
        };
        assert!(matches!(places.turn(1), Turn::Never));
        let mut waiting = Box::pin(queued.place());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        // It is on its way to the one who waits.
        assert!(places.take().is_none());
        drop(waiting);
        assert!(places.take().is_some());
    }
}
