//! A watch as its receiver sees it.

use super::{
    Hub,
    watcher::{Item, Watcher},
};
use crate::access::Inner;
use futures_util::Stream;
use kv_core::{Error, ErrorKind, Event, Result};
use std::{
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
};

pub(crate) struct Subscription {
    watcher: Arc<Watcher>,
    hub: Arc<Hub>,
    /// A stream alone does not keep the data.
    store: Weak<Inner>,
}

impl Subscription {
    pub(crate) fn new(store: &Arc<Inner>, watcher: Arc<Watcher>) -> Self {
        Self {
            watcher,
            hub: Arc::clone(&store.hub),
            store: Arc::downgrade(store),
        }
    }
}

impl Stream for Subscription {
    type Item = Result<Event>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(item) = ready!(self.watcher.next(context)) else {
                return Poll::Ready(None);
            };
            let event = match item {
                Item::Changed(key) => match self.store.upgrade().and_then(|it| it.event(&key)) {
                    Some(event) => event,
                    None => continue,
                },
                Item::Message(notice) => Event::Message {
                    channel: notice.channel,
                    payload: notice.payload,
                },
                Item::Resync => Event::Resync,
                Item::Closed => return Poll::Ready(Some(Err(closed()))),
            };
            return Poll::Ready(Some(Ok(event)));
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.remove(&self.watcher);
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store is closed; open it again")
        .with_operation("watch")
        .with_provider("memory")
}
