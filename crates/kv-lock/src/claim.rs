//! What may be held, and what is done on the store to hold it: pure, without any I/O.

use crate::{Fence, Lease, Lock, LockError, SizeMismatch, telemetry::Asking};
use kv_core::{Error, Key, Lifetime, Mark, Result, TimeToLive, Txn, TxnReply, Value};
use parking_lot::Mutex;
use std::{fmt::Debug, sync::Arc};

/// A kind of lock: [`Exclusive`](crate::Exclusive) or another of this crate's; there are no others.
pub trait Kind: Claims {
    /// What holds it.
    type Guard: From<Lease>;

    /// Waits for it; errors that it outlives are noted down.
    fn acquire(
        lock: &Lock<Self>,
        asking: &Asking,
        errors: &Mutex<Option<Error>>,
    ) -> impl Future<Output = std::result::Result<Lease, LockError>> + Send {
        lock.acquire_in_turn(asking, errors)
    }
}

/// How a kind of lock makes its claims.
pub trait Claims: Clone + Debug + Send + Sync + 'static {
    /// What the metrics of all of this kind are told as.
    const NAME: &'static str;
    /// Who asks while nobody of this process waits does not wait for others who are asking.
    const ARE_SHARED: bool = false;

    /// Where it is on the store.
    type Place: Send + Sync;

    /// Any bytes are a name.
    fn place(&self, name: &[u8]) -> Result<Self::Place>;

    /// Those who wait for the same key stand in one line; the channel is what they listen to.
    fn line(place: &Self::Place) -> Line<'_>;

    /// Under a name that nobody has had.
    fn claim(&self, place: &Self::Place, holder: Mark) -> Arc<dyn Claim>;
}

/// Where waiters of one process stand, and what they listen to.
#[derive(Debug)]
pub struct Line<'a> {
    pub(crate) key: &'a Key,
    /// Tells that it is worth asking again.
    pub(crate) free: &'a Key,
}

/// One acquisition, from when it is asked for until it is released or lost.
pub trait Claim: Debug + Send + Sync {
    /// Asks for it: transactions that go in one call, in this order. Sent again they do no harm.
    fn acquire(&self, lease: Lifetime) -> Result<Vec<Txn>>;

    /// What the answers to [`acquire`](Self::acquire) mean.
    fn acquired(&self, replies: Vec<TxnReply>) -> Result<Acquired>;

    /// Applied if it is still held, for so long from now.
    fn renew(&self, lease: Lifetime) -> Txn;

    /// Applied if it was held until now. Never frees what another claim holds; tells who waits.
    fn release(&self) -> Txn;

    /// The name of the kind.
    fn kind(&self) -> &'static str;

    /// Changes what it publishes, if it is still held; a value that is new lives for so long. None if it
    /// publishes nothing.
    fn proclaim(&self, _value: Value, _lease: Lifetime) -> Option<Txn> {
        None
    }

    /// Where it is, for logs.
    fn key(&self) -> &Key;

    /// Renews it and takes a fence, which is the last answer: for what was
    /// [`Unnumbered`](Acquired::Unnumbered).
    fn number(&self, lease: Lifetime) -> Result<Txn> {
        Ok(self.renew(lease))
    }

    /// What keeps its place on the store while it waits there: a claim of its own, acquired just
    /// before this one in the same call, renewed like all others, and gone when this one is granted.
    fn standing(&self) -> Option<Arc<dyn Claim>> {
        None
    }
}

/// What became of a claim.
#[derive(Debug, PartialEq)]
pub enum Acquired {
    /// By this send.
    Now(Fence),
    /// By an earlier send of the same; nobody knows when.
    Before(Fence),
    /// The same, and nobody knows its fence either.
    Unnumbered,
    /// Nothing yet: what it takes is known only now.
    Again,
    /// Never, as long as the store and this claim differ.
    OtherSize(SizeMismatch),
    /// Others hold it, for so long if they die.
    Busy {
        /// Until when it is of no use to ask again unless somebody tells.
        left: TimeToLive,
    },
}
