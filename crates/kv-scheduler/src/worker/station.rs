//! What the parts of a worker share that serve one queue.

use super::{
    Settings,
    counts::{Counts, Ended},
    judge::Ending,
};
use crate::{
    Scheduler,
    handler::{Claim, Router, SharedData},
    queue::Queue,
    telemetry::QueueMeters,
};
use kv_core::Member;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::{Notify, mpsc, oneshot};

/// What the parts of a worker share that serve one queue.
#[derive(Debug)]
pub(crate) struct Station {
    pub(crate) scheduler: Scheduler,
    pub(crate) queue: Arc<Queue>,
    pub(crate) settings: Settings,
    pub(crate) router: Router,
    pub(crate) data: Arc<SharedData>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) meters: QueueMeters,
    /// What was claimed and has not ended on the store.
    pub(crate) claims: Claims,
    /// What runs and is on the store no more.
    pub(crate) begun: Claims,
    /// Something may be due.
    pub(crate) hint: Notify,
    /// A tick may be due earlier than was known.
    pub(crate) ticks: Notify,
    /// A claim has left the books.
    pub(crate) left: Notify,
    /// More is kept of ended tasks than should be.
    pub(crate) crowded: Notify,
    /// A claim took so long that its lease ends sooner than new ones do.
    pub(crate) late: Notify,
}

/// A claim that is to end.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) claim: Arc<Claim>,
    pub(crate) ending: Ending,
    /// Told when it is written; dropped if it never will be.
    pub(crate) told: Option<oneshot::Sender<()>>,
}

impl End {
    pub(crate) fn new(claim: Arc<Claim>, ending: Ending) -> Self {
        Self {
            claim,
            ending,
            told: None,
        }
    }
}

pub(crate) type Ends = mpsc::Sender<End>;

impl Station {
    pub(crate) fn now(&self) -> Duration {
        self.scheduler.store().clock.monotonic()
    }

    pub(crate) async fn sleep(&self, span: Duration) {
        self.scheduler.store().clock.sleep(span).await;
    }

    /// Counts how a claim ended.
    pub(crate) fn ended(&self, claim: &Claim, ended: Ended) {
        let kind = claim.envelope.as_deref().map(|it| &*it.kind);
        self.counts.ended(ended);
        self.meters.ended(kind, ended);
    }

    /// The same for an ending that was written.
    pub(crate) fn written(&self, end: &End) {
        if let Some(ended) = Ended::by(&end.ending) {
            self.ended(&end.claim, ended);
        }
    }

    /// How long a lease is on the store: longer than here by what clocks may differ.
    pub(crate) fn lease_on_store(&self) -> Duration {
        self.settings.lease + self.scheduler.store().skew
    }
}

/// The claims of one queue in this process.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<HashMap<Member, Arc<Claim>>>);

impl Claims {
    /// Returns an earlier claim of the same task, whose lease must have lapsed.
    pub(crate) fn insert(&self, claim: Arc<Claim>) -> Option<Arc<Claim>> {
        self.0.lock().insert(claim.member.clone(), claim)
    }

    /// Takes this claim out; a later one of the same task stays.
    pub(crate) fn remove(&self, claim: &Arc<Claim>) {
        let mut claims = self.0.lock();
        if claims
            .get(&claim.member)
            .is_some_and(|it| Arc::ptr_eq(it, claim))
        {
            claims.remove(&claim.member);
        }
    }

    pub(crate) fn get(&self, member: &Member) -> Option<Arc<Claim>> {
        self.0.lock().get(member).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Claim>> {
        self.0.lock().values().cloned().collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}
