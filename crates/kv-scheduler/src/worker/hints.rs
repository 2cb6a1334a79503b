//! Messages that something may be due, or is to stop. Any of them may be lost.

use super::station::Station;
use crate::handler::StopReason;
use futures_util::StreamExt;
use kv_core::{Event, Member, Watch};
use std::{sync::Arc, time::Duration};

/// The pause before listening is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// Listens until it is dropped.
pub(crate) async fn listen(station: Arc<Station>) {
    let queue = &station.queue;
    loop {
        let channels = [&queue.wake, &queue.cancelled, &queue.recurring.wake];
        let channels = channels.map(Clone::clone).into();
        match station
            .scheduler
            .store()
            .kv()
            .watch(Watch::Channels(channels))
            .await
        {
            Ok(mut events) => {
                // What was sent before is not heard.
                station.hint.notify_one();
                station.ticks.notify_one();
                while let Some(Ok(event)) = events.next().await {
                    hear(&station, event);
                }
            }
            Err(error) => {
                tracing::warn!(queue = %queue.name, %error, "hints cannot be heard; tasks may start late");
            }
        }
        station.sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
    }
}

fn hear(station: &Station, event: Event) {
    match event {
        Event::Message { channel, payload } if channel == station.queue.cancelled => {
            if let Some(claim) = station.claims.get(&Member::new(payload.into_bytes())) {
                claim.stop(StopReason::Cancelled);
            }
        }
        Event::Message { channel, .. } if channel == station.queue.recurring.wake => {
            station.ticks.notify_one();
        }
        // A lost cancellation comes with the next extension of the lease.
        _ => station.hint.notify_one(),
    }
}
