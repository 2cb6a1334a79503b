//! C2 and C3 of tags by trying everything: loads that know their tag before or name it late, and removals of the tag, of
//! two processes in every order of their steps. What is asked of the store and what its answers mean are the cache's
//! own; a process's cells are small enough to be written down here once more.

use super::{Found, life, site::Site, store::Store};
use crate::{
    far::{
        tagging,
        transitions::{self, Lease},
    },
    tags::{Change, Verdict, Versions},
};
use kv_core::Mark;
use std::collections::HashSet;

/// What is taken out of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sabotage {
    None,
    /// A removal moves the cell before it asks the store, and not again.
    TouchedOnce,
    /// What was read under an old state is remembered.
    LearnsOld,
    /// A change leaves what was known.
    KeepsKnown,
    /// An entry is kept under the state that its tag has then.
    MarkedLate,
    /// The store is not asked whether anything has changed since a load began that names its tag late.
    LateUnchecked,
    /// Nor is it of importance who has begun that tag meanwhile.
    LateBegunByOthers,
    /// Entries tell nothing of tags.
    Untagged,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    origin: u8,
    store: Store,
    nodes: [Node; 2],
    actors: Vec<Actor>,
}

/// One process, and what it knows of the tag.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Node {
    state: u64,
    changes: u64,
    known: Option<Versions>,
    known_changes: Option<u64>,
    /// A value, and the state that it is kept under.
    near: Option<(u8, u64)>,
    /// Who asks here may see nothing older.
    least: u8,
}

#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Actor {
    node: usize,
    does: Does,
    step: Step,
    state: u64,
    changes: u64,
    known: Option<Versions>,
    known_changes: Option<u64>,
    found: Option<(u8, Versions)>,
    /// What was read for this call: the version of the changes, and those of the tag if they were needed.
    read: Option<(u64, Option<Versions>)>,
    is_new: bool,
    version: u64,
    value: u8,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
enum Does {
    #[default]
    Load,
    /// And names its tag afterwards.
    LoadLate,
    Remove,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
enum Step {
    #[default]
    Begin,
    Ask,
    See,
    Learn,
    Judge,
    AskAgain,
    BeginTag,
    Load,
    SeeLate,
    BeginLate,
    Fill,
    Keep,
    Touch,
    Change,
    TouchAgain,
    /// The others may hear of it, at some time.
    Heard,
    Done,
}

const SEEN: &str = "a reader can see what a tag has removed";
const STORED: &str = "the store has what a tag has removed";

#[test]
fn nothing_that_a_tag_has_removed_is_seen_or_kept_in_any_order() {
    for actors in casts() {
        let found = search(actors, Sabotage::None);
        let Found::Nothing { worlds } = found else {
            panic!("{found:?}");
        };
        assert!(worlds > 1000, "{worlds} are too few to mean anything");
    }
}

#[test]
fn the_check_notices_each_thing_that_is_taken_out() {
    for (sabotage, wrong) in [
        (Sabotage::TouchedOnce, SEEN),
        (Sabotage::LearnsOld, SEEN),
        (Sabotage::KeepsKnown, SEEN),
        (Sabotage::MarkedLate, SEEN),
        (Sabotage::LateUnchecked, STORED),
        (Sabotage::LateBegunByOthers, STORED),
        (Sabotage::Untagged, STORED),
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
    use Does::{Load, LoadLate, Remove};
    [
        vec![(0, Load), (0, Load), (0, Remove)],
        vec![(0, Load), (1, Load), (0, Remove)],
        vec![(0, LoadLate), (0, Load), (0, Remove)],
        vec![(0, LoadLate), (1, Load), (1, Remove)],
        vec![(0, LoadLate), (1, LoadLate), (0, Remove)],
        vec![(0, Load), (1, Remove), (0, Remove)],
    ]
    .into_iter()
    .map(|cast| {
        let actor = |(node, does)| Actor {
            node,
            does,
            ..Actor::default()
        };
        cast.into_iter().map(actor).collect()
    })
}

fn search(actors: Vec<Actor>, sabotage: Sabotage) -> Found {
    let mut both = 0;
    // The tag is there from before, with an entry; or nothing is.
    for is_begun in [true, false] {
        let site = Site::new();
        let mut begin = World {
            origin: 0,
            store: Store::default(),
            nodes: Default::default(),
            actors: actors.clone(),
        };
        if is_begun {
            site.fill(&mut begin.store);
        }
        let mut seen = HashSet::from([begin.clone()]);
        let mut open = vec![begin];
        while let Some(world) = open.pop() {
            for at in 0..world.actors.len() {
                if world.actors[at].step == Step::Done {
                    continue;
                }
                let mut next = world.clone();
                next.go(at, &site, sabotage);
                if let Some(wrong) = next.wrong(&site) {
                    return Found::Wrong(wrong);
                }
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        both += seen.len();
    }
    Found::Nothing { worlds: both }
}

impl World {
    /// One actor does its next step, which no other can come into the middle of.
    fn go(&mut self, at: usize, site: &Site, sabotage: Sabotage) {
        let nonce = Mark::from(vec![at as u8]);
        let mut actor = self.actors[at].clone();
        let node = &mut self.nodes[actor.node];
        let store = &mut self.store;
        actor.step = match actor.step {
            Step::Begin if actor.does == Does::Remove => {
                self.origin += 1;
                actor.value = self.origin;
                Step::Touch
            }
            Step::Begin => {
                (actor.changes, actor.known_changes) = (node.changes, node.known_changes);
                (actor.state, actor.known) = (node.state, node.known);
                Step::Ask
            }
            Step::Ask | Step::AskAgain => {
                let txn = match actor.step {
                    Step::Ask => transitions::get_or_lease(&site.entry, &nonce, life()),
                    _ => transitions::refresh_lease(&site.entry, &nonce, life()),
                };
                let answer = transitions::answered(&nonce, store.commit(&txn)).unwrap();
                let is_again = actor.step == Step::AskAgain;
                match (answer.lease, answer.found) {
                    (Lease::Granted(issue), _) => {
                        actor.version = issue.version;
                        actor.found = None;
                        Step::See
                    }
                    (_, Some(found)) if !is_again => {
                        actor.found = Some(Site::open(found.value));
                        Step::See
                    }
                    // It would wait and ask again.
                    _ => Step::Done,
                }
            }
            Step::See => {
                let is_needed = actor.known.is_none()
                    && !(actor.does == Does::LoadLate && actor.found.is_none());
                if is_needed || actor.known_changes.is_none() {
                    let (changes, versions) = site.versions(store);
                    actor.read = Some((changes, is_needed.then_some(versions)));
                }
                Step::Learn
            }
            Step::Learn => {
                if let Some((changes, versions)) = actor.read.take() {
                    if node.changes == actor.changes || sabotage == Sabotage::LearnsOld {
                        node.known_changes = Some(changes);
                    }
                    actor.known_changes = Some(changes);
                    if let Some(versions) = versions {
                        node.learn(versions, actor.state, sabotage);
                        actor.known = Some(versions);
                        actor.is_new = true;
                    }
                }
                match (actor.found, actor.does) {
                    (Some(_), _) => Step::Judge,
                    (None, Does::LoadLate) => Step::Load,
                    (None, _) => Step::BeginTag,
                }
            }
            Step::Judge => {
                let (value, told) = actor.found.unwrap();
                match told.verdict(actor.known.unwrap()) {
                    Verdict::Holds => {
                        actor.value = value;
                        Step::Keep
                    }
                    _ if !actor.is_new => {
                        actor.known = None;
                        Step::See
                    }
                    _ => Step::AskAgain,
                }
            }
            Step::BeginTag => {
                let known = actor.known.unwrap_or_default();
                if !known.have_begun() {
                    actor.known = Some(site.begin(store, known).0);
                }
                Step::Load
            }
            Step::Load => {
                actor.value = self.origin;
                match actor.does {
                    Does::LoadLate => Step::SeeLate,
                    _ => Step::Fill,
                }
            }
            Step::SeeLate => {
                // What was known before the load began, and is still.
                let is_known = actor.known.is_some() && node.known == actor.known;
                actor.state = node.state;
                let is_unchanged = node.changes == actor.changes;
                match (is_known, is_unchanged) {
                    (true, _) => Step::Fill,
                    (false, is_unchanged) => {
                        let (changes, versions) = site.versions(store);
                        node.learn(versions, actor.state, sabotage);
                        actor.known = Some(versions);
                        let is_same = is_unchanged && Some(changes) == actor.known_changes;
                        match is_same || sabotage == Sabotage::LateUnchecked {
                            true if versions.have_begun() => Step::Fill,
                            true => Step::BeginLate,
                            false => Step::Done,
                        }
                    }
                }
            }
            Step::BeginLate => {
                let (versions, by_us) = site.begin(store, actor.known.unwrap_or_default());
                actor.known = Some(versions);
                match by_us || sabotage == Sabotage::LateBegunByOthers {
                    true => Step::Fill,
                    false => Step::Done,
                }
            }
            Step::Fill => {
                let mut versions = actor.known.unwrap_or_default();
                if sabotage == Sabotage::Untagged {
                    versions = site.versions(store).1;
                }
                let envelope = site.seal(actor.version, actor.value, versions);
                let fill = transitions::fill(&site.entry, &nonce, envelope, life());
                match store.commit(&fill).applied {
                    true => Step::Keep,
                    false => Step::Done,
                }
            }
            Step::Keep => {
                let state = match sabotage {
                    Sabotage::MarkedLate => node.state,
                    _ => actor.state,
                };
                node.near = Some((actor.value, state));
                Step::Done
            }
            Step::Touch => {
                node.change(sabotage);
                Step::Change
            }
            Step::Change => {
                let txn = tagging::change(&site.keys, Some(&site.red), Change::Removed, life());
                store.commit(&txn);
                Step::TouchAgain
            }
            Step::TouchAgain => {
                if sabotage != Sabotage::TouchedOnce {
                    node.change(sabotage);
                }
                // It has returned.
                node.least = node.least.max(actor.value);
                Step::Heard
            }
            Step::Heard => {
                let other = &mut self.nodes[1 - actor.node];
                other.change(sabotage);
                other.least = other.least.max(actor.value);
                Step::Done
            }
            Step::Done => Step::Done,
        };
        self.actors[at] = actor;
    }

    fn wrong(&self, site: &Site) -> Option<&'static str> {
        let is_seen = |node: &Node| {
            node.near
                .is_some_and(|(value, state)| state == node.state && value < node.least)
        };
        if self.nodes.iter().any(is_seen) {
            return Some(SEEN);
        }
        let removed = self.actors.iter().filter(|it| {
            it.does == Does::Remove
                && matches!(it.step, Step::TouchAgain | Step::Heard | Step::Done)
        });
        let least = removed.map(|it| it.value).max().unwrap_or(0);
        let (value, told) = Site::open(self.store.value(&site.entry.data())?);
        let (_, now) = site.versions(&mut self.store.clone());
        (value < least && told.verdict(now) == Verdict::Holds).then_some(STORED)
    }
}

impl Node {
    fn learn(&mut self, versions: Versions, state: u64, sabotage: Sabotage) {
        if self.state == state || sabotage == Sabotage::LearnsOld {
            self.known = Some(versions);
        }
    }

    fn change(&mut self, sabotage: Sabotage) {
        self.changes += 1;
        self.state += 1;
        if sabotage != Sabotage::KeepsKnown {
            (self.known, self.known_changes) = (None, None);
        }
    }
}
