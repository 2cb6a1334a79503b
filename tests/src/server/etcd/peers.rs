//! What stands between the members of a cluster, one way for each pair: only so can one of them be cut
//! off, because each of them opens connections to the others.
//!
//! All members must be told the same addresses, so the ways cannot differ by these. Members name
//! themselves in each request, and by that a connection finds its way.

use kv_conformance::proxy::{FaultProxy, Mode};
use serde::Deserialize;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::OnceCell,
    task::{AbortHandle, JoinSet},
    time::timeout,
};

/// How long a member may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest head of a request that is read for a name.
const LONGEST_HEAD: usize = 16 << 10;

/// The ways between three members.
#[derive(Debug)]
pub struct Peers {
    ways: Arc<Ways>,
    accepting: [AbortHandle; 3],
}

impl Peers {
    /// Ways to members that will listen here.
    pub(super) async fn start(listening: [SocketAddr; 3]) -> io::Result<Self> {
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listeners = [bind().await?, bind().await?, bind().await?];
        let mut addresses = listening;
        let mut proxies = Vec::new();
        for to in 0..3 {
            addresses[to] = listeners[to].local_addr()?;
            for _from in 0..3 {
                proxies.push(FaultProxy::start(listening[to]).await?);
            }
        }
        let ways = Arc::new(Ways {
            listening,
            proxies,
            addresses,
            ids: OnceCell::new(),
        });
        let mut to = 0;
        let accepting = listeners.map(|listener| {
            let task = tokio::spawn(accept(listener, to, Arc::clone(&ways)));
            to += 1;
            task.abort_handle()
        });
        Ok(Self { ways, accepting })
    }

    /// What members take for each other's addresses.
    pub(super) fn addresses(&self) -> [SocketAddr; 3] {
        self.ways.addresses
    }

    /// The connections that one member opens to another; both send through them.
    pub fn proxy(&self, from: usize, to: usize) -> &FaultProxy {
        &self.ways.proxies[to * 3 + from]
    }

    /// Cuts a member off from the two others, without a word.
    pub fn isolate(&self, node: usize) {
        self.around(node, Mode::BlackHole);
    }

    /// Ends what [`isolate`](Self::isolate) did.
    pub fn rejoin(&self, node: usize) {
        self.around(node, Mode::Pass);
    }

    fn around(&self, node: usize, mode: Mode) {
        for other in (0..3).filter(|&other| other != node) {
            self.proxy(node, other).set(mode);
            self.proxy(other, node).set(mode);
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        for task in &self.accepting {
            task.abort();
        }
    }
}

#[derive(Debug)]
struct Ways {
    listening: [SocketAddr; 3],
    /// Three to the first member, by the one that connects, then three to the second.
    proxies: Vec<FaultProxy>,
    /// What members take for each other's addresses.
    addresses: [SocketAddr; 3],
    /// What members call themselves, once they can be asked.
    ids: OnceCell<[String; 3]>,
}

impl Ways {
    /// Where a connection to a member goes whose first request has this head, and what is sent there
    /// in its place.
    async fn next(&self, to: usize, head: Vec<u8>) -> io::Result<(SocketAddr, Vec<u8>)> {
        let Some(sender) = sender(&String::from_utf8_lossy(&head)) else {
            // A probe, which carries nothing; but a message would come after it on the same
            // connection, and go past the one that its sender is cut off by.
            return Ok((self.listening[to], the_only_one(head)));
        };
        let known = self
            .ids
            .get_or_try_init(|| ids(self.listening[to], &self.addresses));
        let from = known.await?.iter().position(|id| *id == sender);
        let from = from.ok_or_else(|| io::Error::other("a stranger"))?;
        Ok((self.proxies[to * 3 + from].address(), head))
    }
}

async fn accept(listener: TcpListener, to: usize, ways: Arc<Ways>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((peer, _)) = accepted {
                let ways = Arc::clone(&ways);
                connections.spawn(async move {
                    // A connection that fails is one that ended.
                    let _ = serve(peer, to, &ways).await;
                });
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn serve(mut peer: TcpStream, to: usize, ways: &Ways) -> io::Result<()> {
    let head = timeout(PATIENCE, read_head(&mut peer)).await??;
    let (address, head) = ways.next(to, head).await?;
    let mut next = TcpStream::connect(address).await?;
    peer.set_nodelay(true)?;
    next.set_nodelay(true)?;
    next.write_all(&head).await?;
    copy_bidirectional(&mut peer, &mut next).await?;
    Ok(())
}

/// What comes first, to the end of a request's head.
async fn read_head(peer: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|it| it == b"\r\n\r\n") && head.len() < LONGEST_HEAD {
        if peer.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(head)
}

/// A request that its connection ends with.
fn the_only_one(mut head: Vec<u8>) -> Vec<u8> {
    if let Some(end) = head.windows(2).position(|it| it == b"\r\n") {
        head.splice(end..end, *b"\r\nConnection: close");
    }
    head
}

/// The id of the member that sent a request.
fn sender(head: &str) -> Option<String> {
    let line = head
        .lines()
        .find(|line| line.to_ascii_lowercase().starts_with("x-server-from:"))?;
    let (_, id) = line.split_once(':')?;
    Some(id.trim().to_owned())
}

/// The ids of all members, as one of them tells them to others: by the addresses that it knows.
async fn ids(listening: SocketAddr, addresses: &[SocketAddr; 3]) -> io::Result<[String; 3]> {
    #[derive(Deserialize)]
    struct Member {
        id: u64,
        #[serde(rename = "peerURLs")]
        urls: Vec<String>,
    }
    let mut stream = TcpStream::connect(listening).await?;
    let request = "GET /members HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await?;
    let body = reply.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let members: Vec<Member> = serde_json::from_str(body)?;
    let id = |address: SocketAddr| {
        let url = format!("http://{address}");
        let member = members.iter().find(|it| it.urls.contains(&url));
        let member = member.ok_or_else(|| io::Error::other("a member is not known"))?;
        // In the form of the header.
        Ok::<_, io::Error>(format!("{:x}", member.id))
    };
    Ok([id(addresses[0])?, id(addresses[1])?, id(addresses[2])?])
}
