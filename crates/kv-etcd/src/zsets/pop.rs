//! Taking the lowest members.

use super::{parse, part, show};
use crate::{
    error::Answer,
    fences::{AHEAD, LONG},
    layout::{Kind, Range},
    optimistic::{Listing, Optimist, Planned, View, What},
};
use kv_core::{Key, Member, Score, ScoreRange, ScoredMember, Scores};
use std::sync::Arc;

/// How many members are taken in one atomic step: each is a condition.
const STEP: u64 = 100;

/// Removes and returns the members with the lowest scores up to `max`, [`STEP`] at a time. Should a
/// later step fail, what the earlier ones removed is the answer.
pub(crate) async fn pop(
    store: &Optimist,
    key: &Key,
    (max, limit): (Score, u32),
    scores: Scores,
) -> Answer<Vec<ScoredMember>> {
    let mut popped = Vec::new();
    let mut left = u64::from(limit);
    while left > 0 {
        let step = left.min(STEP);
        let plan = |view: &mut View<'_>| view.zpop(key, max, step);
        let taken = match store.run_in_turn(key.as_bytes(), plan).await {
            Ok((taken, _)) => taken,
            Err(failure) if popped.is_empty() => return Err(failure),
            Err(_) => break,
        };
        left -= step;
        let drained = (taken.len() as u64) < step;
        popped.extend(show(taken, scores));
        if drained {
            break;
        }
    }
    Ok(popped)
}

/// Where nobody may have written when so many members of a range are removed as its lowest, the last
/// of them here: up to that one, or anywhere if there might have been room for more.
pub(super) fn lowest(range: &Range, found: usize, limit: u64, last: &[u8]) -> Range {
    match (found as u64) < limit {
        true => range.clone(),
        false => range.clone().up_to(last),
    }
}

impl View<'_> {
    /// Removes the members with the lowest scores up to `max`, and what is left of the set with its
    /// last one. That they are still there is a condition each, and that no lower one has come is one
    /// more.
    pub(crate) fn zpop(
        &mut self,
        key: &Key,
        max: Score,
        limit: u64,
    ) -> Planned<Vec<(Member, Score)>> {
        let range = part(self.layout, key, ScoreRange::up_to(max));
        let head = self.head(key, &range, limit);
        let Some((record, _)) = self.structure(key, Kind::SortedSet)? else {
            return Ok(Vec::new());
        };
        let head = head?;
        let Some((last, _)) = head.entries.last() else {
            return Ok(Vec::new());
        };
        self.rely_unwritten(lowest(&range, head.entries.len(), limit, last));
        self.hints.fences.pass(key, last);
        let mut popped = Vec::with_capacity(head.entries.len());
        for (entry, _) in &head.entries {
            self.point(entry)?;
            let (member, score) = parse(self.layout, key, entry)?;
            self.delete(entry.clone())?;
            self.delete(self.layout.member(key.as_bytes(), member.as_bytes()))?;
            popped.push((member, score));
        }
        self.leave(key, record)?;
        Ok(popped)
    }

    /// The lowest members in a part of an index that begins with it, read in narrow ranges where the
    /// index is long.
    pub(crate) fn head(&mut self, key: &Key, range: &Range, limit: u64) -> Planned<Arc<Listing>> {
        let hints = self.hints;
        let mut wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut behind = range.clone();
        while let Some(fence) = self.fence(key, &behind, wanted) {
            let listing = self.list(&range.clone().before(&fence), limit, What::All)?;
            if let Some((first, _)) = listing.entries.first() {
                hints.fences.pass(key, first);
                behind.from_key.clone_from(first);
            }
            if listing.count > limit.saturating_add(LONG) {
                hints.fences.tear_down(key);
            }
            if listing.entries.len() as u64 >= limit {
                return Ok(listing);
            }
            // Others have been here. The further they are, the further to look.
            wanted = wanted.saturating_mul(2);
        }
        let listing = self.list(range, limit, What::All)?;
        if listing.count > LONG {
            let ahead = self.list(range, AHEAD, What::Keys)?;
            let entries = ahead.entries.iter().map(|(entry, _)| &**entry);
            hints.fences.put_up(key, entries);
        }
        Ok(listing)
    }
}
