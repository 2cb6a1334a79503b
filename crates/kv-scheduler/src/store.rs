//! The store as the scheduler uses it: every call has a deadline.

use kv_core::{
    CallOptions, Capability, Clock, Context, Deadline, DeadlineClock, Error, ErrorKind, Kv, Result,
    Txn, TxnReply, ZMove, ZMoved,
};
use std::{sync::Arc, time::Duration};

/// How long one call to the store may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the scheduler cannot do without.
const NEEDS: [Capability; 6] = [
    Capability::Hashes,
    Capability::SortedSets,
    Capability::StoreTime,
    Capability::Commit,
    Capability::Move,
    Capability::Channels,
];

/// The store, without anybody's context: the tenant travels in the envelope, and what a layer would
/// put into the keys for the caller of the moment, no worker would find.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    kv: Kv,
    pub(crate) clock: Arc<dyn Clock>,
    /// How much longer leases must be on the store than here.
    pub(crate) skew: Duration,
    /// How many transactions go with one call.
    pub(crate) batch: usize,
}

/// So many transactions go with one call at most.
const BATCH: usize = 500;

impl Store {
    pub(crate) fn new(kv: &Kv, clock: Arc<dyn Clock>) -> Result<Self> {
        let capabilities = kv.capabilities();
        if let Some(missing) = NEEDS.into_iter().find(|&it| !capabilities.has(it)) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the scheduler needs what this store, or a layer on it, cannot do",
            )
            .with_context("missing", missing));
        }
        let kv = kv.bind(Context::new());
        kv.resolve("{scheduler}")?;
        let skew = match capabilities.deadline_clock {
            DeadlineClock::Client { skew } => skew,
            _ => Duration::ZERO,
        };
        // A store with small transactions makes several requests of it.
        let batch = capabilities.max_txn_ops.saturating_mul(5).clamp(1, BATCH);
        Ok(Self {
            kv,
            clock,
            skew,
            batch,
        })
    }

    /// Not for anything that waits.
    pub(crate) fn kv(&self) -> Kv {
        self.kv_for(PATIENCE)
    }

    fn kv_for(&self, patience: Duration) -> Kv {
        let deadline = Deadline::on(self.clock.clone(), patience);
        self.kv.with(CallOptions::new().with_deadline(deadline))
    }

    pub(crate) async fn commit(&self, txn: Txn) -> Result<TxnReply> {
        self.kv().commit_one(txn).await
    }

    pub(crate) async fn commit_all(&self, txns: Vec<Txn>) -> Result<Vec<Result<TxnReply>>> {
        self.kv().commit(txns).await
    }

    /// The same with less patience, if this is less than usual.
    pub(crate) async fn commit_all_within(
        &self,
        txns: Vec<Txn>,
        patience: Duration,
    ) -> Result<Vec<Result<TxnReply>>> {
        self.kv_for(patience.min(PATIENCE)).commit(txns).await
    }

    /// For what is not worth waiting for.
    pub(crate) async fn commit_within(&self, txn: Txn, patience: Duration) -> Result<TxnReply> {
        self.kv_for(patience.min(PATIENCE)).commit_one(txn).await
    }

    pub(crate) async fn zmove(&self, step: ZMove) -> Result<ZMoved> {
        self.kv().zmove(step).await
    }
}
