//! One receiver: what waits for it, in bounded room, and the stream it reads. For providers that tell
//! many receivers by one connection.

use super::Event;
use crate::{Error, Key, Result, Value};
use bytes::Bytes;
use futures_core::Stream;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// How many messages, or changes of different keys, wait for a receiver before it is told to read
/// again instead. One that watches more keys than this has room for each.
const ROOM: usize = 1024;

/// What a receiver watches; the names are distinct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Keys.
    Keys,
    /// Ranges of keys.
    Ranges,
    /// Messages on channels.
    Channels,
}

/// One receiver.
pub struct Subscriber {
    id: u64,
    kind: Kind,
    names: Vec<Bytes>,
    queue: Mutex<Queue>,
}

struct Queue {
    /// What comes next: the key of a change, a message, or that something was lost.
    waiting: VecDeque<Slot>,
    /// The last change of each key that waits. Changes of one key are told as one.
    changes: HashMap<Bytes, Change>,
    end: End,
    waker: Option<Waker>,
}

enum Slot {
    Changed(Bytes),
    Message(Key, Value),
    Lost,
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It was written; what it holds, where the store tells.
    Put(Option<Value>),
    /// It is gone.
    Delete,
}

enum End {
    Open,
    /// Told once all that waits is.
    Failed(Error),
    Over,
}

impl Subscriber {
    /// One to whom nothing was told yet, with a number of the provider's.
    pub fn new(id: u64, kind: Kind, names: Vec<Bytes>) -> Self {
        let queue = Queue {
            waiting: VecDeque::new(),
            changes: HashMap::new(),
            end: End::Open,
            waker: None,
        };
        Self {
            id,
            kind,
            names,
            queue: Mutex::new(queue),
        }
    }

    /// The provider's number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What the names are.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What is watched.
    pub fn names(&self) -> &[Bytes] {
        &self.names
    }

    /// Tells a change; it replaces one of the same key that still waits.
    pub fn change(&self, key: &Bytes, change: Change) {
        self.queue(|queue| {
            if let Some(earlier) = queue.changes.get_mut(key) {
                *earlier = change;
            } else if queue.changes.len() < ROOM.max(self.names.len()) {
                queue.changes.insert(key.clone(), change);
                queue.waiting.push_back(Slot::Changed(key.clone()));
            } else {
                queue.lose_changes();
            }
        });
    }

    /// Tells a message, or in its place and that of those behind it that something was lost.
    pub fn message(&self, channel: &Key, payload: &Value) {
        self.queue(|queue| {
            if queue.waiting.len() < ROOM {
                let message = Slot::Message(channel.clone(), payload.clone());
                queue.waiting.push_back(message);
            } else {
                queue.lose_messages();
            }
        });
    }

    /// Tells that something may have been missed.
    pub fn resync(&self) {
        self.queue(|queue| match self.kind {
            Kind::Channels => queue.lose_messages(),
            Kind::Keys | Kind::Ranges => queue.lose_changes(),
        });
    }

    /// Nothing comes any more but this, once all that waits is told; the first one counts.
    pub fn end(&self, error: impl Into<Error>) {
        self.queue(|queue| {
            if matches!(queue.end, End::Open) {
                queue.end = End::Failed(error.into());
            }
        });
    }

    /// All that waits, which is not told any more.
    pub fn take(&self) -> Vec<Event> {
        let mut queue = self.queue.lock();
        std::iter::from_fn(|| queue.next()).collect()
    }

    /// Whether nothing comes any more.
    pub fn has_ended(&self) -> bool {
        !matches!(self.queue.lock().end, End::Open)
    }

    fn queue(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue.lock();
        change(&mut queue);
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Queue {
    /// Who reads again learns all that waits.
    fn lose_changes(&mut self) {
        self.changes.clear();
        self.waiting.clear();
        self.waiting.push_back(Slot::Lost);
    }

    /// Messages before the gap are told still.
    fn lose_messages(&mut self) {
        if !matches!(self.waiting.back(), Some(Slot::Lost)) {
            self.waiting.push_back(Slot::Lost);
        }
    }

    fn next(&mut self) -> Option<Event> {
        Some(match self.waiting.pop_front()? {
            Slot::Lost => Event::Resync,
            Slot::Message(channel, payload) => Event::Message { channel, payload },
            Slot::Changed(name) => {
                let change = self.changes.remove(&name)?;
                let key = Key::new(name).ok()?;
                match change {
                    Change::Put(value) => Event::Put { key, value },
                    Change::Delete => Event::Delete { key },
                }
            }
        })
    }
}

/// What tells subscribers.
pub trait Line {
    /// Frees what was kept for a subscriber, here and on the server.
    fn leave(&self, subscriber: &Subscriber);
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// A receiver's end of a line; dropping it leaves the line.
pub struct Subscription<L: Line> {
    line: Arc<L>,
    subscriber: Arc<Subscriber>,
}

impl<L: Line> Subscription<L> {
    /// The stream of what a subscriber is told.
    pub fn new(line: &Arc<L>, subscriber: Arc<Subscriber>) -> Self {
        Self {
            line: Arc::clone(line),
            subscriber,
        }
    }
}

impl<L: Line> Stream for Subscription<L> {
    type Item = Result<Event>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut queue = self.subscriber.queue.lock();
        if let Some(event) = queue.next() {
            return Poll::Ready(Some(Ok(event)));
        }
        match std::mem::replace(&mut queue.end, End::Over) {
            End::Failed(error) => Poll::Ready(Some(Err(error))),
            End::Over => Poll::Ready(None),
            End::Open => {
                queue.end = End::Open;
                queue.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<L: Line> fmt::Debug for Subscription<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription")
            .field(&self.subscriber)
            .finish()
    }
}

impl<L: Line> Drop for Subscription<L> {
    fn drop(&mut self) {
        self.line.leave(&self.subscriber);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_one_key_are_told_as_one() {
        let subscriber = Subscriber::new(0, Kind::Keys, vec![]);
        let (a, b) = (Bytes::from("a"), Bytes::from("b"));
        subscriber.change(&a, Change::Put(Some("1".into())));
        subscriber.change(&b, Change::Put(None));
        subscriber.change(&a, Change::Delete);
        let key = |it: &Bytes| Key::new(it.clone()).unwrap();
        let expected = [
            Event::Delete { key: key(&a) },
            Event::Put {
                key: key(&b),
                value: None,
            },
        ];
        assert_eq!(subscriber.take(), expected);
    }

    #[test]
    fn changes_beyond_the_room_become_one_resync() {
        let subscriber = Subscriber::new(0, Kind::Ranges, vec![]);
        for number in 0..=ROOM {
            subscriber.change(&Bytes::from(format!("{number}")), Change::Delete);
        }
        subscriber.change(&Bytes::from("later"), Change::Delete);
        let events = subscriber.take();
        assert_eq!(events[0], Event::Resync);
        assert_eq!(events.len(), 2, "{events:?}");
    }

    #[test]
    fn lost_messages_leave_one_resync_in_their_place() {
        let subscriber = Subscriber::new(0, Kind::Channels, vec![]);
        let channel = Key::new("c").unwrap();
        let send = |number: usize| {
            let payload = Value::from(number.to_string());
            subscriber.message(&channel, &payload);
        };
        (0..ROOM + 5).for_each(send);
        let events = subscriber.take();
        assert_eq!(events.len(), ROOM + 1);
        assert_eq!(events.last(), Some(&Event::Resync));
        send(7);
        assert!(
            matches!(&subscriber.take()[..], [Event::Message { payload, .. }] if *payload == "7")
        );
    }
}
