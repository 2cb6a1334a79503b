//! What can be typed after `kv locks`.

use super::{Raw, raw};
use clap::{ArgGroup, Args as Group, Subcommand};
use kv_lock::{HolderName, LockCursor};

#[derive(Debug, Group)]
pub(crate) struct Locks {
    #[command(subcommand)]
    pub(crate) verb: LockVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LockVerb {
    /// List the exclusive locks and elections that are held; with --tenant those of the tenant. On Redis it looks at all keys
    /// of the database.
    Ls(List),
    /// Print who holds a lock, and for how long.
    Show {
        #[arg(value_parser = raw())]
        lock: Raw,
    },
    /// Free a lock. Who holds it learns of it at its next renewal, and works on until then.
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
    /// Only if this one holds it, as `show` told.
    #[arg(long, group = "whose", value_name = "NAME")]
    pub(crate) holder: Option<HolderName>,
    /// Whoever holds it by now.
    #[arg(long, group = "whose")]
    pub(crate) whoever: bool,
}
