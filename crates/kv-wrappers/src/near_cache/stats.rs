use std::fmt;

/// How a near cache does: `kv.native::<NearCacheStats>()` tells it through any stack that has one; of
/// several, of the outermost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NearCacheStats {
    /// Whether it answers at all.
    pub state: NearCacheState,
    /// Keys that were answered from memory, those known to be missing too.
    pub hits: u64,
    /// Keys that were looked for in vain, so that the store had to be asked.
    pub misses: u64,
    /// Answers that were not kept because something touched the key while they were on their way.
    pub refused: u64,
    /// Entries that went for want of room.
    pub evictions: u64,
    /// How many there are, those that have ended and were not freed yet too.
    pub entries: u64,
    /// What they take, in bytes.
    pub bytes: u64,
}

/// Whether a near cache answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NearCacheState {
    /// Nobody has read yet; everything goes to the store.
    Idle,
    /// There is no watch yet, or none any more; everything goes to the store.
    Connecting,
    /// It answers.
    Live,
    /// The store was closed.
    Closed,
}

impl fmt::Display for NearCacheState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Closed => "closed",
        })
    }
}
