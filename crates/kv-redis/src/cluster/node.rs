//! One server of a cluster.

use super::{Address, topology::Topology};
use crate::{
    connect::{Lease, Single},
    error::{Answer, Failure},
    handshake::Settings,
    watch::Watches,
};
use redis::{Cmd, Pipeline, Value};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;

/// A server and the connection to it.
pub(crate) struct Node {
    pub(super) address: Address,
    pub(super) single: Single,
    /// The connections that watch, opened for whoever watches first.
    pub(super) watches: Watches,
    /// Somebody was sent here since the cluster was last asked who has which slots.
    sought: AtomicBool,
}

impl Node {
    pub(super) fn new(address: Address, single: Single, settings: &Settings) -> Self {
        Self {
            address,
            watches: Watches::new(&single.client(), settings),
            single,
            sought: AtomicBool::new(false),
        }
    }

    /// One that can answer what is about no key, and better one that is connected.
    pub(super) fn any(topology: &Topology<Self>) -> Option<&Arc<Self>> {
        let mut nodes = topology.owners().iter().map(|it| &it.node);
        let first = nodes.clone().next();
        nodes.find(|node| node.single.is_live()).or(first)
    }

    /// Notes that a server sends callers here.
    pub(super) fn seek(&self) {
        self.sought.store(true, Ordering::Relaxed);
    }

    /// Whether somebody was sent here since the last time this was asked.
    pub(super) fn was_sought(&self) -> bool {
        self.sought.swap(false, Ordering::Relaxed)
    }

    /// Ends everything that goes on here.
    pub(super) fn close(&self) {
        self.single.close();
        self.watches.close();
    }

    /// Waits for the connection at most so long.
    pub(super) async fn ready(&self, left: Duration) -> Answer<()> {
        let waited = timeout(left, self.single.ready()).await;
        waited.unwrap_or_else(|_| Err(Failure::not_connected(self.single.response_timeout())))
    }

    /// Sends one command.
    pub(super) async fn command(&self, command: &Cmd) -> Answer<Value> {
        let Lease {
            mut connection,
            call,
        } = self.single.lease().await?;
        let sent = connection.send_packed_command(command).await;
        call.judge(sent)
    }

    /// Sends commands in one go; with less time than usual, if `left` says so.
    pub(super) async fn commands(
        &self,
        commands: &Pipeline,
        left: Option<Duration>,
    ) -> Answer<Vec<Value>> {
        let lease = self.single.lease().await?;
        let Lease {
            mut connection,
            call,
        } = match left {
            Some(left) => lease.within(left),
            None => lease,
        };
        let count = commands.len();
        let sent = connection.send_packed_commands(commands, 0, count).await;
        let replies = call.judge(sent)?;
        match replies.len() == count {
            true => Ok(replies),
            false => Err(Failure::unexpected_reply()),
        }
    }
}
