//! A TCP proxy on the loopback that injects the faults of a network between a client and a server.
//!
//! Our own, after weighing `noxious` (no release since 2021) and toxiproxy (a server in Go to
//! install): what the tests need is small, and two things matter that neither promises. Modes
//! switch while connections live, and a connection that lost bytes is never used again, since TCP
//! does not lose bytes from the middle of a stream.

mod counts;
mod relay;

use kv_core::{Clock, SystemClock};
use parking_lot::Mutex;
use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    select,
    sync::watch,
    task::{AbortHandle, JoinSet},
};

pub use self::counts::ProxyCounts;

/// What the proxy does with connections and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Forwards everything.
    #[default]
    Pass,
    /// Holds back every piece, in both directions, by this long: a round trip takes twice as long.
    Delay(Duration),
    /// Resets every new connection; those there live on.
    Refuse,
    /// Resets every connection, those there and new ones.
    Reset,
    /// Carries requests to the server and drops every reply, with the connection left open.
    HalfOpen,
    /// Accepts connections and drops every byte in both directions.
    BlackHole,
}

/// A running proxy. Dropping it closes its port and every connection, and ends its tasks.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

impl FaultProxy {
    /// Listens on a free port of the loopback and forwards to a server, which need not be there
    /// yet: a connection is reset while it is not.
    ///
    /// # Errors
    /// The system's, if there is no free port.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            clock: Arc::new(SystemClock),
            state: watch::Sender::default(),
            next: Mutex::default(),
            counts: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            accepting: accepting.abort_handle(),
        })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Switches the mode, for new connections and those there.
    ///
    /// A connection that lost bytes in [`Mode::HalfOpen`] or [`Mode::BlackHole`] is reset when the
    /// mode would carry bytes again.
    pub fn set(&self, mode: Mode) {
        *self.shared.next.lock() = None;
        self.shared.set(mode);
    }

    /// Switches the mode once so many more pieces have come from the server and were forwarded: so a
    /// call of several exchanges can be hit between any two of them.
    pub fn set_after(&self, replies: u32, mode: Mode) {
        match NonZeroU32::new(replies) {
            Some(replies) => *self.shared.next.lock() = Some(Next { mode, replies }),
            None => self.set(mode),
        }
    }

    /// The mode.
    pub fn mode(&self) -> Mode {
        self.shared.state.borrow().mode
    }

    /// Closes every connection as a server does that shuts down; new ones are still accepted.
    pub fn close_all(&self) {
        self.shared.state.send_modify(|state| state.closes += 1);
    }

    /// Resets every connection, as a server does that crashed; new ones are still accepted.
    pub fn reset_all(&self) {
        self.shared.state.send_modify(|state| state.resets += 1);
    }

    /// What was really injected so far.
    pub fn counts(&self) -> ProxyCounts {
        *self.shared.counts.lock()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // The task owns the connections' tasks and takes them along.
        self.accepting.abort();
    }
}

impl fmt::Debug for FaultProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.address, self.shared.upstream);
        write!(f, "FaultProxy({from} -> {to}, {:?})", self.mode())
    }
}

/// What the proxy and its connections share.
struct Shared {
    upstream: SocketAddr,
    clock: Arc<dyn Clock>,
    state: watch::Sender<State>,
    next: Mutex<Option<Next>>,
    counts: Mutex<ProxyCounts>,
}

/// What the mode will be after some replies.
struct Next {
    mode: Mode,
    replies: NonZeroU32,
}

impl Shared {
    fn count(&self, change: impl FnOnce(&mut ProxyCounts)) {
        change(&mut self.counts.lock());
    }

    fn set(&self, mode: Mode) {
        self.state.send_modify(|state| {
            state.mode = mode;
            if mode == Mode::Reset {
                state.resets += 1;
            }
        });
    }

    /// A reply was forwarded.
    fn replied(&self) {
        let mut next = self.next.lock();
        let Some(Next { mode, replies }) = next.take() else {
            return;
        };
        match NonZeroU32::new(replies.get() - 1) {
            Some(replies) => *next = Some(Next { mode, replies }),
            None => self.set(mode),
        }
    }
}

/// The mode, and how often all connections were told to end: those that see a number change do.
#[derive(Clone, Copy, Default)]
struct State {
    mode: Mode,
    resets: u64,
    closes: u64,
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    const PAUSE: Duration = Duration::from_millis(10);
    let mut connections = JoinSet::new();
    loop {
        let accepted = select! {
            accepted = listener.accept() => accepted,
            Some(_ended) = connections.join_next() => continue,
        };
        match accepted {
            Ok((client, _)) => {
                connections.spawn(relay::serve(client, Arc::clone(&shared)));
            }
            // A client that left early, or no file descriptors: neither is solved by spinning.
            Err(_) => {
                let clock = &shared.clock;
                clock.sleep_until(clock.now().saturating_add(PAUSE)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
