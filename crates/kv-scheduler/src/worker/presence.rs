//! A worker tells that it is there, as long as it is.

use crate::{Scheduler, queue::Queue, registry::Presence};
use kv_core::Member;
use std::{process, sync::Arc, time::Duration};

/// How often it tells: three times before it is taken for gone.
const PAUSE: Duration = Duration::from_secs(30);

/// A worker in the registry.
#[derive(Clone, Debug)]
pub(crate) struct Attendance {
    scheduler: Scheduler,
    id: Member,
    presence: Presence,
}

impl Attendance {
    pub(crate) fn new(
        scheduler: &Scheduler,
        name: Option<&str>,
        queues: &[(Arc<Queue>, usize)],
    ) -> Self {
        let process = process::id();
        let queues = queues.iter();
        let presence = Presence {
            name: name.map_or_else(|| process.to_string(), str::to_owned),
            process,
            queues: queues
                .map(|(queue, places)| (queue.name.to_string(), *places))
                .collect(),
            started: scheduler.store().clock.now().as_micros(),
        };
        Self {
            id: scheduler.new_id().member(None),
            scheduler: scheduler.clone(),
            presence,
        }
    }

    /// Tells until it is dropped.
    pub(crate) async fn keep(self) {
        loop {
            if let Err(error) = self.presence.tell(&self.scheduler, &self.id).await {
                tracing::debug!(%error, "the registry of workers could not be told");
            }
            let pause = PAUSE.mul_f64(0.8 + 0.4 * fastrand::f64());
            self.scheduler.store().clock.sleep(pause).await;
        }
    }

    pub(crate) async fn leave(&self) {
        Presence::leave(&self.scheduler, &self.id).await;
    }
}
