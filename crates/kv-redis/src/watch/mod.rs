//! Streams of changes, without any configuration of the server.
//!
//! At most two connections to a server, beside the store's own, serve all subscribers. Both are
//! opened for the first subscriber, restored when they are lost, and closed when nobody has watched
//! for a while. In a cluster this holds for each server; what is where is up to `cluster`.
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
//! Where the server refuses tracking, keys are looked at four times a second, and so are, in rounds
//! through `SCAN`, all keys of ranges, as often as a tenth of the time allows. A range that comes is
//! live at once; what is in it is learned by the first round that begins behind that. A key that
//! this round sees first may have been there or may be new, so who watches the range is told to read
//! again when the round is done. What the round sees a second time is told as usual, and so is all
//! of the other ranges.
//!
//! # What tracking does not do
//!
//! - A stream that is dropped leaves its keys in the server's table until their next change: single
//!   keys cannot be taken off. The push of that change finds nobody here and is dropped; the table
//!   is bounded by the server's `tracking-table-max-keys`.
//! - It knows no database. A change of a key of the same name in another one is pushed as well, and
//!   takes ours off the table, so the look that follows is needed to arm it again. That look tells
//!   what is in our database: a value that did not change, or a missing key to be gone. To keep
//!   that silent would also hide a key that came and went before the look.
//! - `SWAPDB` is not pushed.
//! - A server that holds writes back (`CLIENT PAUSE`), or a replica, tells a key to be missing when
//!   its deadline passes, and deletes it, with a push, later.

mod board;
mod deadlines;
mod line;
mod look;
mod poll;
mod rounds;
mod server;
mod sweep;
mod topics;

use self::line::{Line, Role};
use crate::{encode, error::Answer, handshake::Settings, link::Link};
use bytes::Bytes;
pub(crate) use kv_core::subscription::Kind;
use kv_core::{Error, ErrorKind, Events, Key, Outcome, Prefix, Result, Value, Watch, subscription};
use redis::Client;
use std::{collections::HashSet, sync::Arc};

/// What a receiver has of a connection.
pub(crate) type Subscription = subscription::Subscription<Line>;

/// The connections that watch one server.
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

    /// A subscription to distinct names that is live when this ends well. What is returned holds
    /// nothing of these connections but the one that it needs.
    pub(crate) fn subscribe(
        &self,
        kind: Kind,
        names: Vec<Bytes>,
    ) -> impl Future<Output = Answer<Subscription>> + Send + use<> {
        let line = Arc::clone(match kind {
            Kind::Keys | Kind::Channels => &self.names,
            Kind::Ranges => &self.ranges,
        });
        async move { line.subscribe(kind, names).await }
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
    let (kind, names) = match watch {
        Watch::Keys(keys) => (Kind::Keys, distinct(keys)),
        Watch::Channels(channels) => (Kind::Channels, distinct(channels)),
        Watch::Prefixes(prefixes) => {
            let prefixes = prefixes.as_slice().iter().map(Prefix::as_bytes);
            let names = prefixes.map(Bytes::copy_from_slice);
            (Kind::Ranges, names.collect())
        }
        _ => return Err(Error::unsupported("watch")),
    };
    if names.is_empty() {
        let message = "a watch needs at least one key, prefix or channel";
        return Err(Error::new(ErrorKind::InvalidArgument, message).with_outcome(Outcome::Final));
    }
    Ok(link.watch(kind, names.into_iter().collect()).await?)
}

pub(crate) async fn notify(link: &Link, channel: &Key, payload: &Value) -> Result<()> {
    let args = [channel.as_bytes(), payload.as_bytes()];
    let sent = link.command(&encode::with("PUBLISH", args)).await;
    sent.map(drop).map_err(|failure| failure.about(channel))
}

fn distinct(keys: Vec<Key>) -> HashSet<Bytes> {
    keys.into_iter().map(Key::into_bytes).collect()
}
