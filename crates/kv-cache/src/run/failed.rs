//! What is done when a load has brought nothing.

use super::{Grant, Run};
use crate::tags::Change;
use crate::{
    again::Target, entry::Kept, events::Instead, flights::Outcome, freshness::Look, load::Keeping,
    shared::CacheValue, telemetry,
};
use futures_util::future::join;

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
                let version = self.version_near(stale.version);
                shared.keep(
                    self.ticket,
                    self.lead.key(),
                    Kept {
                        times,
                        version,
                        ..stale
                    },
                );
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

    /// There is nothing any more, and that is not remembered.
    pub(super) async fn remove(&self) {
        self.shared.forget(self.lead.key());
        let Some(far) = self.first_far() else {
            return;
        };
        let beside = (self.shared).entry_on_second(far, self.lead.key(), Change::Removed);
        let (removed, ()) = join(far.invalidate(), beside).await;
        // What was read from the store meanwhile.
        self.shared.forget(self.lead.key());
        if let Err(error) = removed {
            self.shared.trouble(&far.caller, &error, "removing");
            let (key, target) = (self.lead.key(), Target::Entry(Box::new(far.clone())));
            let shared = &self.shared;
            shared.try_again(key, target, Change::Removed, &error);
        }
    }
}
