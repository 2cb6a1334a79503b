//! Listens to what is told on channels, so that nobody need look again and again.

use crate::store::Store;
use futures_util::{
    FutureExt, StreamExt,
    future::{Either, select},
};
use kv_core::{Event, Events, Key, Result, Watch};
use std::{pin::pin, time::Duration};

/// It is looked this often whatever is told: a store may forget.
pub(crate) const LOOK: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct News {
    events: Option<Events>,
}

impl News {
    /// Begins to listen, unless it does: whoever looks after this misses nothing.
    pub(crate) async fn listen(&mut self, store: &Store, channels: &[&Key]) -> Result<()> {
        if self.events.is_none() {
            let channels = channels.iter().map(|&it| it.clone()).collect();
            self.events = Some(store.watch(Watch::Channels(channels)).await?);
        }
        Ok(())
    }

    /// Ends when so many messages have come, or something that may have hidden one, or after the pause.
    /// All that waits is heard with it.
    pub(crate) async fn heard(&mut self, store: &Store, enough: u64, pause: Duration) {
        let time = store.clock.sleep(pause);
        let Some(events) = &mut self.events else {
            return time.await;
        };
        let messages = pin!(async {
            for _ in 0..enough {
                match events.next().await {
                    Some(Ok(Event::Message { .. })) => {}
                    Some(Ok(_)) => break,
                    Some(Err(_)) | None => return false,
                }
            }
            while let Some(event) = events.next().now_or_never() {
                if !matches!(event, Some(Ok(_))) {
                    return false;
                }
            }
            true
        });
        if let Either::Left((false, _)) = select(messages, time).await {
            self.events = None;
        }
    }
}
