//! The settings of a store, as data.

use kv_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Deserializer, de};
use std::num::NonZeroUsize;

/// The settings of a [`MemoryStore`](crate::MemoryStore). Without any the store is unbounded.
///
/// ```
/// # use kv_memory::{MemoryConfig, OnFull};
/// let config: MemoryConfig = toml::from_str(
///     r#"
///     max_entries = 100_000
///     on_full = "evict"
///     "#,
/// )?;
/// assert_eq!(config.on_full, OnFull::Evict);
/// # Ok::<_, toml::de::Error>(())
/// ```
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MemoryConfig {
    /// How many keys the store holds at most.
    pub max_entries: Option<NonZeroUsize>,
    /// How many bytes keys and contents take at most, estimated; see the crate's documentation.
    pub max_bytes: Option<NonZeroUsize>,
    /// What happens to a write for which there is no room.
    pub on_full: OnFull,
    /// The longest key, in bytes on the store.
    pub max_key_bytes: Option<NonZeroUsize>,
    /// The longest value, member or field, in bytes on the store.
    pub max_value_bytes: Option<NonZeroUsize>,
    /// Whether `clear` may delete every key of a store that is used without a prefix.
    pub allow_clear_all: bool,
    /// Into how many parts, each with its own lock, the keys are divided.
    #[cfg_attr(
        feature = "schema",
        schemars(with = "usize", range(min = 1, max = 65536))
    )]
    pub shards: ShardCount,
}

impl MemoryConfig {
    /// Holds at most this many keys.
    #[must_use]
    pub fn max_entries(mut self, limit: NonZeroUsize) -> Self {
        self.max_entries = Some(limit);
        self
    }

    /// Holds at most this many bytes, estimated.
    #[must_use]
    pub fn max_bytes(mut self, limit: NonZeroUsize) -> Self {
        self.max_bytes = Some(limit);
        self
    }

    /// Does this with a write for which there is no room.
    #[must_use]
    pub fn on_full(mut self, policy: OnFull) -> Self {
        self.on_full = policy;
        self
    }

    /// Refuses longer keys.
    #[must_use]
    pub fn max_key_bytes(mut self, limit: NonZeroUsize) -> Self {
        self.max_key_bytes = Some(limit);
        self
    }

    /// Refuses longer values, members and fields.
    #[must_use]
    pub fn max_value_bytes(mut self, limit: NonZeroUsize) -> Self {
        self.max_value_bytes = Some(limit);
        self
    }

    /// Lets `clear` delete every key.
    #[must_use]
    pub fn allow_clear_all(mut self) -> Self {
        self.allow_clear_all = true;
        self
    }

    /// Divides the keys into this many parts.
    #[must_use]
    pub fn shards(mut self, count: ShardCount) -> Self {
        self.shards = count;
        self
    }
}

/// What a bounded store does with a write for which there is no room. Keys whose deadline has passed
/// are freed first in both cases.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OnFull {
    /// It is refused with [`ErrorKind::Unavailable`]; nothing is lost.
    #[default]
    Refuse,
    /// Keys that were not used for long go, of any type and with or without a deadline: also locks,
    /// counters and queues. Only for a store whose every key can be made again.
    Evict,
}

/// A number of shards: a power of two, at most 65,536.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(serde::Serialize))]
pub struct ShardCount(usize);

impl ShardCount {
    const MAX: usize = 1 << 16;

    /// Parses a number of shards.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is no power of two or above 65,536.
    pub fn new(count: usize) -> Result<Self> {
        if count.is_power_of_two() && count <= Self::MAX {
            return Ok(Self(count));
        }
        Err(Error::new(
            ErrorKind::Config,
            "`shards` must be a power of two, at most 65536; 64 is usual",
        )
        .with_context("shards", count))
    }

    /// The number.
    pub fn get(self) -> usize {
        self.0
    }
}

impl Default for ShardCount {
    fn default() -> Self {
        Self(64)
    }
}

impl TryFrom<usize> for ShardCount {
    type Error = Error;

    fn try_from(count: usize) -> Result<Self> {
        Self::new(count)
    }
}

/// Says what is expected in a form that a reader can pass on without the value.
impl<'de> Deserialize<'de> for ShardCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let count = usize::deserialize(deserializer)?;
        Self::new(count).map_err(|_| {
            let found = de::Unexpected::Unsigned(count as u64);
            de::Error::invalid_value(found, &"a power of two, at most 65536")
        })
    }
}
