//! What this process remembers of subjects: bounded, and by the keys as the store has them, so that
//! tenants never meet.

pub(crate) mod governed;
pub(crate) mod mirror;
pub(crate) mod tokens;

use self::{governed::Cell, mirror::Mirror, tokens::Tokens};
use ahash::RandomState;
use kv_core::PhysicalKey;
use moka::sync::Cache;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// What does no harm if it is forgotten is forgotten after so long without use at the latest.
const SHORTEST: Duration = Duration::from_secs(60);

/// What is remembered of one subject under one policy.
#[derive(Debug, Default)]
pub(crate) struct Local {
    pub(crate) mirror: Mirror,
    pub(crate) tokens: Tokens,
    /// What it has used of the quota, or the share of it, that is this process's own.
    pub(crate) own: Cell,
    pub(crate) flood: Cell,
}

/// Of all subjects under one policy.
#[derive(Clone)]
pub(crate) struct Locals {
    cache: Cache<PhysicalKey, Arc<Local>, RandomState>,
    kept: Duration,
    /// How often anything was forgotten: also subjects of whom nothing was remembered yet.
    forgotten: Arc<AtomicU64>,
}

impl Locals {
    /// Those of the policy before it, if there was one, kept for as long as a limit that is used up
    /// takes to be unused.
    pub(crate) fn after(before: Option<&Self>, full: Duration, capacity: u64) -> Self {
        // The longest that the cache takes is 1000 years.
        let kept = full.clamp(SHORTEST, Duration::from_secs(365 * 86_400));
        if let Some(before) = before.filter(|it| it.kept >= kept) {
            return before.clone();
        }
        let cache = Cache::builder()
            .max_capacity(capacity)
            .time_to_idle(kept)
            .build_with_hasher(RandomState::new());
        let forgotten = before.map(|it| it.forgotten.clone());
        if let Some(before) = before {
            for (key, local) in &before.cache {
                cache.insert(PhysicalKey::clone(&key), local);
            }
        }
        Self {
            cache,
            kept,
            forgotten: forgotten.unwrap_or_default(),
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
        self.cache.get(key)
    }

    pub(crate) fn get_or_insert(&self, key: PhysicalKey) -> Arc<Local> {
        match self.cache.get(&key) {
            Some(local) => local,
            None => self.cache.get_with(key, Arc::default),
        }
    }

    /// How many there are, about.
    pub(crate) fn count(&self) -> u64 {
        self.cache.entry_count()
    }
}

impl fmt::Debug for Locals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Locals({} of subjects)", self.count())
    }
}
