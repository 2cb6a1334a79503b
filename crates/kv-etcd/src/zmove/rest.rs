//! What is left of the sources once a move is done.

use super::Move;
use crate::{
    error::Answer,
    fences::{AHEAD, LONG},
    layout::{Kind, Range, score},
    optimistic::{Done, Listing, Optimist, Planned, Query, Slot, View},
};
use etcd_client::GetOptions;
use kv_core::{Key, Score, ZMoved};

/// The first of what is left in a source.
pub(super) struct Left {
    key: Key,
    /// The whole index.
    index: Range,
    /// Where its first entry is read as part of the move, up to a fence if there is one.
    slot: Slot,
    fence: Option<Vec<u8>>,
    /// How many members lie before it when it is where it should be.
    near: u64,
    /// Up to which score members are due.
    max: Score,
}

impl Move<'_> {
    /// Has the first of what is left in each source read, as part of the move. etcd walks all of a
    /// range to find its first key, so it is sought up to a fence.
    pub(super) fn look_at_the_rest(&self, view: &mut View<'_>) -> Planned<Vec<Left>> {
        let now = view.now;
        let members = self.step.limit as usize;
        let mut rest = Vec::with_capacity(self.step.sources.len());
        for source in &self.step.sources {
            // Of one that has ended, nothing is.
            if view.structure(&source.key, Kind::SortedSet)?.is_none() {
                continue;
            }
            let index = view.layout.index(source.key.as_bytes());
            let fence = view.fence(&source.key, &index, members);
            let near = match &fence {
                Some(fence) => index.clone().before(fence),
                None => index.clone(),
            };
            rest.push(Left {
                key: source.key.clone(),
                index,
                slot: view.read(Query::first_key(near)),
                fence,
                near: members as u64 + LONG,
                max: source.max.at(now),
            });
        }
        Ok(rest)
    }
}

impl Left {
    /// Adds what is due next, and whether it is due now.
    pub(super) async fn tell(
        self,
        store: &Optimist,
        done: &Done,
        moved: &mut ZMoved,
    ) -> Answer<()> {
        let near = done.listing(self.slot)?;
        let first = match near.entries.first() {
            Some((entry, _)) => {
                store.fences().pass(&self.key, entry);
                self.score_of(entry)
            }
            None => match self.seek(store, done.revision).await {
                Ok(first) => first,
                // What was moved must be told. Whoever looks again sees.
                Err(_) => {
                    moved.more = true;
                    return Ok(());
                }
            },
        };
        if near.count > self.near {
            // Without fences, or with such far ones, the next look takes as long. It is no part of
            // what was asked for.
            let _ = self.put_up_fences(store).await;
        }
        if let Some(lowest) = first {
            moved.next = Some(moved.next.map_or(lowest, |next| lowest.min(next)));
            moved.more |= lowest <= self.max;
        }
        Ok(())
    }

    /// The first entry beyond what was looked at.
    async fn seek(&self, store: &Optimist, revision: i64) -> Answer<Option<Score>> {
        let mut from = self.fence.clone();
        while let Some(from_key) = from {
            let beyond = Range {
                from_key,
                to_key: self.index.to_key.clone(),
            };
            from = store.fence(&self.key, &beyond);
            let near = match &from {
                Some(fence) => beyond.before(fence),
                None => beyond,
            };
            let options = GetOptions::new().with_limit(1).with_keys_only();
            let options = options.with_revision(revision);
            let found = Listing::of(store.link.list(&near, options).await?);
            if let Some((entry, _)) = found.entries.first() {
                return Ok(self.score_of(entry));
            }
        }
        Ok(None)
    }

    async fn put_up_fences(&self, store: &Optimist) -> Answer<()> {
        let options = GetOptions::new().with_keys_only().with_limit(AHEAD as i64);
        let ahead = Listing::of(store.link.list(&self.index, options).await?);
        let entries = ahead.entries.iter().map(|(entry, _)| &**entry);
        store.fences().put_up(&self.key, entries);
        Ok(())
    }

    fn score_of(&self, entry: &[u8]) -> Option<Score> {
        let behind = entry.get(self.index.from_key.len()..)?;
        score::decode(*behind.first_chunk()?)
    }
}
