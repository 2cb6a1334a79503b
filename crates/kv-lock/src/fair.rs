//! The lock that one at a time holds, in the order in which they came.

use crate::{
    Exclusive, Lease, Lock, LockError, LockGuard,
    attempt::{Answer, Attempt},
    claim::{Acquired, Claim, Claims, Kind, Line},
    lock::{Request, Step, is_final},
    place,
    telemetry::Asking,
    transitions::{
        exclusive,
        fair::{self, Asked, Outlook},
    },
};
use kv_core::{
    Error, Key, KeyGroup, Lifetime, Mark, Member, Result, Score, TimeToLive, Txn, TxnReply,
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};

impl Lock<Exclusive> {
    /// The same lock, acquired in the order in which those came who wait for it, in whatever process.
    ///
    /// Who waits stands in a queue on the store. The order is that of the store's clock, on etcd that
    /// of its clients, which may be apart. A waiter that crashes is passed over after 5 seconds; one that said
    /// nothing for so long and comes back starts at the end. A future that is kept without being polled keeps
    /// its place, and everybody behind it waiting.
    ///
    /// It is the same lock: one that is held by whoever does not mind the queue is not held by anybody
    /// else. But who acquires it without this overtakes all who stand in the queue, so one name is best always
    /// acquired in one way.
    pub fn fair(self) -> Lock<Fair> {
        self.of_kind(Fair)
    }
}

/// The kind of lock that one at a time holds, in the order in which they came; see [`Lock::fair`].
#[derive(Clone, Copy, Debug)]
pub struct Fair;

/// A plain lock, and its queue.
#[derive(Clone, Debug)]
pub struct Place {
    pub(crate) lock: place::Place,
    /// Who waits, by when it came.
    pub(crate) queue: Key,
    /// Until when each of them counts as alive.
    pub(crate) alive: Key,
}

impl Kind for Fair {
    type Guard = LockGuard;

    async fn acquire(
        lock: &Lock<Self>,
        asking: &Asking,
        errors: &Mutex<Option<Error>>,
    ) -> std::result::Result<Lease, LockError> {
        let request = lock.request()?;
        let store = &request.store;
        let key = store.kv.resolve(&request.place.lock.holder)?;
        let waiter = request.keeper.halls.enter(key);
        let (mut attempt, mut claim) = lock.fair_attempt(&request)?;
        let mut pause = Duration::from_millis(10);
        loop {
            waiter.asks(&claim.holder);
            let step = async {
                asking.calls();
                let left = match attempt.ask().await? {
                    Answer::Held(hold) => return Ok(Step::Held(hold)),
                    Answer::Spoiled => return Ok(Step::Anew),
                    Answer::OtherSize(mismatch) => return Ok(Step::Never(mismatch.into())),
                    Answer::Busy { left } => left,
                };
                let free = &request.place.lock.free;
                let is_listening = waiter.is_listening(store, &request.keeper, free).await?;
                Ok(if is_listening && attempt.may_sleep() {
                    Step::Wait(left)
                } else {
                    Step::Again
                })
            };
            match step.await {
                Ok(Step::Held(hold)) => match request.grant(hold) {
                    Some(lease) => return Ok(lease),
                    None => (attempt, claim) = lock.fair_attempt(&request)?,
                },
                Ok(Step::Anew) => (attempt, claim) = lock.fair_attempt(&request)?,
                Ok(Step::Never(error)) => return Err(error),
                Ok(Step::Again) => {
                    // To listen.
                    asking.calls();
                    *errors.lock() = None;
                }
                Ok(Step::Wait(left)) => {
                    *errors.lock() = None;
                    pause = Duration::from_millis(10);
                    let (ticket, is_head) = claim.standing();
                    waiter.settles(ticket, is_head);
                    tokio::select! {
                        () = waiter.told(&*store.clock, left) => {}
                        () = attempt.displaced() => {}
                    }
                }
                Err(error) if is_final(&error) => return Err(error.into()),
                Err(error) => {
                    tracing::debug!(%error, "a lock could not be asked for");
                    *errors.lock() = Some(error);
                    let pause_now = pause.mul_f64(0.5 + fastrand::f64());
                    store.clock.sleep(pause_now).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
            }
        }
    }
}

impl Lock<Fair> {
    fn fair_attempt(&self, request: &Request<Fair>) -> Result<(Attempt, Arc<FairClaim>)> {
        let holder = self.shared.names.next(&self.metadata);
        let claim = Arc::new(FairClaim::new(&request.place, holder));
        let (store, keeper) = (request.store.clone(), request.keeper.clone());
        let attempt = Attempt::new(store, claim.clone(), request.terms, keeper);
        Ok((attempt.waiting()?, claim))
    }
}

impl Claims for Fair {
    const NAME: &'static str = "fair";

    type Place = Place;

    fn place(&self, name: &[u8]) -> Result<Place> {
        let lock = place::Place::of(name)?;
        let group: KeyGroup = place::group("lock", name)?;
        Ok(Place {
            lock,
            queue: group.key(":queue"),
            alive: group.key(":alive"),
        })
    }

    fn line(place: &Place) -> Line<'_> {
        Exclusive::line(&place.lock)
    }

    fn claim(&self, place: &Place, holder: Mark) -> Arc<dyn Claim> {
        Arc::new(FairClaim::new(place, holder))
    }
}

#[derive(Debug)]
struct FairClaim {
    place: Place,
    holder: Mark,
    known: Arc<Mutex<Known>>,
}

/// What was learnt from the answers.
#[derive(Debug, Default)]
struct Known {
    /// A place was asked for, so often.
    arrivals: u32,
    outlook: Outlook,
    /// Who came after, when this was granted.
    next: Option<Member>,
}

impl FairClaim {
    fn new(place: &Place, holder: Mark) -> Self {
        Self {
            place: place.clone(),
            holder,
            known: Arc::default(),
        }
    }

    /// When it came, and whether nobody came before.
    fn standing(&self) -> (Option<Score>, bool) {
        let known = self.known.lock();
        (known.outlook.ticket, known.outlook.is_head)
    }
}

impl Claim for FairClaim {
    fn acquire(&self, lease: Lifetime) -> Result<Vec<Txn>> {
        let (place, me, known) = (&self.place, &self.holder, self.known.lock());
        let silent = known.outlook.silent.iter();
        let mut txns: Vec<_> = silent.map(|it| fair::skip(place, it)).collect();
        txns.push(match known.outlook.ticket {
            Some(ticket) => fair::take_in_turn(place, me, ticket, lease)?,
            None if known.arrivals > 0 => fair::take_alone(place, me, lease)?,
            None => fair::take(place, me, lease)?,
        });
        Ok(txns)
    }

    fn acquired(&self, mut replies: Vec<TxnReply>) -> Result<Acquired> {
        let asked = match replies.pop() {
            Some(reply) => fair::asked(&self.holder, reply)?,
            None => {
                return Ok(Acquired::Busy {
                    left: TimeToLive::Missing,
                });
            }
        };
        let mut known = self.known.lock();
        match asked {
            Asked::Granted { fence, next } => {
                known.next = next;
                Ok(Acquired::Now(fence))
            }
            Asked::Refused { outlook, left } => {
                let answer = match outlook.mine {
                    Some(fence) => Acquired::Before(fence),
                    None => Acquired::Busy { left },
                };
                known.outlook = outlook;
                Ok(answer)
            }
        }
    }

    fn renew(&self, lease: Lifetime) -> Txn {
        exclusive::renew(&self.place.lock, &self.holder, lease)
    }

    fn release(&self) -> Txn {
        fair::release(&self.place, &self.holder, self.known.lock().next.as_ref())
    }

    fn kind(&self) -> &'static str {
        Fair::NAME
    }

    fn key(&self) -> &Key {
        &self.place.lock.holder
    }

    fn standing(&self) -> Option<Arc<dyn Claim>> {
        Some(Arc::new(Queued(Self {
            place: self.place.clone(),
            holder: self.holder.clone(),
            known: self.known.clone(),
        })))
    }
}

/// A place in the queue.
#[derive(Debug)]
struct Queued(FairClaim);

impl Claim for Queued {
    fn acquire(&self, patience: Lifetime) -> Result<Vec<Txn>> {
        let Self(of) = self;
        let mut known = of.known.lock();
        // It may stand elsewhere now.
        known.outlook.ticket = None;
        known.arrivals += 1;
        let mut txns = vec![fair::arrive(&of.place, &of.holder, patience)];
        if known.arrivals > 1 {
            // If the place was never lost, it stays the same.
            txns.push(fair::stay(&of.place, &of.holder, patience));
        }
        Ok(txns)
    }

    fn acquired(&self, _: Vec<TxnReply>) -> Result<Acquired> {
        Ok(Acquired::Unnumbered)
    }

    fn renew(&self, patience: Lifetime) -> Txn {
        fair::stay(&self.0.place, &self.0.holder, patience)
    }

    fn release(&self) -> Txn {
        fair::leave(&self.0.place, &self.0.holder)
    }

    fn kind(&self) -> &'static str {
        Fair::NAME
    }

    fn key(&self) -> &Key {
        &self.0.place.queue
    }
}
