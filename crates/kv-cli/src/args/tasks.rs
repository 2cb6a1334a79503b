//! What can be typed after `kv tasks`.

use clap::{ArgGroup, Args as Group, Subcommand, ValueEnum};
use std::time::Duration;

#[derive(Debug, Group)]
pub(crate) struct Tasks {
    /// The namespace of the queues; else the scheduler's in the configuration, else `tasks`.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    #[command(subcommand)]
    pub(crate) verb: TaskVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TaskVerb {
    /// List the queues and how many tasks of all tenants are where.
    Queues,
    /// List the workers that run, and what they serve.
    Workers,
    /// List the tasks of a queue; with --tenant those of the tenant.
    Ls(List),
    /// Print all that is stored of a task, but for its payload and result.
    Show {
        #[command(flatten)]
        task: Named,
        /// Its payload and its result, too.
        #[arg(long)]
        payload: bool,
    },
    /// Take a task that waits out of the queue, or ask one that runs to stop.
    Cancel {
        #[command(flatten)]
        task: Named,
    },
    /// Have tasks that failed for good tried again, as if they were new.
    Retry(Retry),
    /// Make a task that waits due now, or in a while.
    Run {
        #[command(flatten)]
        task: Named,
        /// In so long, such as 30s or 1h 30m.
        #[arg(long = "in", value_name = "SPAN", value_parser = humantime::parse_duration)]
        delay: Option<Duration>,
    },
    /// Claim no more tasks of a queue; those that run go on.
    Pause { queue: String },
    /// Claim tasks of a queue again.
    Resume { queue: String },
    /// Take an empty queue off the list.
    Forget { queue: String },
}

/// A task. Without --tenant it is one that has none.
#[derive(Debug, Group)]
pub(crate) struct Named {
    pub(crate) queue: String,
    pub(crate) id: String,
}

#[derive(Debug, Group)]
pub(crate) struct List {
    pub(crate) queue: String,
    /// Only those in this state; may be given again. All unless given.
    #[arg(long, value_enum)]
    pub(crate) state: Vec<State>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Go on behind this place, which an earlier list told.
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    Running,
    Pending,
    Dead,
    Done,
}

#[derive(Debug, Group)]
#[command(group(ArgGroup::new("which").required(true)))]
pub(crate) struct Retry {
    pub(crate) queue: String,
    #[arg(group = "which")]
    pub(crate) id: Option<String>,
    /// All of the queue that are dead now; with --tenant those of the tenant.
    #[arg(long, group = "which")]
    pub(crate) all_dead: bool,
}
