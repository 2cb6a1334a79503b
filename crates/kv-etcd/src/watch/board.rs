//! What is watched, by whom, and how far the server has told of it.

mod fold;
mod request;

pub(super) use self::{
    fold::Change,
    request::{From, Request, Wanted},
};
use super::{
    deadlines::Deadlines,
    gone::Gone,
    looks::{Cause, Looks, Spot},
    topic::Topic,
};
use crate::{
    error::{Answer, Failure},
    layout::Layout,
};
use bytes::Bytes;
use kv_core::{
    Timestamp,
    subscription::{Kind, Subscriber},
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};
use tokio::sync::oneshot;

/// How many keys of ranges are remembered that are gone, have a deadline or wait to be looked at:
/// 2 MiB or so for each. Beyond that an end is told twice, or late; and who watches reads again.
const MOST: usize = 16_384;

/// Tells when a subscriber is live, or why it will not be.
pub(super) type Live = oneshot::Receiver<Answer<()>>;

pub(super) struct Board {
    layout: Layout,
    pub(super) watchers: HashMap<u64, Arc<Subscriber>>,
    topics: HashMap<u64, Topic>,
    by_name: HashMap<(Kind, Bytes), u64>,
    /// The topic and the part that each watch on the server is of.
    watches: HashMap<i64, (u64, usize)>,
    /// Whether there is a stream to ask on.
    open: bool,
    /// What the server is to be asked for.
    requests: VecDeque<Request>,
    /// Watches that were asked for and not answered yet, in order.
    asked: VecDeque<i64>,
    /// Subscribers that are not live yet.
    jobs: HashMap<u64, Job>,
    last_id: u64,
    last_watch: i64,
    /// The highest revision that was told of.
    revision: i64,
    looks: Looks,
    /// Of keys that somebody named.
    key_ends: Deadlines,
    /// Of keys in ranges.
    range_ends: Deadlines,
    gone: Gone<Spot>,
}

struct Job {
    /// The topics that are not live yet.
    waits_for: HashSet<u64>,
    done: oneshot::Sender<Answer<()>>,
}

impl Board {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            watchers: HashMap::new(),
            topics: HashMap::new(),
            by_name: HashMap::new(),
            watches: HashMap::new(),
            open: false,
            requests: VecDeque::new(),
            asked: VecDeque::new(),
            jobs: HashMap::new(),
            last_id: 0,
            last_watch: 0,
            revision: 0,
            looks: Looks::default(),
            key_ends: Deadlines::default(),
            range_ends: Deadlines::default(),
            gone: Gone::new(MOST / 2),
        }
    }

    /// Adds a subscriber. If it is not live at once, the receiver tells when.
    pub(super) fn join(
        &mut self,
        kind: Kind,
        names: Vec<Bytes>,
    ) -> (Arc<Subscriber>, Option<Live>) {
        self.last_id += 1;
        let id = self.last_id;
        let subscriber = Arc::new(Subscriber::new(id, kind, names));
        self.watchers.insert(id, Arc::clone(&subscriber));
        let mut waits_for = HashSet::new();
        for (number, name) in subscriber.names().iter().enumerate() {
            let topic_id = self.topic(kind, name, number as u64);
            if let Some(topic) = self.topics.get_mut(&topic_id) {
                topic.join(&subscriber);
                if !topic.is_live() {
                    waits_for.insert(topic_id);
                }
            }
        }
        if waits_for.is_empty() {
            return (subscriber, None);
        }
        let (done, live) = oneshot::channel();
        self.jobs.insert(id, Job { waits_for, done });
        (subscriber, Some(live))
    }

    /// Takes a subscriber out, and what nobody else watches with it.
    pub(super) fn leave(&mut self, subscriber: &Subscriber) {
        self.watchers.remove(&subscriber.id());
        self.jobs.remove(&subscriber.id());
        for name in subscriber.names() {
            let name = (subscriber.kind(), name.clone());
            let Some(&id) = self.by_name.get(&name) else {
                continue;
            };
            let topic = self.topics.get_mut(&id);
            if topic.is_some_and(|topic| topic.leave(subscriber.id())) {
                self.by_name.remove(&name);
                self.drop_topic(id);
            }
        }
    }

    /// What the server is to be asked for next.
    pub(super) fn next_request(&mut self) -> Option<Request> {
        loop {
            let request = self.requests.pop_front()?;
            if let Request::Watch(wanted) = &request {
                if !self.watches.contains_key(&wanted.id) {
                    continue;
                }
                self.asked.push_back(wanted.id);
            }
            return Some(request);
        }
    }

    /// Whether a watch is one of those that are under way.
    pub(super) fn knows(&self, watch: i64) -> bool {
        self.watches.contains_key(&watch)
    }

    /// Has the server asked for a sign of life.
    pub(super) fn ask_for_progress(&mut self) {
        self.requests.push_back(Request::Progress);
    }

    /// The server has told all there is at an earlier revision of this watch, and tells what follows.
    pub(super) fn created(&mut self, watch: i64, revision: i64, now: Timestamp) {
        match self.asked.front() == Some(&watch) {
            true => drop(self.asked.pop_front()),
            false => self.asked.retain(|it| *it != watch),
        }
        let Some((id, part)) = self.watches.get(&watch).copied() else {
            return;
        };
        let Some(topic) = self.topics.get_mut(&id) else {
            return;
        };
        let part = &mut topic.parts[part];
        part.live = true;
        let afresh = part.seen.is_none();
        part.seen.get_or_insert(revision);
        self.revision = self.revision.max(revision);
        if afresh && topic.kind == Kind::Keys && topic.is_live() {
            let key = topic.name.clone();
            self.looks
                .want(Spot { topic: id, key }, Cause::Armed(now), 0);
        }
        self.settle(id);
    }

    /// The server has compacted what this watch was to tell: it begins anew.
    pub(super) fn compacted(&mut self, watch: i64) {
        let Some((id, part)) = self.watches.remove(&watch) else {
            return;
        };
        let Some(topic) = self.topics.get_mut(&id) else {
            return;
        };
        let part = &mut topic.parts[part];
        (part.id, part.live, part.seen) = (None, false, None);
        topic.missed = true;
        self.ask(id);
    }

    /// The server refuses a watch; without a number it is the one that is to be answered next.
    pub(super) fn refuse(&mut self, watch: i64, failure: &Failure) {
        let watch = match self.watches.contains_key(&watch) {
            true => watch,
            false => self.asked.front().copied().unwrap_or(watch),
        };
        if let Some((id, _)) = self.watches.get(&watch).copied() {
            self.end_topic(id, failure);
        }
    }

    /// Ends all who watch a topic.
    pub(super) fn end_topic(&mut self, id: u64, failure: &Failure) {
        let Some(topic) = self.topics.get(&id) else {
            return;
        };
        for subscriber in topic.subscribers() {
            if let Some(job) = self.jobs.remove(&subscriber.id()) {
                let _ = job.done.send(Err(failure.clone()));
            }
            subscriber.end(failure.clone());
        }
        let name = (topic.kind, topic.name.clone());
        self.by_name.remove(&name);
        self.drop_topic(id);
    }

    /// Nothing is told any more on a stream.
    pub(super) fn lose(&mut self) {
        self.open = false;
        self.watches.clear();
        self.requests.clear();
        self.asked.clear();
        for topic in self.topics.values_mut() {
            for part in &mut topic.parts {
                (part.id, part.live) = (None, false);
            }
        }
    }

    /// Has everything asked for on a new stream.
    pub(super) fn begin(&mut self, from: From) {
        self.lose();
        self.open = true;
        let topics: Vec<u64> = self.topics.keys().copied().collect();
        for id in topics {
            if from == From::Now
                && let Some(topic) = self.topics.get_mut(&id)
            {
                let began = topic.parts.iter().any(|part| part.seen.is_some());
                topic.missed |= began;
                topic.told = 0;
                topic.parts.iter_mut().for_each(|part| part.seen = None);
                self.forget(id);
            }
            self.ask(id);
        }
        if from == From::Now {
            self.revision = 0;
        }
    }

    /// A key of which something is known, and the highest revision that was told of.
    pub(super) fn bearings(&self) -> Option<(Vec<u8>, i64)> {
        let mut parts = self.topics.values().flat_map(|topic| &topic.parts);
        let part = parts.find(|part| part.seen.is_some())?;
        Some((part.key.clone(), self.revision))
    }

    /// Fails those that wait to be live.
    pub(super) fn fail_jobs(&mut self, failure: &Failure) {
        for (_, job) in self.jobs.drain() {
            let _ = job.done.send(Err(failure.clone()));
        }
    }

    pub(super) fn end(&mut self, failure: &Failure) {
        self.fail_jobs(failure);
        for subscriber in self.watchers.values() {
            subscriber.end(failure.clone());
        }
    }

    /// The topic of this name, and if it is new all that it takes.
    fn topic(&mut self, kind: Kind, name: &Bytes, number: u64) -> u64 {
        if let Some(&id) = self.by_name.get(&(kind, name.clone())) {
            return id;
        }
        let id = self.last_id << 32 | number;
        let topic = Topic::new(&self.layout, kind, name.clone());
        self.topics.insert(id, topic);
        self.by_name.insert((kind, name.clone()), id);
        self.ask(id);
        id
    }

    /// Asks for the parts of a topic that are not asked for.
    fn ask(&mut self, id: u64) {
        let Some(topic) = self.topics.get_mut(&id).filter(|_| self.open) else {
            return;
        };
        for (number, part) in topic.parts.iter_mut().enumerate() {
            if part.id.is_some() {
                continue;
            }
            self.last_watch += 1;
            part.id = Some(self.last_watch);
            self.watches.insert(self.last_watch, (id, number));
            self.requests.push_back(Request::Watch(Wanted {
                id: self.last_watch,
                key: part.key.clone(),
                end: part.end.clone(),
                revision: part.seen,
                puts_only: topic.kind == Kind::Channels,
            }));
        }
    }

    /// Tells those who wait for a topic that is live now.
    fn settle(&mut self, id: u64) {
        let Some(topic) = self.topics.get_mut(&id).filter(|topic| topic.is_live()) else {
            return;
        };
        if std::mem::take(&mut topic.missed) {
            topic.subscribers().iter().for_each(|it| it.resync());
        }
        for subscriber in topic.subscribers() {
            let Some(job) = self.jobs.get_mut(&subscriber.id()) else {
                continue;
            };
            job.waits_for.remove(&id);
            if job.waits_for.is_empty()
                && let Some(job) = self.jobs.remove(&subscriber.id())
            {
                let _ = job.done.send(Ok(()));
            }
        }
    }

    fn drop_topic(&mut self, id: u64) {
        let Some(topic) = self.topics.remove(&id) else {
            return;
        };
        for watch in topic.parts.iter().filter_map(|part| part.id) {
            // One that was not asked for yet is not asked for any more.
            self.watches.remove(&watch);
            if self.open {
                self.requests.push_back(Request::Cancel(watch));
            }
        }
        match topic.kind {
            Kind::Keys => {
                let key = topic.name;
                self.clear(&Spot { topic: id, key });
            }
            Kind::Ranges => self.forget(id),
            Kind::Channels => {}
        }
    }

    fn clear(&mut self, spot: &Spot) {
        self.looks.remove(spot);
        self.key_ends.set(spot, None, MOST);
        self.gone.remove(spot);
    }

    /// Forgets what is known of the keys of a topic.
    fn forget(&mut self, id: u64) {
        self.looks.forget(id);
        self.key_ends.forget(id);
        self.range_ends.forget(id);
        self.gone.retain(|spot| spot.topic != id);
    }
}

#[cfg(test)]
mod tests;
