//! One connection through the proxy.

use super::{Mode, Shared, State};
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    select,
    sync::watch,
    try_join,
};

/// Carries one client's connection to its end.
pub(super) async fn serve(mut client: TcpStream, shared: Arc<Shared>) {
    let mut state = shared.state.subscribe();
    let born = *state.borrow_and_update();
    if matches!(born.mode, Mode::Refuse | Mode::Reset) {
        shared.count(|it| it.refused += 1);
        return reset(&client);
    }
    let lost = AtomicBool::new(false);
    let end = select! {
        biased;
        end = ordered(&mut state, born, &lost) => end,
        end = relay(&mut client, &shared, &lost) => end,
    };
    match end {
        End::Done => {}
        End::Closed => shared.count(|it| it.closed += 1),
        End::Unreachable => {
            shared.count(|it| it.unreachable += 1);
            reset(&client);
        }
        End::Reset => {
            shared.count(|it| it.reset += 1);
            reset(&client);
        }
    }
}

enum End {
    Done,
    Closed,
    Unreachable,
    Reset,
}

#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

impl Mode {
    fn carries(self, way: Way) -> bool {
        match self {
            Self::BlackHole => false,
            Self::HalfOpen => matches!(way, Way::Up),
            Self::Pass | Self::Delay(_) | Self::Refuse | Self::Reset => true,
        }
    }

    fn carries_all(self) -> bool {
        self.carries(Way::Up) && self.carries(Way::Down)
    }
}

/// Closing a socket that does not linger sends a reset.
fn reset(client: &TcpStream) {
    // It fails only if the connection is gone, and then there is nothing to reset.
    let _ = client.set_zero_linger();
}

/// Waits until the proxy's owner ends this connection.
async fn ordered(state: &mut watch::Receiver<State>, born: State, lost: &AtomicBool) -> End {
    while state.changed().await.is_ok() {
        let now = *state.borrow_and_update();
        if now.resets != born.resets {
            return End::Reset;
        }
        if now.closes != born.closes {
            return End::Closed;
        }
        if now.mode.carries_all() && lost.load(Ordering::Acquire) {
            return End::Reset;
        }
    }
    End::Done
}

async fn relay(client: &mut TcpStream, shared: &Shared, lost: &AtomicBool) -> End {
    let Ok(mut server) = TcpStream::connect(shared.upstream).await else {
        return End::Unreachable;
    };
    shared.count(|it| it.accepted += 1);
    // Else small replies wait for each other; it fails only on a connection that is gone.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let up = Pump {
        way: Way::Up,
        shared,
        lost,
    };
    let down = Pump {
        way: Way::Down,
        shared,
        lost,
    };
    match try_join!(
        up.run(from_client, to_server),
        down.run(from_server, to_client)
    ) {
        Ok(_) => End::Done,
        Err(end) => end,
    }
}

/// Carries the bytes of one direction.
struct Pump<'a> {
    way: Way,
    shared: &'a Shared,
    lost: &'a AtomicBool,
}

impl Pump<'_> {
    async fn run(
        self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> Result<(), End> {
        let mut buffer = vec![0; 64 << 10];
        let mut gap = false;
        loop {
            let length = match from.read(&mut buffer).await {
                Ok(0) => return self.ended(&mut to, End::Done).await,
                Err(_) => return self.ended(&mut to, End::Reset).await,
                Ok(length) => length,
            };
            self.hold_back().await;
            if !self.mode().carries(self.way) {
                gap = true;
                self.lose();
                continue;
            }
            if gap {
                return Err(End::Reset);
            }
            let written = to.write_all(&buffer[..length]).await;
            written.map_err(|_| End::Reset)?;
            self.shared.count(|it| it.forwarded += 1);
            if matches!(self.way, Way::Down) {
                self.shared.replied();
            }
        }
    }

    fn mode(&self) -> Mode {
        self.shared.state.borrow().mode
    }

    async fn hold_back(&self) {
        let mut state = self.shared.state.subscribe();
        let Mode::Delay(span) = state.borrow_and_update().mode else {
            return;
        };
        self.shared.count(|it| it.delayed += 1);
        let clock = &self.shared.clock;
        select! {
            () = clock.sleep_until(clock.now().saturating_add(span)) => {}
            _ = state.changed() => {}
        }
    }

    fn lose(&self) {
        self.lost.store(true, Ordering::Release);
        self.shared.count(|it| match self.way {
            Way::Up => it.lost_requests += 1,
            Way::Down => it.lost_replies += 1,
        });
    }

    /// One side hung up: tells the other, unless the mode keeps it in the dark.
    async fn ended(&self, to: &mut (impl AsyncWrite + Unpin), how: End) -> Result<(), End> {
        match (self.mode().carries(self.way), self.way, how) {
            (true, _, End::Done) => {
                let told = to.shutdown().await;
                told.map_err(|_| End::Reset)
            }
            (true, _, how) => Err(how),
            (false, Way::Up, _) => Err(End::Done),
            (false, Way::Down, _) => {
                self.lost.store(true, Ordering::Release);
                pending().await
            }
        }
    }
}
