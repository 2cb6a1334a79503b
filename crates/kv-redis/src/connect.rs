//! One server: its connection, what happens when that is lost, and how long anybody waits.
//!
//! All calls share one multiplexed connection. When it is lost, one task restores it; calls wait
//! for that within their own deadline. A call that was given to a connection is never sent again.

mod call;
mod member;

pub(crate) use self::call::Lease;
use crate::{
    error::{Answer, Failure},
    handshake::{self, Opened, Settings},
};
use arc_swap::ArcSwapOption;
use kv_core::Stopwatch;
use parking_lot::Mutex;
use redis::{
    AsyncConnectionConfig, Client, PushInfo, PushKind,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
};
use std::{
    any::{Any, TypeId},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, sync::Notify, task::AbortHandle, time::timeout};

/// A connection that leaves this many calls in a row without an answer is replaced: the other end
/// may be gone although the network does not say so.
const STRIKES: u32 = 3;
/// How long to pause after a failed attempt to connect at least, ...
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// ... and at most. A call that wants the connection ends a longer pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A connection to one server.
pub(crate) struct Single {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    settings: Settings,
    runtime: Handle,
    /// Whether the server pushes changes to this user.
    tracks: AtomicBool,
    /// The connection in use; none while it is being restored.
    live: ArcSwapOption<Live>,
    state: Mutex<State>,
    /// Told when `state` changed.
    changed: Notify,
    /// Told when a call waits for the connection.
    wanted: Notify,
}

struct Live {
    connection: MultiplexedConnection,
    epoch: u64,
    /// Calls in a row without an answer.
    strikes: AtomicU32,
    /// Whether a probe is under way.
    probed: AtomicBool,
}

struct State {
    /// Counts attempts to connect; while the phase is `Up`, the one that is in use.
    epoch: u64,
    /// The last attempt whose connection ended before it was in use.
    stillborn: u64,
    phase: Phase,
    /// Made when somebody asks for it.
    manager: Option<ConnectionManager>,
    /// The task that last probed a connection.
    probe: Option<AbortHandle>,
}

enum Phase {
    Up,
    Down(Outage),
    Closed,
}

struct Outage {
    since: Stopwatch,
    failed_attempts: u64,
    reason: Failure,
    /// The task that restores the connection.
    task: Option<AbortHandle>,
}

impl Single {
    /// Connects, within the connect timeout.
    pub(crate) async fn connect(client: Client, settings: Settings) -> Answer<Self> {
        let single = Self::new(client, settings);
        single.shared.attempt().await?;
        Ok(single)
    }

    /// The connection, at once where there is one.
    pub(crate) async fn lease(&self) -> Answer<Lease<'_>> {
        match self.shared.live.load_full() {
            Some(live) => Ok(Lease::new(&self.shared, live)),
            // Boxed, so that the usual case does not carry the room for this one.
            None => Box::pin(self.shared.lease_when_restored()).await,
        }
    }

    /// Whether the server pushes changes to this user.
    pub(crate) fn tracks(&self) -> bool {
        self.shared.tracks.load(Ordering::Relaxed)
    }

    pub(crate) fn response_timeout(&self) -> Duration {
        self.shared.settings.response_timeout
    }

    pub(crate) fn native(&self, wanted: TypeId) -> Option<Box<dyn Any + Send>> {
        if wanted == TypeId::of::<Client>() {
            return Some(Box::new(self.shared.client.clone()));
        }
        if wanted == TypeId::of::<MultiplexedConnection>() {
            let live = self.shared.live.load_full()?;
            return Some(Box::new(live.connection.clone()));
        }
        if wanted == TypeId::of::<ConnectionManager>() {
            return Some(Box::new(self.shared.manager()?));
        }
        None
    }

    pub(crate) fn close(&self) {
        let shared = &self.shared;
        let mut state = shared.state.lock();
        if let Phase::Down(Outage {
            task: Some(task), ..
        }) = &state.phase
        {
            task.abort();
        }
        if let Some(probe) = state.probe.take() {
            probe.abort();
        }
        state.phase = Phase::Closed;
        state.manager = None;
        shared.live.store(None);
        drop(state);
        shared.changed.notify_waiters();
    }

    fn new(client: Client, settings: Settings) -> Self {
        let outage = Outage {
            since: Stopwatch::start(),
            failed_attempts: 0,
            reason: Failure::closed(),
            task: None,
        };
        let state = State {
            epoch: 0,
            stillborn: 0,
            phase: Phase::Down(outage),
            manager: None,
            probe: None,
        };
        Self {
            shared: Arc::new(Shared {
                client,
                settings,
                runtime: Handle::current(),
                tracks: AtomicBool::new(false),
                live: ArcSwapOption::empty(),
                state: Mutex::new(state),
                changed: Notify::new(),
                wanted: Notify::new(),
            }),
        }
    }
}

/// A store that is dropped without `close` leaves no task behind.
impl Drop for Single {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn is_live(&self, epoch: u64) -> bool {
        let live = self.live.load();
        live.as_ref().is_some_and(|live| live.epoch == epoch)
    }

    /// Waits for the connection, then leaves the exchange what is left of the deadline.
    async fn lease_when_restored(self: &Arc<Self>) -> Answer<Lease<'_>> {
        let deadline = self.settings.response_timeout;
        let watch = Stopwatch::start();
        let too_late = || Failure::not_connected(deadline).at(&self.settings.address);
        let restored = timeout(deadline, self.restoration()).await;
        let live = restored.map_err(|_| too_late())??;
        let left = deadline.saturating_sub(watch.elapsed());
        if left.is_zero() {
            // Sent now, it would be given up at once, and nobody knew whether it happened.
            return Err(too_late());
        }
        Ok(Lease::new(self, live).within(left))
    }

    /// Ends when there is a connection. Ends with a failure if an attempt fails that began after
    /// the outage had already lasted as long as a call would wait for its end.
    async fn restoration(&self) -> Answer<Arc<Live>> {
        let mut seen = None;
        loop {
            // Enlisted before the look, so that a change in between is not missed.
            let changed = self.changed.notified();
            if let Some(live) = self.live.load_full() {
                return Ok(live);
            }
            match &self.state.lock().phase {
                Phase::Closed => return Err(Failure::closed()),
                Phase::Up => continue,
                Phase::Down(outage) => {
                    let long = outage.since.elapsed() >= self.settings.response_timeout;
                    let first = *seen.get_or_insert(outage.failed_attempts);
                    if long && outage.failed_attempts > first {
                        return Err(outage.reason.clone());
                    }
                }
            }
            self.wanted.notify_one();
            changed.await;
        }
    }

    /// One attempt to connect, within the connect timeout.
    async fn attempt(self: &Arc<Self>) -> Answer<()> {
        let (epoch, connection) = self.open().await?;
        self.restored(epoch, connection)
    }

    /// A connection that is not in use yet, and the number of the attempt.
    async fn open(self: &Arc<Self>) -> Answer<(u64, MultiplexedConnection)> {
        let epoch = self.next_epoch();
        let shared = Arc::downgrade(self);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(Some(self.settings.response_timeout))
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    disconnected(&shared, epoch);
                }
                Ok::<_, ()>(())
            });
        let limit = self.settings.connect_timeout;
        let opening = handshake::open(&self.client, &config, &self.settings);
        let opened = timeout(limit, opening).await;
        let opened = opened.unwrap_or_else(|_| Err(Failure::no_connection_within(limit)));
        let Opened { connection, tracks } =
            opened.map_err(|failure| failure.at(&self.settings.address))?;
        self.tracks.store(tracks, Ordering::Relaxed);
        Ok((epoch, connection))
    }

    fn next_epoch(&self) -> u64 {
        let mut state = self.state.lock();
        state.epoch += 1;
        state.epoch
    }

    /// Puts a connection to use, unless it has ended already.
    fn restored(&self, epoch: u64, connection: MultiplexedConnection) -> Answer<()> {
        let live = Live {
            connection,
            epoch,
            strikes: AtomicU32::new(0),
            probed: AtomicBool::new(false),
        };
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Closed) {
            return Err(Failure::closed());
        }
        if state.stillborn == epoch {
            return Err(Failure::connection_closed().at(&self.settings.address));
        }
        state.phase = Phase::Up;
        self.live.store(Some(Arc::new(live)));
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    /// Gives a connection up and has it restored, once. Exchanges under way on it keep it alive
    /// until they end.
    fn lost(self: &Arc<Self>, epoch: u64, reason: Failure) {
        let mut state = self.state.lock();
        if state.epoch != epoch {
            return;
        }
        if !matches!(state.phase, Phase::Up) {
            // The news may come before the connection is in use.
            state.stillborn = epoch;
            return;
        }
        self.live.store(None);
        let task = self.runtime.spawn(Arc::clone(self).restore());
        state.phase = Phase::Down(Outage {
            since: Stopwatch::start(),
            failed_attempts: 0,
            reason,
            task: Some(task.abort_handle()),
        });
        drop(state);
        tracing::warn!(address = %self.settings.address, "lost the connection, restoring it");
    }

    /// Connects again, however long that takes. Ended by `close`.
    async fn restore(self: Arc<Self>) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            match self.attempt().await {
                Ok(()) => {
                    tracing::info!(address = %self.settings.address, "restored the connection");
                    return;
                }
                Err(reason) => self.failed(reason),
            }
            // Clients that lost the same server must not come back in step.
            pass(SHORTEST_PAUSE).await;
            let longer = pause.mul_f64(fastrand::f64());
            let _ = timeout(longer, self.wanted.notified()).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    fn failed(&self, reason: Failure) {
        if let Phase::Down(outage) = &mut self.state.lock().phase {
            outage.failed_attempts += 1;
            outage.reason = reason;
        }
        self.changed.notify_waiters();
    }

    /// The driver's own reconnecting handle, on a connection of its own.
    fn manager(&self) -> Option<ConnectionManager> {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Closed) {
            return None;
        }
        if state.manager.is_none() {
            let config = ConnectionManagerConfig::new()
                .set_connection_timeout(Some(self.settings.connect_timeout))
                .set_response_timeout(Some(self.settings.response_timeout));
            // It spawns a task, and this may run outside the runtime.
            let _in_runtime = self.runtime.enter();
            state.manager = self.client.get_connection_manager_lazy(config).ok();
        }
        state.manager.clone()
    }
}

/// Waits. Not through `SystemClock`, which waits for a time of day: set back, it would hold up
/// reconnecting for as long.
async fn pass(span: Duration) {
    let _ = timeout(span, std::future::pending::<()>()).await;
}

fn disconnected(shared: &Weak<Shared>, epoch: u64) {
    if let Some(shared) = shared.upgrade() {
        let reason = Failure::connection_closed().at(&shared.settings.address);
        shared.lost(epoch, reason);
    }
}

#[cfg(test)]
mod tests;
