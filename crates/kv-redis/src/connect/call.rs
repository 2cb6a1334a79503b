//! One exchange on a connection, and what its end says about the connection.

use super::{Live, Phase, STRIKES, Shared};
use crate::{
    encode,
    error::{Answer, Failure},
};
use kv_core::ErrorKind;
use redis::{RedisResult, aio::MultiplexedConnection};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// A connection for one exchange.
pub(crate) struct Lease<'a> {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) call: Call<'a>,
}

/// An exchange under way.
///
/// One that is dropped before it is judged has the connection probed: callers whose deadlines are
/// shorter than ours would else never find out that it is dead.
pub(crate) struct Call<'a> {
    shared: &'a Arc<Shared>,
    live: Arc<Live>,
    /// It has less time than the server is allowed.
    shortened: bool,
    judged: bool,
}

impl<'a> Lease<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>, live: Arc<Live>) -> Self {
        Self {
            connection: live.connection.clone(),
            call: Call {
                shared,
                live,
                shortened: false,
                judged: false,
            },
        }
    }

    /// The same with less time than usual.
    pub(crate) fn within(mut self, left: Duration) -> Self {
        self.connection.set_response_timeout(left);
        self.call.shortened = true;
        self
    }
}

impl Call<'_> {
    /// Tells what the end of the exchange says about its connection.
    pub(crate) fn judge<T>(mut self, sent: RedisResult<T>) -> Answer<T> {
        self.judged = true;
        let strikes = &self.live.strikes;
        let error = match sent {
            Ok(reply) => {
                if strikes.load(Ordering::Relaxed) != 0 {
                    strikes.store(0, Ordering::Relaxed);
                }
                return Ok(reply);
            }
            Err(error) => error,
        };
        let settings = &self.shared.settings;
        if error.is_timeout() {
            let failure = Failure::timeout(settings.response_timeout).at(&settings.address);
            if self.shortened {
                // The server had too little time to be blamed: a probe gives it all.
                self.judged = false;
            } else if strikes.fetch_add(1, Ordering::Relaxed) + 1 >= STRIKES {
                self.shared.lost(self.live.epoch, failure.clone());
            }
            return Err(failure);
        }
        let failure = Failure::sending(&error).at(&settings.address);
        if error.is_io_error() || error.is_unrecoverable_error() {
            self.shared.lost(self.live.epoch, failure.clone());
        }
        Err(failure)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.judged {
            start_probe(self.shared, &self.live);
        }
    }
}

/// Has a connection probed in the background, unless that is under way.
fn start_probe(shared: &Arc<Shared>, live: &Arc<Live>) {
    if live.probed.swap(true, Ordering::Relaxed) {
        return;
    }
    let mut state = shared.state.lock();
    if state.epoch != live.epoch || !matches!(state.phase, Phase::Up) {
        return;
    }
    let task = probe(Arc::clone(shared), Arc::clone(live));
    let task = shared.runtime.spawn(task).abort_handle();
    if let Some(earlier) = state.probe.replace(task) {
        earlier.abort();
    }
}

/// Asks until there is an answer, or so many are missing that the connection is given up.
async fn probe(shared: Arc<Shared>, live: Arc<Live>) {
    let ping = encode::with("PING", []);
    while shared.is_live(live.epoch) {
        let Lease {
            mut connection,
            call,
        } = Lease::new(&shared, Arc::clone(&live));
        let sent = connection.send_packed_command(&ping).await;
        match call.judge(sent) {
            Err(failure) if failure.kind() == ErrorKind::Timeout => {}
            _ => break,
        }
    }
    live.probed.store(false, Ordering::Relaxed);
}
