//! The sorted set: members with scores, in the order of the scores.

use crate::shard::hash_of;
use ahash::RandomState;
use bytes::Bytes;
use hashbrown::{HashTable, hash_table::Entry};
use kv_core::{Member, Order, RangeOptions, Score, ScoreBound, ScoreRange, ScoredMember, Scores};
use std::{collections::BTreeSet, ops::Bound, sync::Arc};

/// Estimates of what a set and each of its members take beside their bytes.
const ZSET_COST: usize = 192;
const MEMBER_COST: usize = 128;

/// Each member is held once, by both sides.
pub(crate) struct ZSet {
    /// By member.
    scores: HashTable<Position>,
    order: BTreeSet<Position>,
    cost: usize,
    hasher: RandomState,
}

/// By score, ties by the member's bytes.
type Position = (Score, Arc<[u8]>);

impl Default for ZSet {
    fn default() -> Self {
        Self {
            scores: HashTable::new(),
            order: BTreeSet::new(),
            cost: ZSET_COST,
            hasher: RandomState::new(),
        }
    }
}

impl ZSet {
    pub(crate) fn len(&self) -> usize {
        self.scores.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// The bytes that the set is accounted for.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    pub(crate) fn score(&self, member: &[u8]) -> Option<Score> {
        let hash = hash_of(&self.hasher, member);
        let found = self.scores.find(hash, |it| *it.1 == *member)?;
        Some(found.0)
    }

    /// By how much the cost grows if this member is added.
    pub(crate) fn growth(&self, member: &[u8]) -> usize {
        match self.score(member) {
            Some(_) => 0,
            None => MEMBER_COST + member.len(),
        }
    }

    /// Adds a member or moves it; whether it is new.
    pub(crate) fn add(&mut self, member: &[u8], score: Score) -> bool {
        let hasher = &self.hasher;
        let (len, capacity) = (self.scores.len(), self.scores.capacity());
        // A queue that was long once does not hold its memory for ever. Not done when members go: a
        // queue that is drained is dropped whole, and needs no smaller tables on the way.
        if capacity > 256 && len * 16 < capacity {
            self.scores.shrink_to(len * 2, |it| hash_of(hasher, &it.1));
        }
        let place = self.scores.entry(
            hash_of(hasher, member),
            |it| *it.1 == *member,
            |it| hash_of(hasher, &it.1),
        );
        match place {
            Entry::Occupied(mut found) => {
                let position = found.get_mut();
                if position.0 != score {
                    self.order.remove(position);
                    position.0 = score;
                    self.order.insert(position.clone());
                }
                false
            }
            Entry::Vacant(place) => {
                let position = (score, Arc::from(member));
                self.order.insert(place.insert(position).get().clone());
                self.cost += MEMBER_COST + member.len();
                true
            }
        }
    }

    /// Takes a member out; whether it was there.
    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        let hash = hash_of(&self.hasher, member);
        let Ok(found) = self.scores.find_entry(hash, |it| *it.1 == *member) else {
            return false;
        };
        self.order.remove(&found.remove().0);
        self.cost -= MEMBER_COST + member.len();
        true
    }

    /// Takes out the members with the lowest scores up to `max`, lowest first.
    pub(crate) fn pop(&mut self, max: Score, limit: usize, scores: Scores) -> Vec<ScoredMember> {
        let mut popped = Vec::with_capacity(limit.min(self.len()).min(256));
        while popped.len() < limit
            && self.order.first().is_some_and(|first| first.0 <= max)
            && let Some(position) = self.order.pop_first()
        {
            let hash = hash_of(&self.hasher, &position.1);
            let same = |it: &Position| Arc::ptr_eq(&it.1, &position.1);
            if let Ok(found) = self.scores.find_entry(hash, same) {
                found.remove();
            }
            self.cost -= MEMBER_COST + position.1.len();
            popped.push(show(&position, scores));
        }
        popped
    }

    pub(crate) fn count(&self, range: ScoreRange) -> usize {
        match range == ScoreRange::ALL {
            true => self.len(),
            false => self.range(range).count(),
        }
    }

    /// Members by score.
    pub(crate) fn by_score(&self, range: ScoreRange, options: &RangeOptions) -> Vec<ScoredMember> {
        let limit = options.limit.map_or(usize::MAX, |it| it as usize);
        let skip = options.offset as usize;
        let show = |position| show(position, options.scores);
        let found = self.range(range);
        match options.order {
            Order::Ascending => found.skip(skip).take(limit).map(show).collect(),
            Order::Descending => found.rev().skip(skip).take(limit).map(show).collect(),
        }
    }

    /// Members by rank, both ends included; negative ranks count from the end.
    pub(crate) fn by_rank(&self, start: i64, stop: i64, scores: Scores) -> Vec<ScoredMember> {
        let len = self.len() as i64;
        let rank = |it: i64| if it < 0 { it.saturating_add(len) } else { it };
        let (start, stop) = (rank(start).max(0), rank(stop).min(len - 1));
        if start > stop {
            return Vec::new();
        }
        let count = (stop - start + 1) as usize;
        let show = |position| show(position, scores);
        let (before, behind) = (start as usize, (len - 1 - stop) as usize);
        if before <= behind {
            return self
                .order
                .iter()
                .skip(before)
                .take(count)
                .map(show)
                .collect();
        }
        let backwards = self.order.iter().rev().skip(behind).take(count).map(show);
        let mut found: Vec<_> = backwards.collect();
        found.reverse();
        found
    }

    fn range(&self, range: ScoreRange) -> impl DoubleEndedIterator<Item = &Position> {
        // The lowest position of a score has the empty member, so "from this score on" and "behind
        // this score" are both positions, and nothing is walked to find them.
        let from = match range.min {
            ScoreBound::Included(min) => Some(min),
            ScoreBound::Excluded(min) => above(min),
        };
        let until = match range.max {
            ScoreBound::Included(max) => above(max),
            ScoreBound::Excluded(max) => Some(max),
        };
        let all = from.is_some_and(|from| until.is_none_or(|until| from <= until));
        let ends = all.then(|| {
            let from = from.map_or(Bound::Unbounded, |it| Bound::Included(lowest(it)));
            let until = until.map_or(Bound::Unbounded, |it| Bound::Excluded(lowest(it)));
            (from, until)
        });
        ends.map(|ends| self.order.range(ends))
            .into_iter()
            .flatten()
    }
}

/// The next score; none above the highest.
fn above(score: Score) -> Option<Score> {
    if score == Score::MAX {
        return None;
    }
    Score::new(score.get().next_up()).ok()
}

fn lowest(score: Score) -> Position {
    (score, Arc::default())
}

fn show(position: &Position, scores: Scores) -> ScoredMember {
    let member = Member::new(Bytes::copy_from_slice(&position.1));
    let score = (scores == Scores::Include).then_some(position.0);
    ScoredMember::new(member, score)
}

#[cfg(test)]
#[path = "zset_tests.rs"]
mod tests;
