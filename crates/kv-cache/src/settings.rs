//! What a configuration says of caches.

mod tables;
#[cfg(test)]
mod tests;

use crate::{
    Cache, CacheBuilder, CacheKey, CacheValue, Fallback, Far, Near, Policy, builder::TTL,
    far::DEADLINE,
};
use kv_core::{Codec, Error, ErrorKind, Kv, Result};
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};

/// Caches by their names: the section `[default.cache]` of a configuration. A program reads the section of one cache,
/// `[default.cache.NAME]`, as [`CacheSettings`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct CachesSettings(pub BTreeMap<String, CacheSettings>);

/// One cache: the section `[default.cache.NAME]` of a configuration.
///
/// ```
/// # use kv_cache::{Cache, CacheSettings};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// # let section = serde_json::json!({ "policy": { "ttl": "5m", "stale": "2h" } });
/// # let settings: CacheSettings = serde_json::from_value(section).unwrap();
/// // let settings: CacheSettings = factory.section("cache.prices")?;
/// let prices: Cache<str, u32> = Cache::from_settings("prices", Some(&kv), &settings)?;
/// # let _ = prices;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CacheSettings {
    /// The store that the entries are on, by its name in the configuration. It is the program that
    /// opens it, and `kv cache`, which else wants to be told. Absent means that each process has its
    /// own entries.
    #[cfg_attr(feature = "schema", schemars(extend("x-names" = "store")))]
    pub store: Option<String>,
    /// How long one call to the store may take; after that the cache goes on without.
    #[serde(
        serialize_with = "humantime_serde::serialize",
        deserialize_with = "tables::deadline"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "kv_core::schema::HumanDuration", extend("x-exclusive-minimum" = "0s"))
    )]
    pub deadline: Duration,
    /// A second store, for while the first one is in trouble; absent means that each process loads for
    /// itself then. It needs `store`.
    pub fallback: Option<FallbackSettings>,
    /// The level in each process; absent means that the store is asked each time.
    #[serde(deserialize_with = "tables::near")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<tables::NearTable>"))]
    pub near: Option<Near>,
    /// How long entries are fresh, and what is done about those that are not.
    #[serde(deserialize_with = "tables::policy")]
    #[cfg_attr(feature = "schema", schemars(with = "tables::PolicyTable"))]
    pub policy: Policy,
    /// How values become bytes on the store. Another codec is for another name: what one wrote the
    /// other cannot read, and loads.
    #[serde(
        serialize_with = "tables::write_codec",
        deserialize_with = "tables::codec"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "tables::CodecWord"))]
    pub codec: Codec,
}

/// A second store: the section `[default.cache.NAME.fallback]` of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FallbackSettings {
    /// The second store, by its name in the configuration. It keeps tenants apart as the first one
    /// does.
    #[cfg_attr(feature = "schema", schemars(extend("x-names" = "store")))]
    pub store: String,
    /// How long entries live there at most. Whoever could not reach the first store may be shown for so
    /// long what was removed by a process that did not reach the second.
    #[serde(
        default = "tables::usual_fallback_life",
        serialize_with = "humantime_serde::serialize",
        deserialize_with = "tables::fallback_life"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "kv_core::schema::HumanDuration", extend("x-exclusive-minimum" = "0s"))
    )]
    pub life: Duration,
    /// How long one call to it may take; absent means as long as one to the first.
    #[serde(default, deserialize_with = "tables::fallback_deadline")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<kv_core::schema::HumanDuration>", extend("x-exclusive-minimum" = "0s"))
    )]
    pub deadline: Option<Duration>,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            store: None,
            deadline: DEADLINE,
            fallback: None,
            near: None,
            policy: Policy::ttl(TTL),
            codec: Codec::default(),
        }
    }
}

impl CacheSettings {
    /// The level on this store, as a configuration has it: for [`CacheBuilder::far`]. Without a second store, which
    /// [`Far::fallback`] takes.
    pub fn far(&self, kv: &Kv) -> Far {
        Far::new(kv).deadline(self.deadline)
    }

    /// On the same store the fallback would remove what is written.
    fn check_fallback(&self, name: &str) -> Result<()> {
        let Some(fallback) = &self.fallback else {
            return Ok(());
        };
        let message = match &self.store {
            None => "`fallback` takes the place of `store`, which the settings do not name",
            Some(store) if *store == fallback.store => {
                "`fallback` must be another store than `store`"
            }
            Some(_) => return Ok(()),
        };
        Err(refused(name, message, &fallback.store))
    }
}

impl FallbackSettings {
    /// The second store, as a configuration has it: for [`Far::fallback`].
    pub fn on(&self, kv: &Kv) -> Fallback {
        let fallback = Fallback::new(kv).life(self.life);
        match self.deadline {
            Some(deadline) => fallback.deadline(deadline),
            None => fallback,
        }
    }
}

impl<K: CacheKey + ?Sized, V: CacheValue> Cache<K, V> {
    /// A cache of this name, as a configuration has it, on the connected store that the settings name; `None` if
    /// they name none.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if they name a store and none is handed over, or a fallback; or as
    /// [`CacheBuilder::build`].
    pub fn from_settings(
        name: impl Into<String>,
        store: Option<&Kv>,
        settings: &CacheSettings,
    ) -> Result<Self> {
        let name = name.into();
        settings.check_fallback(&name)?;
        let refused = |message, store: &str| refused(&name, message, store);
        if let Some(fallback) = &settings.fallback {
            let message = "the settings name a fallback, and none was handed over; open it by this name for `from_settings_with_fallback`, or take `fallback` out of the settings";
            return Err(refused(message, &fallback.store));
        }
        match (store, &settings.store) {
            (Some(kv), _) => {
                let far = settings.far(kv);
                Self::builder(name).settings(settings).far(far).build()
            }
            (None, None) => Self::builder(name).settings(settings).build(),
            (None, Some(store)) => {
                let message = "the settings name a store, and none was handed over; open it by this name, or take `store` out of the settings";
                Err(refused(message, store))
            }
        }
    }

    /// As [`from_settings`](Self::from_settings), on the two connected stores that the settings name.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if they name a fallback and no store, or the same one for both; or as
    /// [`CacheBuilder::build`].
    pub fn from_settings_with_fallback(
        name: impl Into<String>,
        store: &Kv,
        fallback: &Kv,
        settings: &CacheSettings,
    ) -> Result<Self> {
        let name = name.into();
        settings.check_fallback(&name)?;
        let fallback = match &settings.fallback {
            Some(settings) => settings.on(fallback),
            None => Fallback::new(fallback),
        };
        let far = settings.far(store).fallback(fallback);
        Self::builder(name).settings(settings).far(far).build()
    }
}

impl<K: CacheKey + ?Sized, V: CacheValue> CacheBuilder<K, V> {
    /// As a configuration has it, but for the store, which is said by [`far`](Self::far) with
    /// [`CacheSettings::far`]; what is said afterwards counts.
    #[must_use]
    pub fn settings(self, settings: &CacheSettings) -> Self {
        let builder = self.policy(settings.policy).codec(settings.codec);
        match settings.near {
            Some(near) => builder.near(near),
            None => builder,
        }
    }
}

fn refused(cache: &str, message: &'static str, store: &str) -> Error {
    let error = Error::new(ErrorKind::Config, message);
    error
        .with_context("cache", cache)
        .with_context("store", store)
}
