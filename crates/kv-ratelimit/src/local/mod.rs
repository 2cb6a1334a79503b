//! What this process remembers of subjects: bounded, and by the keys as the store has them, so that
//! tenants never meet.

pub(crate) mod governed;
pub(crate) mod mirror;
pub(crate) mod tokens;

use self::{governed::Cell, mirror::Mirror, tokens::Tokens};
use ahash::RandomState;
use kv_core::PhysicalKey;
use quick_cache::{UnitWeighter, sync::Cache};
use smallvec::SmallVec;
use std::{
    convert::Infallible,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// What is remembered of one subject under one policy.
///
/// In this order in memory: what is asked most is beside the count of its holders.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Local {
    /// What it has used of the quota, or the share of it, that is this process's own.
    pub(crate) own: Cell,
    pub(crate) flood: Cell,
    pub(crate) mirror: Mirror,
    pub(crate) tokens: Tokens,
}

/// Of all subjects under one policy. Those that come seldom go first when there are too many.
#[derive(Clone)]
pub(crate) struct Locals {
    map: Arc<Map>,
    /// How often anything was forgotten: also subjects of whom nothing was remembered yet.
    forgotten: Arc<AtomicU64>,
}

type Map = Cache<Name, Arc<Local>, UnitWeighter, RandomState>;
/// The bytes of a physical key, in the entry itself unless they are many: one place less in memory to go to.
type Name = SmallVec<[u8; 48]>;

impl Locals {
    pub(crate) fn new(capacity: u64) -> Self {
        let items = usize::try_from(capacity).unwrap_or(usize::MAX);
        let hasher = RandomState::new();
        let cache = Map::with(items, capacity, UnitWeighter, hasher, Default::default());
        Self {
            map: Arc::new(cache),
            forgotten: Arc::default(),
        }
    }

    /// What the store said before this about a subject that is not remembered yet may not be so any more.
    pub(crate) fn forget(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::SeqCst)
    }

    pub(crate) fn get(&self, key: &PhysicalKey) -> Option<Arc<Local>> {
        self.map.get(key.as_bytes())
    }

    pub(crate) fn get_or_insert(&self, key: &PhysicalKey) -> Arc<Local> {
        match self.get(key) {
            Some(local) => local,
            None => self.insert(key),
        }
    }

    /// Of those who come at the same time one makes it.
    fn insert(&self, key: &PhysicalKey) -> Arc<Local> {
        let own = Name::from_slice(key.as_bytes());
        let make = || Ok::<_, Infallible>(Arc::default());
        let made = self.map.get_or_insert_with(&own, make);
        let Ok(local) = made;
        local
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.map.len()
    }
}

impl fmt::Debug for Locals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Locals({} of subjects)", self.count())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::Locals;
    use kv_core::{Kv, PhysicalKey};
    use kv_memory::MemoryStore;
    use std::sync::Arc;

    #[tokio::test]
    async fn who_comes_often_stays_while_others_come_and_go() {
        let kv = Kv::builder(MemoryStore::default()).connect().await.unwrap();
        let key = |name: &str| -> PhysicalKey { kv.resolve(name).unwrap() };
        let locals = Locals::new(100);
        let once = |turn| drop(locals.get_or_insert(&key(&format!("once {turn}"))));
        // There is no room left when it comes.
        (0..1_000).for_each(once);
        let often = locals.get_or_insert(&key("often"));
        for turn in 1_000..10_000 {
            once(turn);
            let again = locals.get_or_insert(&key("often"));
            assert!(Arc::ptr_eq(&often, &again), "{turn}");
            assert!(locals.count() <= 100, "{}", locals.count());
        }
    }
}
