//! What one watch waits for, and what it has not told yet.

use kv_core::{Key, Notice, Prefixes};
use parking_lot::Mutex;
use std::{
    collections::{HashSet, VecDeque},
    mem,
    task::{Context, Poll, Waker},
};

/// How much is kept for a receiver that lags: so many keys, or so many messages.
pub(crate) const BUFFER: usize = 4096;

pub(crate) struct Watcher {
    pub(crate) interest: Interest,
    /// The store's handle that it belongs to.
    pub(crate) handle: u64,
    state: Mutex<State>,
}

pub(crate) enum Interest {
    Keys(Vec<Key>),
    Prefixes(Prefixes),
    Channels(Vec<Key>),
}

/// What there is to tell.
pub(crate) enum Item {
    /// The key changed; what it holds is looked up when it is told.
    Changed(Key),
    Message(Notice),
    /// Something was dropped.
    Resync,
    Closed,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// The keys among the items.
    changed: HashSet<Key>,
    waker: Option<Waker>,
    over: bool,
}

impl Interest {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Keys(keys) | Self::Channels(keys) => keys.is_empty(),
            Self::Prefixes(prefixes) => prefixes.as_slice().is_empty(),
        }
    }
}

impl Watcher {
    pub(crate) fn new(interest: Interest, handle: u64) -> Self {
        Self {
            interest,
            handle,
            state: Mutex::default(),
        }
    }

    /// The next item; the last one is `Closed`.
    pub(crate) fn next(&self, context: &Context<'_>) -> Poll<Option<Item>> {
        let mut state = self.state.lock();
        let Some(item) = state.items.pop_front() else {
            if state.over {
                return Poll::Ready(None);
            }
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        match &item {
            // A change from here on is told again.
            Item::Changed(key) => drop(state.changed.remove(key)),
            Item::Closed => state.over = true,
            Item::Message(_) | Item::Resync => {}
        }
        Poll::Ready(Some(item))
    }

    /// Notes that a key changed. Who has to be told is put to the others.
    pub(crate) fn changed(&self, key: &Key, woken: &mut Vec<Waker>) {
        let mut state = self.state.lock();
        if state.changed.contains(key) {
            return;
        }
        if state.changed.len() == BUFFER {
            // Once everything has to be read again, single keys tell nothing more.
            state.changed.clear();
            state.items.clear();
            state.items.push_back(Item::Resync);
        }
        state.changed.insert(key.clone());
        state.push(Item::Changed(key.clone()), woken);
    }

    pub(crate) fn message(&self, notice: Notice, woken: &mut Vec<Waker>) {
        let mut state = self.state.lock();
        let told = usize::from(matches!(state.items.front(), Some(Item::Resync)));
        if state.items.len() == BUFFER + told {
            // The older half goes, and the mark stands where it was. Were it the oldest only, whoever
            // answers a mark by sending something would read marks and nothing else.
            state.items.drain(..told + BUFFER / 2);
            state.items.push_front(Item::Resync);
        }
        state.push(Item::Message(notice), woken);
    }

    /// The last thing that is told.
    pub(crate) fn close(&self, woken: &mut Vec<Waker>) {
        self.state.lock().push(Item::Closed, woken);
    }
}

impl State {
    fn push(&mut self, item: Item, woken: &mut Vec<Waker>) {
        self.items.push_back(item);
        woken.extend(mem::take(&mut self.waker));
    }
}
