//! Watching ranges on a server that pushes no changes: round after round all their keys are listed,
//! looked at, and compared with what was seen of them in the round before.
//!
//! `SCAN` returns every key that is there during the whole of a round; one that comes and goes
//! meanwhile may be returned or not. So a key is not taken for gone because a round did not return
//! it: it is looked at once more, and what the look finds is told.
//!
//! What is known of up to [`MOST_KNOWN`] keys is kept. Of a greater crowd there is one sum over all
//! keys and what they hold; each round whose sum is another tells to read again.

use super::{board::is_within, look::Look, poll::State, subscriber::Change};
use crate::encode;
use bytes::Bytes;
use kv_core::Prefix;
use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

/// How many keys of the watched ranges are told apart: about 10 MiB.
const MOST_KNOWN: usize = 65_536;
/// How many keys are looked at in one round trip.
const CHUNK: usize = 256;
/// How many times as long as it took the server is left alone after a round, ...
const REST: u32 = 9;
/// ... but no longer than this: a server that was slow once must not blind us.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// What is known of ranges, and the round that is under way.
pub(super) struct Sweep {
    /// The ranges of which all keys are known.
    covered: Vec<Bytes>,
    known: HashMap<Bytes, Sighting>,
    view: View,
    stage: Stage,
    /// Keys to look at before the next step.
    queue: Vec<Bytes>,
    round: u64,
    began: Duration,
    rests_until: Duration,
    most: usize,
}

struct Sighting {
    state: State,
    /// When it was looked at last.
    round: u64,
}

#[derive(Clone, Copy)]
enum View {
    /// Each key is compared.
    Each,
    /// As soon as this round has shown all keys, each is.
    Anew,
    /// There are too many.
    Crowd {
        /// The sum of the round before.
        before: Option<u64>,
        sum: u64,
        /// How many keys this round has shown, or more where it began before there were too many.
        count: usize,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Resting,
    /// `SCAN` goes on here.
    Listing(u64),
    Listed,
    /// The keys that the round did not return are looked at.
    Checking,
}

/// What a round asks of the server next.
#[derive(Debug, PartialEq)]
pub(super) enum Turn {
    /// `SCAN` from this cursor.
    List(u64),
    /// A look at these keys, if any.
    Look(Vec<Bytes>),
}

impl Default for Sweep {
    fn default() -> Self {
        Self {
            covered: Vec::new(),
            known: HashMap::new(),
            view: View::Each,
            stage: Stage::Resting,
            queue: Vec::new(),
            round: 0,
            began: Duration::ZERO,
            rests_until: Duration::ZERO,
            most: MOST_KNOWN,
        }
    }
}

impl Sweep {
    /// A round begins, unless one is under way or the last one was just now.
    pub(super) fn begin(&mut self, now: Duration) {
        if self.stage != Stage::Resting || now < self.rests_until || self.covered.is_empty() {
            return;
        }
        self.round += 1;
        self.began = now;
        self.stage = Stage::Listing(0);
    }

    /// What the round that is under way, if one is, asks next.
    pub(super) fn turn(&mut self) -> Option<Turn> {
        if self.queue.is_empty() {
            match self.stage {
                Stage::Resting => return None,
                Stage::Listing(cursor) => return Some(Turn::List(cursor)),
                Stage::Listed | Stage::Checking => {
                    let round = self.round;
                    let missed = self.known.iter().filter(|(_, it)| it.round != round);
                    self.queue = missed.map(|(key, _)| key.clone()).collect();
                    self.stage = Stage::Checking;
                }
            }
        }
        let rest = self.queue.len().saturating_sub(CHUNK);
        Some(Turn::Look(self.queue.split_off(rest)))
    }

    /// The pattern for `SCAN` that fits all ranges.
    pub(super) fn pattern(&self) -> Option<Vec<u8>> {
        pattern(&self.covered)
    }

    /// `SCAN` returned these keys, and goes on at a cursor.
    pub(super) fn list(&mut self, keys: Vec<Bytes>, next: u64) {
        let is_new = |key: &Bytes| {
            let sighting = self.known.get(key);
            is_within(key, &self.covered) && sighting.is_none_or(|it| it.round != self.round)
        };
        self.queue.extend(keys.into_iter().filter(is_new));
        self.stage = match next {
            0 => Stage::Listed,
            next => Stage::Listing(next),
        };
    }

    /// Takes in a look; answers what is to be told.
    pub(super) fn compare(&mut self, key: &Bytes, look: &Look, now: Duration) -> Option<Change> {
        let round = self.round;
        let state = match State::of(look, now) {
            Some(state @ State::Present { .. }) => state,
            Some(State::Missing) => {
                let was_there = self.known.remove(key).is_some();
                return (was_there && self.tells_each()).then_some(Change::Delete);
            }
            // It is there, or not: the next round tells.
            _ if matches!(look, Look::Torn) => {
                if let Some(sighting) = self.known.get_mut(key) {
                    sighting.round = round;
                }
                return None;
            }
            // None of this user's, or of this server's.
            _ => {
                self.known.remove(key);
                return None;
            }
        };
        if let View::Crowd { sum, count, .. } = &mut self.view {
            *sum = sum.wrapping_add(digest(key, state));
            *count += 1;
            return None;
        }
        let before = self.keep(key, state)?;
        let is_same = before.is_some_and(|before| before.is_same(state));
        (!is_same && self.tells_each()).then_some(Change::Put(None))
    }

    /// Ends the round if nothing is left to do; answers whether all is to be read again.
    pub(super) fn end(&mut self, now: Duration) -> bool {
        if self.stage != Stage::Checking || !self.queue.is_empty() {
            return false;
        }
        self.stage = Stage::Resting;
        let took = now.saturating_sub(self.began);
        self.rests_until = now + LONGEST_REST.min(took * REST);
        let (view, read_again) = match self.view {
            View::Each => (View::Each, false),
            View::Anew => (View::Each, true),
            View::Crowd { before, sum, count } => {
                let view = match count <= self.most {
                    true => View::Anew,
                    false => crowd(Some(sum), 0),
                };
                (view, before != Some(sum))
            }
        };
        self.view = view;
        read_again
    }

    /// Whether keys are told apart, so that their deadlines are of use.
    pub(super) fn tells_each(&self) -> bool {
        matches!(self.view, View::Each)
    }

    /// Whether a key was there when it was looked at last.
    pub(super) fn knows(&self, key: &Bytes) -> bool {
        self.known.contains_key(key)
    }

    /// Those of some ranges whose keys have to be learned before they are covered.
    pub(super) fn unknown(&self, ranges: &[Bytes]) -> Vec<Bytes> {
        let unknown = ranges.iter().filter(|it| !is_within(it, &self.covered));
        // In a crowd a change of what is in them makes the sum another.
        unknown.filter(|_| !self.is_crowded()).cloned().collect()
    }

    /// Whether a key that was listed is one to learn, and not one of those watched already.
    pub(super) fn is_unknown(&self, key: &Bytes, ranges: &[Bytes]) -> bool {
        !self.is_crowded() && is_within(key, ranges) && !is_within(key, &self.covered)
    }

    /// Whether there are too many keys to tell them apart.
    fn is_crowded(&self) -> bool {
        matches!(self.view, View::Crowd { .. })
    }

    /// Remembers what a look found before anybody is told of changes.
    pub(super) fn learn(&mut self, key: &Bytes, look: &Look, now: Duration) {
        match State::of(look, now) {
            Some(State::Missing) => {}
            Some(state) => drop(self.keep(key, state)),
            None if matches!(look, Look::Torn) => drop(self.keep(key, State::Unknown)),
            None => {}
        }
    }

    /// These are the ranges from now on.
    pub(super) fn cover(&mut self, ranges: &[Bytes]) {
        self.covered = ranges.to_vec();
        self.known.retain(|key, _| is_within(key, ranges));
        self.queue.retain(|key| is_within(key, ranges));
    }

    /// Keeps a state; answers the one before, or nothing at all if there are too many.
    fn keep(&mut self, key: &Bytes, state: State) -> Option<Option<State>> {
        let round = self.round;
        if let Some(known) = self.known.get_mut(key) {
            known.round = round;
            return Some(Some(std::mem::replace(&mut known.state, state)));
        }
        if self.known.len() < self.most {
            self.known.insert(key.clone(), Sighting { state, round });
            return Some(None);
        }
        tracing::warn!(
            most = self.most,
            "too many keys in watched ranges that are polled, changes are told as a resync"
        );
        self.known = HashMap::new();
        self.view = crowd(None, self.most + 1);
        None
    }
}

fn crowd(before: Option<u64>, count: usize) -> View {
    let sum = 0;
    View::Crowd { before, sum, count }
}

/// Without the deadline, which two looks measure a little differently.
fn digest(key: &Bytes, state: State) -> u64 {
    let mut digest = DefaultHasher::new();
    key.hash(&mut digest);
    if let State::Present { content, ends } = state {
        (content, ends.is_some()).hash(&mut digest);
    }
    digest.finish()
}

/// A pattern for `SCAN` that matches at least every key of these ranges, none of which holds
/// another: what they share, and which bytes may follow it. `None` where only "all" does.
pub(super) fn pattern(ranges: &[Bytes]) -> Option<Vec<u8>> {
    let (first, others) = ranges.split_first()?;
    let shared = others.iter().fold(first.len(), |shared, it| {
        let same = first.iter().zip(it).take_while(|(a, b)| a == b).count();
        shared.min(same)
    });
    let all = [Prefix::from(&first[..shared])];
    let pattern = encode::pattern(&all);
    if others.is_empty() {
        return pattern;
    }
    let mut pattern = pattern.unwrap_or_else(|| b"*".to_vec());
    pattern.pop();
    pattern.push(b'[');
    let next: BTreeSet<u8> = ranges
        .iter()
        .filter_map(|it| it.get(shared).copied())
        .collect();
    next.into_iter()
        .for_each(|byte| pattern.extend([b'\\', byte]));
    pattern.extend(*b"]*");
    Some(pattern)
}

#[cfg(test)]
mod tests;
