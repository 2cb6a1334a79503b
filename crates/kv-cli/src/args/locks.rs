//! What can be typed after `kv locks`.

use super::{Raw, raw};
use clap::{ArgGroup, Args as Group, Subcommand, ValueEnum};
use kv_lock::{HolderName, LockCursor, LockKind};

#[derive(Debug, Group)]
pub(crate) struct Locks {
    #[command(subcommand)]
    pub(crate) verb: LockVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LockVerb {
    /// List the locks that are held, and by whom: exclusive ones, elections, read/write locks and semaphores; with --tenant
    /// those of the tenant. On Redis it looks at all keys of the database.
    Ls(List),
    /// Print who holds a lock, as what and for how long, and who waits for it as far as the store knows. Latches and barriers
    /// are held by nobody.
    Show {
        #[arg(value_parser = raw())]
        lock: Raw,
        /// Of which kind, if locks of several kinds have this name.
        #[arg(long)]
        kind: Option<Kind>,
    },
    /// Free a lock of one holder or of all. Who held it learns of it at its next renewal, and works on until then.
    Release(Release),
}

#[derive(Debug, Group)]
pub(crate) struct List {
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Go on behind this place, which an earlier list told.
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<LockCursor>,
}

#[derive(Debug, Group)]
#[command(group(ArgGroup::new("whose").required(true)))]
pub(crate) struct Release {
    #[arg(value_parser = raw())]
    pub(crate) lock: Raw,
    /// Only of this one, as `show` told: of one reader among several, of all its permits.
    #[arg(long, group = "whose", value_name = "NAME")]
    pub(crate) holder: Option<HolderName>,
    /// Of all who hold it by now.
    #[arg(long, group = "whose")]
    pub(crate) whoever: bool,
    /// Of which kind, if locks of several kinds have this name.
    #[arg(long, conflicts_with = "holder")]
    pub(crate) kind: Option<Kind>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Kind {
    /// Locks that one at a time holds, and elections.
    Exclusive,
    /// Read/write locks.
    Rw,
    /// Semaphores.
    Semaphore,
}

impl From<Kind> for LockKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Exclusive => Self::Exclusive,
            Kind::Rw => Self::ReadWrite,
            Kind::Semaphore => Self::Semaphore,
        }
    }
}
