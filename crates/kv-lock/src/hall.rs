//! Where the waiters of this process are who stand in line on the store: they listen together, and who is
//! next is woken alone.

use crate::{
    keeper::Keeper,
    store::Store,
    waiting::{SHORT, later},
};
use futures_util::StreamExt;
use kv_core::{Clock, Event, Events, Key, Mark, PhysicalKey, Result, Score, TimeToLive, Watch};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Who has become the first looks after this, if nobody tells.
const LOOK: Duration = Duration::from_secs(5);

/// The halls of a runtime, by the lock as the store sees it.
#[derive(Default)]
pub(crate) struct Halls(Mutex<HashMap<PhysicalKey, Weak<Hall>>>);

#[derive(Default)]
struct Hall {
    state: Mutex<State>,
    /// One begins to listen for all.
    begins: tokio::sync::Mutex<()>,
    closed: CancellationToken,
}

#[derive(Default)]
struct State {
    waiters: HashMap<u64, Member>,
    last: u64,
    is_listening: bool,
    /// So often it was begun to listen.
    listened: u64,
}

#[derive(Default)]
struct Member {
    name: Option<Mark>,
    /// What was listened to when it asked last: of an earlier message it knows by the answer.
    heard_by: Option<u64>,
    ticket: Option<Score>,
    is_head: bool,
    /// It has asked and been answered, and will not ask before it is told.
    is_settled: bool,
    must_ask: bool,
    wake: Arc<Notify>,
}

/// One who waits, until this is dropped.
pub(crate) struct Waiter {
    hall: Arc<Hall>,
    id: u64,
    wake: Arc<Notify>,
    /// So often in a row it was asked for after the end of the lease that it was told.
    overdue: AtomicU32,
}

impl Halls {
    pub(crate) fn enter(&self, lock: PhysicalKey) -> Waiter {
        let mut halls = self.0.lock();
        let hall = match halls.get(&lock).and_then(Weak::upgrade) {
            Some(hall) => hall,
            None => {
                halls.retain(|_, it| it.strong_count() > 0);
                let hall = Arc::<Hall>::default();
                halls.insert(lock, Arc::downgrade(&hall));
                hall
            }
        };
        let mut state = hall.state.lock();
        state.last += 1;
        let (id, member) = (state.last, Member::default());
        let wake = member.wake.clone();
        state.waiters.insert(id, member);
        drop(state);
        Waiter {
            hall,
            id,
            wake,
            overdue: AtomicU32::default(),
        }
    }
}

impl fmt::Debug for Halls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Halls({})", self.0.lock().len())
    }
}

impl Waiter {
    /// It asks under this name: what it is told meanwhile it must not miss.
    pub(crate) fn asks(&self, name: &Mark) {
        let mut state = self.hall.state.lock();
        let heard_by = state.listens();
        state.change(self.id, |it| {
            it.name = Some(name.clone());
            it.heard_by = heard_by;
            it.is_settled = false;
            it.must_ask = false;
        });
    }

    /// It was answered: when it came, and whether nobody came before.
    pub(crate) fn settles(&self, ticket: Option<Score>, is_head: bool) {
        self.hall.state.lock().change(self.id, |it| {
            it.ticket = ticket;
            it.is_head = is_head;
            it.is_settled = true;
        });
    }

    /// Whether it would have been told that the lock is free since it asked. If not, it is listened from now
    /// on: the lock must be asked for once more then.
    pub(crate) async fn is_listening(
        &self,
        store: &Store,
        keeper: &Keeper,
        free: &Key,
    ) -> Result<bool> {
        let _first = self.hall.begins.lock().await;
        {
            let state = self.hall.state.lock();
            if state.is_listening {
                return Ok(state.heard_by(self.id) == state.listens());
            }
        }
        let events = store.watch(Watch::Channels(vec![free.clone()])).await?;
        self.hall.state.lock().begin();
        let (hall, closed) = (Arc::downgrade(&self.hall), self.hall.closed.clone());
        keeper.spawn(async move {
            tokio::select! {
                () = listen(hall, events) => {}
                () = closed.cancelled() => {}
            }
        });
        Ok(false)
    }

    /// Ends when it is worth asking again.
    pub(crate) async fn told(&self, clock: &dyn Clock, left: TimeToLive) {
        let left = match left {
            TimeToLive::Missing => Duration::ZERO,
            TimeToLive::NoExpiry => LOOK,
            TimeToLive::In(left) => left,
        };
        let overdue = match left < SHORT {
            true => self
                .overdue
                .fetch_add(1, Ordering::Relaxed)
                .saturating_add(1),
            false => {
                self.overdue.store(0, Ordering::Relaxed);
                0
            }
        };
        let pause = left + later(overdue);
        let mut until = clock.monotonic() + pause;
        let mut was_first = true;
        loop {
            let (must_ask, is_first) = self.hall.state.lock().look(self.id);
            if must_ask {
                return;
            }
            if !is_first {
                was_first = false;
                self.wake.notified().await;
                continue;
            }
            let now = clock.monotonic();
            if !was_first {
                // Another of this process was the first until now, and knew what there was to know.
                until = until.max(now + LOOK);
                was_first = true;
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = clock.sleep(until.saturating_sub(now)) => return,
            }
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut state = self.hall.state.lock();
        let before = state.first();
        state.waiters.remove(&self.id);
        state.tell_who_is_first(before);
    }
}

impl Drop for Hall {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

impl State {
    fn begin(&mut self) {
        self.is_listening = true;
        self.listened += 1;
    }

    /// What is listened to now.
    fn listens(&self) -> Option<u64> {
        self.is_listening.then_some(self.listened)
    }

    fn heard_by(&self, id: u64) -> Option<u64> {
        self.waiters.get(&id)?.heard_by
    }

    fn change(&mut self, id: u64, change: impl FnOnce(&mut Member)) {
        let before = self.first();
        if let Some(member) = self.waiters.get_mut(&id) {
            change(member);
        }
        self.tell_who_is_first(before);
    }

    /// Whether it must ask, and whether it is the first of this process.
    fn look(&self, id: u64) -> (bool, bool) {
        let must_ask = self.waiters.get(&id).is_none_or(|it| it.must_ask);
        // Who has no ticket looks after itself.
        let has_ticket = self.waiters.get(&id).is_some_and(|it| it.ticket.is_some());
        (must_ask, !has_ticket || self.first() == Some(id))
    }

    /// Who came first, of those who stand in line.
    fn first(&self) -> Option<u64> {
        let standing = self.waiters.iter();
        let tickets = standing.filter_map(|(&id, it)| it.ticket.map(|ticket| (ticket, id)));
        tickets.min().map(|(_, id)| id)
    }

    fn tell_who_is_first(&self, before: Option<u64>) {
        let first = self.first().filter(|it| Some(*it) != before);
        if let Some(member) = first.and_then(|it| self.waiters.get(&it)) {
            member.wake.notify_one();
        }
    }

    /// The lock may be free. Who is named comes next as far as the holder knew; who knows that nobody came
    /// before it need not be named.
    fn told(&mut self, name: &[u8]) {
        let first = self.first();
        for (&id, member) in &mut self.waiters {
            let is_named = member.name.as_ref().is_some_and(|it| it.as_bytes() == name);
            let is_next = first == Some(id) && (name.is_empty() || member.is_head);
            if is_named || is_next || !member.is_settled {
                member.must_ask = true;
                member.wake.notify_one();
            }
        }
    }
}

async fn listen(hall: Weak<Hall>, mut events: Events) {
    loop {
        let event = events.next().await;
        let Some(hall) = hall.upgrade() else {
            return;
        };
        let mut state = hall.state.lock();
        match event {
            Some(Ok(Event::Message { payload, .. })) => state.told(payload.as_bytes()),
            Some(Ok(_)) => state.told(b""),
            Some(Err(_)) | None => {
                state.is_listening = false;
                state.told(b"");
                return;
            }
        }
    }
}
