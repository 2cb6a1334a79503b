//! Reading members.
//!
//! Ranges are read from the low end, in pages. From the high end etcd would sort all of a range, so
//! the score is sought by counting behind which the wanted members lie.

use super::{parse, part, show, write::decode};
use crate::{
    layout::{Kind, Range},
    optimistic::{Planned, View, What},
};
use kv_core::{Key, Member, Order, RangeOptions, Score, ScoreRange, ScoredMember};

/// So many members more than wanted are rather read than avoided.
const SPARE: u64 = 1_000;
/// How often a range is halved at most.
const HALVINGS: u32 = 64;

impl View<'_> {
    /// Reads a member's score.
    pub(crate) fn zscore(&mut self, key: &Key, member: &[u8]) -> Planned<Option<Score>> {
        let raw = self.layout.member(key.as_bytes(), member);
        self.expect_at(key, [raw.clone()]);
        if self.structure(key, Kind::SortedSet)?.is_none() {
            return Ok(None);
        }
        let seen = self.point(&raw)?;
        seen.map(|it| decode(&it.value)).transpose()
    }

    /// Counts the members in a range of scores.
    pub(crate) fn zcount(&mut self, key: &Key, range: ScoreRange) -> Planned<u64> {
        let range = part(self.layout, key, range);
        if !range.is_empty() {
            self.expect_count(&range);
        }
        match self.structure(key, Kind::SortedSet)? {
            Some(_) if !range.is_empty() => self.count(&range),
            _ => Ok(0),
        }
    }

    /// Reads members in a range of scores.
    pub(crate) fn zrangebyscore(
        &mut self,
        key: &Key,
        range: ScoreRange,
        options: &RangeOptions,
    ) -> Planned<Vec<ScoredMember>> {
        let range = part(self.layout, key, range);
        let most = match options.limit {
            Some(0) => 0,
            Some(limit) => u64::from(limit) + u64::from(options.offset),
            None => u64::MAX,
        };
        match options.order {
            Order::Ascending if most > 0 => self.expect_pages(&range, most),
            Order::Descending if !range.is_empty() => self.expect_count(&range),
            _ => {}
        }
        if self.structure(key, Kind::SortedSet)?.is_none() || most == 0 {
            return Ok(Vec::new());
        }
        let mut found = match options.order {
            Order::Ascending => self.lowest(key, &range, most)?,
            Order::Descending => self.highest(key, &range, most)?,
        };
        found.drain(..found.len().min(options.offset as usize));
        Ok(show(found, options.scores))
    }

    /// Reads members by rank, both ends included; negative ranks count from the end.
    pub(crate) fn zrange(
        &mut self,
        key: &Key,
        start: i64,
        stop: i64,
    ) -> Planned<Vec<(Member, Score)>> {
        let range = self.layout.index(key.as_bytes());
        let from_low = match (start, stop) {
            (0.., 0..) => Some(stop.unsigned_abs().saturating_add(1)),
            (0.., -1) => Some(u64::MAX),
            _ => None,
        };
        match from_low {
            Some(most) => self.expect_pages(&range, most),
            None => self.expect_count(&range),
        }
        if self.structure(key, Kind::SortedSet)?.is_none() {
            return Ok(Vec::new());
        }
        if let Some(most) = from_low {
            let mut found = self.lowest(key, &range, most)?;
            found.drain(..found.len().min(start as usize));
            return Ok(found);
        }
        let len = i64::try_from(self.count(&range)?).unwrap_or(i64::MAX);
        let rank = |it: i64| if it < 0 { it.saturating_add(len) } else { it };
        let (start, stop) = (rank(start).max(0), rank(stop).min(len - 1));
        if start > stop {
            return Ok(Vec::new());
        }
        let (before, behind) = (start as u64, (len - 1 - stop) as u64);
        let wanted = (stop - start + 1) as u64;
        let mut found = match before <= behind {
            true => self.lowest(key, &range, before + wanted)?,
            false => self.highest(key, &range, behind + wanted)?,
        };
        found.drain(..found.len().min(before.min(behind) as usize));
        if before > behind {
            found.reverse();
        }
        Ok(found)
    }

    /// The member with the lowest score.
    pub(crate) fn first(&mut self, key: &Key) -> Planned<Option<(Member, Score)>> {
        let range = self.layout.index(key.as_bytes());
        if self.structure(key, Kind::SortedSet)?.is_none() {
            return Ok(None);
        }
        let found = self.list(&range, 1, What::All)?;
        let Some((entry, _)) = found.entries.first() else {
            self.rely_unwritten(range);
            return Ok(None);
        };
        self.rely_unwritten(range.up_to(entry));
        self.point(entry)?;
        Ok(Some(parse(self.layout, key, entry)?))
    }

    /// Whether fewer than so many members have a score in a range. Who leaves meanwhile changes
    /// nothing about a yes.
    pub(crate) fn holds_fewer(
        &mut self,
        key: &Key,
        range: ScoreRange,
        limit: u64,
    ) -> Planned<bool> {
        let Some(range) = self.scores_of(key, range)? else {
            return Ok(limit > 0);
        };
        let count = self.count(&range)?;
        self.rely_unwritten(range);
        Ok(count < limit)
    }

    /// The part of an index that holds these scores; `None` if there can be none in it.
    pub(crate) fn scores_of(&mut self, key: &Key, range: ScoreRange) -> Planned<Option<Range>> {
        if self.structure(key, Kind::SortedSet)?.is_none() {
            return Ok(None);
        }
        let range = part(self.layout, key, range);
        Ok((!range.is_empty()).then_some(range))
    }

    /// The first members of a part of an index.
    fn lowest(&mut self, key: &Key, range: &Range, most: u64) -> Planned<Vec<(Member, Score)>> {
        let pages = self.pages(range, most)?;
        let entries = pages.iter().flat_map(|it| &it.entries);
        let parsed = entries.map(|(entry, _)| parse(self.layout, key, entry));
        Ok(parsed.collect::<Result<_, _>>()?)
    }

    /// The last members of a part of an index, the very last first.
    fn highest(&mut self, key: &Key, range: &Range, most: u64) -> Planned<Vec<(Member, Score)>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let end = self.end_of(key, range, most)?;
        let mut found = self.lowest(key, &end, u64::MAX)?;
        found.reverse();
        found.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(found)
    }

    /// A part of the range up to its end that has at least so many members, and not many more if
    /// scores tell them apart.
    fn end_of(&mut self, key: &Key, range: &Range, most: u64) -> Planned<Range> {
        let enough = most.saturating_mul(2).saturating_add(SPARE);
        if self.writes_in(range) || self.count(range)? <= enough {
            return Ok(range.clone());
        }
        let index = self.layout.index(key.as_bytes());
        // The scores at both ends, as numbers of the same order.
        let at = |bound: &[u8], open: u64| {
            let score = bound
                .get(index.from_key.len()..)
                .and_then(|it| it.first_chunk());
            score.map_or(open, |it| u64::from_be_bytes(*it))
        };
        let (mut low, mut high) = (at(&range.from_key, 0), at(&range.to_key, u64::MAX));
        let mut end = range.clone();
        for _ in 0..HALVINGS {
            let middle = low + (high - low) / 2;
            if middle == low {
                break;
            }
            let mut upper = range.clone();
            upper.from_key.truncate(index.from_key.len());
            upper.from_key.extend(middle.to_be_bytes());
            let count = self.count(&upper)?;
            if count < most {
                high = middle;
                continue;
            }
            low = middle;
            end = upper;
            if count <= enough {
                break;
            }
        }
        Ok(end)
    }
}
