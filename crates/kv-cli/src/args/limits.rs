//! What can be typed after `kv limits`.

use super::{Raw, raw};
use clap::{Args as Group, Subcommand};

#[derive(Debug, Group)]
pub(crate) struct Limits {
    #[command(subcommand)]
    pub(crate) verb: LimitVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LimitVerb {
    /// List the policies of the configuration. No store is asked.
    Ls,
    #[command(flatten)]
    OfSubject(SubjectVerb),
}

/// What is asked of the store.
#[derive(Debug, Subcommand)]
pub(crate) enum SubjectVerb {
    /// Print whether a request would pass, and how the limit of its subject stands on the store; nothing is taken. Units that a
    /// process has taken in advance count as used.
    Peek(Peek),
    /// Make the limit of a subject unused. A process that remembers a denial, for a second at most, denies until then.
    Reset(Subject),
}

#[derive(Debug, Group)]
pub(crate) struct Peek {
    #[command(flatten)]
    pub(crate) subject: Subject,
    /// What the request costs.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) cost: u64,
}

/// Whose limit.
#[derive(Debug, Group)]
pub(crate) struct Subject {
    /// The policy, by its name in the configuration.
    pub(crate) policy: String,
    /// Whom it is about, as the program has it: a user, an address; `""` for a limit that all share.
    #[arg(value_parser = raw())]
    pub(crate) subject: Raw,
}
