//! Watching a cluster: each name on the server that has it, all told in one stream.
//!
//! Keys and channels are watched where their slots are. A message comes to every server, but
//! `notify` sends it to the one that has the channel's slot, so most take no way between servers.
//! Ranges are watched on every primary. Each server has its two connections that watch, whoever and
//! however many use them.
//!
//! A stream follows the slots by itself, without a task: where they go to another server, it
//! subscribes there, says that something may have been missed, and lets go of the one before.
//!
//! While a slot is on its way, the server that has it sends who asks for a key that is gone to the
//! other one, which shows it to nobody who is not sent. Who watches such a key is told to read again
//! every now and then, until the slot has arrived.

use super::{
    members::{Members, Watched},
    no_server,
    node::Node,
    slot,
    topology::Topology,
};
use crate::{
    error::{Answer, Failure},
    watch::{Kind, Subscription},
};
use bytes::Bytes;
use futures_util::{
    Stream,
    future::{BoxFuture, join_all},
};
use kv_core::{Error, ErrorKind, Event, Events, Result, Stopwatch};
use std::{
    future::pending,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::timeout;

/// How long to wait at least before a server is asked again for what it did not give, or ...
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
/// ... at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(300);
/// How often a key whose server sends us elsewhere is looked for before it counts as on its way.
const MOST_TRIES: u32 = 3;

/// Watches distinct names; live when this ends well.
pub(super) async fn watch(members: &Arc<Members>, kind: Kind, names: Vec<Bytes>) -> Answer<Events> {
    let mut merged = Merged {
        _watched: members.watched()?,
        changed: change(members),
        members: Arc::clone(members),
        kind,
        names: names.into_iter().map(|it| (slot::of(&it), it)).collect(),
        planned: 0,
        parts: Vec::new(),
        retired: Vec::new(),
        first: 0,
        missed: false,
        over: false,
    };
    merged.open().await?;
    Ok(Box::pin(merged))
}

/// What the servers tell, as one stream.
struct Merged {
    members: Arc<Members>,
    /// Kept so that the cluster is asked regularly.
    _watched: Watched,
    kind: Kind,
    names: Vec<(u16, Bytes)>,
    /// How often slots had gone to other servers when the parts were made.
    planned: u64,
    parts: Vec<Part>,
    /// Kept until those in their place are live: what both tell of needs not be asked for again.
    retired: Vec<Subscription>,
    /// The part that is read first; the next one next time.
    first: usize,
    /// Ends when slots went to other servers.
    changed: BoxFuture<'static, ()>,
    /// Whether something may have been missed.
    missed: bool,
    over: bool,
}

/// What is watched on one server.
struct Part {
    node: Weak<Node>,
    names: Vec<Bytes>,
    state: State,
}

enum State {
    Opening(BoxFuture<'static, Answer<Subscription>>),
    Live(Subscription),
    /// Until the server is asked again.
    Pausing(BoxFuture<'static, ()>),
    /// Nobody has the slots.
    Nowhere,
}

impl Merged {
    /// Subscribes everywhere. What other servers are said to have is looked for there.
    async fn open(&mut self) -> Answer<()> {
        let limit = self.members.connect_timeout() + self.members.response_timeout();
        let watch = Stopwatch::start();
        let mut tries = 1;
        loop {
            let generation = self.members.topology().generation;
            self.plan();
            let Some(failure) = self.settle().await else {
                break;
            };
            let elsewhere = failure.kind() == ErrorKind::Unsupported;
            if !elsewhere && !is_passing(&failure) {
                return Err(failure);
            }
            if let Err(unknown) = self.members.ask(generation).await {
                return Err(if elsewhere { unknown } else { failure });
            }
            let changed = self.planned != self.members.changes();
            let late = watch.elapsed() >= limit;
            match elsewhere {
                true if late || (!changed && tries >= MOST_TRIES) => break,
                true if changed => {}
                true => pause().await,
                false if changed && !late => {}
                false => return Err(failure),
            }
            tries += 1;
            self.parts.retain(Part::is_live);
        }
        self.retired.clear();
        self.missed = false;
        Ok(())
    }

    /// Waits for all parts; answers the worst of what went wrong.
    async fn settle(&mut self) -> Option<Failure> {
        let opening = self.parts.iter_mut().map(|part| async {
            let opened = match &mut part.state {
                State::Opening(opening) => opening.await,
                State::Nowhere => return Some(no_server()),
                State::Live(_) | State::Pausing(_) => return None,
            };
            match opened {
                Ok(subscription) => {
                    part.state = State::Live(subscription);
                    None
                }
                Err(failure) => {
                    part.state = State::Pausing(Box::pin(pause()));
                    Some(failure)
                }
            }
        });
        let failures = join_all(opening).await.into_iter().flatten();
        failures.max_by_key(|failure| match failure.kind() {
            ErrorKind::Unsupported => 0,
            _ if is_passing(failure) => 1,
            _ => 2,
        })
    }

    /// Splits the names by server; what stays where it is stays as it is.
    fn plan(&mut self) {
        self.planned = self.members.changes();
        let topology = self.members.topology();
        let mut before = std::mem::take(&mut self.parts);
        for (node, names) in self.split(&topology) {
            let same = before.iter().position(|it| it.is(node, &names));
            let part = match same {
                Some(at) => before.swap_remove(at),
                None => Part::new(node, self.kind, names),
            };
            self.parts.push(part);
        }
        let live = before.into_iter().filter_map(|part| match part.state {
            State::Live(subscription) => Some(subscription),
            _ => None,
        });
        self.retired.extend(live);
    }

    fn split<'a>(&self, topology: &'a Topology<Node>) -> Vec<(Option<&'a Arc<Node>>, Vec<Bytes>)> {
        let mut split: Vec<(Option<&Arc<Node>>, Vec<Bytes>)> = Vec::new();
        if self.kind == Kind::Ranges {
            let owners = topology.owners().iter().map(|it| Some(&it.node));
            let nowhere = (!topology.is_whole()).then_some(None);
            let all = || self.names.iter().map(|(_, name)| name.clone()).collect();
            return owners.chain(nowhere).map(|node| (node, all())).collect();
        }
        for (slot, name) in &self.names {
            let node = topology.owner(*slot);
            let same = |(it, _): &&mut (Option<&Arc<Node>>, _)| match (*it, node) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                (None, None) => true,
                _ => false,
            };
            match split.iter_mut().find(same) {
                Some((_, names)) => names.push(name.clone()),
                None => split.push((node, vec![name.clone()])),
            }
        }
        split
    }

    /// Looks whether slots went elsewhere; if they do later, the stream is polled again.
    fn follow(&mut self, context: &mut Context<'_>) {
        while self.changed.as_mut().poll(context).is_ready() {
            self.changed = change(&self.members);
        }
        if self.planned != self.members.changes() {
            self.plan();
        }
    }

    /// The next event of any part, or the end of all.
    fn poll_parts(&mut self, context: &mut Context<'_>) -> Poll<Result<Event>> {
        let count = self.parts.len();
        for at in (0..count).map(|turn| (self.first + turn) % count) {
            let told = self.parts[at].poll(context, self.kind, &self.members);
            match told {
                Poll::Ready(Ok(Told::Event(event))) => {
                    self.first = at + 1;
                    return Poll::Ready(Ok(event));
                }
                // Told at once: who is told something polls again.
                Poll::Ready(Ok(Told::Gap)) => self.missed = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }

    /// Whether there is a gap to be told; lets go of parts whose successors do what they can.
    fn take_gap(&mut self) -> bool {
        let opening = |part: &Part| matches!(part.state, State::Opening(_));
        if !self.retired.is_empty() && !self.parts.iter().any(opening) {
            self.retired.clear();
            self.missed = true;
        }
        std::mem::take(&mut self.missed)
    }

    fn end(&mut self, error: Error) -> Poll<Option<Result<Event>>> {
        self.over = true;
        self.parts.clear();
        self.retired.clear();
        Poll::Ready(Some(Err(error)))
    }
}

impl Stream for Merged {
    type Item = Result<Event>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let merged = self.get_mut();
        if merged.over {
            return Poll::Ready(None);
        }
        merged.follow(context);
        if merged.take_gap() {
            return Poll::Ready(Some(Ok(Event::Resync)));
        }
        match merged.poll_parts(context) {
            Poll::Ready(Ok(event)) => return Poll::Ready(Some(Ok(event))),
            Poll::Ready(Err(error)) => return merged.end(error),
            Poll::Pending => {}
        }
        if merged.take_gap() {
            return Poll::Ready(Some(Ok(Event::Resync)));
        }
        match merged.members.is_closed() {
            true => merged.end(Failure::closed().into()),
            false => Poll::Pending,
        }
    }
}

/// What a part tells.
enum Told {
    Event(Event),
    /// Something may have been missed.
    Gap,
}

impl Part {
    fn new(node: Option<&Arc<Node>>, kind: Kind, names: Vec<Bytes>) -> Self {
        let subscribe = |node: &Arc<Node>| node.watches.subscribe(kind, names.clone());
        let state = match node.map(subscribe) {
            Some(opening) => State::Opening(Box::pin(opening)),
            None => State::Nowhere,
        };
        // A node that has no slots any more must be free to go.
        let node = node.map(Arc::downgrade).unwrap_or_default();
        Self { node, names, state }
    }

    fn is(&self, node: Option<&Arc<Node>>, names: &[Bytes]) -> bool {
        let node = node.map_or(std::ptr::null(), Arc::as_ptr);
        std::ptr::eq(self.node.as_ptr(), node) && self.names == names
    }

    fn is_live(&self) -> bool {
        matches!(self.state, State::Live(_))
    }

    /// What comes next. An error ends the whole stream.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        kind: Kind,
        members: &Arc<Members>,
    ) -> Poll<Result<Told>> {
        loop {
            match &mut self.state {
                State::Live(it) => match ready!(Pin::new(it).poll_next(context)) {
                    Some(Ok(event)) => return Poll::Ready(Ok(Told::Event(event))),
                    Some(Err(error)) if error.kind() == ErrorKind::Denied => {
                        return Poll::Ready(Err(error));
                    }
                    // A key is elsewhere, or the node is given up.
                    _ => self.pause(members),
                },
                State::Opening(opening) => match ready!(opening.as_mut().poll(context)) {
                    Ok(subscription) => {
                        self.state = State::Live(subscription);
                        return Poll::Ready(Ok(Told::Gap));
                    }
                    Err(failure) if failure.kind() == ErrorKind::Denied => {
                        return Poll::Ready(Err(failure.into()));
                    }
                    Err(failure) => {
                        self.pause(members);
                        // Others may reach what we cannot watch.
                        if !is_passing(&failure) {
                            return Poll::Ready(Ok(Told::Gap));
                        }
                    }
                },
                State::Pausing(pause) => {
                    ready!(pause.as_mut().poll(context));
                    // Without the node, the news of its end is on its way.
                    self.state =
                        Self::new(self.node.upgrade().as_ref(), kind, self.names.clone()).state;
                }
                State::Nowhere => return Poll::Pending,
            }
        }
    }

    fn pause(&mut self, members: &Arc<Members>) {
        members.ask_soon();
        self.state = State::Pausing(Box::pin(pause()));
    }
}

/// Whether a failure goes by while nobody, or nobody through this server, can write either.
fn is_passing(failure: &Failure) -> bool {
    use ErrorKind::{Closed, Timeout, Unavailable};
    matches!(failure.kind(), Unavailable | Timeout | Closed)
}

async fn pause() {
    let more = (LONGEST_PAUSE - SHORTEST_PAUSE).mul_f64(fastrand::f64());
    let _ = timeout(SHORTEST_PAUSE + more, pending::<()>()).await;
}

fn change(members: &Arc<Members>) -> BoxFuture<'static, ()> {
    let members = Arc::clone(members);
    Box::pin(async move { members.change().await })
}
