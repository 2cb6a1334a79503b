//! From what the server tells, and what is found at keys, to what is told.

use super::{Board, MOST};
use crate::{
    error::Failure,
    layout::{Place, Record, header},
    watch::{
        look::{self, Found},
        looks::{Cause, Spot},
    },
};
use bytes::Bytes;
use kv_core::{
    Key, Timestamp, Value,
    subscription::{Change as News, Kind},
};
use std::collections::HashMap;

/// What the server tells of one of its keys.
#[derive(Clone, Debug)]
pub(in crate::watch) struct Change {
    pub(in crate::watch) key: Vec<u8>,
    /// None if it was deleted.
    pub(in crate::watch) value: Option<Bytes>,
    pub(in crate::watch) revision: i64,
    pub(in crate::watch) lease: i64,
}

/// What follows from a change at a key.
enum Verdict {
    /// It was written, and ends as told.
    Written(Option<Value>, Ends),
    /// Nobody knows yet.
    Look,
}

enum Ends {
    /// As it did before.
    AsBefore,
    At(Option<Timestamp>),
}

impl Board {
    /// Takes in what the server tells on one of its watches.
    pub(in crate::watch) fn changed(&mut self, watch: i64, changes: Vec<Change>, now: Timestamp) {
        let Some((id, part)) = self.watches.get(&watch).copied() else {
            return;
        };
        let Some(topic) = self.topics.get_mut(&id) else {
            return;
        };
        let part = &mut topic.parts[part];
        let seen = part.seen.unwrap_or_default();
        let latest = changes.iter().map(|it| it.revision).max();
        part.seen = Some(seen.max(latest.unwrap_or_default()));
        self.revision = self.revision.max(latest.unwrap_or_default());
        // A watch that goes on after a loss begins with what it told last.
        let news = changes.into_iter().filter(|it| it.revision > seen);
        let placed = |it: Change| Some((self.layout.place(&it.key)?, it));
        let news: Vec<_> = news.filter_map(placed).collect();
        let written = written(&news);
        for (place, change) in news {
            match &place {
                Place::Message(channel) => self.message(id, channel, change),
                // Another element was written with it or later: the structure is there.
                Place::Element(key)
                    if change.value.is_none()
                        && written
                            .get(key)
                            .is_some_and(|last| *last >= change.revision) => {}
                Place::String(key) | Place::Record(key) | Place::Element(key) => {
                    let key = Bytes::copy_from_slice(key.as_bytes());
                    self.fold(Spot { topic: id, key }, &place, change, now);
                }
            }
        }
        self.bound_looks();
    }

    /// The server has told all there is up to this revision on one of its watches. It says so by
    /// itself, of each watch, in line with the events.
    pub(in crate::watch) fn progressed(&mut self, watch: i64, revision: i64) {
        let at = self.watches.get(&watch).copied();
        let topic = at.and_then(|(id, part)| Some((self.topics.get_mut(&id)?, part)));
        if let Some((topic, part)) = topic
            && let Some(seen) = &mut topic.parts[part].seen
        {
            *seen = revision.max(*seen);
            self.revision = self.revision.max(revision);
        }
    }

    /// Has the keys looked at whose deadlines have come.
    pub(in crate::watch) fn due(&mut self, now: Timestamp) {
        for ends in [&mut self.key_ends, &mut self.range_ends] {
            while let Some(spot) = ends.take_due(now) {
                self.looks.want(spot, Cause::Due, 0);
            }
        }
    }

    pub(in crate::watch) fn next_deadline(&self) -> Option<Timestamp> {
        let next = [self.key_ends.next(), self.range_ends.next()];
        next.into_iter().flatten().min()
    }

    /// Some keys to look at now.
    pub(in crate::watch) fn begin_looks(&mut self, most: usize) -> Vec<Spot> {
        self.looks.begin(most)
    }

    /// What cannot be looked at now is looked at later.
    pub(in crate::watch) fn look_again(&mut self, spots: Vec<Spot>) {
        spots.into_iter().for_each(|spot| self.looks.again(spot));
    }

    /// A key cannot be looked at.
    pub(in crate::watch) fn refuse_look(&mut self, spot: &Spot, failure: &Failure) {
        self.looks.remove(spot);
        self.end_topic(spot.topic, failure);
    }

    /// Tells what was found at a key.
    pub(in crate::watch) fn found(&mut self, spot: &Spot, revision: i64, found: Found) {
        let Some(cause) = self.looks.end(spot, revision) else {
            return;
        };
        match found {
            Found::Present { value, deadline } => {
                self.gone.remove(spot);
                self.expect(spot, deadline);
                if cause == Cause::Changed {
                    self.tell(spot, News::Put(value), revision);
                }
            }
            Found::Missing { ended } => {
                let is_news = match cause {
                    Cause::Changed | Cause::Due => true,
                    Cause::Armed(since) => ended.is_some_and(|ended| ended > since),
                };
                self.expect(spot, None);
                // What was gone when the watch began will be collected, too.
                if is_news || ended.is_some() {
                    self.gone.insert(spot.clone());
                }
                if is_news {
                    self.tell(spot, News::Delete, revision);
                }
            }
        }
    }

    fn fold(&mut self, spot: Spot, place: &Place, change: Change, now: Timestamp) {
        let Some(topic) = self.topics.get(&spot.topic) else {
            return;
        };
        if topic.kind == Kind::Keys && change.revision <= topic.told {
            return;
        }
        let revision = change.revision;
        if change.value.is_some() {
            self.gone.remove(&spot);
        } else if self.gone.contains(&spot) {
            return;
        }
        let Verdict::Written(value, ends) = self.judge(&spot, place, change, now) else {
            self.looks.want(spot, Cause::Changed, revision);
            return;
        };
        match (self.looks.cause(&spot), ends) {
            (None, Ends::AsBefore) => {}
            // Better than what a look for the deadline would find.
            (None | Some(Cause::Armed(_) | Cause::Due), Ends::At(deadline)) => {
                self.looks.remove(&spot);
                self.expect(&spot, deadline);
            }
            // The look comes behind the change, or is repeated.
            (Some(_), _) => {
                self.looks.want(spot, Cause::Changed, revision);
                return;
            }
        }
        self.tell(&spot, News::Put(value), revision);
    }

    fn judge(&self, spot: &Spot, place: &Place, change: Change, now: Timestamp) -> Verdict {
        let Some(value) = change.value else {
            return Verdict::Look;
        };
        let (value, end) = match place {
            Place::String(_) => match header::decode(value, change.revision) {
                Ok(content) => (Some(content.value.into()), content.end),
                // It is there, and who reads it is told what is wrong.
                Err(_) => return Verdict::Written(None, Ends::At(None)),
            },
            Place::Record(_) => match Record::decode(&value) {
                Ok(record) => (None, record.end),
                Err(_) => return Verdict::Written(None, Ends::At(None)),
            },
            // The record tells when a structure ends; here it was written before it was watched.
            _ if change.lease != 0 && !self.expects(spot) => return Verdict::Look,
            _ => return Verdict::Written(None, Ends::AsBefore),
        };
        match end.is_past(now) {
            true => Verdict::Look,
            false => Verdict::Written(value, Ends::At(look::deadline(end))),
        }
    }

    fn message(&self, id: u64, channel: &Key, change: Change) {
        // Deletions are those of messages that nobody needs any more.
        let (Some(topic), Some(payload)) = (self.topics.get(&id), change.value) else {
            return;
        };
        let payload = Value::from(payload);
        let subscribers = topic.subscribers().iter();
        subscribers.for_each(|it| it.message(channel, &payload));
    }

    fn tell(&mut self, spot: &Spot, news: News, revision: i64) {
        let Some(topic) = self.topics.get_mut(&spot.topic) else {
            return;
        };
        topic.told = topic.told.max(revision);
        for subscriber in topic.subscribers() {
            subscriber.change(&spot.key, news.clone());
        }
    }

    fn expect(&mut self, spot: &Spot, deadline: Option<Timestamp>) {
        match self.topics.get(&spot.topic).map(|topic| topic.kind) {
            // There are no more than somebody named.
            Some(Kind::Keys) => self.key_ends.set(spot, deadline, usize::MAX),
            Some(Kind::Ranges) => self.range_ends.set(spot, deadline, MOST),
            _ => {}
        }
    }

    fn expects(&self, spot: &Spot) -> bool {
        self.key_ends.contains(spot) || self.range_ends.contains(spot)
    }

    /// Too many keys to look at: who watches ranges reads again.
    fn bound_looks(&mut self) {
        // Each key that somebody named can wait, too.
        if self.looks.len() <= MOST + self.topics.len() {
            return;
        }
        let topics = self.topics.iter();
        let ranges = topics.filter(|(_, topic)| topic.kind == Kind::Ranges);
        let ranges: Vec<u64> = ranges.map(|(&id, _)| id).collect();
        for id in ranges {
            self.looks.forget(id);
            if let Some(topic) = self.topics.get(&id) {
                topic.subscribers().iter().for_each(|it| it.resync());
            }
        }
    }
}

/// When elements of each structure were written last.
fn written(news: &[(Place, Change)]) -> HashMap<Key, i64> {
    let mut written = HashMap::new();
    for (place, change) in news {
        if let (Place::Element(key), Some(_)) = (place, &change.value) {
            written.insert(key.clone(), change.revision);
        }
    }
    written
}
