//! The end of a worker: nothing new is claimed, what runs may end, the rest is given back.

use super::{
    run::released,
    station::{Ends, Station},
};
use crate::handler::StopReason;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long handlers have to obey their tokens.
const GRACE: Duration = Duration::from_secs(1);

/// Waits for the handlers, tells those that take too long to stop, and gives back what they leave.
pub(crate) async fn stop(station: &Station, mut running: JoinSet<()>, ends: &Ends) {
    if end_within(station, &mut running, station.settings.stop_within).await {
        return;
    }
    for claim in station.claims.all().iter().chain(&station.begun.all()) {
        claim.stop(StopReason::Shutdown);
    }
    if end_within(station, &mut running, GRACE).await {
        return;
    }
    tracing::warn!(
        queue = %station.queue.name,
        handlers = running.len(),
        "handlers that did not stop in time are dropped; their tasks are given back"
    );
    running.shutdown().await;
    for claim in station.claims.all() {
        if claim.take_end() {
            _ = ends.send(released(claim)).await;
        }
    }
}

/// Whether all have ended within this time.
async fn end_within(station: &Station, running: &mut JoinSet<()>, span: Duration) -> bool {
    tokio::select! {
        biased;
        () = async { while running.join_next().await.is_some() {} } => true,
        () = station.sleep(span) => false,
    }
}
