#![doc = include_str!("../README.md")]

mod access;
mod bound;
mod config;
mod deadlines;
mod entry;
mod evict;
mod hash;
mod hashes;
mod keys;
mod moment;
mod number;
mod refusal;
mod scan;
mod shard;
mod short;
mod stats;
mod store;
mod strings;
mod sweeper;
mod zset;
mod zsets;

#[cfg(test)]
mod tests;

pub use self::{
    config::{MemoryConfig, OnFull, ShardCount},
    stats::MemoryStats,
    store::MemoryStore,
};
