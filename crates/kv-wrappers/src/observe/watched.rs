//! A watch while it lives.

use super::meters::Meters;
use futures_util::Stream;
use kv_core::{Event, Events, Result};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Counts what a watch tells, and that it is there.
pub(super) struct Watched {
    events: Events,
    meters: Arc<Meters>,
}

impl Watched {
    pub(super) fn new(events: Events, meters: Arc<Meters>) -> Self {
        meters.watches.increment(1);
        Self { events, meters }
    }
}

impl Stream for Watched {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.events.as_mut().poll_next(task);
        if let Poll::Ready(Some(event)) = &next {
            self.meters.told(event);
        }
        next
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.meters.watches.decrement(1);
    }
}
