//! Streams of changes, without any configuration of the server.
//!
//! At most two connections beside the store's own serve all subscribers. Both are opened for the
//! first subscriber, restored when they are lost, and closed when nobody has watched for a while.
//!
//! One is for *names*. Channels are subscribed to. Keys are tracked in the server's usual mode: a
//! look at a key, also at a missing one, arms one push for its next change, and the look that
//! follows the push arms the next.
//!
//! The other is for *ranges*, in broadcasting mode: the server tells every change of keys that
//! start with one of its prefixes. These must not overlap, so the server is told the outermost ones;
//! it can be told more of them, but to take one off all are given anew, and who watches is told to
//! read again.
//!
//! The end of a key is pushed when the server gets to delete it, which can be minutes after its
//! deadline. So each look takes the deadline along, and a look at that moment makes the server
//! delete the key. In ranges this goes for keys that were written while they were watched.
//!
//! A server that refuses tracking has its keys looked at four times a second.

mod board;
mod deadlines;
mod line;
mod look;
mod poll;
mod server;
mod subscriber;
mod topics;

use self::{
    line::{Line, Role},
    subscriber::Kind,
};
use crate::{encode, handshake::Settings, link::Link};
use bytes::Bytes;
use kv_core::{Error, ErrorKind, Events, Key, Outcome, Prefix, Result, Value, Watch};
use redis::Client;
use std::{collections::HashSet, sync::Arc};

/// The connections that watch.
pub(crate) struct Watches {
    names: Arc<Line>,
    ranges: Arc<Line>,
}

impl Watches {
    /// Nothing is opened yet.
    pub(crate) fn new(client: &Client, settings: &Settings) -> Self {
        let line = |role| Arc::new(Line::new(role, client.clone(), settings.clone()));
        Self {
            names: line(Role::Names),
            ranges: line(Role::Ranges),
        }
    }

    /// Ends all subscriptions and both connections.
    pub(crate) fn close(&self) {
        self.names.close();
        self.ranges.close();
    }
}

/// A store that is dropped without `close` leaves no task behind.
impl Drop for Watches {
    fn drop(&mut self) {
        self.close();
    }
}

pub(crate) async fn watch(link: &Link, watch: Watch) -> Result<Events> {
    let watches = link.watches()?;
    let (line, kind, names) = match watch {
        Watch::Keys(keys) => (&watches.names, Kind::Keys, distinct(keys)),
        Watch::Channels(channels) => (&watches.names, Kind::Channels, distinct(channels)),
        Watch::Prefixes(prefixes) => {
            let prefixes = prefixes.as_slice().iter().map(Prefix::as_bytes);
            let names = prefixes.map(Bytes::copy_from_slice);
            (&watches.ranges, Kind::Ranges, names.collect())
        }
        _ => return Err(Error::unsupported("watch")),
    };
    if names.is_empty() {
        let message = "a watch needs at least one key, prefix or channel";
        return Err(Error::new(ErrorKind::InvalidArgument, message).with_outcome(Outcome::Final));
    }
    let names = names.into_iter().collect();
    Ok(Box::pin(line.subscribe(kind, names).await?))
}

pub(crate) async fn notify(link: &Link, channel: &Key, payload: &Value) -> Result<()> {
    let args = [channel.as_bytes(), payload.as_bytes()];
    let sent = link.command(&encode::with("PUBLISH", args)).await;
    sent.map(drop).map_err(|failure| failure.about(channel))
}

fn distinct(keys: Vec<Key>) -> HashSet<Bytes> {
    keys.into_iter().map(Key::into_bytes).collect()
}
