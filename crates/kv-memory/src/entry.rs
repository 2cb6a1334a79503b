//! What is stored under a key.

use crate::{
    hash::Hash,
    refusal::{Kind, Refusal},
    short::Short,
    zset::ZSet,
};
use kv_core::Value;
use std::sync::atomic::AtomicU64;

/// An estimate of what an entry takes beside its key and content: its place in the table and the
/// allocator's share.
const ENTRY_COST: usize = 128;

/// One key with its content.
pub(crate) struct Entry {
    pub(crate) key: Short<30>,
    pub(crate) data: Data,
    /// Microseconds since the epoch, or `FOREVER`.
    pub(crate) deadline: i64,
    /// When it was last used, in ticks of the bound; unused without eviction.
    pub(crate) used: AtomicU64,
}

/// The content. The structures share one box: a second level costs them little and keeps strings
/// small.
pub(crate) enum Data {
    String(Value),
    Structure(Box<Structure>),
}

pub(crate) enum Structure {
    Hash(Hash),
    ZSet(ZSet),
}

impl Entry {
    pub(crate) fn new(key: &[u8], data: Data, deadline: i64) -> Self {
        Self {
            key: Short::new(key),
            data,
            deadline,
            used: AtomicU64::new(0),
        }
    }

    /// The bytes that the entry is accounted for.
    pub(crate) fn cost(&self) -> usize {
        Self::cost_of(&self.key, self.data.cost())
    }

    /// The bytes that an entry with this key and a content of this cost is accounted for.
    pub(crate) fn cost_of(key: &[u8], content: usize) -> usize {
        ENTRY_COST + key.len() + content
    }
}

impl Data {
    pub(crate) fn hash(hash: Hash) -> Self {
        Self::Structure(Box::new(Structure::Hash(hash)))
    }

    pub(crate) fn zset(zset: ZSet) -> Self {
        Self::Structure(Box::new(Structure::ZSet(zset)))
    }

    pub(crate) fn cost(&self) -> usize {
        match self {
            Self::String(value) => value.as_bytes().len(),
            Self::Structure(structure) => match &**structure {
                Structure::Hash(hash) => hash.cost(),
                Structure::ZSet(zset) => zset.cost(),
            },
        }
    }

    pub(crate) fn as_string(&self) -> Result<&Value, Refusal> {
        match self {
            Self::String(value) => Ok(value),
            Self::Structure(_) => Err(self.not_a(Kind::String)),
        }
    }

    pub(crate) fn as_hash(&self) -> Result<&Hash, Refusal> {
        if let Self::Structure(structure) = self
            && let Structure::Hash(hash) = &**structure
        {
            return Ok(hash);
        }
        Err(self.not_a(Kind::Hash))
    }

    pub(crate) fn as_hash_mut(&mut self) -> Result<&mut Hash, Refusal> {
        let refusal = self.not_a(Kind::Hash);
        if let Self::Structure(structure) = self
            && let Structure::Hash(hash) = &mut **structure
        {
            return Ok(hash);
        }
        Err(refusal)
    }

    pub(crate) fn as_zset(&self) -> Result<&ZSet, Refusal> {
        if let Self::Structure(structure) = self
            && let Structure::ZSet(zset) = &**structure
        {
            return Ok(zset);
        }
        Err(self.not_a(Kind::ZSet))
    }

    pub(crate) fn as_zset_mut(&mut self) -> Result<&mut ZSet, Refusal> {
        let refusal = self.not_a(Kind::ZSet);
        if let Self::Structure(structure) = self
            && let Structure::ZSet(zset) = &mut **structure
        {
            return Ok(zset);
        }
        Err(refusal)
    }

    fn kind(&self) -> Kind {
        match self {
            Self::String(_) => Kind::String,
            Self::Structure(structure) => match **structure {
                Structure::Hash(_) => Kind::Hash,
                Structure::ZSet(_) => Kind::ZSet,
            },
        }
    }

    fn not_a(&self, wanted: Kind) -> Refusal {
        let found = self.kind();
        Refusal::WrongType { found, wanted }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_entry_does_not_grow_unseen() {
        assert_eq!(size_of::<super::Entry>(), 80);
    }
}
