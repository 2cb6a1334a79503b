//! Work that is done under a lock from its beginning to its end.

use crate::{
    Fence, Lease, Lock, LockError, LockManager, Lost, LostReason, Release, claim::Kind, hold::End,
};
use std::{error, fmt};

/// Why work was not done under a lock, or not all of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError<T> {
    /// The lock was not acquired: the work was not begun.
    NotAcquired(LockError),
    /// The lock was lost before the work was known to have ended: others may have held it meanwhile.
    Lost {
        /// How it was lost.
        lost: Lost,
        /// What came of the work, if it ended all the same; `None` if it was dropped.
        output: Option<T>,
    },
}

impl LockManager {
    /// Does some work under a lock: acquires it, waiting for others as the manager is told to, runs the
    /// work, drops it if the lock is lost, and releases the lock.
    ///
    /// ```
    /// # use kv_lock::LockManager;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
    /// # async fn charge(order: u32) -> Result<u32, std::io::Error> { Ok(order) }
    /// let locks = LockManager::new(&kv)?;
    /// // The first `?` is for the lock, the second for the work.
    /// let receipt = locks.with_lock("orders/42", charge(42)).await??;
    /// # assert_eq!(receipt, 42);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RunError`]; errors of the work are its output.
    ///
    /// # Cancel safety
    /// Dropped, it drops the work, and releases the lock in the background.
    pub async fn with_lock<T>(
        &self,
        name: impl AsRef<[u8]>,
        work: impl Future<Output = T>,
    ) -> Result<T, RunError<T>> {
        self.lock(name).run(work).await
    }
}

impl<K: Kind> Lock<K> {
    /// Does some work under this lock; see [`LockManager::with_lock`].
    ///
    /// # Errors
    /// [`RunError`]; errors of the work are its output.
    ///
    /// # Cancel safety
    /// Dropped, it drops the work, and releases the lock in the background.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, RunError<T>> {
        self.run_with_fence(|_| work).await
    }

    /// The same for work that writes somewhere and takes the fence along, so that a later holder's
    /// write is never undone by it.
    ///
    /// ```
    /// # use kv_lock::{Fence, LockManager};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
    /// # let locks = LockManager::new(&kv)?;
    /// async fn pay(order: u32, fence: Fence) {
    ///     // UPDATE orders SET paid = true, fence = $fence WHERE id = $order AND fence <= $fence
    /// #   let _ = (order, fence);
    /// }
    /// locks.lock("orders/42").run_with_fence(|fence| pay(42, fence)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RunError`]; errors of the work are its output.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub async fn run_with_fence<T, W: Future<Output = T>>(
        &self,
        work: impl FnOnce(Fence) -> W,
    ) -> Result<T, RunError<T>> {
        let lease = self.lease_in_time().await.map_err(RunError::NotAcquired)?;
        let done = lease.run_to_end(work(lease.fence())).await;
        let (lost, output) = match done {
            Ok(output) => match released(lease).await {
                Ok(()) => return Ok(output),
                Err(lost) => (lost, Some(output)),
            },
            Err(lost) => lost,
        };
        Err(RunError::Lost { lost, output })
    }
}

impl<T> RunError<T> {
    /// What came of the work, if it ended though the lock was lost.
    pub fn into_output(self) -> Option<T> {
        match self {
            Self::NotAcquired(_) => None,
            Self::Lost { output, .. } => output,
        }
    }
}

impl<T> fmt::Display for RunError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAcquired(error) => write!(f, "the work was not begun: {error}"),
            Self::Lost {
                lost,
                output: Some(_),
            } => write!(f, "the work ended, but not under the lock: {lost}"),
            Self::Lost { lost, output: None } => write!(f, "the work was dropped: {lost}"),
        }
    }
}

impl<T: fmt::Debug> error::Error for RunError<T> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::NotAcquired(error) => error.source(),
            Self::Lost { .. } => None,
        }
    }
}

/// Without what came of the work.
impl<T> From<RunError<T>> for LockError {
    fn from(error: RunError<T>) -> Self {
        match error {
            RunError::NotAcquired(error) => error,
            RunError::Lost { lost, .. } => Self::Lost(lost),
        }
    }
}

/// The store has the last word: by force the lock can be lost without our knowing.
async fn released(lease: Lease) -> Result<(), Lost> {
    let hold = lease.hold.clone();
    match lease.release().await {
        // As far as the clock tells it was held until now, whatever the store had to say.
        Release::Released | Release::Unknown => Ok(()),
        Release::Expired => Err(match hold.end(End::Released) {
            Some(End::Lost(lost)) => lost,
            _ => Lost {
                reason: LostReason::Taken,
            },
        }),
    }
}
