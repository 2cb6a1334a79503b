//! The store as locks use it: every call has a deadline, and is made for one caller.

use crate::{lock::is_final, telemetry::Telemetry};
use kv_core::{
    CallOptions, Capability, Clock, Context, Deadline, DeadlineClock, Error, ErrorKind, Events,
    Key, Kv, Outcome, Prefixes, Result, ScanFrom, ScanPage, ScoredMember, Scores, Txn, TxnReply,
    Watch,
};
use std::{sync::Arc, time::Duration};

/// How long one call to the store may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Who asks again and again of a store that is down must not leave ever more behind, however long leases are.
const LONGEST_GIVE_BACK: Duration = Duration::from_secs(60);

/// What locks cannot do without. What they compare are marks, which layers that change values leave alone.
const NEEDS: [Capability; 3] = [
    Capability::HeldExpiry,
    Capability::Commit,
    Capability::Channels,
];

#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) kv: Kv,
    pub(crate) clock: Arc<dyn Clock>,
    /// For whom: what is done in the background must meet the same keys.
    pub(crate) caller: Option<Context>,
    pub(crate) telemetry: Arc<Telemetry>,
}

impl Store {
    pub(crate) fn new(kv: &Kv, clock: Arc<dyn Clock>) -> Result<Self> {
        let capabilities = kv.capabilities();
        if let Some(missing) = NEEDS.into_iter().find(|&it| !capabilities.has(it)) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "locks need what this store, or a layer on it, cannot do",
            )
            .with_context("missing", missing));
        }
        Ok(Self {
            kv: kv.clone(),
            clock,
            caller: None,
            telemetry: Arc::default(),
        })
    }

    /// How far the clocks that judge deadlines may be apart.
    pub(crate) fn skew(&self) -> Duration {
        match self.kv.capabilities().deadline_clock {
            DeadlineClock::Client { skew } => skew,
            _ => Duration::ZERO,
        }
    }

    /// The same for who calls now, also where it is used in the background.
    pub(crate) fn for_caller(&self) -> Self {
        let caller = self.kv.caller();
        let kv = match &caller {
            Some(caller) => self.kv.bind(caller.clone()),
            None => self.kv.clone(),
        };
        Self {
            kv,
            clock: self.clock.clone(),
            caller,
            telemetry: self.telemetry.clone(),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// With its own re-sends, so that the time of each is known.
    pub(crate) async fn commit(&self, txn: Txn, patience: Duration) -> Result<TxnReply> {
        self.within(patience).commit_one(txn).await
    }

    /// For what does no harm when it is done twice: sent again while it may not have been done.
    pub(crate) async fn commit_again(&self, txns: &[Txn]) -> Result<Vec<TxnReply>> {
        let mut tries = 1..3;
        loop {
            let replies = self.commit_all(txns.to_vec(), PATIENCE).await;
            match replies.and_then(|it| it.into_iter().collect()) {
                Err(error) if error.outcome() != Outcome::Final && tries.next().is_some() => {}
                done => return done,
            }
        }
    }

    pub(crate) async fn commit_all(
        &self,
        txns: Vec<Txn>,
        patience: Duration,
    ) -> Result<Vec<Result<TxnReply>>> {
        self.within(patience).commit(txns).await
    }

    /// Releases what may have been granted in vain, again and again until the store has answered; after
    /// so long it has ended by itself. A store that does not answer for a minute is left alone.
    pub(crate) async fn give_back(&self, txns: Vec<Txn>, ends_after: Duration) {
        let end = self.now() + ends_after.min(LONGEST_GIVE_BACK);
        let mut pause = Duration::from_millis(50);
        loop {
            let replies = self.commit_all(txns.clone(), PATIENCE).await;
            let Err(error) = replies.and_then(|it| it.into_iter().collect::<Result<Vec<_>>>())
            else {
                return;
            };
            let left = end.saturating_sub(self.now());
            if is_final(&error) || left.is_zero() {
                tracing::debug!(%error, "a lock that is not needed ends with its lease");
                return;
            }
            let jittered = pause.mul_f64(0.5 + fastrand::f64());
            self.clock.sleep(jittered.min(left)).await;
            pause = (pause * 2).min(PATIENCE);
        }
    }

    pub(crate) async fn watch(&self, watch: Watch) -> Result<Events> {
        self.within(PATIENCE).watch(watch).await
    }

    pub(crate) async fn scan(
        &self,
        prefixes: Prefixes,
        from: ScanFrom,
        limit: u32,
    ) -> Result<ScanPage> {
        self.within(PATIENCE).scan_page(prefixes, from, limit).await
    }

    /// All of a sorted set.
    pub(crate) async fn members(&self, key: &Key) -> Result<Vec<ScoredMember>> {
        self.within(PATIENCE)
            .zrange(key, 0, -1, Scores::Include)
            .await
    }

    fn within(&self, patience: Duration) -> Kv {
        let deadline = Deadline::on(self.clock.clone(), patience.min(PATIENCE));
        self.kv
            .with(CallOptions::new().with_deadline(deadline).without_retry())
    }
}
