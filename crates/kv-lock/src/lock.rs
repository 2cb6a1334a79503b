//! A lock by its name, and how it is acquired.

use crate::{
    Exclusive, Lease, LockError,
    attempt::{Answer, Attempt},
    claim::Kind,
    hold::Hold,
    keeper::Keeper,
    manager::Shared,
    store::Store,
    telemetry::Asking,
    terms::{LEASES, Terms},
};
use bytes::Bytes;
use futures_util::future::{Either, select};
use kv_core::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use std::{pin::pin, sync::Arc, time::Duration};
use tracing::Instrument;

/// A lock by its name; what is set here holds for the acquisitions that follow.
///
/// ```
/// # use kv_lock::LockManager;
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// let locks = LockManager::new(&kv)?;
/// let report = locks.lock("report").lease(Duration::from_secs(30)).wait(Duration::from_secs(5));
/// let guard = report.acquire().await?;
/// assert!(report.try_acquire().await?.is_none());
/// guard.release().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Lock<K = Exclusive> {
    pub(crate) shared: Arc<Shared>,
    kind: K,
    name: Bytes,
    lease: Duration,
    grace: Option<Duration>,
    wait: Option<Duration>,
    max_hold: Option<Duration>,
    silence: Option<Duration>,
    pub(crate) metadata: Bytes,
}

impl<K: Kind> Lock<K> {
    pub(crate) fn new(shared: Arc<Shared>, kind: K, name: Bytes) -> Self {
        Self {
            lease: shared.lease,
            grace: shared.grace,
            wait: shared.wait,
            shared,
            kind,
            name,
            max_hold: None,
            silence: None,
            metadata: Bytes::new(),
        }
    }

    /// The same lock, acquired in another way.
    pub(crate) fn of_kind<L: Kind>(self, kind: L) -> Lock<L> {
        Lock {
            shared: self.shared,
            kind,
            name: self.name,
            lease: self.lease,
            grace: self.grace,
            wait: self.wait,
            max_hold: self.max_hold,
            silence: self.silence,
            metadata: self.metadata,
        }
    }

    /// Tries several by one call; tells of each whether it is held now.
    pub(crate) async fn try_all(
        locks: &[Self],
    ) -> Result<Vec<Result<Option<Lease>, LockError>>, LockError> {
        let requests = locks
            .iter()
            .map(Self::request)
            .collect::<Result<Vec<_>>>()?;
        let attempts = requests.iter().zip(locks);
        let mut attempts: Vec<_> = attempts.map(|(it, lock)| it.attempt(lock)).collect();
        let asking: Vec<_> = locks.iter().map(Self::ask).collect();
        asking.iter().for_each(Asking::calls);
        let answers = match Attempt::ask_all(&mut attempts).await {
            Ok(answers) => answers,
            Err(error) => {
                let error = LockError::from(error);
                asking.into_iter().for_each(|it| it.end(Err(&error)));
                return Err(error);
            }
        };
        let tell = |((answer, request), asking): ((Result<Answer>, &Request<K>), Asking)| {
            let done = match answer {
                Ok(Answer::Held(hold)) => Ok(request.grant(hold)),
                Ok(Answer::Busy { .. } | Answer::Spoiled) => Ok(None),
                Ok(Answer::OtherSize(mismatch)) => Err(mismatch.into()),
                Err(error) => Err(error.into()),
            };
            asking.end(done.as_ref().map(Option::as_ref));
            done
        };
        let answers = answers.into_iter().zip(&requests).zip(asking);
        Ok(answers.map(tell).collect())
    }

    /// What limits how long it is held, and the same lock without it.
    pub(crate) fn unlimited(mut self) -> (Self, Limits) {
        let limits = Limits {
            max_hold: self.max_hold.take(),
            silence: self.silence.take(),
        };
        (self, limits)
    }

    /// The store for who calls now, and where on it this is.
    pub(crate) fn site(&self) -> Result<(Store, K::Place)> {
        Ok((self.shared.store.for_caller(), self.kind.place(&self.name)?))
    }

    /// For how long it is held without being renewed, 100 ms to a day: the longest that others wait
    /// if this process dies, not counting the grace. It is renewed by itself after about a third.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How much longer than the lease the store keeps others out, half a lease if nothing is said:
    /// time for a holder that has lost the lock to come to its end.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// How long [`acquire`](Self::acquire) waits for others; without end if nothing is said, here or of
    /// all locks.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// The longest that it is held, at least 100 ms: then it is lost.
    pub fn max_hold(mut self, most: Duration) -> Self {
        self.max_hold = Some(most);
        self
    }

    /// It is renewed only as long as [`Lease::heartbeat`] is called at least this often, 100 ms or more, so that
    /// work that is stuck does not keep others waiting for ever.
    pub fn heartbeat_within(mut self, most: Duration) -> Self {
        self.silence = Some(most);
        self
    }

    /// What operators learn of the holder: its host, its task. It is stored as it is, no layer
    /// encrypts it.
    pub fn metadata(mut self, metadata: impl Into<Bytes>) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// Acquires it, waiting for others until they release it or die.
    ///
    /// Waiters of one process come in turn; only the first of them asks the store, and does so when it
    /// is told that the lock is free, or when the lease of the holder ends. It is not re-entrant:
    /// who holds it waits for itself.
    ///
    /// # Errors
    /// [`LockError::Timeout`] if others held it all the while, [`LockError::Store`] if the store could
    /// not be reached until then, or a lease makes no sense. Without a time to wait, errors of the
    /// store that may pass are waited out.
    ///
    /// # Cancel safety
    /// Dropped, it leaves the line; what the store may have granted is given back in the background,
    /// at the latest it ends with the lease and its grace.
    pub async fn acquire(&self) -> Result<K::Guard, LockError> {
        Ok(self.lease_in_time().await?.into())
    }

    /// Acquires it if nobody holds it: one round trip.
    ///
    /// # Errors
    /// [`LockError::Store`] if the store does not answer, or the lease makes no sense. What it may have
    /// granted is given back.
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(&self) -> Result<Option<K::Guard>, LockError> {
        let asking = self.ask();
        let done = self.acquire_now(&asking).instrument(asking.span()).await;
        asking.end(done.as_ref().map(Option::as_ref));
        Ok(done?.map(K::Guard::from))
    }

    /// As [`acquire`](Self::acquire), whatever the kind.
    pub(crate) async fn lease_in_time(&self) -> Result<Lease, LockError> {
        let asking = self.ask();
        let done = self.acquire_in_time(&asking).instrument(asking.span());
        let done = done.await;
        asking.end(done.as_ref().map(Some));
        done
    }

    fn ask(&self) -> Asking {
        let store = &self.shared.store;
        Asking::new(&store.telemetry, K::NAME, &self.name, &store.clock)
    }

    async fn acquire_now(&self, asking: &Asking) -> Result<Option<Lease>, LockError> {
        let request = self.request()?;
        asking.calls();
        match request.attempt(self).ask().await? {
            Answer::Held(hold) => Ok(request.grant(hold)),
            Answer::Busy { .. } | Answer::Spoiled => Ok(None),
            Answer::OtherSize(mismatch) => Err(mismatch.into()),
        }
    }

    async fn acquire_in_time(&self, asking: &Asking) -> Result<Lease, LockError> {
        let errors = Mutex::new(None);
        let work = pin!(K::acquire(self, asking, &errors));
        let Some(wait) = self.wait else {
            return work.await;
        };
        match select(work, self.shared.store.clock.sleep(wait)).await {
            Either::Left((acquired, _)) => acquired,
            Either::Right(_) => Err(match errors.lock().take() {
                Some(error) => LockError::Store(error),
                None => LockError::Timeout,
            }),
        }
    }

    pub(crate) async fn acquire_in_turn(
        &self,
        asking: &Asking,
        errors: &Mutex<Option<Error>>,
    ) -> Result<Lease, LockError> {
        let request = self.request()?;
        let (store, line) = (&request.store, K::line(&request.place));
        let lock = store.kv.resolve(line.key)?;
        let mut attempt = request.attempt(self);
        if K::ARE_SHARED && self.shared.lines.is_empty(&lock) {
            asking.calls();
            match attempt.ask().await {
                Ok(Answer::Held(hold)) => match request.grant(hold) {
                    Some(lease) => return Ok(lease),
                    None => attempt = request.attempt(self),
                },
                Ok(Answer::Busy { .. }) => {}
                Ok(Answer::OtherSize(mismatch)) => return Err(mismatch.into()),
                Ok(Answer::Spoiled) => attempt = request.attempt(self),
                Err(error) if is_final(&error) => return Err(error.into()),
                Err(error) => *errors.lock() = Some(error),
            }
        }
        let mut first = self.shared.lines.first_place(lock).await;
        let mut attempt = attempt.waiting()?;
        let mut pause = Duration::from_millis(10);
        loop {
            let step = async {
                asking.calls();
                let left = match attempt.ask().await? {
                    Answer::Held(hold) => return Ok(Step::Held(hold)),
                    Answer::Spoiled => return Ok(Step::Anew),
                    Answer::OtherSize(mismatch) => return Ok(Step::Never(mismatch.into())),
                    Answer::Busy { left } => left,
                };
                let is_listening = first.is_listening(store, line.free).await?;
                Ok(if is_listening && attempt.may_sleep() {
                    Step::Wait(left)
                } else {
                    Step::Again
                })
            };
            match step.await {
                Ok(Step::Held(hold)) => match request.grant(hold) {
                    Some(lease) => return Ok(lease),
                    None => attempt = request.attempt(self).waiting()?,
                },
                Ok(Step::Anew) => attempt = request.attempt(self).waiting()?,
                Ok(Step::Never(error)) => return Err(error),
                Ok(Step::Again) => {
                    // To listen.
                    asking.calls();
                    *errors.lock() = None;
                }
                Ok(Step::Wait(left)) => {
                    *errors.lock() = None;
                    pause = Duration::from_millis(10);
                    tokio::select! {
                        () = first.changed(store, left) => {}
                        () = attempt.displaced() => {}
                    }
                }
                Err(error) if is_final(&error) => return Err(error.into()),
                Err(error) => {
                    tracing::debug!(%error, "a lock could not be asked for");
                    *errors.lock() = Some(error);
                    store
                        .clock
                        .sleep(pause.mul_f64(0.5 + fastrand::f64()))
                        .await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
            }
        }
    }

    pub(crate) fn request(&self) -> Result<Request<K>> {
        let store = self.shared.store.for_caller();
        let mut terms = Terms::new(self.lease, self.grace, store.skew())?;
        let (max_hold, silence) = (self.max_hold, self.silence);
        Limits { max_hold, silence }.check()?;
        terms.max_hold = self.max_hold;
        terms.silence = self.silence;
        Ok(Request {
            store,
            place: self.kind.place(&self.name)?,
            terms,
            keeper: self.shared.keeper()?,
        })
    }
}

/// How long a lock is held, and with how many signs of life.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) max_hold: Option<Duration>,
    pub(crate) silence: Option<Duration>,
}

impl Limits {
    /// One that ends before the store can answer would be asked for in vain again and again.
    pub(crate) fn check(self) -> Result<()> {
        let limits = [
            ("max_hold", self.max_hold),
            ("heartbeat_within", self.silence),
        ];
        for (name, limit) in limits {
            if let Some(limit) = limit.filter(|it| it < LEASES.start()) {
                let message = "max_hold and heartbeat_within must be at least 100ms";
                return Err(Error::new(ErrorKind::InvalidArgument, message)
                    .with_context(name, format_args!("{limit:?}")));
            }
        }
        Ok(())
    }
}

/// What does not change while a lock is asked for.
pub(crate) struct Request<K: Kind> {
    pub(crate) store: Store,
    pub(crate) place: K::Place,
    pub(crate) terms: Terms,
    pub(crate) keeper: Arc<Keeper>,
}

pub(crate) enum Step {
    Held(Arc<Hold>),
    Wait(kv_core::TimeToLive),
    Again,
    Anew,
    Never(LockError),
}

impl<K: Kind> Request<K> {
    /// Under a name that nobody had.
    fn attempt(&self, lock: &Lock<K>) -> Attempt {
        let holder = lock.shared.names.next(&lock.metadata);
        let claim = lock.kind.claim(&self.place, holder);
        Attempt::new(self.store.clone(), claim, self.terms, self.keeper.clone())
    }

    /// None if the lease has ended before the answer came.
    pub(crate) fn grant(&self, hold: Arc<Hold>) -> Option<Lease> {
        let is_late = hold.remaining().is_err();
        let lease = Lease::new(hold, self.keeper.clone());
        // Dropped, it is released.
        (!is_late).then_some(lease)
    }
}

/// Whether asking again is of no use.
pub(crate) fn is_final(error: &Error) -> bool {
    use kv_core::ErrorKind::{Overloaded, Timeout, Unavailable};
    !matches!(error.kind(), Timeout | Unavailable | Overloaded)
        && error.outcome() == kv_core::Outcome::Final
}
