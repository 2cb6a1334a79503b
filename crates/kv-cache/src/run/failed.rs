//! What is done when a load has brought nothing.

use super::{Grant, Run};
use crate::{
    entry::Kept, events::Instead, flights::Outcome, freshness::Look, load::Keeping,
    shared::CacheValue, telemetry,
};

impl<V: CacheValue, E: Send + Sync + 'static> Run<V, E> {
    /// Gives out what is there in place of what could not be loaded.
    pub(super) async fn fail(&self, grant: Grant, stale: Option<Kept<V>>, outcome: Outcome<V, E>) {
        let shared = &self.shared;
        shared.counts.failed_loads.add();
        telemetry::failed();
        let now = shared.now();
        let stale = stale.filter(|it| shared.look(it, now) != Look::Ended);
        match stale {
            Some(stale) => {
                shared.counts.stale_on_error.add();
                let times = stale.times.rest(now, shared.policy.throttle);
                let value = stale.value.clone();
                shared.keep(self.ticket, self.lead.key(), Kept { times, ..stale });
                self.lead.answer(Outcome::Loaded(value), Keeping::Kept);
                shared.tell_failed(self.lead.key(), Instead::Stale);
            }
            None => {
                self.lead.answer(outcome, Keeping::NotKept);
                shared.tell_failed(self.lead.key(), Instead::Error);
            }
        }
        self.give_up(grant).await;
    }
}
