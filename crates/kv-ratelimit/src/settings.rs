//! What a configuration says of rate limits.

mod policy;
#[cfg(test)]
mod tests;

pub use self::policy::{OnErrorSetting, PolicySettings, TierSetting};

use crate::{LimitError, Policy, PolicyError, RateLimiter, RateLimiterBuilder, limiter::CAPACITY};
use kv_core::Kv;
use serde::Deserialize;
use std::{collections::BTreeMap, num::NonZeroU64};

/// Rate limits: the section `[default.ratelimit]` of a configuration.
///
/// ```
/// # use kv_ratelimit::{RateLimitSettings, RateLimiter};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// # let section = serde_json::json!({ "policies": { "api": "100/min burst 20" } });
/// # let settings: RateLimitSettings = serde_json::from_value(section)?;
/// // let settings: RateLimitSettings = factory.section("ratelimit")?;
/// let limiter = RateLimiter::from_settings(&kv, &settings)?;
/// assert!(limiter.check("api", "ann").await?.is_allowed());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RateLimitSettings {
    /// The store that the limits are on, by its name in the configuration. It is the program that
    /// opens it, and `kv limits`, which else wants to be told.
    #[cfg_attr(feature = "schema", schemars(extend("x-names" = "store")))]
    pub store: Option<String>,
    /// How many subjects a process remembers under each policy. More than that are asked for at the
    /// store; under the tier `in_process` those that come seldom begin anew.
    pub local_capacity: NonZeroU64,
    /// The policies, by their names: a quota such as `"100/min burst 20"`, or a table with a `quota`
    /// and how it is applied.
    pub policies: BTreeMap<String, PolicySettings>,
}

impl Default for RateLimitSettings {
    fn default() -> Self {
        Self {
            store: None,
            local_capacity: NonZeroU64::new(CAPACITY).unwrap_or(NonZeroU64::MIN),
            policies: BTreeMap::new(),
        }
    }
}

impl RateLimitSettings {
    /// The policies, for [`RateLimiter::set_policies`] when a configuration has changed.
    ///
    /// # Errors
    /// [`PolicyError`], which names the policy and what to do, where settings contradict each other. What a store
    /// cannot do shows when the policies are put in force.
    pub fn policies(&self) -> Result<BTreeMap<String, Policy>, PolicyError> {
        let policies = self.policies.iter();
        policies
            .map(|(name, it)| Ok((name.clone(), it.policy(name)?)))
            .collect()
    }
}

impl RateLimiter {
    /// A limiter on a connected store, as a configuration has it.
    ///
    /// # Errors
    /// As [`RateLimitSettings::policies`] and [`RateLimiterBuilder::build`].
    pub fn from_settings(kv: &Kv, settings: &RateLimitSettings) -> Result<Self, LimitError> {
        Self::builder(kv).settings(settings)?.build()
    }
}

impl RateLimiterBuilder {
    /// As a configuration has it; what is said afterwards counts.
    ///
    /// # Errors
    /// As [`RateLimitSettings::policies`].
    pub fn settings(mut self, settings: &RateLimitSettings) -> Result<Self, PolicyError> {
        for (name, policy) in settings.policies()? {
            self = self.policy(name, policy);
        }
        Ok(self.local_capacity(settings.local_capacity.get()))
    }
}
