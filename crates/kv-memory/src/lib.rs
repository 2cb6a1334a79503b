#![doc = include_str!("../README.md")]

mod access;
mod bound;
mod commit;
mod config;
mod deadlines;
mod entry;
mod evict;
mod hash;
mod hashes;
mod keys;
mod leftover;
mod moment;
mod refusal;
mod scan;
mod shard;
mod short;
mod stats;
mod store;
mod strings;
mod sweeper;
mod throttle;
mod watch;
mod zmove;
mod zset;
mod zsets;

#[cfg(test)]
mod tests;

use kv_core::number;

pub use self::{
    config::{MemoryConfig, OnFull, ShardCount},
    stats::MemoryStats,
    store::MemoryStore,
};
