//! What can be typed.

pub(crate) mod cache;
pub(crate) mod limits;
pub(crate) mod locks;
pub(crate) mod tasks;

use clap::{
    ArgGroup, Args as Group, Parser, Subcommand,
    builder::{OsStringValueParser, TypedValueParser},
};
use std::{path::PathBuf, time::Duration};

const EXIT_CODES: &str = "\
Exit codes: 0 found, done or true; 1 absent, refused or not within the time; 2 wrong usage or an error.
With --json every result and every event is one JSON document on a line of its own. Bytes that are
UTF-8 are a string, others {\"base64\": \"…\"}.
A store in memory (`backend = \"memory\"`, `memory://`) lives as long as one command: it serves to try
a configuration only.";

/// Reads, writes, watches and waits on a configured key-value store.
#[derive(Debug, Parser)]
#[command(name = "kv", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// One JSON document a line instead of tables.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) invocation: Invocation,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Invocation {
    #[command(flatten)]
    Store(Verb),
    /// Look at the queues of a scheduler, and do something about their tasks.
    Tasks(tasks::Tasks),
    /// Look at the locks that are held, and free one whose holder is no good.
    Locks(locks::Locks),
    /// Look at rate limits: the policies of the configuration, and how subjects stand; and make one unused.
    Limits(limits::Limits),
    /// Look at caches on a store, and remove entries of theirs.
    Cache(cache::Caches),
    /// Print a completion script: `kv completions bash > …/bash-completion/completions/kv`.
    Completions { shell: clap_complete::Shell },
}

/// Which store.
#[derive(Debug, Group)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// The configuration; else the variable KV_CONFIG, else config/settings.toml.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The environment in it; else the variable KV_ENV, else `default`.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// The store in it; else the variable KV_STORE, for `tasks`, `locks`, `limits` and `cache` else that
    /// of their section.
    /// May be left out where there is one only.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) store: Option<String>,
    /// The tenant in whose name to call.
    #[arg(long, global = true)]
    pub(crate) tenant: Option<String>,
    /// The user in whose name to call.
    #[arg(long, global = true)]
    pub(crate) user: Option<String>,
    /// A bare store instead: redis://host:6379/0, rediss://…, unix:///run/redis.sock, and with the
    /// feature `etcd` etcd://host:2379,host:2379. Keys are then those on the store, without a
    /// configured prefix, and but for `tasks` no tenant or user is part of them.
    #[arg(
        long,
        global = true,
        conflicts_with_all = ["config", "env", "store"]
    )]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Print a string.
    Get {
        #[arg(value_parser = raw())]
        key: Raw,
        /// Exactly the bytes: nothing escaped, no line end added.
        #[arg(long, conflicts_with = "json")]
        raw: bool,
    },
    /// Write a string.
    Set(Set),
    /// Delete keys of any type.
    Del {
        #[arg(required = true, value_parser = raw())]
        keys: Vec<Raw>,
    },
    /// List keys, one a line.
    Scan {
        /// What they start with; all keys unless given.
        #[arg(default_value = "", hide_default_value = true, value_parser = raw())]
        prefix: Raw,
        /// How many at most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Print the fields of a hash.
    Hgetall {
        #[arg(value_parser = raw())]
        key: Raw,
    },
    /// Print the members of a sorted set, lowest score first.
    Zrange(Zrange),
    /// Print changes or messages as they come, until Ctrl-C.
    Watch(Watched),
    /// Wait until a key is there, or has a value, or until several keys have one.
    Wait(Wait),
    /// Add to a counter and print the sum.
    Incr {
        #[arg(value_parser = raw())]
        key: Raw,
        /// How much; may be negative.
        #[arg(default_value_t = 1, allow_negative_numbers = true)]
        by: i64,
    },
    /// Print how long a key will live.
    Ttl {
        #[arg(value_parser = raw())]
        key: Raw,
    },
    /// Send a message to those who watch a channel now.
    Notify {
        #[arg(value_parser = raw())]
        channel: Raw,
        #[arg(allow_negative_numbers = true, value_parser = raw())]
        payload: Raw,
    },
}

#[derive(Debug, Group)]
#[command(group(ArgGroup::new("content").required(true)))]
pub(crate) struct Set {
    #[arg(value_parser = raw())]
    pub(crate) key: Raw,
    #[arg(group = "content", allow_negative_numbers = true, value_parser = raw())]
    pub(crate) value: Option<Raw>,
    /// Read the value from the standard input, to its end.
    #[arg(long, group = "content")]
    pub(crate) stdin: bool,
    /// How long the key lives, such as 30s or 1h 30m; the store's default unless given.
    #[arg(long, group = "lifetime", value_name = "SPAN", value_parser = humantime::parse_duration)]
    pub(crate) ttl: Option<Duration>,
    /// The key keeps the deadline it has.
    #[arg(long, group = "lifetime")]
    pub(crate) keep_ttl: bool,
    /// The key lives until it is deleted, whatever the store's default.
    #[arg(long, group = "lifetime")]
    pub(crate) no_ttl: bool,
    /// Only if nothing is at the key.
    #[arg(long, group = "condition")]
    pub(crate) if_absent: bool,
    /// Only if a string is at the key.
    #[arg(long, group = "condition")]
    pub(crate) if_present: bool,
    /// Only if the string at the key is this.
    #[arg(long, group = "condition", value_name = "VALUE", value_parser = raw())]
    pub(crate) if_value: Option<Raw>,
}

#[derive(Debug, Group)]
pub(crate) struct Zrange {
    #[arg(value_parser = raw())]
    pub(crate) key: Raw,
    /// The first rank, negative from the end; with --by-score the lowest score: 5, (5 for above 5,
    /// -inf. All unless given.
    #[arg(allow_hyphen_values = true)]
    pub(crate) start: Option<String>,
    /// The last rank, included; with --by-score the highest score.
    #[arg(allow_hyphen_values = true)]
    pub(crate) stop: Option<String>,
    /// START and STOP are scores.
    #[arg(long)]
    pub(crate) by_score: bool,
    /// Highest score first.
    #[arg(long, requires = "by_score")]
    pub(crate) rev: bool,
    /// How many at most.
    #[arg(long, requires = "by_score")]
    pub(crate) limit: Option<u32>,
}

#[derive(Debug, Group)]
#[command(group(ArgGroup::new("what").required(true)))]
pub(crate) struct Watched {
    /// Keys, whether they exist yet or not.
    #[arg(group = "what", value_name = "KEY", value_parser = raw())]
    pub(crate) keys: Vec<Raw>,
    /// All keys that start with this; may be given again.
    #[arg(long, group = "what", value_name = "PREFIX", value_parser = raw())]
    pub(crate) prefix: Vec<Raw>,
    /// Messages on this channel; may be given again.
    #[arg(long, group = "what", value_name = "CHANNEL", value_parser = raw())]
    pub(crate) channel: Vec<Raw>,
    /// End after so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) events: Option<u64>,
}

#[derive(Debug, Group)]
#[command(group(ArgGroup::new("what").required(true)))]
pub(crate) struct Wait {
    #[arg(group = "what", value_parser = raw())]
    pub(crate) key: Option<Raw>,
    /// Wait for keys that match; `*` stands for any bytes.
    #[arg(long, group = "what", value_name = "PATTERN", value_parser = raw())]
    pub(crate) keys: Option<Raw>,
    /// How many keys must match and have the value at the same time.
    #[arg(long, conflicts_with = "key", default_value_t = 1, value_name = "N")]
    pub(crate) count: usize,
    /// A key that is expected to match, to be named if it is missing; may be given again.
    #[arg(long, conflicts_with = "key", value_name = "KEY", value_parser = raw())]
    pub(crate) candidate: Vec<Raw>,
    /// The value it must have; any unless given, with --keys `1`.
    #[arg(long, value_parser = raw())]
    pub(crate) value: Option<Raw>,
    /// How long at most.
    #[arg(long, default_value = "1h", value_name = "SPAN", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
}

/// Bytes as they were typed; they need not be UTF-8.
#[derive(Clone, Debug)]
pub(crate) struct Raw(Vec<u8>);

impl Raw {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

pub(super) fn raw() -> impl TypedValueParser<Value = Raw> {
    OsStringValueParser::new().map(|typed| Raw(typed.into_encoded_bytes()))
}
