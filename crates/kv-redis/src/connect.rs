//! One server: its connection, what happens when that is lost, and how long anybody waits.
//!
//! All calls share one multiplexed connection. When it is lost, one task restores it; calls wait
//! for that within their own deadline. A call that was given to a connection is never sent again.

use crate::{
    error::{Answer, Failure},
    handshake::{self, Settings},
};
use arc_swap::ArcSwapOption;
use kv_core::{Clock, Stopwatch, SystemClock};
use parking_lot::Mutex;
use redis::{
    AsyncConnectionConfig, Client, PushInfo, PushKind, RedisResult,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
};
use std::{
    any::{Any, TypeId},
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
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

/// A connection for one exchange, and which of the connections over time it is.
pub(crate) struct Lease {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) epoch: u64,
}

struct Shared {
    client: Client,
    settings: Settings,
    runtime: Handle,
    /// The connection in use; none while it is being restored.
    live: ArcSwapOption<Live>,
    /// Calls in a row without an answer.
    strikes: AtomicU32,
    state: Mutex<State>,
    /// Told when `state` changed.
    changed: Notify,
    /// Told when a call waits for the connection.
    wanted: Notify,
}

struct Live {
    connection: MultiplexedConnection,
    epoch: u64,
}

struct State {
    /// Counts connections.
    epoch: u64,
    phase: Phase,
    /// Made when somebody asks for it.
    manager: Option<ConnectionManager>,
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
        let outage = Outage {
            since: Stopwatch::start(),
            failed_attempts: 0,
            reason: Failure::closed(),
            task: None,
        };
        let single = Self {
            shared: Arc::new(Shared {
                client,
                settings,
                runtime: Handle::current(),
                live: ArcSwapOption::empty(),
                strikes: AtomicU32::new(0),
                state: Mutex::new(State {
                    epoch: 0,
                    phase: Phase::Down(outage),
                    manager: None,
                }),
                changed: Notify::new(),
                wanted: Notify::new(),
            }),
        };
        let shared = &single.shared;
        let connection = shared.attempt().await?;
        shared.restored(connection);
        Ok(single)
    }

    /// The connection, at once where there is one.
    pub(crate) async fn lease(&self) -> Answer<Lease> {
        match self.shared.lease() {
            Some(lease) => Ok(lease),
            // Boxed, so that the usual case does not carry the room for this one.
            None => Box::pin(self.shared.lease_when_restored()).await,
        }
    }

    /// Tells what the end of an exchange says about its connection.
    pub(crate) fn judge<T>(&self, epoch: u64, sent: RedisResult<T>) -> Answer<T> {
        let error = match sent {
            Ok(reply) => {
                if self.shared.strikes.load(Ordering::Relaxed) != 0 {
                    self.shared.strikes.store(0, Ordering::Relaxed);
                }
                return Ok(reply);
            }
            Err(error) => error,
        };
        let shared = &self.shared;
        if error.is_timeout() {
            let failure =
                Failure::timeout(shared.settings.response_timeout).at(&shared.settings.address);
            if shared.strikes.fetch_add(1, Ordering::Relaxed) + 1 >= STRIKES {
                shared.lost(epoch, failure.clone());
            }
            return Err(failure);
        }
        let failure = Failure::sending(&error).at(&shared.settings.address);
        if error.is_io_error() || error.is_unrecoverable_error() {
            shared.lost(epoch, failure.clone());
        }
        Err(failure)
    }

    pub(crate) fn response_timeout(&self) -> Duration {
        self.shared.settings.response_timeout
    }

    pub(crate) fn native(&self, wanted: TypeId) -> Option<Box<dyn Any + Send>> {
        if wanted == TypeId::of::<Client>() {
            return Some(Box::new(self.shared.client.clone()));
        }
        if wanted == TypeId::of::<MultiplexedConnection>() {
            return Some(Box::new(self.shared.lease()?.connection));
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
        state.phase = Phase::Closed;
        state.manager = None;
        shared.live.store(None);
        drop(state);
        shared.changed.notify_waiters();
    }
}

/// A store that is dropped without `close` leaves no task behind.
impl Drop for Single {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lease(&self) -> Option<Lease> {
        let live = self.live.load();
        let live = live.as_ref()?;
        Some(Lease {
            connection: live.connection.clone(),
            epoch: live.epoch,
        })
    }

    /// Waits for the connection, then leaves the exchange what is left of the deadline.
    async fn lease_when_restored(&self) -> Answer<Lease> {
        let deadline = self.settings.response_timeout;
        let watch = Stopwatch::start();
        let Ok(restored) = timeout(deadline, self.restoration()).await else {
            return Err(Failure::not_connected(deadline).at(&self.settings.address));
        };
        let mut lease = restored?;
        let left = deadline.saturating_sub(watch.elapsed());
        lease.connection.set_response_timeout(left);
        Ok(lease)
    }

    /// Ends when there is a connection. Ends with a failure if an attempt fails that began after
    /// the outage had already lasted as long as a call would wait for its end.
    async fn restoration(&self) -> Answer<Lease> {
        let mut seen = None;
        loop {
            // Enlisted before the look, so that a change in between is not missed.
            let changed = self.changed.notified();
            if let Some(lease) = self.lease() {
                return Ok(lease);
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
    async fn attempt(self: &Arc<Self>) -> Answer<MultiplexedConnection> {
        let epoch = self.state.lock().epoch + 1;
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
        opened.map_err(|failure| failure.at(&self.settings.address))
    }

    fn restored(&self, connection: MultiplexedConnection) {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Closed) {
            return;
        }
        state.epoch += 1;
        state.phase = Phase::Up;
        self.strikes.store(0, Ordering::Relaxed);
        let epoch = state.epoch;
        self.live.store(Some(Arc::new(Live { connection, epoch })));
        drop(state);
        self.changed.notify_waiters();
    }

    /// Gives a connection up and has it restored, once. Exchanges under way on it keep it alive
    /// until they end.
    fn lost(self: &Arc<Self>, epoch: u64, reason: Failure) {
        let mut state = self.state.lock();
        if state.epoch != epoch || !matches!(state.phase, Phase::Up) {
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
                Ok(connection) => {
                    self.restored(connection);
                    tracing::info!(address = %self.settings.address, "restored the connection");
                    return;
                }
                Err(reason) => self.failed(reason),
            }
            // Clients that lost the same server must not come back in step.
            SystemClock
                .sleep_until(SystemClock.now().saturating_add(SHORTEST_PAUSE))
                .await;
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

fn disconnected(shared: &Weak<Shared>, epoch: u64) {
    if let Some(shared) = shared.upgrade() {
        let reason = Failure::connection_closed().at(&shared.settings.address);
        shared.lost(epoch, reason);
    }
}

#[cfg(test)]
mod tests;
