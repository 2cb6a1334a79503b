#![doc = include_str!("../README.md")]

mod admin;
mod attempt;
mod claim;
mod election;
mod error;
mod exclusive;
mod fair;
mod fence;
mod guard;
mod hall;
mod hold;
mod keeper;
mod keyed;
mod latch;
mod lease;
mod lock;
mod lock_settings;
mod lost;
mod manager;
mod multi;
mod news;
mod place;
mod run;
mod rw;
mod semaphore;
mod settings;
mod standing;
mod store;
pub mod telemetry;
mod terms;
mod transitions;
mod waiting;

pub use self::{
    admin::{
        ControlError, ForcedRelease, HolderInfo, HolderName, LockCursor, LockInfo, LockKind,
        LockPage, PermitsInfo, Role, UnreadableLock, WaiterInfo,
    },
    claim::Kind,
    election::{Election, Leader, Leaders, Leadership},
    error::{LockError, SizeMismatch, TooManyPermits},
    exclusive::Exclusive,
    fair::Fair,
    fence::{Fence, FenceGate, Stale},
    guard::{LockGuard, PermitGuard, ReadGuard, WriteGuard},
    keyed::Keyed,
    latch::{Barrier, Latch, LatchError, Progress},
    lease::{Lease, Release},
    lock::Lock,
    lost::{Lost, LostReason},
    manager::{LockManager, LockManagerBuilder},
    multi::{MultiGuard, MultiLock},
    run::RunError,
    rw::{Read, RwLock, Write},
    semaphore::{Permits, Semaphore},
    settings::LockSettings,
};
pub use kv_core::{NameTemplate, TemplateError};
