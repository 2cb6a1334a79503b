//! The stream of a store and what becomes of it: opened for the first subscriber, restored when it is
//! lost, closed some time after the last subscriber left.

use super::{
    board::{Board, Live, Request},
    look::{self, CHUNK},
    stream::{self, History},
};
use crate::{
    error::{Answer, Failure},
    optimistic::Optimist,
};
use bytes::Bytes;
use kv_core::{
    ErrorKind, Timestamp,
    subscription::{self, Kind, Subscriber, Subscription},
};
use parking_lot::Mutex;
use std::{future::pending, sync::Arc, time::Duration};
use tokio::{runtime::Handle, sync::Notify, task::AbortHandle, time::timeout};

/// How long a stream without subscribers is kept.
const LINGER: Duration = Duration::from_secs(2);
/// How long to pause after a stream is lost at least, ...
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// ... and at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The way on which one store's subscribers are told.
pub(crate) struct Line {
    pub(super) store: Arc<Optimist>,
    /// How long it may take to open the stream.
    pub(super) connect_timeout: Duration,
    /// How long an answer may take.
    pub(super) response_timeout: Duration,
    state: Mutex<State>,
    /// Told when the server is to be asked for something.
    pub(super) asked: Notify,
    /// Told when a key is to be looked at, or has another deadline.
    looking: Notify,
    /// Told when the last subscriber has left.
    empty: Notify,
}

struct State {
    board: Board,
    link: Link,
    /// Where the store was connected: whoever watches first may be on a runtime that ends, or stands
    /// still, long before the others are done.
    home: Option<Handle>,
    /// Counts the times when nobody was left.
    left: u64,
}

enum Link {
    /// Nobody watches.
    Asleep,
    /// A task keeps the stream.
    Kept(AbortHandle),
    Closed,
}

impl Line {
    pub(crate) fn new(
        store: Arc<Optimist>,
        connect_timeout: Duration,
        response_timeout: Duration,
    ) -> Arc<Self> {
        let state = State {
            board: Board::new(store.layout.clone()),
            link: Link::Asleep,
            home: None,
            left: 0,
        };
        Arc::new(Self {
            store,
            connect_timeout,
            response_timeout,
            state: Mutex::new(state),
            asked: Notify::new(),
            looking: Notify::new(),
            empty: Notify::new(),
        })
    }

    /// A subscription that is live.
    pub(super) async fn subscribe(
        self: &Arc<Self>,
        kind: Kind,
        names: Vec<Bytes>,
    ) -> Answer<Subscription<Self>> {
        let (subscriber, live) = self.join(kind, names)?;
        let subscription = Subscription::new(self, subscriber);
        let Some(live) = live else {
            return Ok(subscription);
        };
        self.asked.notify_one();
        let limit = self.connect_timeout + self.response_timeout;
        let too_late = || Failure::timeout(limit).of_a_read();
        let told = timeout(limit, live).await.map_err(|_| too_late())?;
        told.unwrap_or_else(|_| Err(Failure::closed()))?;
        Ok(subscription)
    }

    /// Takes subscribers, again too; keeps the stream on this runtime.
    pub(crate) fn open(&self) {
        let mut state = self.state.lock();
        state.home = Some(Handle::current());
        if matches!(state.link, Link::Closed) {
            state.link = Link::Asleep;
        }
    }

    /// Ends every subscription and the stream.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        if let Link::Kept(task) = &state.link {
            task.abort();
        }
        state.link = Link::Closed;
        state.board.lose();
        state.board.end(&Failure::closed());
    }

    /// Does something with what is known of the line.
    pub(super) fn with<T>(&self, what: impl FnOnce(&mut Board) -> T) -> T {
        what(&mut self.state.lock().board)
    }

    /// The same with what the server tells, from which looks may follow.
    pub(super) fn learn<T>(&self, what: impl FnOnce(&mut Board, Timestamp) -> T) -> T {
        let now = self.store.clock.now();
        let answer = self.with(|board| what(board, now));
        self.looking.notify_one();
        answer
    }

    /// What the server is to be asked for next.
    pub(super) async fn next_request(&self) -> Request {
        loop {
            if let Some(request) = self.with(Board::next_request) {
                return request;
            }
            self.asked.notified().await;
        }
    }

    fn join(
        self: &Arc<Self>,
        kind: Kind,
        names: Vec<Bytes>,
    ) -> Answer<(Arc<Subscriber>, Option<Live>)> {
        if !self.store.link.is_connected() {
            return Err(Failure::closed());
        }
        let mut state = self.state.lock();
        let is_kept = match &state.link {
            Link::Closed => return Err(Failure::closed()),
            Link::Asleep => false,
            // The runtime that it ran on may have ended.
            Link::Kept(task) => !task.is_finished(),
        };
        if !is_kept {
            let home = state.home.clone().unwrap_or_else(Handle::current);
            let mut task = home.spawn(Arc::clone(self).keep());
            if task.is_finished() {
                task = tokio::spawn(Arc::clone(self).keep());
            }
            state.link = Link::Kept(task.abort_handle());
        }
        Ok(state.board.join(kind, names))
    }

    /// Keeps the stream while there are subscribers.
    async fn keep(self: Arc<Self>) {
        tokio::select! {
            () = self.restore() => {}
            () = self.look() => {}
            () = self.idle() => {}
        }
    }

    /// Opens a stream whenever one is lost.
    async fn restore(&self) {
        let mut history = History::default();
        let mut pause = SHORTEST_PAUSE;
        // Where calls go, so that they notice if the member freezes.
        let mut turn = 0;
        loop {
            let failure = match stream::serve(self, &mut history, turn).await {
                Ok(never) => match never {},
                Err(failure) => failure,
            };
            self.with(|board| {
                board.lose();
                if !history.reached() {
                    board.fail_jobs(&failure);
                }
            });
            tracing::warn!(reason = ?failure.kind(), "lost a stream that watches, restoring it");
            if history.reached() {
                pause = SHORTEST_PAUSE;
            }
            // Clients that lost the same member must not all go to the same other one.
            turn = fastrand::usize(..1024);
            let jitter = pause.mul_f64(fastrand::f64());
            let _ = timeout(SHORTEST_PAUSE / 2 + jitter, pending::<()>()).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Looks at keys that changed in a way that does not tell what is there, and at those whose
    /// deadlines have come.
    async fn look(&self) {
        let mut most = CHUNK;
        let mut pause = SHORTEST_PAUSE;
        loop {
            let now = self.store.clock.now();
            let (spots, next) = self.with(|board| {
                board.due(now);
                (board.begin_looks(most), board.next_deadline())
            });
            if spots.is_empty() {
                let moment = next.map(|next| self.store.clock.sleep_until(next));
                let due = async {
                    match moment {
                        Some(moment) => moment.await,
                        None => pending().await,
                    }
                };
                tokio::select! {
                    () = due => {}
                    () = self.looking.notified() => {}
                }
                continue;
            }
            match look::look(&self.store, &spots).await {
                Ok((revision, found)) => {
                    (most, pause) = (CHUNK, SHORTEST_PAUSE);
                    self.with(|board| {
                        for (spot, found) in spots.iter().zip(found) {
                            board.found(spot, revision, found);
                        }
                    });
                }
                Err(failure) if is_passing(&failure) => {
                    self.with(|board| board.look_again(spots));
                    let jitter = pause.mul_f64(fastrand::f64());
                    let _ = timeout(SHORTEST_PAUSE + jitter, pending::<()>()).await;
                    pause = LONGEST_PAUSE.min(pause * 2);
                }
                // It may be about one of them only.
                Err(_) if spots.len() > 1 => {
                    most = 1;
                    self.with(|board| board.look_again(spots));
                }
                Err(failure) => {
                    most = CHUNK;
                    self.with(|board| board.refuse_look(&spots[0], &failure));
                }
            }
        }
    }

    /// Ends when nobody has watched for a while.
    async fn idle(&self) {
        loop {
            self.empty.notified().await;
            let left = self.state.lock().left;
            let _ = timeout(LINGER, pending::<()>()).await;
            let mut state = self.state.lock();
            if state.board.watchers.is_empty() && state.left == left {
                state.board.lose();
                if !matches!(state.link, Link::Closed) {
                    state.link = Link::Asleep;
                }
                return;
            }
        }
    }
}

impl subscription::Line for Line {
    fn leave(&self, subscriber: &Subscriber) {
        let mut state = self.state.lock();
        state.board.leave(subscriber);
        let is_empty = state.board.watchers.is_empty();
        state.left += u64::from(is_empty);
        drop(state);
        self.asked.notify_one();
        if is_empty {
            self.empty.notify_one();
        }
    }
}

/// Whether the same can go well later.
fn is_passing(failure: &Failure) -> bool {
    matches!(failure.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
}
