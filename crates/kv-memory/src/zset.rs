//! The sorted set: members with scores, in the order of the scores.

use crate::{shard::hash_of, short::Short};
use ahash::RandomState;
use bytes::Bytes;
use hashbrown::{HashTable, hash_table::Entry};
use kv_core::{Member, Order, RangeOptions, Score, ScoreBound, ScoreRange, ScoredMember, Scores};
use std::{
    cmp::Ordering,
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

/// Estimates of what a set and each of its members take beside their bytes.
const ZSET_COST: usize = 192;
const MEMBER_COST: usize = 128;

/// Each member is held once, by both sides.
pub(crate) struct ZSet {
    scores: HashTable<Scored>,
    order: BTreeSet<Position>,
    cost: usize,
    hasher: RandomState,
}

/// Long enough for a UUID, which in a box of its own takes 30 % more memory; with the counters of the
/// `Arc` it fills the allocator's next size.
type Name = Arc<Short<38>>;

/// A member by its bytes.
struct Scored {
    score: Score,
    member: Name,
}

/// A member by its score, ties by its bytes. The hash is here so that taking out the lowest need not
/// wait for the member's bytes before it looks into the table.
struct Position {
    rank: Rank,
    hash: u64,
    member: Name,
}

/// A score as an integer of the same order, which is quicker to compare.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(i64);

impl From<Score> for Rank {
    fn from(score: Score) -> Self {
        Self(flip(score.get().to_bits() as i64))
    }
}

impl Rank {
    /// The rank behind this one. There is room: the highest ranks would be NaNs.
    fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The score; never none, since ranks are made of scores.
    fn score(self) -> Option<Score> {
        Score::new(f64::from_bits(flip(self.0) as u64)).ok()
    }
}

/// Negative numbers are ordered by their magnitude, in reverse.
fn flip(bits: i64) -> i64 {
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

impl Ord for Position {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match self.rank.cmp(&other.rank) {
            Ordering::Equal => (**self.member).cmp(&**other.member),
            unequal => unequal,
        }
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Position {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Position {}

impl Scored {
    fn position(&self, hash: u64) -> Position {
        Position {
            rank: self.score.into(),
            hash,
            member: Arc::clone(&self.member),
        }
    }
}

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
        let found = self.scores.find(hash, |it| **it.member == *member)?;
        Some(found.score)
    }

    /// By how much the cost grows if this member is added.
    pub(crate) fn growth(&self, member: &[u8]) -> usize {
        match self.score(member) {
            Some(_) => 0,
            None => Self::cost_of(member),
        }
    }

    /// The bytes that a member is accounted for.
    pub(crate) fn cost_of(member: &[u8]) -> usize {
        MEMBER_COST + member.len()
    }

    /// Adds a member or moves it; whether it is new.
    pub(crate) fn add(&mut self, member: &[u8], score: Score) -> bool {
        let hasher = &self.hasher;
        let rehash = |it: &Scored| hash_of(hasher, &it.member);
        let (len, capacity) = (self.scores.len(), self.scores.capacity());
        // A queue that was long once does not hold its memory for ever. Not done when members go: a
        // queue that is drained is dropped whole, and needs no smaller tables on the way.
        if capacity > 256 && len * 16 < capacity {
            self.scores.shrink_to(len * 2, rehash);
        }
        let hash = hash_of(hasher, member);
        let same = |it: &Scored| **it.member == *member;
        match self.scores.entry(hash, same, rehash) {
            Entry::Occupied(mut found) => {
                let found = found.get_mut();
                if found.score != score {
                    let old = found.position(hash);
                    found.score = score;
                    self.order.remove(&old);
                    let rank = score.into();
                    self.order.insert(Position { rank, ..old });
                }
                false
            }
            Entry::Vacant(place) => {
                let scored = Scored {
                    score,
                    member: Arc::new(Short::new(member)),
                };
                // First into the table: what that fetches from memory then comes while the search
                // in the order goes on, instead of holding up the release of the lock.
                let position = scored.position(hash);
                place.insert(scored);
                self.order.insert(position);
                self.cost += MEMBER_COST + member.len();
                true
            }
        }
    }

    /// Takes a member out; whether it was there.
    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        let hash = hash_of(&self.hasher, member);
        let same = |it: &Scored| **it.member == *member;
        let Ok(found) = self.scores.find_entry(hash, same) else {
            return false;
        };
        self.order.remove(&found.remove().0.position(hash));
        self.cost -= MEMBER_COST + member.len();
        true
    }

    /// Takes out the members with the lowest scores up to `max`, lowest first.
    pub(crate) fn pop(&mut self, max: Score, limit: usize, scores: Scores) -> Vec<ScoredMember> {
        let max = Rank::from(max);
        let mut popped = Vec::with_capacity(limit.min(self.len()).min(256));
        while popped.len() < limit
            && self.order.first().is_some_and(|first| first.rank <= max)
            && let Some(position) = self.order.pop_first()
        {
            // Shown first: its bytes and its place in the table are then fetched at the same time.
            self.cost -= MEMBER_COST + position.member.len();
            popped.push(show(&position, scores));
            let same = |it: &Scored| Arc::ptr_eq(&it.member, &position.member);
            if let Ok(found) = self.scores.find_entry(position.hash, same) {
                found.remove();
            }
        }
        popped
    }

    pub(crate) fn count(&self, range: ScoreRange) -> usize {
        match range == ScoreRange::ALL {
            true => self.len(),
            false => self.range(range).count(),
        }
    }

    /// Whether fewer members than this lie in the range; counts no further.
    pub(crate) fn holds_fewer(&self, range: ScoreRange, than: usize) -> bool {
        match range == ScoreRange::ALL {
            true => self.len() < than,
            false => self.range(range).take(than).count() < than,
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
        let from = match range.min {
            ScoreBound::Included(min) => Rank::from(min),
            ScoreBound::Excluded(min) => Rank::from(min).next(),
        };
        let until = match range.max {
            ScoreBound::Included(max) => Rank::from(max).next(),
            ScoreBound::Excluded(max) => Rank::from(max),
        };
        let ends = (from <= until).then(|| lowest(from)..lowest(until));
        ends.map(|ends| self.order.range(ends))
            .into_iter()
            .flatten()
    }
}

/// The first position of a rank: no member comes before the empty one. So nothing has to be walked to
/// find where a range begins or ends.
fn lowest(rank: Rank) -> Position {
    static EMPTY: LazyLock<Name> = LazyLock::new(|| Arc::new(Short::new(b"")));
    Position {
        rank,
        hash: 0,
        member: Arc::clone(&EMPTY),
    }
}

fn show(position: &Position, scores: Scores) -> ScoredMember {
    let member = Member::new(Bytes::copy_from_slice(&position.member));
    let score = match scores {
        Scores::Include => position.rank.score(),
        Scores::Omit => None,
    };
    ScoredMember::new(member, score)
}

#[cfg(test)]
#[path = "zset_tests.rs"]
mod tests;
