//! One connection that tells of changes: opened for the first subscriber, restored when it is lost,
//! closed some time after the last subscriber left.

use super::{
    board::{Board, Live, Reading, Work},
    server::Server,
};
use crate::{
    error::{Answer, Failure},
    handshake::Settings,
};
use bytes::Bytes;
use kv_core::{
    Stopwatch,
    subscription::{self, Kind, Subscriber, Subscription},
};
use parking_lot::Mutex;
use redis::Client;
use std::{future::pending, sync::Arc, time::Duration};
use tokio::{runtime::Handle, sync::Notify, task::AbortHandle, time::timeout};

/// How long a connection without subscribers is kept, and a range that nobody watches any more.
const LINGER: Duration = Duration::from_secs(2);
/// After so long a silence the server is asked whether it is there.
const QUIET: Duration = Duration::from_secs(5);
/// How often the keys are looked at where the server pushes nothing, give or take a quarter.
const POLL: Duration = Duration::from_millis(250);
/// How long to pause after a failed attempt to connect at least, ...
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// ... and at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Keys, each armed by a look at it, and channels.
    Names,
    /// All keys of ranges.
    Ranges,
}

pub(crate) struct Line {
    pub(super) role: Role,
    pub(super) client: Client,
    pub(super) settings: Settings,
    runtime: Handle,
    pub(super) started: Stopwatch,
    state: Mutex<State>,
    /// Told when there is something to do.
    wake: Notify,
}

struct State {
    board: Board,
    /// Counts attempts to connect; pushes of earlier ones are late.
    epoch: u64,
    link: Link,
    idle_since: Option<Duration>,
    /// Whether the last step was for those who join.
    settled: bool,
}

enum Link {
    /// Nobody watches.
    Asleep,
    /// A task keeps the connection.
    Kept(AbortHandle),
    Closed,
}

/// What the task does next.
enum Step {
    Settle(Box<Work>),
    Read(Reading),
    Wait(Duration),
    Lost,
    Done,
}

impl Line {
    pub(super) fn new(role: Role, client: Client, settings: Settings) -> Self {
        let state = State {
            board: Board::default(),
            epoch: 0,
            link: Link::Asleep,
            idle_since: None,
            settled: false,
        };
        Self {
            role,
            client,
            settings,
            runtime: Handle::current(),
            started: Stopwatch::start(),
            state: Mutex::new(state),
            wake: Notify::new(),
        }
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
        self.wake.notify_one();
        let limit = self.settings.connect_timeout + self.settings.response_timeout;
        let too_late = || Failure::not_connected(limit).at(&self.settings.address);
        let told = timeout(limit, live).await.map_err(|_| too_late())?;
        told.unwrap_or_else(|_| Err(Failure::closed()))?;
        Ok(subscription)
    }

    /// Ends every subscription and the connection.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        if let Link::Kept(task) = &state.link {
            task.abort();
        }
        state.link = Link::Closed;
        state.board.end(&Failure::closed());
    }

    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Does something with what is known of the line.
    pub(super) fn with<T>(&self, what: impl FnOnce(&mut Board) -> T) -> T {
        what(&mut self.state.lock().board)
    }

    /// Takes in what a connection pushes, unless it is not in use any more.
    pub(super) fn push(&self, epoch: u64, info: redis::PushInfo) {
        let is_message = info.kind == redis::PushKind::Message;
        let mut state = self.state.lock();
        if state.epoch != epoch {
            return;
        }
        if info.kind == redis::PushKind::Disconnection {
            state.epoch += 1;
        }
        state.board.push(info);
        drop(state);
        if !is_message {
            self.wake.notify_one();
        }
    }

    fn join(
        self: &Arc<Self>,
        kind: Kind,
        names: Vec<Bytes>,
    ) -> Answer<(Arc<Subscriber>, Option<Live>)> {
        let mut state = self.state.lock();
        match state.link {
            Link::Closed => return Err(Failure::closed()),
            Link::Kept(_) => {}
            Link::Asleep => {
                let task = self.runtime.spawn(Arc::clone(self).keep());
                state.link = Link::Kept(task.abort_handle());
            }
        }
        state.idle_since = None;
        Ok(state.board.join(kind, names))
    }

    /// Keeps a connection while there are subscribers.
    async fn keep(self: Arc<Self>) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let epoch = self.begin();
            let failure = match Server::connect(&self, epoch).await {
                Ok(mut server) => {
                    pause = SHORTEST_PAUSE;
                    match self.serve(&mut server, epoch).await {
                        Ok(()) => return,
                        Err(failure) => failure,
                    }
                }
                Err(failure) => {
                    self.with(|board| board.fail_jobs(&failure));
                    failure
                }
            };
            if self.lost() {
                return;
            }
            tracing::warn!(
                address = %self.settings.address,
                reason = ?failure.kind(),
                "lost a connection that watches, restoring it"
            );
            // Clients that lost the same server must not come back in step.
            let jitter = pause.mul_f64(fastrand::f64());
            let _ = timeout(SHORTEST_PAUSE + jitter, pending::<()>()).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Does what is to be done on a connection; ends well when nobody watches any more.
    async fn serve(&self, server: &mut Server, epoch: u64) -> Answer<()> {
        let mut poll_at = Duration::ZERO;
        let mut heard = self.now();
        loop {
            let now = self.now();
            if !server.pushes() && now >= poll_at {
                poll_at = now + POLL.mul_f64(0.75 + fastrand::f64() / 2.0);
                self.with(|board| server.begin_round(board, now));
            }
            match self.step(epoch, now) {
                Step::Settle(work) => {
                    let work = server.settle(*work).await?;
                    heard = self.now();
                    self.with(|board| {
                        server.remember(board, &work, heard);
                        board.finish(work, heard);
                    });
                }
                Step::Read(reading) => {
                    let looks = server.look(&reading.items).await?;
                    heard = self.now();
                    self.with(|board| server.tell(board, reading, looks, heard));
                }
                Step::Wait(until) => {
                    if let Some(looks) = server.sweep().await? {
                        heard = self.now();
                        self.with(|board| server.swept(board, looks, heard));
                        continue;
                    }
                    let mut until = until.min(heard + QUIET);
                    if !server.pushes() {
                        until = until.min(poll_at);
                    }
                    let span = until.saturating_sub(now);
                    // The timer counts in milliseconds and may end in the middle of one.
                    let woken = timeout(span, self.wake.notified()).await.is_ok();
                    if !woken && self.now() >= heard + QUIET {
                        server.ping().await?;
                        heard = self.now();
                        self.with(Board::answered);
                    }
                }
                Step::Lost => return Err(Failure::connection_closed()),
                Step::Done => return Ok(()),
            }
        }
    }

    fn step(&self, epoch: u64, now: Duration) -> Step {
        let mut state = self.state.lock();
        match state.epoch == epoch {
            true => state.next(now),
            false => Step::Lost,
        }
    }

    fn begin(&self) -> u64 {
        let mut state = self.state.lock();
        state.epoch += 1;
        state.epoch
    }

    /// Forgets a connection; answers whether nobody wants another.
    fn lost(&self) -> bool {
        let mut state = self.state.lock();
        state.epoch += 1;
        state.board.lose();
        if state.board.watchers.is_empty() {
            state.fall_asleep();
            return true;
        }
        false
    }
}

impl subscription::Line for Line {
    fn leave(&self, subscriber: &Subscriber) {
        let now = self.now();
        self.state.lock().board.leave(subscriber, now);
        self.wake.notify_one();
    }
}

impl State {
    fn next(&mut self, now: Duration) -> Step {
        let board = &mut self.board;
        if board.watchers.is_empty() {
            let since = *self.idle_since.get_or_insert(now);
            if now >= since + LINGER {
                self.fall_asleep();
                return Step::Done;
            }
        }
        if board.stale_since.is_some_and(|since| now >= since + LINGER) {
            board.stale_since = None;
            board.uncovered = true;
        }
        // However many join, those who watch are told what changes.
        let settled = std::mem::take(&mut self.settled);
        if !settled && let Some(work) = board.take_work() {
            self.settled = true;
            return Step::Settle(Box::new(work));
        }
        if let Some(reading) = board.take_reading(now) {
            return Step::Read(reading);
        }
        if settled {
            return Step::Wait(now);
        }
        let lingering = self.idle_since.into_iter().chain(board.stale_since);
        let ends = lingering.map(|since| since + LINGER);
        let next = ends.chain(board.next_deadline()).min();
        Step::Wait(next.unwrap_or(Duration::MAX))
    }

    /// The next subscriber finds nothing of the connection that ends.
    fn fall_asleep(&mut self) {
        self.epoch += 1;
        self.idle_since = None;
        self.board.lose();
        if !matches!(self.link, Link::Closed) {
            self.link = Link::Asleep;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::{PushInfo, PushKind, Value as Reply};

    #[test]
    fn those_who_join_do_not_hold_up_those_who_watch() {
        let mut state = State {
            board: Board::default(),
            epoch: 0,
            link: Link::Asleep,
            idle_since: None,
            settled: false,
        };
        let key = || Bytes::from("k");
        let _watching = state.board.join(Kind::Keys, vec![key()]);
        state.board.push(PushInfo {
            kind: PushKind::Invalidate,
            data: vec![Reply::Array(vec![Reply::BulkString(key().to_vec())])],
        });
        let steps: Vec<_> = (0..3)
            .map(|number| {
                let name = Bytes::from(format!("{number}"));
                let _joining = state.board.join(Kind::Keys, vec![name]);
                state.next(Duration::ZERO)
            })
            .collect();
        assert!(matches!(
            &steps[..],
            [Step::Settle(_), Step::Read(_), Step::Settle(_)]
        ));
    }
}
