//! Waiters of this process stand in line; the first of a line is woken by a message of who releases the
//! lock, or when the lease of its holder ends.

use crate::store::Store;
use ahash::RandomState;
use futures_util::StreamExt;
use kv_core::{Events, Key, PhysicalKey, Result, TimeToLive, Watch};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::sync::OwnedMutexGuard;

/// A holder whose key has no deadline is looked at this often: something else wrote it.
const LOOK: Duration = Duration::from_secs(60);

/// Who comes too early, since clocks differ, comes again after this, and after three times as long each
/// time that a lease has ended and the holder's key is still there: on etcd that can take seconds.
pub(crate) const SHORT: Duration = Duration::from_millis(20);

/// The longest of these pauses, and so about how late a dead holder is followed.
const LATE: Duration = Duration::from_secs(1);

/// The lines of a manager, by the lock as the store sees it: tenants do not stand in each other's way.
#[derive(Default)]
pub(crate) struct Lines(Mutex<Open>);

#[derive(Default)]
struct Open {
    lines: HashMap<PhysicalKey, Weak<tokio::sync::Mutex<Place>>, RandomState>,
    /// So many, and those that nobody stands in are forgotten.
    most: usize,
}

/// The first place of a line, and what tells that the lock is free: it is handed on with the place.
#[derive(Default)]
pub(crate) struct Place {
    events: Option<Events>,
    /// So often in a row it was asked for after the end of the lease that it was told.
    overdue: u32,
}

impl Lines {
    /// Ends when all that came before have left.
    pub(crate) async fn first_place(&self, lock: PhysicalKey) -> OwnedMutexGuard<Place> {
        self.line(lock).lock_owned().await
    }

    /// Whether nobody stands in line for it.
    pub(crate) fn is_empty(&self, lock: &PhysicalKey) -> bool {
        let line = self.0.lock().lines.get(lock).and_then(Weak::upgrade);
        line.is_none_or(|it| it.try_lock().is_ok())
    }

    fn line(&self, lock: PhysicalKey) -> Arc<tokio::sync::Mutex<Place>> {
        let mut open = self.0.lock();
        if let Some(line) = open.lines.get(&lock).and_then(Weak::upgrade) {
            return line;
        }
        if open.lines.len() >= open.most {
            open.lines.retain(|_, it| it.strong_count() > 0);
            open.most = (open.lines.len() * 2).max(64);
        }
        let line = Arc::default();
        open.lines.insert(lock, Arc::downgrade(&line));
        line
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lines({})", self.0.lock().lines.len())
    }
}

impl Place {
    /// Whether it would be told that the lock is free. If not, it begins to listen: the lock must be
    /// asked for once more then.
    pub(crate) async fn is_listening(&mut self, store: &Store, free: &Key) -> Result<bool> {
        if self.events.is_some() {
            return Ok(true);
        }
        self.events = Some(store.watch(Watch::Channels(vec![free.clone()])).await?);
        Ok(false)
    }

    /// Ends when it is worth asking again.
    pub(crate) async fn changed(&mut self, store: &Store, left: TimeToLive) {
        let left = match left {
            TimeToLive::Missing => Duration::ZERO,
            TimeToLive::NoExpiry => LOOK,
            TimeToLive::In(left) => left,
        };
        self.overdue = match left < SHORT {
            true => self.overdue.saturating_add(1),
            false => 0,
        };
        let pause = left + later(self.overdue);
        let Some(events) = &mut self.events else {
            return store.clock.sleep(pause).await;
        };
        tokio::select! {
            event = events.next() => {
                // A message, or something that may have been one.
                if !matches!(event, Some(Ok(_))) {
                    self.events = None;
                }
            }
            () = store.clock.sleep(pause) => {}
        }
    }
}

/// How much later than the lease was told to end it is asked again, when it was asked in vain so often in a
/// row since then. Not all processes at once.
pub(crate) fn later(overdue: u32) -> Duration {
    let short = SHORT.saturating_mul(3_u32.saturating_pow(overdue.saturating_sub(1)));
    short.min(LATE / 2).mul_f64(1.0 + fastrand::f64())
}

#[cfg(test)]
mod tests;
