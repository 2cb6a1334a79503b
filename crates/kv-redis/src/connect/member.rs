//! What a cluster asks of the connection to one of its servers.

use super::{Outage, Phase, Shared, Single};
use crate::{
    error::{Answer, Failure},
    handshake::Settings,
};
use kv_core::Stopwatch;
use redis::Client;
use std::sync::Arc;

impl Single {
    /// Begins to connect, in the background and until it succeeds.
    pub(crate) fn begin(client: Client, settings: Settings) -> Self {
        let single = Self::new(client, settings);
        let shared = &single.shared;
        // Held until the phase is set: the task may succeed before this thread goes on.
        let mut state = shared.state.lock();
        let task = shared.runtime.spawn(Arc::clone(shared).restore());
        state.phase = Phase::Down(Outage {
            since: Stopwatch::start(),
            failed_attempts: 0,
            reason: Failure::connection_closed(),
            task: Some(task.abort_handle()),
        });
        drop(state);
        single
    }

    /// Whether there is a connection.
    pub(crate) fn is_live(&self) -> bool {
        self.shared.live.load().is_some()
    }

    /// Ends when there is a connection, with a failure if none can be had for long.
    pub(crate) async fn ready(&self) -> Answer<()> {
        Shared::restoration(&self.shared).await.map(drop)
    }

    pub(crate) fn client(&self) -> Client {
        self.shared.client.clone()
    }
}
