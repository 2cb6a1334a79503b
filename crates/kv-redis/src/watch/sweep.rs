//! Watching ranges on a server that pushes no changes: round after round all their keys are listed,
//! looked at, and compared with what was seen of them in the round before.
//!
//! `SCAN` returns every key that is there during the whole of a round; one that comes and goes
//! meanwhile may be returned or not. So a key is not taken for gone because a round did not return
//! it: it is looked at once more, and what the look finds is told.
//!
//! What is known of up to [`MOST_KNOWN`] keys is kept. Of a greater crowd there is one sum over all
//! keys and what they hold; each round whose sum is another tells to read again.

use super::{board::is_within, look::Look, poll::State};
use crate::encode;
use bytes::Bytes;
use kv_core::{Prefix, subscription::Change};
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
/// ... or, where somebody waits to be told of a range that came, ...
const REST_OF_JOINED: u32 = 1;
/// ... but no longer than this: a server that was slow once must not blind us.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// What is known of ranges, and the round that is under way.
pub(super) struct Sweep {
    /// The ranges that are watched.
    covered: Vec<Bytes>,
    /// Those of which a round has shown all keys: another key there is new.
    learned: Vec<Bytes>,
    /// The others, with the first round that shows all keys of each.
    fresh: Vec<(Bytes, u64)>,
    known: HashMap<Bytes, Sighting>,
    view: View,
    stage: Stage,
    /// Keys to look at before the next step.
    queue: Vec<Bytes>,
    round: u64,
    began: Duration,
    ended: Duration,
    /// How long the last round took.
    took: Duration,
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

/// Who is to read again after a round.
#[derive(Debug, PartialEq)]
pub(super) enum Again {
    All,
    /// Who watches something in `ranges`, of which this round was the first to show all keys,
    /// except in those that were known `before`.
    Joined {
        ranges: Vec<Bytes>,
        before: Vec<Bytes>,
    },
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
            learned: Vec::new(),
            fresh: Vec::new(),
            known: HashMap::new(),
            view: View::Each,
            stage: Stage::Resting,
            queue: Vec::new(),
            round: 0,
            began: Duration::ZERO,
            ended: Duration::ZERO,
            took: Duration::ZERO,
            most: MOST_KNOWN,
        }
    }
}

impl Again {
    /// Whether it is for those who watch this range.
    pub(super) fn concerns(&self, range: &Bytes) -> bool {
        match self {
            Self::All => true,
            Self::Joined { ranges, before } => {
                is_within(range, ranges) && !is_within(range, before)
            }
        }
    }
}

impl Sweep {
    /// These are the ranges from now on. Who watches those that come is to read again after the
    /// first round that shows all their keys.
    pub(super) fn cover(&mut self, ranges: &[Bytes]) {
        // A round under way may have passed keys of theirs.
        let next = self.round + 1;
        let mut learned = self.learned.clone();
        learned.retain(|it| is_within(it, ranges));
        let parts = ranges
            .iter()
            .filter(|it| is_within(it, &self.learned) && !is_within(it, &learned));
        let parts: Vec<_> = parts.cloned().collect();
        learned.extend(parts);
        let fresh = ranges.iter().filter(|it| !is_within(it, &learned));
        let fresh = fresh.map(|it| {
            let earlier = self.fresh.iter().find(|(name, _)| it.starts_with(name));
            (it.clone(), earlier.map_or(next, |(_, round)| *round))
        });
        self.fresh = fresh.collect();
        self.learned = learned;
        self.covered = ranges.to_vec();
        self.known.retain(|key, _| is_within(key, ranges));
        self.queue.retain(|key| is_within(key, ranges));
    }

    /// A round begins, unless one is under way or the last one was just now.
    pub(super) fn begin(&mut self, now: Duration) {
        let times = match self.fresh.is_empty() {
            true => REST,
            false => REST_OF_JOINED,
        };
        let rests_until = self.ended + LONGEST_REST.min(self.took * times);
        if self.stage != Stage::Resting || now < rests_until || self.covered.is_empty() {
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

    /// Takes in a look of the round that is under way; answers what is to be told.
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
                } else if !self.is_crowded() && !self.tells_new(key) {
                    // Who reads again may find it, and has to be told of its end.
                    let _ = self.keep(key, State::Unknown);
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
        let is_told = match self.keep(key, state)? {
            Some(before) => self.tells_each() && !before.is_same(state),
            None => self.tells_new(key),
        };
        is_told.then_some(Change::Put(None))
    }

    /// Takes in a look at a key whose deadline has come; answers what is to be told.
    pub(super) fn compare_due(
        &mut self,
        key: &Bytes,
        look: &Look,
        now: Duration,
    ) -> Option<Change> {
        // Of a crowd only the looks of the round are summed up, each key once.
        if !self.tells_each() {
            return None;
        }
        self.compare(key, look, now)
    }

    /// Ends the round if nothing is left to do; answers who is to read again.
    pub(super) fn end(&mut self, now: Duration) -> Option<Again> {
        if self.stage != Stage::Checking || !self.queue.is_empty() {
            return None;
        }
        self.stage = Stage::Resting;
        self.took = now.saturating_sub(self.began);
        self.ended = now;
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
        let joined = self.join();
        if read_again {
            return Some(Again::All);
        }
        joined
    }

    /// Whether keys are told apart, so that their deadlines are of use.
    pub(super) fn tells_each(&self) -> bool {
        matches!(self.view, View::Each)
    }

    /// Whether a key was there when it was looked at last.
    pub(super) fn knows(&self, key: &Bytes) -> bool {
        self.known.contains_key(key)
    }

    /// Whether a key is told that was not there when all was looked at.
    fn tells_new(&self, key: &Bytes) -> bool {
        self.tells_each() && is_within(key, &self.learned)
    }

    /// Whether there are too many keys to tell them apart.
    fn is_crowded(&self) -> bool {
        matches!(self.view, View::Crowd { .. })
    }

    /// The ranges of which the round that ends has shown all keys are learned.
    fn join(&mut self) -> Option<Again> {
        let round = self.round;
        let shown = self.fresh.extract_if(.., |(_, first)| *first <= round);
        let ranges: Vec<_> = shown.map(|(range, _)| range).collect();
        if ranges.is_empty() {
            return None;
        }
        let before = self.learned.clone();
        self.learned.retain(|it| !is_within(it, &ranges));
        self.learned.extend_from_slice(&ranges);
        Some(Again::Joined { ranges, before })
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
fn pattern(ranges: &[Bytes]) -> Option<Vec<u8>> {
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
