//! What one connection is to watch, what it has told, and what is to be done about both.

mod dirty;
mod work;

pub(super) use self::work::{Cover, Work, is_within};
use self::{dirty::Dirty, work::Job};
use super::{deadlines::Deadlines, look::Look, topics::Topics};
use crate::error::{Answer, Failure};
use bytes::Bytes;
use kv_core::{
    ErrorKind, Key, Value,
    subscription::{Change, Kind, Subscriber},
};
use redis::{PushInfo, PushKind, Value as Reply};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::oneshot;

/// How many changed keys of ranges wait to be looked at; beyond that all is to be read again.
const MOST_DIRTY: usize = 16_384;
/// How many deadlines of keys in ranges are kept: about 2 MiB. The next ones are; for the others
/// the server tells when it gets to delete the key.
const MOST_DEADLINES: usize = 16_384;
/// How many keys are looked at in one round trip.
const CHUNK: usize = 256;

/// Tells when a subscriber is live, or why it will not be.
pub(super) type Live = oneshot::Receiver<Answer<()>>;

#[derive(Default)]
pub(super) struct Board {
    pub(super) watchers: HashMap<u64, Arc<Subscriber>>,
    keys: Topics,
    pub(super) ranges: Topics,
    channels: Topics,
    last_id: u64,
    dirty: Dirty,
    /// Keys whose end was told by a look. The look made the server delete them, and the push of
    /// that comes with the look's answer, behind it at the latest: before any further answer.
    owed: HashSet<Bytes>,
    deadlines: Deadlines,
    /// Counts the times when all that was known of keys became worthless.
    round: u64,
    /// Counts lost connections.
    losses: u64,
    /// Keys whose pushes are not armed.
    unarmed: Vec<Bytes>,
    /// Channels that got their first subscriber or lost their last.
    turned: HashSet<Bytes>,
    /// The ranges that the server tells of.
    covered: Vec<Bytes>,
    /// Ranges were added that the server does not tell of yet, or are to be taken off.
    pub(super) uncovered: bool,
    /// Since when the server may tell of ranges that nobody watches.
    pub(super) stale_since: Option<Duration>,
    jobs: Vec<Job>,
    /// Who may have missed something.
    missed: HashSet<u64>,
}

/// Keys to look at, and why.
pub(super) struct Reading {
    round: u64,
    pub(super) items: Vec<(Bytes, Cause)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// So many pushes that may be for a change that was not told yet.
    Pushed(u32),
    Due,
}

impl Board {
    /// Adds a subscriber. If it is not live at once, the receiver tells when.
    pub(super) fn join(
        &mut self,
        kind: Kind,
        names: Vec<Bytes>,
    ) -> (Arc<Subscriber>, Option<Live>) {
        self.last_id += 1;
        let subscriber = Arc::new(Subscriber::new(self.last_id, kind, names));
        self.watchers
            .insert(subscriber.id(), Arc::clone(&subscriber));
        let mut live = true;
        for name in subscriber.names() {
            let ready = self.topics(kind).join(name, &subscriber).ready;
            live &= ready;
            match kind {
                _ if ready => {}
                Kind::Keys => self.unarmed.push(name.clone()),
                Kind::Channels => drop(self.turned.insert(name.clone())),
                Kind::Ranges => self.uncovered = true,
            }
        }
        if live {
            return (subscriber, None);
        }
        let (done, live) = oneshot::channel();
        self.jobs.push(Job {
            id: subscriber.id(),
            names: subscriber.names().to_vec(),
            done,
        });
        (subscriber, Some(live))
    }

    /// Takes a subscriber out.
    pub(super) fn leave(&mut self, subscriber: &Subscriber, now: Duration) {
        self.watchers.remove(&subscriber.id());
        self.missed.remove(&subscriber.id());
        for name in subscriber.names() {
            let kind = subscriber.kind();
            if !self.topics(kind).leave(name, subscriber.id()) {
                continue;
            }
            match kind {
                Kind::Channels => drop(self.turned.insert(name.clone())),
                Kind::Keys => {
                    self.keys.remove(name);
                    self.dirty.remove(name);
                    self.owed.remove(name);
                    self.deadlines.set(name, None, usize::MAX);
                }
                Kind::Ranges => {
                    self.ranges.remove(name);
                    self.stale_since.get_or_insert(now);
                    // Pushes of keys that nobody watches are not taken in.
                    let mut owed = std::mem::take(&mut self.owed);
                    owed.retain(|key| self.is_watched(key));
                    self.owed = owed;
                }
            }
        }
    }

    /// Takes in what the server pushes.
    pub(super) fn push(&mut self, info: PushInfo) {
        let mut data = info.data.into_iter();
        match (info.kind, data.next(), data.next()) {
            (PushKind::Disconnection, ..) => self.lose(),
            (PushKind::Invalidate, Some(Reply::Array(keys)), _) => {
                for key in keys {
                    if let Reply::BulkString(key) = key {
                        self.touch(key.into());
                    }
                }
            }
            (PushKind::Invalidate, ..) => self.flush(),
            (PushKind::Message, Some(Reply::BulkString(channel)), Some(Reply::BulkString(it))) => {
                self.message(channel.into(), it.into());
            }
            _ => {}
        }
    }

    /// Everything told on the connection is worthless, and it tells no more.
    pub(super) fn lose(&mut self) {
        self.losses += 1;
        self.forget(|_| true);
        for topics in [&mut self.keys, &mut self.ranges, &mut self.channels] {
            topics.retain_watched();
            topics.iter_mut().for_each(|(_, topic)| topic.ready = false);
        }
        self.unarmed = self.keys.names().cloned().collect();
        self.turned = self.channels.names().cloned().collect();
        self.covered.clear();
        self.uncovered = self.ranges.names().next().is_some();
    }

    /// Fails those that wait to be live.
    pub(super) fn fail_jobs(&mut self, failure: &Failure) {
        for job in self.jobs.drain(..) {
            let _ = job.done.send(Err(failure.clone()));
        }
    }

    pub(super) fn end(&mut self, failure: &Failure) {
        self.fail_jobs(failure);
        for subscriber in self.watchers.values() {
            subscriber.end(failure.clone());
        }
    }

    /// Some keys to look at now. Neither kind holds up the other.
    pub(super) fn take_reading(&mut self, now: Duration) -> Option<Reading> {
        let mut items = Vec::new();
        while items.len() < CHUNK
            && let Some((key, untold)) = self.dirty.take()
        {
            self.deadlines.set(&key, None, usize::MAX);
            if self.is_watched(&key) {
                items.push((key, Cause::Pushed(untold)));
            }
        }
        let most = items.len() + CHUNK;
        while items.len() < most
            && let Some(key) = self.deadlines.take_due(now)
        {
            if self.is_watched(&key) {
                items.push((key, Cause::Due));
            }
        }
        let round = self.round;
        (!items.is_empty()).then_some(Reading { round, items })
    }

    /// Tells what was found at the keys.
    pub(super) fn found(&mut self, reading: Reading, looks: Vec<Look>, now: Duration) {
        if reading.round != self.round {
            return;
        }
        self.answered();
        for ((key, cause), look) in reading.items.into_iter().zip(looks) {
            if let Look::Refused(failure) = &look {
                self.refuse(&key, failure);
                continue;
            }
            self.expect_end(&key, &look, now);
            match (cause, look) {
                (Cause::Pushed(_), Look::Present { value, .. }) => {
                    self.tell(&key, Change::Put(value));
                }
                // A push that has come meanwhile may be for a change behind this look: it is looked
                // at for itself, though the same end is then told twice.
                (Cause::Pushed(1..), Look::Missing) => self.tell(&key, Change::Delete),
                (Cause::Due, Look::Missing) => {
                    self.tell(&key, Change::Delete);
                    // One push is for this end; what further ones are for is to be told still.
                    // Without a watcher nobody would take it off again.
                    if !self.dirty.explain(&key) && self.is_watched(&key) {
                        self.owed.insert(key);
                    }
                }
                _ => {}
            }
        }
    }

    /// The server has answered: what it pushed before has come.
    pub(super) fn answered(&mut self) {
        self.owed.clear();
    }

    /// Remembers when a key ends, should it end by itself.
    pub(super) fn expect_end(&mut self, key: &Bytes, look: &Look, now: Duration) {
        let watched = self.is_watched(key);
        let at = match look {
            // A key is there still in the millisecond of its deadline.
            Look::Present {
                left: Some(left), ..
            } if watched => now.checked_add(*left + Duration::from_millis(1)),
            _ => None,
        };
        let most = match self.ranges.names().next() {
            Some(_) => MOST_DEADLINES,
            None => usize::MAX,
        };
        self.deadlines.set(key, at, most);
    }

    /// Nobody is told when a key ends by itself.
    pub(super) fn expect_no_ends(&mut self) {
        self.deadlines.clear();
    }

    /// Tells a change to everybody whom it concerns, once.
    pub(super) fn tell(&self, key: &Bytes, change: Change) {
        let topics = self
            .keys
            .get(key)
            .into_iter()
            .chain(self.ranges.around(key));
        let mut concerned: Vec<_> = topics.flat_map(|it| it.subscribers()).collect();
        concerned.sort_unstable_by_key(|it| it.id());
        concerned.dedup_by_key(|it| it.id());
        for subscriber in concerned {
            subscriber.change(key, change.clone());
        }
    }

    /// Has all keys looked at: what a server that pushes nothing takes.
    pub(super) fn touch_all(&mut self) {
        let keys = self.keys.names().cloned();
        keys.for_each(|key| self.dirty.add(key, 1));
    }

    /// Has those who watch such ranges read again.
    pub(super) fn resync_ranges(&self, concerns: impl Fn(&Bytes) -> bool) {
        let ranges = self
            .watchers
            .values()
            .filter(|it| it.kind() == Kind::Ranges);
        let concerned = ranges.filter(|it| it.names().iter().any(&concerns));
        concerned.for_each(|it| it.resync());
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.next()
    }

    fn topics(&mut self, kind: Kind) -> &mut Topics {
        match kind {
            Kind::Keys => &mut self.keys,
            Kind::Ranges => &mut self.ranges,
            Kind::Channels => &mut self.channels,
        }
    }

    pub(super) fn is_watched(&self, key: &[u8]) -> bool {
        self.keys.get(key).is_some() || self.ranges.around(key).next().is_some()
    }

    fn touch(&mut self, key: Bytes) {
        if key.is_empty() || !self.is_watched(&key) {
            return;
        }
        let untold = match self.owed.remove(&key) {
            true => 0,
            false => 1,
        };
        self.dirty.add(key, untold);
        if self.dirty.len() > MOST_DIRTY && self.ranges.names().next().is_some() {
            self.forget(|_| true);
        }
    }

    fn message(&self, channel: Bytes, payload: Value) {
        let Some(topic) = self.channels.get(&channel) else {
            return;
        };
        if let Ok(channel) = Key::new(channel) {
            let subscribers = topic.subscribers().iter();
            subscribers.for_each(|it| it.message(&channel, &payload));
        }
    }

    /// The server forgot all keys, and with them which pushes are armed.
    fn flush(&mut self) {
        self.forget(|it| it.kind() != Kind::Channels);
        self.keys
            .iter_mut()
            .for_each(|(_, topic)| topic.ready = false);
        self.unarmed = self.keys.names().cloned().collect();
    }

    /// Forgets what was known of keys; these subscribers have to read again.
    fn forget(&mut self, whose: impl Fn(&Subscriber) -> bool) {
        self.round += 1;
        self.dirty.clear();
        self.owed.clear();
        self.deadlines.clear();
        let concerned = self.watchers.values().filter(|it| whose(it));
        self.missed.extend(concerned.map(|it| it.id()));
    }

    pub(super) fn refuse(&mut self, key: &Bytes, failure: &Failure) {
        // In a range, a key that this user may not see is none of his; what became of one that
        // another server has we cannot tell.
        if failure.kind() != ErrorKind::Denied {
            let subscribers = self.ranges.around(key).flat_map(|it| it.subscribers());
            subscribers.for_each(|it| it.resync());
        }
        if let Some(topic) = self.keys.get_mut(key) {
            // No push is armed: who comes next has to look for himself.
            topic.ready = false;
            let subscribers = topic.subscribers().iter();
            subscribers.for_each(|it| it.end(failure.clone()));
        }
    }
}

#[cfg(test)]
mod tests;
