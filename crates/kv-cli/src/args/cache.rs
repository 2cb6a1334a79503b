//! What can be typed after `kv cache`.

use super::{Raw, raw};
use clap::{Args as Group, Subcommand};

#[derive(Debug, Group)]
pub(crate) struct Caches {
    #[command(subcommand)]
    pub(crate) verb: CacheVerb,
}

impl Caches {
    /// The cache that it is about.
    pub(crate) fn name(&self) -> &str {
        match &self.verb {
            CacheVerb::Stat { cache, .. }
            | CacheVerb::Get { cache, .. }
            | CacheVerb::Rm { cache, .. }
            | CacheVerb::RmTag { cache, .. }
            | CacheVerb::Clear { cache, .. } => cache,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheVerb {
    /// Count the entries on the store: how many are fresh, stale, removed with a tag or all but not at their end yet, or
    /// unreadable, their bytes, how old they are and how long they live yet. They are read for that, and on Redis all keys of
    /// the database are looked at. Hits, misses and loads are counted by each process, in its metrics.
    Stat {
        /// The cache, by the name that programs give it.
        #[arg(value_name = "NAME")]
        cache: String,
        /// End with the page on which so many are reached.
        #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
    },
    /// Print what the store has of an entry: its value as programs wrote it, its age and what is left of its life, its tags and
    /// what has become of them, and whether somebody loads it. Nothing is loaded or counted.
    Get {
        /// The cache, by the name that programs give it.
        #[arg(value_name = "NAME")]
        cache: String,
        /// The entry, as its key is written: the parts of a tuple with `/` between them.
        #[arg(value_parser = raw())]
        key: Raw,
    },
    /// Remove entries, whether they are there or not: from the store, and from all processes, which are told.
    Rm {
        /// The cache, by the name that programs give it.
        #[arg(value_name = "NAME")]
        cache: String,
        #[arg(required = true, value_name = "KEY", value_parser = raw())]
        keys: Vec<Raw>,
        #[command(flatten)]
        how: How,
    },
    /// Remove all entries with one of these tags.
    RmTag {
        /// The cache, by the name that programs give it.
        #[arg(value_name = "NAME")]
        cache: String,
        #[arg(required = true, value_name = "TAG", value_parser = raw())]
        tags: Vec<Raw>,
        #[command(flatten)]
        how: How,
    },
    /// Remove all entries of the cache; with --tenant those of the tenant.
    Clear {
        /// The cache, by the name that programs give it.
        #[arg(value_name = "NAME")]
        cache: String,
        #[command(flatten)]
        how: How,
    },
}

/// What becomes of entries.
#[derive(Clone, Copy, Debug, Group)]
pub(crate) struct How {
    /// Make them stale in place of that: each is loaded anew when it is asked for, and given out meanwhile and if that
    /// fails.
    #[arg(long)]
    pub(crate) expire: bool,
}
