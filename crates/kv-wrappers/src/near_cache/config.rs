use kv_core::{Error, ErrorKind, Prefix, Prefixes, Result};
use serde::Deserialize;
use std::time::Duration;

/// What is kept in the process, for how long, and what removes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct NearCacheConfig {
    /// How much memory may be used, in bytes: keys, values, and 160 bytes for each entry; at
    /// least 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub max_bytes: u64,
    /// Longer values are not kept; in bytes.
    pub max_value_bytes: usize,
    /// How old an answer may be, whatever happens to the connection that tells of changes; from a
    /// millisecond to a day.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration", extend("x-minimum" = "1ms", "x-maximum" = "1day")))]
    pub max_ttl: Duration,
    /// How long it is kept that there is no such key; zero keeps nothing of it. Never more
    /// than `max_ttl`.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration"))]
    pub negative_ttl: Duration,
    /// What removes an entry before its time.
    pub invalidate: NearCacheInvalidation,
    /// How the deadline of a key on the store is kept.
    pub deadlines: NearCacheDeadlines,
    /// Only keys that start with one of these are kept and watched, with or without a leading brace:
    /// `nala:` stands for `nala:…` and `{nala:…`. Keys as the store has them. An empty
    /// text stands for all.
    pub prefixes: Vec<String>,
}

/// What removes an entry before its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NearCacheInvalidation {
    /// Writes through this handle, and what the store tells of all others. Needs a store that can
    /// watch.
    #[default]
    Watch,
    /// Writes through this handle only: what others write shows when `max_ttl` is over.
    OwnWrites,
}

/// How the deadline of a key on the store is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NearCacheDeadlines {
    /// Exactly: what is kept is asked for its deadline too, at the same time. A read that is not
    /// answered from memory then costs the store two commands.
    #[default]
    Exact,
    /// By the store's word and by `max_ttl`: a value may be told so long after its end.
    Bounded,
}

impl Default for NearCacheConfig {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_value_bytes: 256 << 10,
            max_ttl: Duration::from_secs(10),
            negative_ttl: Duration::from_secs(1),
            invalidate: NearCacheInvalidation::default(),
            deadlines: NearCacheDeadlines::default(),
            prefixes: vec![String::new()],
        }
    }
}

impl NearCacheConfig {
    pub(super) fn check(&self) -> Result<()> {
        let day = Duration::from_secs(24 * 3600);
        let complaint = if self.max_bytes == 0 {
            "max_bytes must be at least 1; to do without a near cache drop the wrapper"
        } else if !(Duration::from_millis(1)..=day).contains(&self.max_ttl) {
            "max_ttl must be from a millisecond to a day"
        } else if self.prefixes.is_empty() {
            "prefixes must name at least one; an empty text stands for all keys"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Config, complaint))
    }

    /// The ranges to keep and to watch, none of them within another.
    pub(super) fn ranges(&self) -> Prefixes {
        let mut names: Vec<_> = self.prefixes.iter().map(String::as_str).collect();
        names.sort_unstable();
        // A name sorts right before those that it begins.
        names.dedup_by(|later, earlier| later.starts_with(*earlier));
        let both = |name: &str| match name {
            "" => Prefixes::from(Prefix::ALL),
            name => {
                let mut ranges = Prefixes::from(Prefix::ALL);
                ranges.put_below(name.as_bytes());
                ranges
            }
        };
        let ranges = names.into_iter().map(both);
        ranges.flat_map(|it| it.as_slice().to_vec()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::NearCacheConfig;
    use kv_core::Prefix;

    #[test]
    fn a_range_has_two_halves_and_lies_in_no_other() {
        let mut config = NearCacheConfig::default();
        assert_eq!(config.ranges().as_slice(), [Prefix::ALL]);
        config.prefixes = ["b:", "a:x", "a:", "b:"].map(str::to_owned).to_vec();
        let wanted = ["a:", "{a:", "b:", "{b:"].map(Prefix::from);
        assert_eq!(config.ranges().as_slice(), wanted);
        config.prefixes.push(String::new());
        assert_eq!(config.ranges().as_slice(), [Prefix::ALL]);
    }
}
