//! Commands on their way to the servers that have their keys, until each is answered.

use super::{
    members::Members,
    node::Node,
    slot,
    topology::Topology,
    verdict::{self, Verdict},
};
use crate::{
    encode,
    error::{Answer, Failure},
};
use futures_util::future::{Either, join_all, select};
use kv_core::Stopwatch;
use redis::{Arg, Cmd, Pipeline, Value};
use std::{collections::HashSet, future::pending, pin::pin, sync::Arc, time::Duration};
use tokio::time::timeout;

/// How often commands are sent on: each server may know better than the one before.
const MOST_HOPS: u32 = 16;
/// How long to pause at first while the cluster does not serve a slot, ...
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// ... and at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What is executed, and answered, as one.
pub(super) enum Unit<'a> {
    Command(&'a Cmd),
    /// Commands between MULTI and EXEC, these two included.
    Transaction(Vec<Cmd>),
}

/// Units that are executed each by the server of its key, each once at most.
pub(super) struct Delivery<'a> {
    members: &'a Arc<Members>,
    units: Vec<Unit<'a>>,
    slots: Vec<Option<u16>>,
    states: Vec<State>,
    watch: Stopwatch,
    /// How often something was sent already.
    turns: u32,
    hops: u32,
    pause: Duration,
}

enum State {
    /// To be sent, after a server sent it back with this answer if it did.
    Waiting(Place, Option<Value>),
    Done(Answer<Value>),
}

enum Place {
    /// Where its slot is, as far as is known.
    Home,
    /// Where another server said that its slot is.
    Moved(Arc<Node>),
    /// Where another server said that its key is, while the slot is on its way.
    Ask(Arc<Node>),
}

/// What goes to one server in one go.
struct Part {
    /// None where nobody has the slots.
    node: Option<Arc<Node>>,
    units: Vec<usize>,
}

enum Sent {
    /// An answer for each of the units.
    Answered(Answer<Vec<Value>>),
    /// Not sent: the slots may have gone to other servers.
    Elsewhere,
}

impl<'a> Delivery<'a> {
    /// The deadline counts from the start of the stopwatch.
    pub(super) fn new(members: &'a Arc<Members>, units: Vec<Unit<'a>>, watch: Stopwatch) -> Self {
        let slots = units.iter().map(|it| it.key().map(slot::of)).collect();
        let states = units.iter().map(|_| State::Waiting(Place::Home, None));
        Self {
            members,
            slots,
            states: states.collect(),
            units,
            watch,
            turns: 0,
            hops: 0,
            pause: Duration::ZERO,
        }
    }

    /// Sends everything until it is answered or the time is over.
    pub(super) async fn run(mut self) -> Vec<Answer<Value>> {
        loop {
            let topology = self.members.topology();
            let parts = self.parts(&topology);
            let left = self.left();
            if parts.is_empty() || left.is_zero() || self.hops > MOST_HOPS {
                return self.answers();
            }
            if !self.pause.is_zero() {
                // Servers that are not ready must not be asked by all callers in step.
                let pause = self.pause.mul_f64(0.5 + fastrand::f64() / 2.0);
                let _ = timeout(pause.min(left), pending::<()>()).await;
            }
            let sent = parts.iter().map(|part| self.send(part, &topology));
            let sent = join_all(sent).await;
            self.turns += 1;
            for (part, sent) in parts.into_iter().zip(sent) {
                if let Sent::Answered(answer) = sent {
                    self.take(part, answer);
                }
            }
            self.end_turn();
        }
    }

    /// Takes in what a server answered.
    pub(super) fn answered(&mut self, at: usize, reply: Value, node: &Node) {
        let place = match Verdict::of(&reply, &node.address) {
            Verdict::Served => {
                self.states[at] = State::Done(Ok(reply));
                return;
            }
            Verdict::Moved(slot, address) => self.members.sought(&address).map(|node| {
                self.members.moved(slot, &node);
                Place::Moved(node)
            }),
            Verdict::Ask(address) => self.members.sought(&address).map(Place::Ask),
            Verdict::NotNow => {
                self.members.ask_soon();
                Ok(Place::Home)
            }
        };
        self.states[at] = match place {
            Ok(place) => State::Waiting(place, Some(reply)),
            Err(failure) => State::Done(Err(failure)),
        };
    }

    /// Looks at what was sent back, before it is sent on.
    pub(super) fn end_turn(&mut self) {
        self.turns = self.turns.max(1);
        let mut not_now = false;
        let mut on = false;
        for state in &self.states {
            match state {
                State::Waiting(Place::Home, Some(_)) => not_now = true,
                State::Waiting(Place::Moved(_) | Place::Ask(_), _) => on = true,
                _ => {}
            }
        }
        self.hops += u32::from(on);
        self.pause = match not_now {
            true => (self.pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE),
            false => Duration::ZERO,
        };
        if not_now || on {
            self.give_up_overtaken();
        }
    }

    /// What was sent back although a later command with its key was served is given up: sent again,
    /// it would be executed out of order. A script has several keys, so it counts for its whole slot.
    fn give_up_overtaken(&mut self) {
        let (mut keys, mut slots, mut of_scripts) =
            (HashSet::new(), HashSet::new(), HashSet::new());
        let units = self.units.iter().zip(&self.slots);
        for ((unit, slot), state) in units.zip(&mut self.states).rev() {
            let (Some(key), Some(slot)) = (unit.key(), *slot) else {
                continue;
            };
            let overtaken = keys.contains(key)
                || of_scripts.contains(&slot)
                || (unit.script().is_some() && slots.contains(&slot));
            match state {
                State::Done(Ok(_)) => {
                    keys.insert(key);
                    slots.insert(slot);
                    if unit.script().is_some() {
                        of_scripts.insert(slot);
                    }
                }
                State::Waiting(_, Some(reply)) if overtaken => {
                    *state = State::Done(Err(verdict::refused(reply)));
                }
                _ => {}
            }
        }
    }

    /// What waits, by the server that it goes to.
    fn parts(&self, topology: &Topology<Node>) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        for (at, state) in self.states.iter().enumerate() {
            let node = match state {
                State::Done(_) => continue,
                State::Waiting(Place::Moved(node) | Place::Ask(node), _) => Some(node),
                State::Waiting(Place::Home, _) => match self.slots[at] {
                    Some(slot) => topology.owner(slot),
                    None => Node::any(topology),
                },
            };
            let same = |part: &&mut Part| match (&part.node, node) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                (None, None) => true,
                _ => false,
            };
            match parts.iter_mut().rev().find(same) {
                Some(part) => part.units.push(at),
                None => parts.push(Part {
                    node: node.cloned(),
                    units: vec![at],
                }),
            }
        }
        parts
    }

    async fn send(&self, part: &Part, topology: &Arc<Topology<Node>>) -> Sent {
        let node = match &part.node {
            Some(node) if node.single.is_live() => node,
            node => match self.wait(node.as_deref(), topology).await {
                Some(Err(failure)) => return Sent::Answered(Err(failure)),
                Some(Ok(node)) => node,
                None => return Sent::Elsewhere,
            },
        };
        let (skip, pipeline) = self.pack(part);
        // What is sent in time has all the time that the server is allowed.
        let left = match self.turns {
            0 if self.watch.elapsed() < self.members.response_timeout() / 10 => None,
            _ => Some(self.left()),
        };
        if left.is_some_and(|left| left.is_zero()) {
            return Sent::Elsewhere;
        }
        let answer = self.members.noticed(node.commands(&pipeline, left).await);
        Sent::Answered(answer.and_then(|replies| self.unpack(part, replies.into_iter().skip(skip))))
    }

    /// Waits for a server, or for the news that the slots may be another one's.
    async fn wait<'n>(
        &self,
        node: Option<&'n Node>,
        topology: &Arc<Topology<Node>>,
    ) -> Option<Answer<&'n Node>> {
        let change = pin!(self.members.change());
        if !Arc::ptr_eq(topology, &self.members.topology()) {
            return None;
        }
        self.members.ask_soon();
        let left = self.left();
        let Some(node) = node else {
            let changed = timeout(left, change).await;
            let no_server = |_| Some(Err(Failure::not_connected(self.members.response_timeout())));
            return changed.map_or_else(no_server, |()| None);
        };
        match select(pin!(node.ready(left)), change).await {
            Either::Left((ready, _)) => Some(ready.map(|()| node)),
            Either::Right(_) => None,
        }
    }

    /// The commands for a server, and how many of them come before those that were asked for.
    fn pack(&self, part: &Part) -> (usize, Pipeline) {
        let mut pipeline = Pipeline::with_capacity(part.units.len());
        let (mut by_hash, mut texts) = (false, HashSet::new());
        for &at in &part.units {
            match self.units[at].script() {
                Some(Script::Hash) => by_hash = true,
                Some(Script::Text(text)) => drop(texts.insert(text)),
                None => {}
            }
        }
        // A script that a command names by its text is known to the commands behind it; here they
        // may go to another server.
        if by_hash {
            for unit in &self.units {
                if let Some(Script::Text(text)) = unit.script()
                    && texts.insert(text)
                {
                    pipeline.add_command(encode::with("SCRIPT", [b"LOAD", text]));
                }
            }
        }
        let skip = pipeline.len();
        for &at in &part.units {
            if let State::Waiting(Place::Ask(_), _) = self.states[at] {
                pipeline.add_command(encode::with("ASKING", []));
            }
            for command in self.units[at].commands() {
                pipeline.add_command(command.clone());
            }
        }
        (skip, pipeline)
    }

    /// The answer for each unit, out of those for the commands that were packed for it.
    fn unpack(&self, part: &Part, mut replies: impl Iterator<Item = Value>) -> Answer<Vec<Value>> {
        let answer = |&at: &usize| {
            if let State::Waiting(Place::Ask(_), _) = self.states[at] {
                replies.next();
            }
            let count = self.units[at].commands().len();
            let replies = replies.by_ref().take(count);
            // A transaction that fails says why where it was told the command.
            let answer = replies.reduce(|one, other| match (&one, &other) {
                (Value::ServerError(_), Value::ServerError(_)) => one,
                _ => other,
            });
            answer.ok_or_else(Failure::unexpected_reply)
        };
        part.units.iter().map(answer).collect()
    }

    fn take(&mut self, part: Part, answer: Answer<Vec<Value>>) {
        match (answer, part.node) {
            (Ok(replies), Some(node)) => {
                for (at, reply) in part.units.into_iter().zip(replies) {
                    self.answered(at, reply, &node);
                }
            }
            (Ok(_), None) => {}
            (Err(failure), _) => {
                for at in part.units {
                    self.states[at] = State::Done(Err(failure.clone()));
                }
            }
        }
    }

    fn left(&self) -> Duration {
        let deadline = self.members.response_timeout();
        deadline.saturating_sub(self.watch.elapsed())
    }

    fn answers(self) -> Vec<Answer<Value>> {
        let deadline = self.members.response_timeout();
        let answer = |state| match state {
            State::Done(answer) => answer,
            State::Waiting(_, Some(reply)) => Err(verdict::refused(&reply)),
            State::Waiting(_, None) => Err(Failure::not_connected(deadline)),
        };
        self.states.into_iter().map(answer).collect()
    }
}

/// How a command names a script.
enum Script<'a> {
    Hash,
    Text(&'a [u8]),
}

impl Unit<'_> {
    fn commands(&self) -> &[Cmd] {
        match self {
            Self::Command(command) => std::slice::from_ref(command),
            Self::Transaction(commands) => commands,
        }
    }

    fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Command(command) => slot::key_of(command),
            // The first one is MULTI.
            Self::Transaction(commands) => slot::key_of(commands.get(1)?),
        }
    }

    fn script(&self) -> Option<Script<'_>> {
        let Self::Command(command) = self else {
            return None;
        };
        let mut args = command.args_iter();
        match (args.next()?, args.next()?) {
            (Arg::Simple(b"EVALSHA"), _) => Some(Script::Hash),
            (Arg::Simple(b"EVAL"), Arg::Simple(text)) => Some(Script::Text(text)),
            _ => None,
        }
    }
}
