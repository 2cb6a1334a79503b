//! Streams of changes and of messages, from etcd's own watches.
//!
//! One gRPC stream, on a connection of its own to one of the members, serves all subscribers of a
//! store. It is opened for the first of them, restored when it is lost, and closed when nobody has
//! watched for a while. What several subscribers watch is watched once on the server: a key by its
//! string, its record and its elements; a range of keys by the same three; a channel by its messages.
//!
//! *Order.* Watches on the server have no order among each other: one that begins while others write
//! is behind for up to 100 ms, and after a lost stream each catches up by itself. So channels of one
//! group, whose messages are promised in order, are one watch if somebody asks for several of them:
//! of all messages of the group, from which the others are left out here.
//!
//! *What is told.* A string that is written is told with its value, as it comes. A structure that is
//! written is told without. Whether a key is gone when something there was deleted takes a look: a
//! string can hide a structure, and a structure is gone with its last element.
//!
//! *Deadlines.* Readers go by the deadline, long before a lease collects the key, so a timer of our
//! own looks at the key at its deadline and tells its end; the collection is kept quiet. Keys are
//! looked at when they begin to be watched; in ranges this goes for keys that were written while they
//! were watched, of others the end is told when the lease ends.
//!
//! *Lost streams.* A stream that is silent is asked for its progress every few seconds, and the answer
//! is taken for a sign of life and for nothing else: etcd 3.4 answers with revisions that it has not
//! told yet. A new stream goes on *at* the revision of the last event, that one included, and events
//! up to it are skipped. So nothing is missing unless that revision is compacted, which the server
//! tells; the deletion that etcd 3.4 forgets if a watch begins at just the compacted revision was told
//! before. What every watch is told every ten minutes or so by itself is in line with its events, and
//! keeps the revision of quiet keys from being compacted. Who watches is told to read again,
//! [`Resync`](kv_core::Event::Resync), if that revision is compacted, if what was missed does not fit
//! an answer, or if the servers' history is not the one that was seen.

mod board;
mod deadlines;
mod gone;
mod line;
mod look;
mod looks;
mod stream;
mod topic;

pub(crate) use self::line::Line;

use crate::{
    error::Answer,
    optimistic::{Optimist, View},
};
use bytes::Bytes;
use futures_util::StreamExt;
use kv_core::{
    Error, ErrorKind, Event, Events, Key, Notice, Outcome, Prefix, Result, Value, Watch,
    subscription::Kind,
};
use std::{
    collections::{HashMap, HashSet},
    future::ready,
    sync::Arc,
};

pub(crate) async fn watch(line: &Arc<Line>, watch: Watch) -> Result<Events> {
    let (kind, names) = match watch {
        Watch::Keys(keys) => (Kind::Keys, distinct(keys)),
        Watch::Channels(channels) => return messages(line, channels).await,
        Watch::Prefixes(prefixes) => (Kind::Ranges, outermost(prefixes.as_slice())),
        _ => return Err(Error::unsupported("watch")),
    };
    if names.is_empty() {
        return Err(nothing());
    }
    let names = names.into_iter().collect();
    Ok(Box::pin(line.subscribe(kind, names).await?))
}

async fn messages(line: &Arc<Line>, channels: Vec<Key>) -> Result<Events> {
    let channels: HashSet<Key> = channels.into_iter().collect();
    let mut members: HashMap<&[u8], usize> = HashMap::new();
    for channel in &channels {
        *members.entry(tag(channel)).or_default() += 1;
    }
    let layout = &line.store.layout;
    let range = |channel: &Key| match members[tag(channel)] {
        1 => layout.channel(channel.as_bytes()),
        _ => layout.channels(tag(channel)),
    };
    let names: HashSet<Bytes> = channels
        .iter()
        .map(|it| range(it).from_key.into())
        .collect();
    if names.is_empty() {
        return Err(nothing());
    }
    let alone = names.len() == channels.len();
    let events = line
        .subscribe(Kind::Channels, names.into_iter().collect())
        .await?;
    if alone {
        return Ok(Box::pin(events));
    }
    let wanted = move |event: &Result<Event>| match event {
        Ok(Event::Message { channel, .. }) => channels.contains(channel),
        _ => true,
    };
    Ok(Box::pin(events.filter(move |it| ready(wanted(it)))))
}

/// What the channels of a group begin with, braces included; else the channel itself.
fn tag(channel: &Key) -> &[u8] {
    let (all, group) = (channel.as_bytes(), channel.group());
    match group.len() < all.len() {
        true => &all[..group.len() + 2],
        false => all,
    }
}

fn nothing() -> Error {
    let message = "a watch needs at least one key, prefix or channel";
    Error::new(ErrorKind::InvalidArgument, message).with_outcome(Outcome::Final)
}

/// Sends a message: those who watch the channel see the key that is written.
pub(crate) async fn notify(store: &Optimist, channel: &Key, payload: &Value) -> Answer<()> {
    let notice = Notice::new(channel, payload.clone());
    let plan = |view: &mut View<'_>| view.notify(&notice);
    store.run(channel.as_bytes(), plan).await?;
    Ok(())
}

fn distinct(keys: Vec<Key>) -> HashSet<Bytes> {
    keys.into_iter().map(Key::into_bytes).collect()
}

/// The prefixes that lie in no other one.
fn outermost(prefixes: &[Prefix]) -> HashSet<Bytes> {
    let within = |one: &Prefix, other: &Prefix| {
        one.as_bytes() != other.as_bytes() && other.contains(one.as_bytes())
    };
    let outer = |it: &&Prefix| !prefixes.iter().any(|other| within(it, other));
    let names = prefixes.iter().filter(outer).map(Prefix::as_bytes);
    names.map(Bytes::copy_from_slice).collect()
}
