//! A Redis Cluster: every command goes to the server that has its key's slot.
//!
//! Each primary has a connection of the same kind as a server alone: the same deadlines, outcomes
//! and ways to find out that it is dead. On top of them stands a table of who has which slots. A
//! command that a server sends back, because the slot is another one's or on its way, was not
//! applied and is sent on; anything else is answered as it is, and nothing whose outcome is unknown
//! is ever sent again.

mod address;
mod delivery;
mod members;
mod node;
mod slot;
mod topology;
mod verdict;
mod watches;

pub(crate) use self::{address::Address, node::Node, verdict::is_sent_back};
use self::{
    delivery::{Delivery, Unit},
    members::Members,
    verdict::Verdict,
};
use crate::{
    decode, encode,
    error::{Answer, Failure},
    handshake::Settings,
    target::Target,
    watch::Kind,
};
use bytes::Bytes;
use futures_util::future::join_all;
use kv_core::{ErrorKind, Events, Outcome, Stopwatch};
use redis::{Client, Cmd, Pipeline, Value};
use std::{
    any::{Any, TypeId},
    sync::Arc,
    time::Duration,
};

/// The connections to a cluster.
pub(crate) struct Cluster {
    members: Arc<Members>,
}

/// One of the servers that have slots.
pub(crate) struct Visit {
    lowest: u16,
    node: Arc<Node>,
}

impl Cluster {
    /// Learns from the first of these that answers who has which slots. A primary that cannot be
    /// reached yet is connected in the background.
    pub(crate) async fn connect(
        target: Target,
        seeds: Vec<Address>,
        settings: Settings,
    ) -> Answer<Self> {
        let members = Arc::new(Members::new(target, seeds, settings));
        // Made first, so that nothing is left behind if the rest fails or is given up.
        let cluster = Self { members };
        cluster.members.ask(0).await?;
        let left = cluster.members.connect_timeout();
        let topology = cluster.members.topology();
        let ready = topology.owners().iter().map(|it| it.node.ready(left));
        // One that refuses us now will do so later.
        for ready in join_all(ready).await {
            match ready {
                Err(failure) if failure.kind() != ErrorKind::Unavailable => return Err(failure),
                _ => {}
            }
        }
        Ok(cluster)
    }

    /// Sends one command; an error that the server answers with is a failure.
    pub(crate) async fn command(&self, command: &Cmd) -> Answer<Value> {
        let slot = slot::key_of(command).map(slot::of);
        let watch = Stopwatch::start();
        let owner = self.members.owner(slot).filter(|it| it.single.is_live());
        let Some(node) = owner else {
            return Box::pin(self.deliver_one(command, watch, None)).await;
        };
        let answer = node.command(command).await;
        let reply = self.members.noticed(answer)?;
        match Verdict::of(&reply, &node.address) {
            Verdict::Served => decode::single(reply),
            _ => Box::pin(self.deliver_one(command, watch, Some((reply, node)))).await,
        }
    }

    /// Sends commands to their servers at once, each atomic for itself; answers each, errors that a
    /// server answers with as replies. Commands with the same key are executed in order.
    pub(crate) async fn each(&self, commands: &Pipeline) -> Vec<Answer<Value>> {
        let watch = Stopwatch::start();
        let units = || commands.cmd_iter().map(Unit::Command).collect();
        let Some(node) = self.owner_of_all(commands) else {
            return Delivery::new(&self.members, units(), watch).run().await;
        };
        let replies = match self.members.noticed(node.commands(commands, None).await) {
            Ok(replies) => replies,
            Err(failure) => return vec![Err(failure); commands.len()],
        };
        let served = |reply| Verdict::of(reply, &node.address) == Verdict::Served;
        if replies.iter().all(served) {
            return replies.into_iter().map(Ok).collect();
        }
        let mut delivery = Delivery::new(&self.members, units(), watch);
        for (at, reply) in replies.into_iter().enumerate() {
            delivery.answered(at, reply, &node);
        }
        delivery.end_turn();
        delivery.run().await
    }

    /// Sends commands, whose keys lie in one slot, to their server as one atomic step; answers each.
    pub(crate) async fn transaction(&self, commands: &Pipeline) -> Answer<Vec<Value>> {
        let mut wire = vec![encode::with("MULTI", [])];
        wire.extend(commands.cmd_iter().cloned());
        wire.push(encode::with("EXEC", []));
        let units = vec![Unit::Transaction(wire)];
        let delivery = Delivery::new(&self.members, units, Stopwatch::start());
        let answer = delivery.run().await.pop();
        let reply = answer.ok_or_else(Failure::unexpected_reply)??;
        decode::list(decode::single(reply)?)
    }

    /// Sends one command to every primary.
    pub(crate) async fn everywhere(&self, command: &Cmd) -> Answer<()> {
        let topology = self.members.topology();
        let sent = topology.owners().iter().map(|it| it.node.command(command));
        for answer in join_all(sent).await {
            decode::single(self.members.noticed(answer)?)?;
        }
        if topology.is_whole() {
            return Ok(());
        }
        self.members.ask_soon();
        Err(no_server())
    }

    /// Fails if there are slots that nobody has.
    pub(crate) fn all_served(&self) -> Answer<()> {
        if self.members.topology().is_whole() {
            return Ok(());
        }
        self.members.ask_soon();
        Err(no_server())
    }

    /// The first of the primaries as they are now.
    pub(crate) async fn first(&self) -> Answer<Visit> {
        self.members.ask(self.members.topology().generation).await?;
        self.behind(None).ok_or_else(no_server)
    }

    /// The primary that follows one whose lowest slot is this.
    pub(crate) fn behind(&self, lowest: Option<u16>) -> Option<Visit> {
        let topology = self.members.topology();
        let mut owners = topology.owners().iter();
        let next = owners.find(|it| lowest.is_none_or(|lowest| it.lowest > lowest))?;
        Some(Visit {
            lowest: next.lowest,
            node: Arc::clone(&next.node),
        })
    }

    /// The primary that has a slot.
    pub(crate) fn at(&self, slot: u16) -> Answer<Visit> {
        let node = self.members.owner(Some(slot)).ok_or_else(no_server)?;
        Ok(Visit { lowest: slot, node })
    }

    /// Sends a command to one primary.
    pub(crate) async fn command_at(&self, visit: &Visit, command: &Cmd) -> Answer<Value> {
        let answer = visit.node.command(command).await;
        decode::single(self.members.noticed(answer)?)
    }

    /// Watches distinct names wherever they are; live when this ends well.
    pub(crate) async fn watch(&self, kind: Kind, names: Vec<Bytes>) -> Answer<Events> {
        watches::watch(&self.members, kind, names).await
    }

    /// Whether all servers that are connected push changes to this user.
    pub(crate) fn tracks(&self) -> bool {
        let topology = self.members.topology();
        let mut owners = topology.owners().iter().map(|it| &it.node.single);
        owners.all(|single| !single.is_live() || single.tracks())
    }

    pub(crate) fn response_timeout(&self) -> Duration {
        self.members.response_timeout()
    }

    /// A client for each primary.
    pub(crate) fn native(&self, wanted: TypeId) -> Option<Box<dyn Any + Send>> {
        if wanted != TypeId::of::<Vec<Client>>() {
            return None;
        }
        let topology = self.members.topology();
        let clients = topology.owners().iter().map(|it| it.node.single.client());
        Some(Box::new(clients.collect::<Vec<_>>()))
    }

    pub(crate) fn close(&self) {
        self.members.close();
    }

    /// The server that all commands go to, if it is one and connected.
    fn owner_of_all(&self, commands: &Pipeline) -> Option<Arc<Node>> {
        let topology = self.members.topology();
        let owners = commands
            .cmd_iter()
            .map(|command| match slot::key_of(command) {
                Some(key) => topology.owner(slot::of(key)),
                None => Node::any(&topology),
            });
        let mut one: Option<&Arc<Node>> = None;
        for owner in owners {
            let owner = owner?;
            if one.is_some_and(|one| !Arc::ptr_eq(one, owner)) {
                return None;
            }
            one = Some(owner);
        }
        one.filter(|node| node.single.is_live()).cloned()
    }

    async fn deliver_one(
        &self,
        command: &Cmd,
        watch: Stopwatch,
        refused: Option<(Value, Arc<Node>)>,
    ) -> Answer<Value> {
        let units = vec![Unit::Command(command)];
        let mut delivery = Delivery::new(&self.members, units, watch);
        if let Some((reply, node)) = refused {
            delivery.answered(0, reply, &node);
            delivery.end_turn();
        }
        let answer = delivery.run().await.pop();
        decode::single(answer.ok_or_else(Failure::unexpected_reply)??)
    }
}

impl Visit {
    /// What tells this visit from others: where the server's slots begin, and where it listens.
    pub(crate) fn name(&self) -> (u16, &Address) {
        (self.lowest, &self.node.address)
    }
}

/// A store that is dropped without `close` leaves no task behind.
impl Drop for Cluster {
    fn drop(&mut self) {
        self.close();
    }
}

fn no_server() -> Failure {
    let message = "no server of the cluster has some of the slots";
    Failure::new(ErrorKind::Unavailable, Outcome::NotApplied, message)
}

#[cfg(test)]
mod tests;
