//! One lock that many want, for benchmarks: what a hand-over costs is the lock's.

use crate::bench::Outcome;
use kv_lock::LockManager;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};
use tokio::task::JoinSet;

/// How many want it, and on how many managers, each with a connection of its own as processes have.
pub const CONTENDERS: u64 = 32;

/// See [`CONTENDERS`].
pub const MANAGERS: u64 = 4;

/// Sees to it that the lock goes from hand to hand so many times, and that one at a time holds it. Who
/// takes it again before anybody else did hands nothing over.
#[derive(Debug)]
pub struct Turns {
    left: AtomicU64,
    last: AtomicUsize,
    is_held: AtomicBool,
}

impl Turns {
    /// So many.
    pub fn new(count: u64) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicU64::new(count),
            last: AtomicUsize::new(usize::MAX),
            is_held: AtomicBool::new(false),
        })
    }

    /// Whether there is another turn to take.
    pub fn is_left(&self) -> bool {
        self.left.load(Ordering::Relaxed) > 0
    }

    /// What this contender does under the lock.
    ///
    /// # Errors
    /// If somebody else was there.
    pub fn take(&self, contender: usize) -> Outcome {
        let others = self.is_held.swap(true, Ordering::SeqCst);
        if self.last.swap(contender, Ordering::Relaxed) != contender {
            let _ = self
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| it.checked_sub(1));
        }
        self.is_held.store(false, Ordering::SeqCst);
        match others {
            true => Err("two held the lock at once".into()),
            false => Ok(()),
        }
    }
}

/// Lets all contenders take turns until none is left.
///
/// # Errors
/// The first contender's that failed.
pub async fn hand_over(managers: &[LockManager], name: &str, turns: u64) -> Outcome {
    let turns = Turns::new(turns);
    let mut running = JoinSet::new();
    for contender in 0..CONTENDERS as usize {
        let lock = managers[contender % managers.len()].lock(name);
        let turns = Arc::clone(&turns);
        running.spawn(async move {
            while turns.is_left() {
                let guard = lock.acquire().await?;
                turns.take(contender)?;
                guard.release().await;
            }
            Outcome::Ok(())
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}
