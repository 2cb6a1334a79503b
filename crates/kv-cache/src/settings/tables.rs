//! The tables in the section of a cache, as they are written. What makes no sense is refused where it is read, so that the
//! configuration is blamed with its place.

use crate::{Near, Policy, builder::TTL, far::LIFE, near::MAX_STALE, policy::Early};
use kv_core::Codec;
use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected},
};
use std::time::Duration;

/// The level in each process.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct NearTable {
    /// How much memory it may take, in bytes: keys, values, and 360 bytes for each entry.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    max_bytes: u64,
    /// How long an entry is given out without asking the store whether it still holds, where it is
    /// not known that all has been heard that other processes tell; the same in all processes.
    #[serde(default = "usual_max_stale", with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration"))]
    max_stale: Duration,
}

/// How long entries are fresh, and what is done about those that are not.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct PolicyTable {
    /// For how long entries are fresh, counted from when their load began.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "kv_core::schema::HumanDuration", extend("x-exclusive-minimum" = "0s"))
    )]
    ttl: Duration,
    /// For how long after that they are given out while they are loaded anew, and when that fails.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration"))]
    stale: Duration,
    /// By up to which part of `ttl` each entry is fresh for less, by chance, so that what was loaded
    /// together is not loaded together again.
    #[cfg_attr(
        feature = "schema",
        schemars(extend("minimum" = 0.0, "exclusiveMaximum" = 1.0))
    )]
    jitter: f64,
    /// From which part of `ttl` on an entry that is asked for is loaded anew in the background; absent
    /// means not before its end.
    #[cfg_attr(
        feature = "schema",
        schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1.0))
    )]
    eager: Option<f64>,
    /// In place of `eager`: by chance, the likelier the nearer the end of `ttl` is, measured by how long
    /// the load took. With 1 some reader is early enough nearly always; more is earlier.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0.0)))]
    eager_by_chance: Option<f64>,
    /// How long who could have a stale value waits for a new one. Less than `hard_timeout`; it needs
    /// `stale`.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration"))]
    soft_timeout: Duration,
    /// How long who has nothing waits for a loader. The loader goes on for as long again.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "kv_core::schema::HumanDuration", extend("x-exclusive-minimum" = "0s", "x-maximum" = "1day"))
    )]
    hard_timeout: Duration,
    /// For how long it is remembered that there is nothing; absent means not at all.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<kv_core::schema::HumanDuration>", extend("x-exclusive-minimum" = "0s"))
    )]
    negative: Option<Duration>,
    /// For how long a stale value is given out without another try when a load has failed.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "kv_core::schema::HumanDuration", extend("x-exclusive-minimum" = "0s"))
    )]
    throttle: Duration,
}

/// How values become bytes on the store.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub(super) enum CodecWord {
    /// Readable with any tool.
    Json,
    /// Shorter, and as tolerant of added fields.
    MessagePack,
}

pub(super) fn deadline<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let deadline: Duration = humantime_serde::deserialize(deserializer)?;
    if deadline.is_zero() {
        let wanted = "a deadline longer than zero (in no time the store is never asked)";
        return Err(D::Error::invalid_value(Unexpected::Str("0s"), &wanted));
    }
    Ok(deadline)
}

pub(super) fn fallback_deadline<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    deadline(deserializer).map(Some)
}

pub(super) fn fallback_life<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let life: Duration = humantime_serde::deserialize(deserializer)?;
    if life.is_zero() {
        let wanted = "a life longer than zero (without one there is nothing to fall back to)";
        return Err(D::Error::invalid_value(Unexpected::Str("0s"), &wanted));
    }
    Ok(life)
}

pub(super) fn usual_fallback_life() -> Duration {
    LIFE
}

pub(super) fn near<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Near>, D::Error> {
    let Some(table) = Option::<NearTable>::deserialize(deserializer)? else {
        return Ok(None);
    };
    if table.max_bytes == 0 {
        return Err(senseless(
            "a level with room",
            "max_bytes must be at least 1; leave `near` out to have entries on the store only",
        ));
    }
    Ok(Some(
        Near::bytes(table.max_bytes).max_stale(table.max_stale),
    ))
}

pub(super) fn policy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Policy, D::Error> {
    let table = PolicyTable::deserialize(deserializer)?;
    let refused = |fault| Err(senseless("a policy that makes sense", fault));
    let early = match (table.eager, table.eager_by_chance) {
        (Some(_), Some(_)) => {
            return refused("eager and eager_by_chance exclude each other; leave one of them out");
        }
        (Some(from), None) => Early::From(from),
        (None, Some(beta)) => Early::Likely { beta },
        (None, None) => Early::Never,
    };
    let policy = Policy {
        fresh: table.ttl,
        stale: table.stale,
        jitter: table.jitter,
        early,
        soft_timeout: table.soft_timeout,
        hard_timeout: table.hard_timeout,
        negative: table.negative,
        throttle: table.throttle,
    };
    policy.fault().map_or(Ok(policy), refused)
}

pub(super) fn codec<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Codec, D::Error> {
    Ok(match CodecWord::deserialize(deserializer)? {
        CodecWord::Json => Codec::JSON,
        CodecWord::MessagePack => Codec::MESSAGE_PACK,
    })
}

/// For the description of the default.
#[cfg(feature = "schema")]
pub(super) fn write_codec<S: serde::Serializer>(
    codec: &Codec,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let word = match *codec {
        Codec::MESSAGE_PACK => CodecWord::MessagePack,
        _ => CodecWord::Json,
    };
    serde::Serialize::serialize(&word, serializer)
}

impl Default for PolicyTable {
    fn default() -> Self {
        let usual = Policy::ttl(TTL);
        Self {
            ttl: usual.fresh,
            stale: usual.stale,
            jitter: usual.jitter,
            eager: None,
            eager_by_chance: None,
            soft_timeout: usual.soft_timeout,
            hard_timeout: usual.hard_timeout,
            negative: usual.negative,
            throttle: usual.throttle,
        }
    }
}

/// A table that is refused. Of a type's own words a configuration passes on what was wanted only, since others may quote
/// the value.
fn senseless<E: Error>(wanted: &str, fault: &str) -> E {
    let wanted = format!("{wanted} ({fault})");
    E::invalid_value(Unexpected::Map, &wanted.as_str())
}

fn usual_max_stale() -> Duration {
    MAX_STALE
}
