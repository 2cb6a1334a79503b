//! Elections: many candidates, of whom one at a time leads.

mod candidate;
mod leadership;
mod observer;

pub(crate) use self::candidate::{Candidate, Place};
pub use self::leadership::Leadership;

use self::observer::Observer;
use crate::{
    Fence, Lock, LockError, lock_settings::lock_settings, store::PATIENCE, transitions::election,
};
use futures_util::{Stream, stream};
use kv_core::{Arg, Result, Value};
use std::{pin::Pin, sync::Arc, time::Duration};

/// An election by its name: of many candidates one at a time leads, and publishes a value.
///
/// On the store it is the lock of its name, so use a name for one of the two. What is set here holds for
/// the campaigns that follow.
///
/// ```
/// # use kv_lock::LockManager;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// let locks = LockManager::new(&kv)?;
/// let election = locks.election("billing");
/// let leadership = election.campaign("10.0.0.7:8080").await?;
/// let leader = election.leader().await?.expect("somebody leads");
/// assert_eq!(leader.value, "10.0.0.7:8080");
/// assert_eq!(leader.term, leadership.fence());
/// leadership.resign().await;
/// assert_eq!(election.leader().await?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Election {
    lock: Lock<Candidate>,
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leader {
    /// What it has published: its address, say.
    pub value: Value,
    /// Its fence: greater than that of all leaders before.
    pub term: Fence,
}

/// Who leads, as it changes: see [`Election::observe`].
pub type Leaders = Pin<Box<dyn Stream<Item = Result<Option<Leader>, LockError>> + Send>>;

impl Election {
    pub(crate) fn new(lock: Lock<Candidate>) -> Self {
        Self { lock }
    }

    lock_settings!();

    /// How long [`campaign`](Self::campaign) waits for others to end; without end if nothing is said.
    pub fn wait(self, wait: Duration) -> Self {
        self.each(|lock| lock.wait(wait))
    }

    /// Waits until this candidate leads, and publishes the value with it. It costs as much as to acquire
    /// a [`Lock`].
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    ///
    /// # Cancel safety
    /// As [`Lock::acquire`].
    pub async fn campaign(&self, value: impl Arg<Value>) -> Result<Leadership, LockError> {
        let value = value.into_arg()?;
        self.candidate(value).acquire().await
    }

    /// Leads at once if nobody does: one round trip.
    ///
    /// # Errors
    /// As [`Lock::try_acquire`].
    ///
    /// # Cancel safety
    /// As [`Lock::try_acquire`].
    pub async fn try_campaign(
        &self,
        value: impl Arg<Value>,
    ) -> Result<Option<Leadership>, LockError> {
        let value = value.into_arg()?;
        self.candidate(value).try_acquire().await
    }

    /// Campaigns, works as the leader, and campaigns again whenever the leadership is lost, until the work
    /// comes to its end as the leader's: then it resigns.
    ///
    /// When the leadership is lost the work is dropped where it waits, and it is begun anew with the next
    /// leadership. To stop from outside, let the work end; or drop all of it, which resigns in the
    /// background. Who keeps the leadership beyond the end of the work leads on.
    ///
    /// ```
    /// # use kv_lock::LockManager;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
    /// # let locks = LockManager::new(&kv)?;
    /// let done = locks
    ///     .election("billing")
    ///     .lead("10.0.0.7:8080", |leadership| async move {
    ///         // The fence goes with whatever is written elsewhere.
    ///         leadership.fenced_put("last-bill", "42").await.is_ok()
    ///     })
    ///     .await?;
    /// assert!(done);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`campaign`](Self::campaign). A loss is none.
    ///
    /// # Cancel safety
    /// Dropped, the work is dropped too, and it resigns in the background.
    pub async fn lead<T, F: Future<Output = T>>(
        &self,
        value: impl Arg<Value>,
        mut work: impl FnMut(Arc<Leadership>) -> F,
    ) -> Result<T, LockError> {
        let value = value.into_arg()?;
        loop {
            let leadership = Arc::new(self.campaign(value.clone()).await?);
            match leadership.run(work(leadership.clone())).await {
                Ok(done) => {
                    if let Some(leadership) = Arc::into_inner(leadership) {
                        leadership.resign().await;
                    }
                    return Ok(done);
                }
                Err(lost) => tracing::debug!(%lost, "a leader campaigns again"),
            }
        }
    }

    /// Who leads now, by one look at the store.
    ///
    /// # Errors
    /// The store's.
    pub async fn leader(&self) -> Result<Option<Leader>, LockError> {
        let (store, place) = self.lock.site()?;
        let reply = store.commit(election::look(&place), PATIENCE).await?;
        Ok(election::seen(reply)?.0)
    }

    /// Who leads: first who does now, then each change, with `None` while nobody does. It never ends.
    ///
    /// Changes that follow each other quickly, or while nobody asks for the next, may be told as one: the
    /// last. A leader that died is told when its lease and grace have ended. It costs a call for each change,
    /// and one about as often as the lease lasts.
    ///
    /// # Errors
    /// If the name is too long. In the stream an error says that the store cannot tell who leads. It is told
    /// once; as soon as the store can, who leads then is told, even if it is the same.
    pub fn observe(&self) -> Result<Leaders, LockError> {
        let (store, place) = self.lock.site()?;
        let observer = Observer::new(store, place);
        Ok(Box::pin(stream::unfold(observer, |mut observer| async {
            let told = observer.next().await;
            Some((told.map_err(LockError::from), observer))
        })))
    }

    fn candidate(&self, value: Value) -> Lock<Candidate> {
        self.lock.clone().of_kind(Candidate { value })
    }

    fn each(self, change: impl FnOnce(Lock<Candidate>) -> Lock<Candidate>) -> Self {
        Self {
            lock: change(self.lock),
        }
    }
}
