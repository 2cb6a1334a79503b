//! What a configuration says of caches.

mod tables;
#[cfg(test)]
mod tests;

use crate::{
    Cache, CacheBuilder, CacheKey, CacheValue, Far, Near, Policy, builder::TTL, far::DEADLINE,
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

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            store: None,
            deadline: DEADLINE,
            near: None,
            policy: Policy::ttl(TTL),
            codec: Codec::default(),
        }
    }
}

impl CacheSettings {
    /// The level on this store, as a configuration has it: for [`CacheBuilder::far`].
    pub fn far(&self, kv: &Kv) -> Far {
        Far::new(kv).deadline(self.deadline)
    }
}

impl<K: CacheKey + ?Sized, V: CacheValue> Cache<K, V> {
    /// A cache of this name, as a configuration has it, on the connected store that the settings name; `None` if
    /// they name none.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if they name a store and none is handed over; or as [`CacheBuilder::build`].
    pub fn from_settings(
        name: impl Into<String>,
        store: Option<&Kv>,
        settings: &CacheSettings,
    ) -> Result<Self> {
        let name = name.into();
        let builder = Self::builder(name.clone()).settings(settings);
        match (store, &settings.store) {
            (Some(kv), _) => builder.far(settings.far(kv)).build(),
            (None, None) => builder.build(),
            (None, Some(store)) => {
                let message = "the settings name a store, and none was handed over; open it by this name, or take `store` out of the settings";
                let error = Error::new(ErrorKind::Config, message);
                Err(error
                    .with_context("cache", name)
                    .with_context("store", store))
            }
        }
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
