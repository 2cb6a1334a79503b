//! The servers of a cluster: who they are, and who has which slots.

use super::{
    Address,
    node::Node,
    topology::{self, Range, Topology},
};
use crate::{
    connect::Single,
    decode, encode,
    error::{Answer, Failure},
    handshake::Settings,
    target::Target,
};
use arc_swap::ArcSwap;
use kv_core::{ErrorKind, Outcome};
use parking_lot::Mutex;
use redis::Value;
use std::{
    collections::HashMap,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, sync::Notify, task::AbortHandle, time::timeout};

/// How long to pause at least before the cluster is asked once more in the background.
const PAUSE: Duration = Duration::from_millis(100);

/// How often the cluster is asked while somebody watches, give or take a quarter.
const PULSE: Duration = Duration::from_secs(1);

pub(super) struct Members {
    target: Target,
    seeds: Vec<Address>,
    settings: Settings,
    runtime: Handle,
    topology: ArcSwap<Topology<Node>>,
    state: Mutex<State>,
    /// Held by whoever asks the cluster.
    turn: tokio::sync::Mutex<()>,
    /// Told when slots went to other servers, ...
    changed: Notify,
    /// ... which is counted here.
    changes: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Those that have slots, and those that somebody was sent to.
    nodes: HashMap<Address, Arc<Node>>,
    /// The task that asks the cluster in the background.
    task: Option<AbortHandle>,
    /// How many watch, and the task that asks the cluster regularly for them.
    watching: usize,
    pulse: Option<AbortHandle>,
    phase: Phase,
}

#[derive(Default, PartialEq)]
enum Phase {
    #[default]
    Open,
    /// A task asks the cluster.
    Asking,
    Closed,
}

impl Members {
    pub(super) fn new(target: Target, seeds: Vec<Address>, settings: Settings) -> Self {
        Self {
            target,
            seeds,
            settings,
            runtime: Handle::current(),
            topology: ArcSwap::from_pointee(Topology::new(0, &[])),
            state: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            changes: AtomicU64::new(0),
        }
    }

    pub(super) fn response_timeout(&self) -> Duration {
        self.settings.response_timeout
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.settings.connect_timeout
    }

    pub(super) fn topology(&self) -> Arc<Topology<Node>> {
        self.topology.load_full()
    }

    /// The server of a slot, as far as is known; for no slot, any.
    pub(super) fn owner(&self, slot: Option<u16>) -> Option<Arc<Node>> {
        let topology = self.topology.load();
        let owner = match slot {
            Some(slot) => topology.owner(slot),
            None => Node::any(&topology),
        };
        owner.cloned()
    }

    /// Has the cluster asked after an answer that hints at changes.
    pub(super) fn noticed<T>(self: &Arc<Self>, answer: Answer<T>) -> Answer<T> {
        if let Err(failure) = &answer
            && matches!(failure.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
        {
            self.ask_soon();
        }
        answer
    }

    /// Ends when slots went to other servers.
    pub(super) fn change(&self) -> impl Future<Output = ()> {
        self.changed.notified()
    }

    /// How often slots went to other servers. Who reads this first and the topology after it knows
    /// at least as much.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().phase == Phase::Closed
    }

    /// The server at an address that another server sent somebody to.
    pub(super) fn sought(&self, address: &Address) -> Answer<Arc<Node>> {
        let node = self.node(&mut self.state.lock(), address)?;
        node.seek();
        Ok(node)
    }

    /// A server said that a slot is another one's.
    pub(super) fn moved(self: &Arc<Self>, slot: u16, node: &Arc<Node>) {
        let is_known = |it: &Topology<Node>| it.owner(slot).is_some_and(|it| Arc::ptr_eq(it, node));
        if !is_known(&self.topology.load()) {
            self.topology.rcu(|topology| topology.with(slot, node));
            self.tell_of_change();
        }
        self.ask_soon();
    }

    /// Has the cluster asked in the background who has which slots.
    pub(super) fn ask_soon(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return;
        }
        state.phase = Phase::Asking;
        let members = Arc::clone(self);
        let task = async move {
            let generation = members.topology.load().generation;
            if let Err(failure) = members.ask(generation).await {
                tracing::warn!(kind = ?failure.kind(), "cannot learn who has which slots");
            }
            // Not through `SystemClock`, which waits for a time of day.
            let _ = timeout(PAUSE, pending::<()>()).await;
            let mut state = members.state.lock();
            if state.phase == Phase::Asking {
                state.phase = Phase::Open;
            }
        };
        state.task = Some(self.runtime.spawn(task).abort_handle());
    }

    /// Asks the cluster who has which slots, unless somebody did since `generation`.
    pub(super) async fn ask(&self, generation: u64) -> Answer<()> {
        let _turn = self.turn.lock().await;
        if self.topology.load().generation > generation {
            return Ok(());
        }
        let mut last = None;
        let mut nodes: Vec<_> = self.state.lock().nodes.values().cloned().collect();
        // One that is wrong must not be believed each time.
        fastrand::shuffle(&mut nodes);
        // Those that are connected answer at once; the others are restored meanwhile.
        for node in nodes.iter().filter(|node| node.single.is_live()) {
            match self.ask_node(node).await {
                Ok(()) => return Ok(()),
                Err(failure) => last = Some(failure),
            }
        }
        for address in &self.seeds {
            match self.ask_seed(address).await {
                Ok(()) => return Ok(()),
                Err(failure) => last = Some(failure),
            }
        }
        Err(last.unwrap_or_else(Failure::closed))
    }

    /// Has the cluster asked regularly, as long as what is returned is kept: a server tells nobody
    /// that a slot went elsewhere unless there are keys in it.
    pub(super) fn watched(self: &Arc<Self>) -> Answer<Watched> {
        let mut state = self.state.lock();
        if state.phase == Phase::Closed {
            return Err(Failure::closed());
        }
        state.watching += 1;
        if state.pulse.is_none() {
            let members = Arc::clone(self);
            let pulse = async move {
                loop {
                    let generation = members.topology.load().generation;
                    let pause = PULSE.mul_f64(0.75 + fastrand::f64() / 2.0);
                    let _ = timeout(pause, pending::<()>()).await;
                    // A failure is logged where it concerns somebody.
                    let _ = members.ask(generation).await;
                }
            };
            state.pulse = Some(self.runtime.spawn(pulse).abort_handle());
        }
        drop(state);
        Ok(Watched(Arc::clone(self)))
    }

    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.phase = Phase::Closed;
        if let Some(task) = state.task.take() {
            task.abort();
        }
        if let Some(pulse) = state.pulse.take() {
            pulse.abort();
        }
        state.nodes.values().for_each(|node| node.close());
        drop(state);
        self.changed.notify_waiters();
    }

    async fn ask_seed(&self, address: &Address) -> Answer<()> {
        let (target, settings) = self.way_to(address);
        let client = target.client().map_err(|error| misconfigured(&error))?;
        let single = Single::connect(client, settings.clone()).await?;
        let node = Arc::new(Node::new(address.clone(), single, &settings));
        self.adopt(&node);
        self.ask_node(&node).await
    }

    /// Keeps a server that we came to by an address of our own: most often it has slots.
    fn adopt(&self, node: &Arc<Node>) {
        let mut state = self.state.lock();
        let known = state.nodes.get(&node.address);
        if state.phase != Phase::Closed && known.is_none_or(|it| !it.single.is_live()) {
            state.nodes.insert(node.address.clone(), Arc::clone(node));
        }
    }

    async fn ask_node(&self, node: &Arc<Node>) -> Answer<()> {
        let reply = node.command(&encode::with("CLUSTER", [b"SLOTS"])).await?;
        let ranges = topology::ranges(decode_slots(reply)?, &node.address)?;
        if ranges.is_empty() {
            let message = "the server knows of no slot of a cluster; it has not joined one yet";
            return Err(unavailable(message));
        }
        self.learn(ranges)
    }

    fn learn(&self, ranges: Vec<Range>) -> Answer<()> {
        let mut state = self.state.lock();
        if state.phase == Phase::Closed {
            return Err(Failure::closed());
        }
        let before = self.topology.load_full();
        let owned = ranges.into_iter().map(|range| {
            let owner = self.node(&mut state, &range.owner)?;
            Ok((range.first, range.last, owner))
        });
        let owned = owned.collect::<Answer<Vec<_>>>()?;
        let topology = Topology::new(before.generation + 1, &owned);
        let owners = topology.owners();
        let keep = |node: &Arc<Node>| owners.iter().any(|it| Arc::ptr_eq(&it.node, node));
        // Who is asked to wait for a slot on its way is not among the owners yet.
        state.nodes.retain(|_, node| keep(node) | node.was_sought());
        let topology = Arc::new(topology);
        // A slot may have been seen elsewhere since; then this is a change back.
        let replaced = self.topology.swap(Arc::clone(&topology));
        let same = topology.has_same_owners(&replaced);
        drop(state);
        if !same {
            self.tell_of_change();
        }
        Ok(())
    }

    /// The server at an address; one that is not known yet begins to be connected.
    fn node(&self, state: &mut State, address: &Address) -> Answer<Arc<Node>> {
        if let Some(node) = state.nodes.get(address) {
            return Ok(Arc::clone(node));
        }
        if state.phase == Phase::Closed {
            return Err(Failure::closed());
        }
        let (target, settings) = self.way_to(address);
        let client = target.client().map_err(|error| misconfigured(&error))?;
        // It may be needed outside the runtime's own threads.
        let _in_runtime = self.runtime.enter();
        let single = Single::begin(client, settings.clone());
        let node = Arc::new(Node::new(address.clone(), single, &settings));
        state.nodes.insert(address.clone(), Arc::clone(&node));
        Ok(node)
    }

    fn tell_of_change(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        self.changed.notify_waiters();
    }

    fn way_to(&self, address: &Address) -> (Target, Settings) {
        let target = self.target.at(&address.host, address.port);
        let mut settings = self.settings.clone();
        settings.address = target.address();
        (target, settings)
    }
}

/// Somebody who watches.
pub(super) struct Watched(Arc<Members>);

impl Drop for Watched {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.watching -= 1;
        if state.watching == 0
            && let Some(pulse) = state.pulse.take()
        {
            pulse.abort();
        }
    }
}

/// A server alone answers with an error whose remedy is another address.
fn decode_slots(reply: Value) -> Answer<Value> {
    if let Value::ServerError(error) = &reply
        && error
            .details()
            .is_some_and(|it| it.contains("cluster support disabled"))
    {
        let message =
            "the server is not one of a cluster; write redis:// in place of redis-cluster://";
        return Err(Failure::new(ErrorKind::Config, Outcome::Final, message));
    }
    decode::single(reply)
}

fn misconfigured(error: &kv_core::Error) -> Failure {
    Failure::new(error.kind(), Outcome::Final, error.to_string())
}

fn unavailable(message: &'static str) -> Failure {
    Failure::new(ErrorKind::Unavailable, Outcome::NotApplied, message)
}
