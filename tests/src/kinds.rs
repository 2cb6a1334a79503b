//! Each kind of lock by one face, for tests of what all have in common.

use kv_core::{Kv, Result, ScoreRange};
use kv_lock::{
    Leadership, Lease, LockError, LockGuard, LockManager, Lost, MultiGuard, PermitGuard, ReadGuard,
    Release, WriteGuard,
};
use std::time::Duration;

/// How many permits the semaphore has; who acquires it takes two of them.
pub const PERMITS: u64 = 3;

/// A kind of lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The plain lock.
    Exclusive,
    /// The same in the order of arrival.
    Fair,
    /// A read/write lock, for reading.
    Read,
    /// A read/write lock, for writing.
    Write,
    /// Two permits of three.
    Permits,
    /// Being the leader.
    Election,
    /// Two locks at once.
    Several,
}

/// A lock of some kind that is held.
#[derive(Debug)]
#[must_use = "dropped at once, it locks nothing"]
pub enum Held {
    /// Plain or fair.
    Lock(LockGuard),
    /// Beside other readers.
    Read(ReadGuard),
    /// Alone.
    Write(WriteGuard),
    /// Some of all.
    Permits(PermitGuard),
    /// A term.
    Election(Leadership),
    /// Two locks.
    Several(MultiGuard),
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Exclusive,
        Self::Fair,
        Self::Read,
        Self::Write,
        Self::Permits,
        Self::Election,
        Self::Several,
    ];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Fair => "fair",
            Self::Read => "read",
            Self::Write => "write",
            Self::Permits => "permits",
            Self::Election => "election",
            Self::Several => "several",
        }
    }

    /// What is called so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Waits for it as the manager is told to, with the manager's lease.
    ///
    /// # Errors
    /// The lock's.
    pub async fn acquire(self, locks: &LockManager, name: &str) -> Result<Held, LockError> {
        Ok(match self {
            Self::Exclusive => Held::Lock(locks.lock(name).acquire().await?),
            Self::Fair => Held::Lock(locks.lock(name).fair().acquire().await?),
            Self::Read => Held::Read(locks.rw(name).read().acquire().await?),
            Self::Write => Held::Write(locks.rw(name).write().acquire().await?),
            Self::Permits => Held::Permits(locks.semaphore(name, PERMITS).acquire(2).await?),
            Self::Election => Held::Election(locks.election(name).campaign(name).await?),
            Self::Several => Held::Several(locks.multi(several(name)).acquire().await?),
        })
    }

    /// Takes it if it is free.
    ///
    /// # Errors
    /// The lock's.
    pub async fn try_acquire(
        self,
        locks: &LockManager,
        name: &str,
    ) -> Result<Option<Held>, LockError> {
        Ok(match self {
            Self::Exclusive => locks.lock(name).try_acquire().await?.map(Held::Lock),
            Self::Fair => { locks.lock(name).fair().try_acquire().await? }.map(Held::Lock),
            Self::Read => locks.rw(name).read().try_acquire().await?.map(Held::Read),
            Self::Write => locks.rw(name).write().try_acquire().await?.map(Held::Write),
            Self::Permits => {
                let permits = locks.semaphore(name, PERMITS).permits(2)?;
                permits.try_acquire().await?.map(Held::Permits)
            }
            Self::Election => {
                let election = locks.election(name);
                election.try_campaign(name).await?.map(Held::Election)
            }
            Self::Several => {
                let several = locks.multi(several(name));
                several.try_acquire().await?.map(Held::Several)
            }
        })
    }

    /// What is never held at the same time.
    pub fn rival(self) -> Self {
        match self {
            Self::Read => Self::Write,
            kind => kind,
        }
    }

    /// Holds something that leaves room for this kind, where there is such a thing.
    ///
    /// # Errors
    /// The lock's.
    pub async fn beside(self, locks: &LockManager, name: &str) -> Result<Option<Held>, LockError> {
        Ok(match self {
            Self::Read => Some(Held::Read(locks.rw(name).read().acquire().await?)),
            Self::Permits => {
                let permits = locks.semaphore(name, PERMITS).acquire(1).await?;
                Some(Held::Permits(permits))
            }
            _ => None,
        })
    }

    /// How many records on the store one acquisition is.
    pub fn weight(self) -> u64 {
        match self {
            Self::Permits | Self::Several => 2,
            _ => 1,
        }
    }

    /// How many records of holders there are on the store.
    ///
    /// # Errors
    /// The store's.
    pub async fn held(self, kv: &Kv, name: &str) -> Result<u64> {
        let mut held = 0;
        for key in self.holders(name) {
            held += match self {
                Self::Read | Self::Permits => kv.zcount(key, ScoreRange::ALL).await?,
                _ => u64::from(kv.exists(key).await?),
            };
        }
        Ok(held)
    }

    /// How many records of those who wait there are on the store.
    ///
    /// # Errors
    /// The store's.
    pub async fn waiting(self, kv: &Kv, name: &str) -> Result<u64> {
        let keys = match self {
            Self::Fair => vec![
                format!("{{lock:{name}}}:queue"),
                format!("{{lock:{name}}}:alive"),
            ],
            Self::Read | Self::Write => vec![format!("{{rw:{name}}}:intents")],
            _ => Vec::new(),
        };
        let mut waiting = 0;
        for key in keys {
            waiting += kv.zcount(key, ScoreRange::ALL).await?;
        }
        Ok(waiting)
    }

    /// Loses all that the store knows of holders and their fences.
    ///
    /// # Errors
    /// The store's.
    pub async fn forget(self, kv: &Kv, name: &str) -> Result<()> {
        for key in self.holders(name) {
            let group = key.split_inclusive('}').next().unwrap_or_default();
            let fence = format!("{group}:fence");
            kv.delete_many([key, fence]).await?;
        }
        Ok(())
    }

    fn holders(self, name: &str) -> Vec<String> {
        match self {
            Self::Read => vec![format!("{{rw:{name}}}:readers")],
            Self::Write => vec![format!("{{rw:{name}}}:writer")],
            Self::Permits => vec![format!("{{semaphore:{name}}}:holders")],
            Self::Several => several(name)
                .map(|it| format!("{{lock:{it}}}:holder"))
                .to_vec(),
            _ => vec![format!("{{lock:{name}}}:holder")],
        }
    }
}

impl Held {
    /// The number of this acquisition; of several, that of the first.
    pub fn fence(&self) -> u64 {
        self.leases().first().map_or(0, |it| it.fence().get())
    }

    /// Whether it is held, without asking anybody.
    ///
    /// # Errors
    /// If it is lost.
    pub fn check(&self) -> Result<(), Lost> {
        match self {
            Self::Several(guard) => guard.check(),
            _ => self
                .leases()
                .iter()
                .try_for_each(|it| it.check().map(|_| ())),
        }
    }

    /// How long it is held at least.
    pub fn remaining(&self) -> Duration {
        match self {
            Self::Several(guard) => guard.remaining(),
            _ => {
                let left = self.leases().iter().map(|it| it.remaining()).min();
                left.unwrap_or_default()
            }
        }
    }

    /// Ends when it is lost.
    pub async fn lost(&self) -> Lost {
        match self {
            Self::Lock(guard) => guard.lost().await,
            Self::Read(guard) => guard.lost().await,
            Self::Write(guard) => guard.lost().await,
            Self::Permits(guard) => guard.lost().await,
            Self::Election(guard) => guard.lost().await,
            Self::Several(guard) => guard.lost().await,
        }
    }

    /// Gives it back.
    pub async fn release(self) -> Release {
        match self {
            Self::Lock(guard) => guard.release().await,
            Self::Read(guard) => guard.release().await,
            Self::Write(guard) => guard.release().await,
            Self::Permits(guard) => guard.release().await,
            Self::Election(guard) => guard.resign().await,
            Self::Several(guard) => guard.release().await,
        }
    }

    fn leases(&self) -> Vec<&Lease> {
        match self {
            Self::Lock(guard) => vec![guard],
            Self::Read(guard) => vec![guard],
            Self::Write(guard) => vec![guard],
            Self::Permits(guard) => vec![guard],
            Self::Election(guard) => vec![guard],
            Self::Several(guard) => { guard.fences() }
                .filter_map(|(name, _)| guard.lock(name))
                .map(|it| &**it)
                .collect(),
        }
    }
}

fn several(name: &str) -> [String; 2] {
    [format!("{name}/1"), format!("{name}/2")]
}
