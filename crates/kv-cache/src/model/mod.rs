//! K2 and K3 by trying everything: loads, fills, removals and writes of two processes in every order of their
//! steps. What they decide by are the cache's own functions, and what they do to the store are its own
//! transactions; so the check fails when one of them is broken, which the sabotages show.

mod site;
mod store;
mod tags;

use self::store::Store;
use crate::{
    envelope::{Content, Envelope},
    far::transitions::{self, Lease},
    freshness::{Terms, Ticket, may_keep, may_replace},
    place::Entry,
    tags::TagVersions,
};
use kv_core::{Lifetime, Mark, Timestamp, Value};
use std::{collections::HashSet, time::Duration};

/// What is taken out of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sabotage {
    None,
    /// A fill does not look whether its key was touched.
    NoTicket,
    /// It does, but puts the entry in first and takes it out again.
    TicketAfterwards,
    /// A fill of the store does not look for its lease.
    NoLease,
    /// An older version takes the place of a newer one.
    NoVersion,
    /// A removal touches its key before it asks the store, and not again.
    TouchedOnce,
}

/// All there is. Values count up: the higher is the newer.
#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    origin: u8,
    store: Store,
    nodes: [Node; 2],
    actors: Vec<Actor>,
}

/// One process.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Node {
    touches: u64,
    /// Version and value.
    near: Option<(u64, u8)>,
    /// What nobody may see anything older than who asks here.
    least: u8,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Actor {
    node: usize,
    does: Does,
    step: Step,
    ticket: Ticket,
    /// What it has in hand.
    version: u64,
    value: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Does {
    Load,
    Remove,
    Write,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Begin,
    Ask,
    Load,
    Seize,
    Fill,
    Invalidate,
    Keep,
    /// Between putting in and looking, where that is sabotaged.
    LookAgain,
    TouchAgain,
    Done,
}

/// What a search has found.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing { worlds: usize },
    Wrong(&'static str),
}

#[test]
fn nothing_older_is_seen_or_kept_in_any_order() {
    for actors in casts() {
        let found = search(actors, Sabotage::None);
        let Found::Nothing { worlds } = found else {
            panic!("{found:?}");
        };
        println!("{worlds} worlds");
        assert!(worlds > 1000, "too few to mean anything");
    }
}

#[test]
fn the_check_notices_each_thing_that_is_taken_out() {
    for (sabotage, wrong) in [
        (Sabotage::NoTicket, "a reader can see what was replaced"),
        (
            Sabotage::TicketAfterwards,
            "a reader can see what was replaced",
        ),
        (Sabotage::NoLease, "the store has what was replaced"),
        (Sabotage::NoVersion, "a version went back"),
        (Sabotage::TouchedOnce, "a reader can see what was replaced"),
    ] {
        let found: Vec<_> = casts().map(|it| search(it, sabotage)).collect();
        assert!(
            found.contains(&Found::Wrong(wrong)),
            "{sabotage:?}: {found:?}"
        );
    }
}

/// Who does what, where.
fn casts() -> impl Iterator<Item = Vec<Actor>> {
    use Does::{Load, Remove, Write};
    [
        vec![(0, Load), (0, Load), (1, Load), (0, Remove)],
        vec![(0, Load), (1, Load), (1, Load), (0, Remove)],
        vec![(0, Load), (1, Load), (0, Remove), (1, Remove)],
        vec![(0, Load), (0, Load), (1, Load), (0, Write)],
        vec![(0, Load), (1, Load), (1, Load), (0, Write)],
    ]
    .into_iter()
    .map(|cast| {
        cast.into_iter()
            .map(|(node, does)| Actor::new(node, does))
            .collect()
    })
}

fn search(actors: Vec<Actor>, sabotage: Sabotage) -> Found {
    let entry = Entry::new(b"{cache:c:k}").unwrap();
    // It begins with an old value on the store.
    let mut store = Store::default();
    let nonce = Mark::from("before");
    let seized = store.commit(&transitions::seize(&entry, &nonce, life()));
    let version = transitions::seized(seized).unwrap().version;
    store.commit(&transitions::fill(&entry, &nonce, seal(version, 0), life()));
    let begin = World {
        origin: 0,
        store,
        nodes: Default::default(),
        actors,
    };
    let mut seen = HashSet::from([begin.clone()]);
    let mut open = vec![begin];
    while let Some(world) = open.pop() {
        for at in 0..world.actors.len() {
            if world.actors[at].step == Step::Done {
                continue;
            }
            let mut next = world.clone();
            next.go(at, &entry, sabotage);
            if let Some(wrong) = next.wrong(&world, &entry) {
                return Found::Wrong(wrong);
            }
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    Found::Nothing { worlds: seen.len() }
}

impl Actor {
    fn new(node: usize, does: Does) -> Self {
        Self {
            node,
            does,
            step: Step::Begin,
            ticket: Ticket(0),
            version: 0,
            value: 0,
        }
    }
}

impl World {
    /// One actor does its next step, which no other can come into the middle of.
    fn go(&mut self, at: usize, entry: &Entry, sabotage: Sabotage) {
        let nonce = Mark::from(vec![at as u8]);
        let mut actor = self.actors[at].clone();
        let node = &mut self.nodes[actor.node];
        actor.step = match (actor.step, actor.does) {
            (Step::Begin, Does::Load) => {
                actor.ticket = Ticket(node.touches);
                Step::Ask
            }
            (Step::Begin, Does::Remove | Does::Write) => {
                self.origin += 1;
                actor.value = self.origin;
                node.touch();
                actor.ticket = Ticket(node.touches);
                match actor.does {
                    Does::Remove => Step::Invalidate,
                    _ => Step::Seize,
                }
            }
            (Step::Ask, _) => {
                let reply = self
                    .store
                    .commit(&transitions::get_or_lease(entry, &nonce, life()));
                let answer = transitions::answered(&nonce, reply).unwrap();
                match (answer.lease, answer.found) {
                    (Lease::Granted(issue), _) => {
                        actor.version = issue.version;
                        Step::Load
                    }
                    (_, Some(found)) => {
                        (actor.version, actor.value) = open(found.value);
                        Step::Keep
                    }
                    // It would wait and ask again.
                    _ => Step::Done,
                }
            }
            (Step::Load, _) => {
                actor.value = self.origin;
                Step::Fill
            }
            (Step::Seize, _) => {
                let reply = self
                    .store
                    .commit(&transitions::seize(entry, &nonce, life()));
                actor.version = transitions::seized(reply).unwrap().version;
                Step::Fill
            }
            (Step::Fill, _) => {
                let envelope = seal(actor.version, actor.value);
                let mut fill = transitions::fill(entry, &nonce, envelope, life());
                if sabotage == Sabotage::NoLease {
                    fill.when.clear();
                }
                match self.store.commit(&fill).applied {
                    true => Step::Keep,
                    false => Step::Done,
                }
            }
            (Step::Invalidate, _) => {
                self.store.commit(&transitions::invalidate(entry));
                match sabotage {
                    Sabotage::TouchedOnce => Step::Done,
                    _ => Step::TouchAgain,
                }
            }
            (Step::TouchAgain, _) => {
                node.touch();
                Step::Done
            }
            (Step::Keep, _) => node.keep(&actor, sabotage),
            (Step::LookAgain, _) => {
                if !may_keep(actor.ticket, node.touches) {
                    node.near = None;
                }
                Step::Done
            }
            (Step::Done, _) => Step::Done,
        };
        if actor.step == Step::Done && actor.does != Does::Load {
            // It has returned: who asks here from now on may see nothing older.
            node.least = node.least.max(actor.value);
        }
        self.actors[at] = actor;
    }

    fn wrong(&self, before: &Self, entry: &Entry) -> Option<&'static str> {
        for (node, before) in self.nodes.iter().zip(&before.nodes) {
            if node.near.is_some_and(|(_, value)| value < node.least) {
                return Some("a reader can see what was replaced");
            }
            if let (Some((new, _)), Some((old, _))) = (node.near, before.near)
                && new < old
            {
                return Some("a version went back");
            }
        }
        let replaced = self.actors.iter().filter(|it| {
            it.does == Does::Remove && matches!(it.step, Step::TouchAgain | Step::Done)
                || it.does == Does::Write && matches!(it.step, Step::Keep | Step::Done)
        });
        let least = replaced.map(|it| it.value).max().unwrap_or(0);
        let found = self.store.value(&entry.data()).map(open);
        match found {
            Some((_, value)) if value < least => Some("the store has what was replaced"),
            _ => None,
        }
    }
}

impl Node {
    fn touch(&mut self) {
        self.touches += 1;
        self.near = None;
    }

    fn keep(&mut self, actor: &Actor, sabotage: Sabotage) -> Step {
        let looks = !matches!(sabotage, Sabotage::NoTicket | Sabotage::TicketAfterwards);
        if looks && !may_keep(actor.ticket, self.touches) {
            return Step::Done;
        }
        let there = self.near.map(|(version, _)| version);
        if sabotage == Sabotage::NoVersion || may_replace(there, actor.version) {
            self.near = Some((actor.version, actor.value));
        }
        match sabotage {
            Sabotage::TicketAfterwards => Step::LookAgain,
            _ => Step::Done,
        }
    }
}

fn life() -> Lifetime {
    Lifetime::new(Duration::from_secs(60)).unwrap()
}

fn seal(version: u64, value: u8) -> Value {
    let terms = Terms {
        fresh: Duration::from_secs(60),
        life: Duration::from_secs(60),
        took: Duration::ZERO,
    };
    let envelope = Envelope {
        version,
        since: Timestamp::from_micros(0),
        terms,
        content: Content::Value,
        tags: TagVersions::default(),
    };
    envelope.seal(&[value])
}

/// Version and value.
fn open(value: Value) -> (u64, u8) {
    let (envelope, payload) = Envelope::open(value).unwrap();
    (envelope.version, payload[0])
}
