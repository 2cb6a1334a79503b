//! Numbers about a store.

use crate::access::Inner;

/// What a store holds and what became of the rest. Taken shard by shard, so not a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Keys held, of any type, with those that have ended and are not freed yet.
    pub entries: usize,
    /// Keys among them that have a deadline.
    pub with_deadline: usize,
    /// Bytes that the entries are accounted for: an estimate.
    pub bytes: usize,
    /// Keys freed so far because their deadline had passed.
    pub expired: u64,
    /// Keys evicted so far to make room.
    pub evicted: u64,
    /// Writes refused so far for want of room.
    pub refused: u64,
}

impl Inner {
    pub(crate) fn stats(&self) -> MemoryStats {
        let mut stats = MemoryStats {
            refused: self.bound.as_ref().map_or(0, |bound| bound.refused()),
            ..MemoryStats::default()
        };
        for shard in &self.shards {
            let shard = shard.read();
            stats.entries += shard.table.len();
            stats.with_deadline += shard.books.deadlines.live();
            stats.bytes += shard.books.bytes;
            stats.expired += shard.books.expired;
            stats.evicted += shard.books.evicted;
        }
        stats
    }
}
