//! What processes tell each other, so that copies go when what they are copies of is removed or written anew.
//!
//! All callers whose entries lie apart have a channel of their own, which the store keeps apart as it does their keys. A
//! process listens to those that it has used of late. What it keeps holds without asking the store as long as
//! all that was told since has been heard; where that is in doubt, for no longer than
//! [`Near::max_stale`](crate::Near::max_stale), as it would without channels.

mod channel;
mod hearing;
mod listen;
mod message;

pub(crate) use self::{channel::Channel, message::What};

use self::{hearing::Patience, listen::Listener};
use crate::{
    near::MAX_STALE,
    shared::{CacheValue, Shared},
};
use kv_core::{Context, Key, Kv};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::runtime::Handle;

/// So many channels are listened to at a time; the entries of other callers are trusted as without any.
const CHANNELS: usize = 256;
/// What is used no more for so long is listened to no more.
const IDLE: Duration = Duration::from_secs(600);
/// Senders give a sign of life five times in the time for which copies are trusted, and no more often than this; where
/// that is less than five of these nothing is trusted for having heard.
const SHORTEST_BEAT: Duration = Duration::from_millis(20);

/// All channels of a cache.
pub(crate) struct Across {
    channels: Mutex<HashMap<Option<Context>, Arc<Channel>>>,
    standings: Box<[Standing]>,
    key: Key,
    beat: Duration,
    trust: Trust,
}

/// Whether what is heard counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Heard,
    /// Nothing is given out unasked for as long as it takes to hear.
    Asked,
}

/// The number of a channel that is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Number(u16);

/// How it stands with a channel, in nanoseconds of the clock that measures spans.
#[derive(Debug)]
struct Standing {
    /// All that was told since then has been heard, ...
    since: AtomicU64,
    /// ... which holds until then.
    until: AtomicU64,
}

impl Across {
    /// For copies that are trusted for so long without it.
    pub(crate) fn new(key: Key, max_stale: Duration) -> Self {
        let (beat, trust) = match max_stale / 5 {
            beat if beat < SHORTEST_BEAT => (MAX_STALE / 5, Trust::Asked),
            beat => (beat, Trust::Heard),
        };
        Self {
            channels: Mutex::default(),
            standings: (0..CHANNELS).map(|_| Standing::default()).collect(),
            key,
            beat,
            trust,
        }
    }

    /// Whether what was kept at that time under this number still holds.
    pub(crate) fn covers(&self, number: Number, kept: Duration, now: Duration) -> bool {
        if self.trust == Trust::Asked {
            return false;
        }
        let standing = &self.standings[usize::from(number.0)];
        // In this order: what is seen to hold for longer holds since the instant that is set before it.
        nanos(now) < standing.until.load(Ordering::Acquire)
            && standing.since.load(Ordering::Acquire) <= nanos(kept)
    }

    /// The channel of who calls now, which is listened to from now on if there is room.
    pub(crate) fn channel<V: CacheValue>(
        &self,
        shared: &Arc<Shared<V>>,
        kv: Kv,
        deadline: Duration,
    ) -> Arc<Channel> {
        let now = shared.now();
        let mut channels = self.channels.lock();
        let caller = kv.caller();
        if let Some(channel) = channels.get(&caller) {
            channel.use_now(now);
            return channel.clone();
        }
        let runtime = Handle::try_current().ok();
        let number = runtime.as_ref().and_then(|_| free(&channels));
        let channel = Arc::new(Channel::new(
            kv,
            self.key.clone(),
            number,
            shared.clock.clone(),
            deadline,
        ));
        if let (Some(runtime), Some(number)) = (runtime, number) {
            channels.insert(caller.clone(), channel.clone());
            let listener = Listener::new(shared, channel.clone(), number, caller);
            runtime.spawn(listener.listen());
        }
        channel
    }

    /// A sender is heard of so often.
    fn patience(&self) -> Patience {
        Patience {
            hole: self.beat,
            silence: self.beat * 2,
        }
    }

    /// How it stands with a channel by now: since when all was heard, if it was.
    fn stands(&self, number: Number, since: Option<Duration>, now: Duration) {
        let standing = &self.standings[usize::from(number.0)];
        let since = since.map_or(u64::MAX, nanos);
        standing.since.store(since, Ordering::Release);
        // No longer than until it is looked at again, and a little for who is late.
        let until = now.saturating_add(self.beat * 3 / 2);
        standing.until.store(nanos(until), Ordering::Release);
    }

    /// Whoever listened to a channel is gone; who uses it next has it listened to again.
    fn gone(
        &self,
        channel: &Arc<Channel>,
        number: Number,
        caller: &Option<Context>,
        now: Duration,
    ) {
        let mut channels = self.channels.lock();
        let is_same = |it: &Arc<Channel>| Arc::ptr_eq(it, channel);
        if channels.get(caller).is_some_and(is_same) {
            self.stands(number, None, now);
            channels.remove(caller);
        }
    }

    /// A channel is listened to no more, if it has been of no use since; whether that is so.
    fn leave(
        &self,
        channel: &Channel,
        number: Number,
        caller: &Option<Context>,
        now: Duration,
    ) -> bool {
        let mut channels = self.channels.lock();
        if !channel.is_idle(now) {
            return false;
        }
        self.stands(number, None, now);
        channels.remove(caller);
        true
    }
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            since: AtomicU64::new(u64::MAX),
            until: AtomicU64::new(0),
        }
    }
}

/// A number that no channel has.
fn free(channels: &HashMap<Option<Context>, Arc<Channel>>) -> Option<Number> {
    if channels.len() >= CHANNELS {
        return None;
    }
    let taken: HashSet<_> = channels.values().filter_map(|it| it.number()).collect();
    let all = (0..).map(Number).take(CHANNELS);
    all.into_iter().find(|it| !taken.contains(it))
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX - 1)
}
