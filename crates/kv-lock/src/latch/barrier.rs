//! Where some wait for each other.

use super::{Latch, LatchError, What};
use crate::store::Store;
use kv_core::{Arg, Member};
use std::time::Duration;

/// A double barrier: so many parties wait for each other before they begin, and again before they go.
///
/// It is for one time, not cyclic: a process that is started anew does not know in which round it is, so a
/// round has a name of its own, `step/17`. Each party has a name too, and counts once; what is said of a
/// [`Latch`] holds for both sides of a barrier.
///
/// ```
/// # use kv_lock::LockManager;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// # let locks = LockManager::new(&kv)?;
/// # for party in ["a", "b"] {
/// #     let locks = locks.clone();
/// #     tokio::spawn(async move { locks.barrier("step/17", 3).enter(party).await });
/// # }
/// let barrier = locks.barrier("step/17", 3);
/// barrier.enter("c").await?;
/// // All three are here.
/// # for party in ["a", "b"] {
/// #     let locks = locks.clone();
/// #     tokio::spawn(async move { locks.barrier("step/17", 3).leave(party).await });
/// # }
/// barrier.leave("c").await?;
/// // All three are done.
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Barrier {
    enter: Latch,
    leave: Latch,
}

impl Barrier {
    pub(crate) fn new(store: &Store, name: &[u8], parties: u32) -> Self {
        let side = |what| Latch::new(store.clone(), what, name, parties);
        Self {
            enter: side(What::Enter),
            leave: side(What::Leave),
        }
    }

    /// How long it is remembered after an arrival, a day if nothing is said.
    pub fn lifetime(self, lifetime: Duration) -> Self {
        self.each(|it| it.lifetime(lifetime))
    }

    /// How long a party waits for the others, each time; without end if nothing is said.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.each(|it| it.timeout(timeout))
    }

    /// Waits until all parties are here; who comes when they were goes on at once. The last to come makes
    /// one round trip.
    ///
    /// # Errors
    /// As [`Latch::arrive`] and [`Latch::wait`]. After [`LatchError::Timeout`] this party counts still: it may
    /// enter again, to go on waiting.
    ///
    /// # Cancel safety
    /// Dropped, it may have arrived; it may enter again.
    pub async fn enter(&self, party: impl Arg<Member>) -> Result<(), LatchError> {
        meet(&self.enter, party).await
    }

    /// Waits until all parties want to leave.
    ///
    /// # Errors
    /// As [`enter`](Self::enter).
    ///
    /// # Cancel safety
    /// As [`enter`](Self::enter).
    pub async fn leave(&self, party: impl Arg<Member>) -> Result<(), LatchError> {
        meet(&self.leave, party).await
    }

    fn each(self, change: impl Fn(Latch) -> Latch) -> Self {
        Self {
            enter: change(self.enter),
            leave: change(self.leave),
        }
    }
}

async fn meet(latch: &Latch, party: impl Arg<Member>) -> Result<(), LatchError> {
    let progress = latch.arrive(party).await?;
    latch.wait_beyond(Some(progress)).await
}
