//! An etcd cluster of three nodes: the smallest that survives the loss of one.

use super::{
    PORT_ATTEMPTS,
    etcd::{EtcdOptions, EtcdServer, Ports},
};
use std::{io, net::TcpListener, path::Path};

/// Three members. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct EtcdCluster {
    nodes: [EtcdServer; 3],
}

/// Where a member listens for the others, and where they find it: the same, unless something stands
/// between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerRoute {
    pub(crate) listen: u16,
    pub(crate) advertised: u16,
}

impl PeerRoute {
    /// Three free ports, without anything between. Anyone may take them before a member does.
    pub(crate) fn direct() -> io::Result<[Self; 3]> {
        let ports = free_ports()?;
        Ok(ports.map(|port| Self {
            listen: port,
            advertised: port,
        }))
    }
}

impl EtcdCluster {
    /// Starts all three and returns when each of them knows a leader.
    pub(crate) fn start(binary: &Path, options: &EtcdOptions) -> io::Result<Self> {
        let mut attempt = 1;
        loop {
            match Self::start_on(binary, options, PeerRoute::direct()?) {
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse && attempt < PORT_ATTEMPTS =>
                {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    /// The same with these ways between members; `AddrInUse` says that others may do.
    pub(crate) fn start_on(
        binary: &Path,
        options: &EtcdOptions,
        routes: [PeerRoute; 3],
    ) -> io::Result<Self> {
        let [one, two, three] = free_ports()?;
        let prepare = |client, route: PeerRoute| {
            let ports = Ports {
                client,
                peer: route.listen,
                advertised: route.advertised,
            };
            EtcdServer::prepare(binary, options, ports)
        };
        let mut nodes = [
            prepare(one, routes[0])?,
            prepare(two, routes[1])?,
            prepare(three, routes[2])?,
        ];
        let members = nodes
            .each_ref()
            .map(|node| (node.name().to_owned(), node.ports().advertised));
        for node in &mut nodes {
            node.launch(&members)?;
        }
        for node in &nodes {
            node.wait()?;
        }
        Ok(Self { nodes })
    }

    /// The members.
    pub(crate) fn nodes(&self) -> &[EtcdServer; 3] {
        &self.nodes
    }

    /// Starts a member again, on its ports and data; returns when it listens. It answers once it knows
    /// a leader, which alone it cannot.
    pub(crate) fn restart(&mut self, node: usize) -> io::Result<()> {
        self.nodes[node].begin_again()
    }

    /// The member that says of itself that it leads; `None` while there is none. One that was cut off
    /// may say so for a while, too.
    pub(crate) fn leader(&self) -> Option<usize> {
        self.nodes
            .iter()
            .position(|node| node.is_running() && node.leads())
    }

    /// `etcd://127.0.0.1:PORT,127.0.0.1:PORT,127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        let addresses = self
            .nodes
            .each_ref()
            .map(|node| format!("127.0.0.1:{}", node.port()));
        format!("etcd://{}", addresses.join(","))
    }
}

/// Three that are free now, and differ.
fn free_ports() -> io::Result<[u16; 3]> {
    let bind = || TcpListener::bind(("127.0.0.1", 0));
    let held = [bind()?, bind()?, bind()?];
    let port = |it: &TcpListener| it.local_addr().map(|it| it.port());
    Ok([port(&held[0])?, port(&held[1])?, port(&held[2])?])
}
