//! Who watches what: keys and channels by name, ranges by what a key starts with.

use bytes::Bytes;
use kv_core::subscription::Subscriber;
use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::Arc,
};

/// One key, range or channel and who watches it.
pub(super) struct Topic {
    /// In the order of their numbers.
    subscribers: Vec<Arc<Subscriber>>,
    /// Whether the server tells of it on this connection.
    pub(super) ready: bool,
    /// Tells it from an earlier topic of the same name.
    pub(super) born: u64,
}

impl Topic {
    pub(super) fn subscribers(&self) -> &[Arc<Subscriber>] {
        &self.subscribers
    }

    pub(super) fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }
}

/// Topics of one kind by their names.
#[derive(Default)]
pub(super) struct Topics {
    by_name: HashMap<Bytes, Topic>,
    /// How many topics have a name of this length.
    lengths: BTreeMap<usize, usize>,
}

impl Topics {
    /// Adds a subscriber, whose number is the highest so far; answers its topic.
    pub(super) fn join(&mut self, name: &Bytes, subscriber: &Arc<Subscriber>) -> &Topic {
        let topic = match self.by_name.entry(name.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                *self.lengths.entry(name.len()).or_default() += 1;
                new.insert(Topic {
                    subscribers: Vec::with_capacity(1),
                    ready: false,
                    born: subscriber.id(),
                })
            }
        };
        topic.subscribers.push(Arc::clone(subscriber));
        topic
    }

    /// Takes a subscriber out; answers whether nobody is left.
    pub(super) fn leave(&mut self, name: &Bytes, id: u64) -> bool {
        let Some(topic) = self.by_name.get_mut(name) else {
            return false;
        };
        if let Ok(at) = topic.subscribers.binary_search_by_key(&id, |it| it.id()) {
            topic.subscribers.remove(at);
        }
        topic.is_empty()
    }

    pub(super) fn remove(&mut self, name: &Bytes) {
        if self.by_name.remove(name).is_none() {
            return;
        }
        if let Some(count) = self.lengths.get_mut(&name.len()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&name.len());
            }
        }
    }

    /// Drops topics that nobody watches.
    pub(super) fn retain_watched(&mut self) {
        let topics = self.by_name.iter().filter(|(_, topic)| topic.is_empty());
        let empty: Vec<_> = topics.map(|(name, _)| name.clone()).collect();
        empty.iter().for_each(|name| self.remove(name));
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Topic> {
        self.by_name.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &[u8]) -> Option<&mut Topic> {
        self.by_name.get_mut(name)
    }

    /// The topics whose names a key starts with.
    pub(super) fn around<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = &'a Topic> {
        let lengths = self.lengths.range(..=key.len());
        lengths.filter_map(|(&length, _)| self.by_name.get(&key[..length]))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Bytes, &mut Topic)> {
        self.by_name.iter_mut()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Bytes> {
        self.by_name.keys()
    }

    /// The fewest names that every name starts with one of, in order: the server refuses ranges
    /// that overlap.
    pub(super) fn cover(&self) -> Vec<Bytes> {
        let outermost = |name: &&Bytes| self.around(name).count() == 1;
        let mut cover: Vec<_> = self.names().filter(outermost).cloned().collect();
        cover.sort_unstable();
        cover
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_core::subscription::Kind;

    #[test]
    fn the_outermost_ranges_cover_the_others() {
        let mut topics = Topics::default();
        for (id, name) in ["a:b", "a:", "b:x", "a:bc", "b:y"].into_iter().enumerate() {
            let name = Bytes::from(name);
            let subscriber = Subscriber::new(id as u64, Kind::Ranges, vec![name.clone()]);
            topics.join(&name, &Arc::new(subscriber));
        }
        assert_eq!(topics.cover(), ["a:", "b:x", "b:y"]);
        assert_eq!(topics.around(b"a:bcd").count(), 3);
        assert_eq!(topics.around(b"a").count(), 0);
        assert!(topics.leave(&Bytes::from("a:"), 1));
        topics.remove(&Bytes::from("a:"));
        assert_eq!(topics.cover(), ["a:b", "b:x", "b:y"]);
    }
}
