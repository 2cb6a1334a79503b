//! How a command reaches its shard: hash, lock, room, sweeper.

use crate::{
    bound::Bound,
    config::MemoryConfig,
    moment::Moment,
    refusal::Refusal,
    shard::{Shard, Slot, hash_of},
    sweeper::{Alarm, Sweeper},
    watch::Hub,
};
use ahash::RandomState;
use kv_core::{Clock, Key, Result};
use parking_lot::{RwLock, RwLockReadGuard};
use std::sync::Arc;

/// What the handles of one store share.
pub(crate) struct Inner {
    pub(crate) config: MemoryConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shards: Box<[Cell]>,
    pub(crate) bound: Option<Arc<Bound>>,
    pub(crate) alarm: Arc<Alarm>,
    pub(crate) sweeper: Sweeper,
    pub(crate) hub: Arc<Hub>,
    hasher: RandomState,
}

/// A shard behind its lock, far enough from its neighbours that cores do not share cache lines.
#[repr(align(128))]
pub(crate) struct Cell(RwLock<Shard>);

impl Cell {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Shard> {
        self.0.read()
    }
}

impl Inner {
    pub(crate) fn new(config: MemoryConfig, clock: Arc<dyn Clock>) -> Self {
        let hasher = RandomState::new();
        let bound = Bound::new(&config).map(Arc::new);
        let hub: Arc<Hub> = Arc::default();
        let shard = |_| {
            let (hasher, hub) = (hasher.clone(), Arc::clone(&hub));
            Cell(RwLock::new(Shard::new(hasher, bound.clone(), hub)))
        };
        Self {
            shards: (0..config.shards.get()).map(shard).collect(),
            config,
            clock,
            bound,
            alarm: Arc::default(),
            sweeper: Sweeper::default(),
            hub,
            hasher,
        }
    }

    /// The time of one call.
    pub(crate) fn moment(&self) -> Moment<'_> {
        Moment::new(&*self.clock)
    }

    /// The shard of a key, which is that of its group, and its slot there.
    pub(crate) fn locate<'k>(&self, key: &'k Key) -> (usize, Slot<'k>) {
        let (key, group) = (key.as_bytes(), key.group());
        let hash = hash_of(&self.hasher, key);
        let shard = match group.len() == key.len() {
            true => hash,
            false => hash_of(&self.hasher, group),
        };
        // Bits that the table uses neither for the place nor for the tag of an entry.
        let shard = (shard >> 32) as usize & (self.shards.len() - 1);
        (shard, Slot { hash, key })
    }

    /// An unpredictable number from a counter's.
    pub(crate) fn roll(&self, count: u64) -> u64 {
        self.hasher.hash_one(count)
    }

    /// Reads at a key.
    pub(crate) fn read<T>(
        &self,
        key: &Key,
        look: impl FnOnce(&Shard, Slot<'_>, &Moment<'_>) -> Result<T, Refusal>,
    ) -> Result<T> {
        let (index, slot) = self.locate(key);
        let found = look(&self.shards[index].read(), slot, &self.moment());
        found.map_err(|refusal| refusal.into_error(key))
    }

    /// Writes at a key. A change refused for want of room is made again if room could be made.
    pub(crate) fn write<T>(
        &self,
        key: &Key,
        mut change: impl FnMut(&mut Shard, Slot<'_>, &Moment<'_>) -> Result<T, Refusal>,
    ) -> Result<T> {
        let (index, slot) = self.locate(key);
        let now = self.moment();
        let mut attempt = 0;
        loop {
            let done = self.change(index, |shard| change(shard, slot, &now));
            let Err(refusal) = done else {
                return done.map_err(|refusal| refusal.into_error(key));
            };
            if !self.made_room(&mut attempt, refusal, &[(index, slot.hash)]) {
                return Err(refusal.into_error(key));
            }
        }
    }

    /// Changes a shard under its lock; what is left behind is dropped after it.
    pub(crate) fn change<T>(&self, index: usize, change: impl FnOnce(&mut Shard) -> T) -> T {
        let mut shard = self.shards[index].0.write();
        let before = shard.next_deadline();
        let done = change(&mut shard);
        let after = shard.next_deadline();
        let leftover = match shard.is_untidy() {
            true => Some(shard.tidy()),
            false => None,
        };
        drop(shard);
        if let Some(leftover) = leftover {
            leftover.finish();
        }
        if after < before {
            self.alarm.set(after);
        }
        done
    }
}
