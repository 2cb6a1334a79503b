#![doc = include_str!("../README.md")]

mod across;
mod admin;
mod again;
mod builder;
mod cache;
mod entry;
mod envelope;
mod error;
mod events;
mod far;
mod flights;
mod freshness;
mod glance;
mod key;
mod keyed;
mod load;
mod many;
#[cfg(test)]
mod model;
mod near;
mod place;
mod policy;
mod run;
mod second;
mod settings;
mod shared;
mod start;
mod stats;
mod tags;
pub mod telemetry;
mod under_way;
mod wait;
mod write;

pub use self::{
    admin::{
        CacheAdmin, EntryInfo, EntryPage, EntryState, EnvelopeFault, EnvelopeInfo, LoadInfo,
        StoredEntry, TagInfo, TagState, UnreadableEntry,
    },
    builder::CacheBuilder,
    cache::Cache,
    entry::{Entry, Tier},
    error::LoadError,
    events::{By, CacheEvent, CacheEvents, Instead},
    far::{Fallback, Far},
    freshness::Freshness,
    key::{CacheKey, Shown},
    keyed::Keyed,
    load::{LoadContext, Loaded, Stale},
    near::Near,
    policy::Policy,
    settings::{CacheSettings, CachesSettings, FallbackSettings},
    shared::CacheValue,
    stats::Stats,
};
