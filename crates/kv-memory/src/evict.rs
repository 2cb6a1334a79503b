//! Making room in a store that is full.

use crate::{
    access::Inner,
    bound::{Bound, Full},
    refusal::Refusal,
};
use std::sync::atomic::Ordering;

/// How many entries are looked at to evict one. The more, the closer to the true least recently used.
const CANDIDATES: usize = 10;

/// How many of them come from one shard, if there are enough shards: a compromise between locks taken
/// and an even choice.
const PER_SHARD: usize = 2;

/// An entry by its shard and the hash of its key.
pub(crate) type Spot = (usize, u64);

impl Inner {
    /// Whether room was made for what was refused, so that trying again may succeed. The entries
    /// that are to be written, or are needed for it, are kept.
    pub(crate) fn made_room(&self, attempt: &mut usize, refusal: Refusal, keep: &[Spot]) -> bool {
        // Others may take the room that was made; whoever loses this often is told so.
        const ATTEMPTS: usize = 64;
        let (Refusal::Full(full), Some(bound)) = (refusal, &self.bound) else {
            return false;
        };
        *attempt += 1;
        let made = *attempt < ATTEMPTS && self.make_room(bound, full, keep);
        if !made {
            bound.count_refusal();
        }
        made
    }

    /// Frees what has ended and, if that is not enough and the policy allows, evicts until there is
    /// room; whether there is.
    fn make_room(&self, bound: &Bound, full: Full, keep: &[Spot]) -> bool {
        let growth = match full {
            Full::Entries { growth, .. } | Full::Bytes { growth, .. } => growth,
            Full::Never { .. } | Full::Crowd { .. } => return false,
        };
        while !bound.fits(growth) {
            // A sweep is one batch; what lives is touched only when nothing that has ended is left.
            if self.sweep_if_due() {
                continue;
            }
            if !bound.evicts() || !self.evict_one(bound, keep) {
                return false;
            }
        }
        true
    }

    /// Evicts the least recently used of some entries; false if there is none.
    fn evict_one(&self, bound: &Bound, keep: &[Spot]) -> bool {
        let count = self.shards.len();
        let each = CANDIDATES.div_ceil(count).max(PER_SHARD);
        let dice = self.roll(bound.tick());
        let mut oldest: Option<(u64, Spot)> = None;
        let mut seen = 0;
        for step in 0..count {
            let index = (dice as usize).wrapping_add(step) & (count - 1);
            let shard = self.shards[index].read();
            for (entry, hash) in shard.sample(dice >> 16, each) {
                let (used, spot) = (entry.used.load(Ordering::Relaxed), (index, hash));
                if keep.contains(&spot) {
                    continue;
                }
                seen += 1;
                if oldest.is_none_or(|(other, _)| used < other) {
                    oldest = Some((used, spot));
                }
            }
            if seen >= CANDIDATES {
                break;
            }
        }
        let Some((used, (index, hash))) = oldest else {
            return false;
        };
        // Somebody may have used or removed it meanwhile. Then the caller looks again.
        self.change(index, |shard| shard.evict(hash, used));
        true
    }
}
