//! A Redis Cluster of two primaries: the smallest in which keys are on different servers.

use super::{PATIENCE, PORT_ATTEMPTS, RedisOptions, RedisServer, give_up_after, probe};
use std::{io, net::TcpListener, path::Path, time::Instant};

/// How many slots each of the two has.
const HALF: u16 = 8192;

/// Two primaries that have half the slots each, and no replicas. Dropping it ends both.
#[derive(Debug)]
pub(crate) struct RedisCluster {
    nodes: [RedisServer; 2],
}

impl RedisCluster {
    /// Starts both and returns when they know each other and serve every slot.
    pub(crate) fn start(binary: &Path) -> io::Result<Self> {
        let (first, _) = start_node(binary)?;
        let (second, bus) = start_node(binary)?;
        let nodes = [first, second];
        for (number, node) in (1..).zip(&nodes) {
            let (from, to) = (HALF * (number - 1), HALF * number - 1);
            let [number, from, to] = [number, from, to].map(|it| it.to_string());
            ask(node, &["CLUSTER", "SET-CONFIG-EPOCH", &number])?;
            ask(node, &["CLUSTER", "ADDSLOTSRANGE", &from, &to])?;
        }
        let [port, bus] = [nodes[1].port(), bus].map(|it| it.to_string());
        ask(&nodes[0], &["CLUSTER", "MEET", "127.0.0.1", &port, &bus])?;
        let deadline = Instant::now() + PATIENCE;
        while !nodes.iter().all(is_ready) {
            give_up_after(deadline, "the Redis Cluster does not come up")?;
        }
        Ok(Self { nodes })
    }

    /// The two servers.
    pub(crate) fn nodes(&self) -> &[RedisServer; 2] {
        &self.nodes
    }

    /// The same, to kill and restart.
    pub(crate) fn nodes_mut(&mut self) -> &mut [RedisServer; 2] {
        &mut self.nodes
    }

    /// `redis-cluster://127.0.0.1:PORT,127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        let addresses = self
            .nodes
            .each_ref()
            .map(|node| format!("127.0.0.1:{}", node.port()));
        format!("redis-cluster://{}", addresses.join(","))
    }
}

/// A server of a cluster to be, and the port on which it will talk to the others.
fn start_node(binary: &Path) -> io::Result<(RedisServer, u16)> {
    let mut attempt = 1;
    loop {
        // Anyone may take it before the server does; the usual one would be the port plus 10,000,
        // which need not be free, nor a port at all.
        let bus = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let options = RedisOptions::default()
            .setting("cluster-enabled", "yes")
            .setting("cluster-port", &bus.to_string())
            .setting("cluster-announce-ip", "127.0.0.1")
            .setting("cluster-node-timeout", "5000");
        match RedisServer::start(binary, options) {
            Ok(node) => return Ok((node, bus)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempt < PORT_ATTEMPTS => {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn is_ready(node: &RedisServer) -> bool {
    let info = probe::ask(node.port(), &["CLUSTER", "INFO"]).unwrap_or_default();
    let facts = [
        "cluster_state:ok",
        "cluster_slots_assigned:16384",
        "cluster_known_nodes:2",
    ];
    facts.iter().all(|fact| info.contains(fact))
}

fn ask(node: &RedisServer, command: &[&str]) -> io::Result<()> {
    let reply = probe::ask(node.port(), command)?;
    match reply.starts_with("+OK") {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "redis-server answered {} with {}",
            command.join(" "),
            reply.trim()
        ))),
    }
}
